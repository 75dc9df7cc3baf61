#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/document.h"
#include "promotion/policy_change.h"

#include <stdlib.h>

/* Changes of pipelines that wait for people to agree: show one, say yes or no. */

/* --- GET /pipelines/{pipeline}/change --------------------------------------------------------- */

static json_t *change_json(struct bytes name, const struct policy_change *change,
                           const struct pipeline *in_force)
{
    json_t *people = json_array(), *document;
    size_t i;

    for (i = 0; i < change->n_people; i++) {
        json_array_append_new(people, view_text(change->people[i]));
    }
    document = json_loadb((const char *)change->document.data, change->document.size, 0, NULL);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "name", view_text(name),
                     "revision", view_digest(&change->revision), "base", view_digest(&change->base),
                     "author", view_text(change->author), "time", view_time(change->time_ms),
                     "until", view_time(change->until_ms), "people", people, "agreed",
                     (json_int_t)policy_change_count(change, &in_force->changes), "wanted",
                     (json_int_t)in_force->changes.min, "document",
                     document != NULL ? document : json_null());
}

static void answer_change(struct exchange *exchange)
{
    struct bytes name = exchange_parameter(exchange, "pipeline");
    struct pipeline *in_force = NULL;
    struct policy_change change;
    struct catalog_txn txn;
    struct reason why = {""};

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (policy_change_find(&txn, name, clock_wall_ms(), &change) == OK &&
        policy_load(&txn, name, &in_force, &why) == OK) {
        exchange_answer_json(exchange, 200, change_json(name, &change, in_force));
    } else {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL,
                         "no change of this pipeline waits for anybody");
    }
    pipeline_release(in_force);
    catalog_done(&txn);
}

void policy_change_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_change);
}

/* --- POST /pipelines/{pipeline}/change -------------------------------------------------------- */

struct deciding {
    struct exchange *exchange;
    struct control_propose propose;
    bool is_approval;
};

static void decided_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct deciding *deciding = request->data;
    struct exchange *exchange = deciding->exchange;
    struct policy_result decided;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error == ERROR_NOT_FOUND) {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "%s", result->why.text);
    } else if (result->error == ERROR_CONFLICT) {
        exchange_fail_as(exchange, 409, "CONFLICT", NULL, "%s", result->why.text);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else if (policy_result_read(result->body, &decided) != OK) {
        exchange_fail(exchange, ERROR_CORRUPT, NULL);
    } else {
        const char *state = !deciding->is_approval           ? "rejected"
                            : decided.given < decided.wanted ? "waiting"
                                                             : "in force";

        exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)result->index);
        exchange_answer_json(exchange, decided.given < decided.wanted ? 202 : 200,
                             json_pack("{s:o, s:I, s:o, s:s, s:I, s:I}", "name",
                                       view_text(exchange_parameter(exchange, "pipeline")),
                                       "number", (json_int_t)decided.number, "revision",
                                       view_digest(&decided.revision), "state", state, "agreed",
                                       (json_int_t)decided.given, "wanted",
                                       (json_int_t)decided.wanted));
    }
    free(deciding);
    exchange_release(exchange);
}

static enum error read_decision(const json_t *body, struct digest *revision, bool *is_approval,
                                struct reason *why)
{
    static const char *const allowed[] = {"decision", "revision", NULL};
    static const char *const decisions[] = {"reject", "approve", NULL};
    size_t choice = 2;
    enum error error = document_check_members(body, "body", allowed, NULL, why);

    if (error == OK) {
        error = document_choice(body, "body", "decision", decisions, &choice, why);
    }
    if (error == OK && choice == 2) {
        error = fail(why, ERROR_INVALID, "decision must be \"approve\" or \"reject\"");
    }
    if (error == OK && digest_parse(json_member_bytes(body, "revision"), revision) != OK) {
        error = fail(why, ERROR_INVALID,
                     "revision must be that of the change that you looked at, \"sha256:...\"");
    }
    *is_approval = choice == 1;
    return error;
}

static void decide_body_cb(struct exchange *exchange, struct bytes text)
{
    struct deciding *deciding;
    struct command_id id;
    struct digest revision;
    struct reason why = {""};
    bool is_approval = false;
    json_t *body = NULL;
    enum error error = json_parse(text, API_BODY_MAX, &body, &why);

    if (error == OK) {
        error = read_decision(body, &revision, &is_approval, &why);
    }
    json_decref(body);
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    deciding = memory_zero(sizeof *deciding);
    deciding->exchange = exchange;
    deciding->is_approval = is_approval;
    deciding->propose.data = deciding;
    command_id_make(&id);
    buffer_init(&deciding->propose.bytes, COMMAND_SIZE_MAX);
    command_pipeline_decide(&deciding->propose.bytes, &id, exchange_actor(exchange),
                            exchange_parameter(exchange, "pipeline"), &revision, is_approval);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &deciding->propose, decided_cb);
}

void policy_change_post(struct exchange *exchange)
{
    if (!pipeline_name_is_valid(exchange_parameter(exchange, "pipeline"))) {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no such pipeline");
        return;
    }
    exchange_read_body(exchange, API_BODY_MAX, decide_body_cb);
}
