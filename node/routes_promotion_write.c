#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/promotion_body.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/document.h"

#include <stdio.h>
#include <stdlib.h>

/* What decides about promotions: ask for one, approve, reject, cancel; and a GET that waits.
 *
 *   read --> propose (create, decide, cancel) --> look --> commit --> look ... --> answer
 *                                                  |  ^
 *                                                  v  |
 *                                                 sleep (while the client wants to wait)
 *
 * A flow holds its exchange and has one operation under way. look evaluates the promotion on this
 * node's catalog; when it is ready it proposes the commit itself, so that an answer can say
 * "committed"; what becomes ready later is the leader's promoter's (node/promoter.h). The client
 * may go away at any time: the flow ends at its next step, the log keeps what was decided. */

#define SLEEP_MS    200
#define COMMITS_MAX 5 /* A commit that finds the plan changed is tried again. */

enum flow_kind { FLOW_CREATE, FLOW_DECIDE, FLOW_CANCEL, FLOW_GET };

struct flow {
    struct exchange *exchange;
    enum flow_kind kind;
    struct control_propose propose;
    struct control_read read;
    uv_timer_t timer;
    uint64_t deadline_ms; /* Monotonic; until then an open promotion is waited for. */
    unsigned commits;
    char id[PROMOTION_ID_SIZE + 1];
    struct promotion_body body; /* Create. */
    json_t *decision;           /* Decide and cancel: the body. */
    bool is_approval;
};

static void flow_look(struct flow *flow);

/* --- life ------------------------------------------------------------------------------------ */

static struct flow *flow_make(struct exchange *exchange, enum flow_kind kind)
{
    struct flow *flow = memory_zero(sizeof *flow);

    flow->exchange = exchange;
    flow->kind = kind;
    flow->propose.data = flow->read.data = flow;
    uv_timer_init(&exchange_worker(exchange)->loop, &flow->timer);
    flow->timer.data = flow;
    exchange_hold(exchange);
    return flow;
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct flow *flow = handle->data;

    promotion_body_release(&flow->body);
    json_decref(flow->decision);
    free(flow);
}

/* After the answer. */
static void flow_end(struct flow *flow)
{
    exchange_release(flow->exchange);
    flow->exchange = NULL;
    uv_close((uv_handle_t *)&flow->timer, timer_closed_cb);
}

static void flow_fail(struct flow *flow, enum error error, const struct reason *why)
{
    exchange_fail(flow->exchange, error, why);
    flow_end(flow);
}

static void flow_fail_unknown(struct flow *flow)
{
    exchange_fail_as(flow->exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
    flow_end(flow);
}

/* --- answers --------------------------------------------------------------------------------- */

/* The status of what was asked for, by how the promotion stands. A decision that was recorded is
 * never an error, and neither is a GET. */
static unsigned status_of(const struct flow *flow, const struct promotion *promotion,
                          const struct evaluation *evaluation, const char **code)
{
    *code = NULL;
    if (promotion->state == PROMOTION_OPEN) {
        if (flow->kind == FLOW_CREATE && strcmp(evaluation->code, "FROZEN") == 0) {
            *code = evaluation->code;
            return 423;
        }
        if (flow->kind == FLOW_CREATE && evaluation->verdict == VERDICT_BLOCKED) {
            *code = "GATE_FAILED";
            return 412;
        }
        if (flow->kind == FLOW_CREATE && evaluation->verdict == VERDICT_MOVED) {
            *code = "TAG_MOVED";
            return 409;
        }
        return flow->kind == FLOW_GET ? 200 : 202;
    }
    if (flow->kind == FLOW_CREATE && promotion->state == PROMOTION_SUPERSEDED) {
        *code = "TAG_MOVED";
        return 409;
    }
    return 200;
}

static void flow_answer(struct flow *flow, const struct promotion *promotion,
                        const struct evaluation *evaluation, bool is_dry_run)
{
    json_t *document = view_promotion(promotion, evaluation);
    struct reason summary = {""};
    const char *code;
    unsigned status = status_of(flow, promotion, evaluation, &code);

    if (is_dry_run) {
        json_object_set_new(document, "dry_run", json_true());
        json_object_del(document, "id");
        status = 200;
        code = NULL;
    }
    if (promotion->state == PROMOTION_COMMITTED) {
        exchange_set_header(flow->exchange, "X-Raft-Index", "%llu",
                            (unsigned long long)promotion->commit_index);
    }
    if (code != NULL) {
        view_summary(promotion, evaluation, &summary);
        exchange_fail_as(flow->exchange, status, code, document, "%s", summary.text);
    } else {
        FAILPOINT("promotion.before_answer");
        exchange_answer_json(flow->exchange, status, document);
        FAILPOINT("promotion.after_answer");
    }
    flow_end(flow);
}

/* --- look, commit, sleep --------------------------------------------------------------------- */

static void applied_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;

    if (status != OK) {
        flow_fail(flow, status, NULL);
    } else {
        flow_look(flow);
    }
}

/* Look once this node's catalog has the entry: a follower hears the result from the leader before
 * it applies the entry itself. */
static void flow_look_after(struct flow *flow, const struct command_result *result)
{
    control_wait_applied(exchange_worker(flow->exchange), &flow->read, result->index, applied_cb);
}

static void commit_cb(struct control_propose *request, enum error status,
                      const struct command_result *result)
{
    struct flow *flow = request->data;

    if (status != OK) {
        /* The promotion is kept, and goes on by itself; its id tells the client where to look. */
        exchange_set_header(flow->exchange, "Retry-After", "1");
        exchange_fail_as(flow->exchange, 503, "UNAVAILABLE", json_pack("{s:s}", "id", flow->id),
                         "the outcome of promotion %s is not known yet: ask for it again",
                         flow->id);
        flow_end(flow);
        return;
    }
    if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
        return;
    }
    flow_look_after(flow, result);
}

static void flow_commit(struct flow *flow)
{
    struct command_id id;

    flow->commits++;
    command_id_make(&id);
    buffer_init(&flow->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_commit(&flow->propose.bytes, &id, exchange_actor(flow->exchange),
                             bytes_of_string(flow->id));
    control_propose(exchange_worker(flow->exchange), &flow->propose, commit_cb);
}

static void sleep_cb(uv_timer_t *timer)
{
    flow_look(timer->data);
}

static bool wants_commit(const struct flow *flow, const struct evaluation *evaluation)
{
    return flow->kind != FLOW_GET && flow->commits < COMMITS_MAX &&
           (evaluation->verdict == VERDICT_READY || evaluation->verdict == VERDICT_CHANGED ||
            evaluation->verdict == VERDICT_MOVED);
}

static void flow_look(struct flow *flow)
{
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;

    if (exchange_is_gone(flow->exchange)) {
        flow_end(flow);
        return;
    }
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    if (promotion_load(&txn, bytes_of_string(flow->id), &promotion) != OK) {
        catalog_done(&txn);
        flow_fail_unknown(flow);
        return;
    }
    evaluate_stored(&txn, &promotion, clock_wall_ms(), &evaluation);
    catalog_done(&txn);
    if (!promotion_is_visible(flow->exchange, &promotion)) {
        flow_fail_unknown(flow);
    } else if (wants_commit(flow, &evaluation)) {
        flow_commit(flow);
    } else if (promotion.state == PROMOTION_OPEN && clock_monotonic_ms() < flow->deadline_ms) {
        /* What was learnt may be old by the time it is ready. */
        flow->commits = 0;
        uv_timer_start(&flow->timer, sleep_cb, SLEEP_MS, 0);
    } else {
        flow_answer(flow, &promotion, &evaluation, false);
    }
    promotion_release(&promotion);
}

/* --- asking for one -------------------------------------------------------------------------- */

static void created_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct flow *flow = request->data;
    struct promotion_result created;

    if (status != OK) {
        flow_fail(flow, status, NULL);
        return;
    }
    if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
        return;
    }
    if (promotion_result_read(result->body, &created) != OK) {
        flow_fail(flow, ERROR_CORRUPT, NULL);
        return;
    }
    snprintf(flow->id, sizeof flow->id, "%.*s", BYTES_ARG(created.id));
    exchange_set_header(flow->exchange, "Location", "/api/v1/promotions/%s", flow->id);
    flow_look_after(flow, result);
}

static void propose_create(struct flow *flow)
{
    struct bytes key = exchange_header(flow->exchange, "Idempotency-Key");
    struct command_id id;

    promotion_id_make(clock_wall_ms(), flow->id);
    command_id_make(&id);
    buffer_init(&flow->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_create(&flow->propose.bytes, &id, exchange_actor(flow->exchange),
                             bytes_of_string(flow->id), &flow->body.request, key, &flow->body.hash);
    control_propose(exchange_worker(flow->exchange), &flow->propose, created_cb);
}

/* Plan and decide here, keep nothing. */
static void dry_run_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;
    const struct promotion_request *wish = &flow->body.request;
    struct pipeline *pipeline = NULL;
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;
    struct reason why = {""};
    enum error error = status;

    if (error != OK) {
        flow_fail(flow, error, NULL);
        return;
    }
    promotion_init(&promotion, wish->n_items, 0);
    promotion.requester = exchange_actor(flow->exchange);
    promotion.created_ms = promotion.updated_ms = clock_wall_ms();
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    error = policy_load(&txn, wish->pipeline, &pipeline, &why);
    if (error == OK) {
        error = plan_make(&txn, pipeline, wish, &promotion, &why);
    }
    if (error == OK) {
        evaluate_planned(&txn, pipeline, &promotion, clock_wall_ms(), &evaluation);
        flow_answer(flow, &promotion, &evaluation, true);
    } else {
        flow_fail(flow, error, &why);
    }
    pipeline_release(pipeline);
    catalog_done(&txn);
    promotion_release(&promotion);
}

/* Asking is for those who may push to the source, or for a rollback approve there. False: answered.
 */
static bool may_request(struct flow *flow)
{
    const struct promotion_request *wish = &flow->body.request;
    size_t i;

    for (i = 0; i < wish->n_items; i++) {
        struct bytes source = wish->items[i].source;

        if (!exchange_may(flow->exchange, ACTION_PUSH, source) &&
            !(wish->is_rollback && exchange_may(flow->exchange, ACTION_APPROVE, source))) {
            exchange_fail_as(flow->exchange, 403, "NOT_ELIGIBLE", NULL,
                             "%.*s may not ask for it: that takes the action push%s on %.*s",
                             BYTES_ARG(exchange_actor(flow->exchange)),
                             wish->is_rollback ? " or approve" : "", BYTES_ARG(source));
            return false;
        }
    }
    return true;
}

static void create_body_cb(struct exchange *exchange, struct bytes text)
{
    struct flow *flow = flow_make(exchange, FLOW_CREATE);
    struct bytes dry_run;
    struct reason why = {""};
    enum error error = promotion_body_parse(text, &flow->body, &why);

    if (error != OK) {
        flow_fail(flow, error, &why);
        return;
    }
    if (!may_request(flow)) {
        flow_end(flow);
        return;
    }
    if (exchange_header(exchange, "Idempotency-Key").size > PROMOTION_KEY_MAX) {
        why.text[0] = '\0';
        (void)fail(&why, ERROR_INVALID, "Idempotency-Key is longer than %d bytes",
                   PROMOTION_KEY_MAX);
        flow_fail(flow, ERROR_INVALID, &why);
        return;
    }
    flow->deadline_ms = clock_monotonic_ms() + flow->body.wait_ms;
    if (exchange_query(exchange, "dry_run", 0, &dry_run)) {
        flow->body.is_dry_run = !bytes_equal_string(dry_run, "0");
    }
    if (flow->body.is_dry_run) {
        control_read(exchange_worker(exchange), &flow->read, dry_run_cb);
    } else {
        propose_create(flow);
    }
}

void promotion_post(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, create_body_cb);
}

/* --- looking at one -------------------------------------------------------------------------- */

static void flow_set_id(struct flow *flow)
{
    snprintf(flow->id, sizeof flow->id, "%.*s",
             BYTES_ARG(bytes_slice(exchange_parameter(flow->exchange, "id"), 0, sizeof flow->id)));
}

void promotion_get(struct exchange *exchange)
{
    struct flow *flow;
    uint64_t wait_s;

    if (!promotion_query_uint(exchange, "wait", 0, PROMOTION_WAIT_MAX_MS / 1000, &wait_s)) {
        return;
    }
    flow = flow_make(exchange, FLOW_GET);
    flow_set_id(flow);
    flow->deadline_ms = clock_monotonic_ms() + wait_s * 1000;
    control_read(exchange_worker(exchange), &flow->read, applied_cb);
}

/* --- deciding -------------------------------------------------------------------------------- */

static void decided_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct flow *flow = request->data;
    struct promotion_result decided;

    if (status != OK) {
        flow_fail(flow, status, NULL);
    } else if (result->error == ERROR_CONFLICT) {
        exchange_fail_as(flow->exchange, 409, "CONFLICT", json_pack("{s:s}", "id", flow->id), "%s",
                         result->why.text);
        flow_end(flow);
    } else if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
    } else if (promotion_result_read(result->body, &decided) != OK) {
        flow_fail(flow, ERROR_CORRUPT, NULL);
    } else if (decided.status != OK) {
        struct reason why = {""};

        (void)fail(&why, decided.status, "%.*s", BYTES_ARG(decided.text));
        flow_fail(flow, decided.status, &why);
    } else {
        flow_look_after(flow, result);
    }
}

static struct bytes decision_text(const struct flow *flow, const char *key)
{
    const char *text = json_member_string(flow->decision, key);

    return text != NULL ? bytes_of_string(text) : BYTES_NONE;
}

/* The plan that is decided about: what the client looked at, else what is there now. */
static enum error decision_plan(const struct flow *flow, const struct promotion *promotion,
                                struct digest *out, struct reason *why)
{
    struct bytes text = decision_text(flow, "plan_hash");

    *out = promotion->plan_hash;
    if (text.size > 0 && digest_parse(text, out) != OK) {
        return fail(why, ERROR_INVALID, "plan_hash must be the one that the promotion shows");
    }
    return OK;
}

static void propose_decision(struct flow *flow, const struct digest *plan_hash)
{
    struct buffer *out = &flow->propose.bytes;
    struct bytes actor = exchange_actor(flow->exchange), id = bytes_of_string(flow->id);
    struct command_id command;

    command_id_make(&command);
    buffer_init(out, COMMAND_SIZE_MAX);
    if (flow->kind == FLOW_DECIDE) {
        command_promotion_decide(out, &command, actor, id, flow->is_approval,
                                 decision_text(flow, "comment"), plan_hash);
    } else {
        command_promotion_cancel(out, &command, actor, id, decision_text(flow, "reason"));
    }
    control_propose(exchange_worker(flow->exchange), &flow->propose, decided_cb);
}

static void decide_read_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;
    struct promotion promotion;
    struct catalog_txn txn;
    struct digest plan_hash;
    struct reason why = {""};
    enum error error;
    bool is_known;

    if (status != OK) {
        flow_fail(flow, status, NULL);
        return;
    }
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    is_known = promotion_load(&txn, bytes_of_string(flow->id), &promotion) == OK;
    catalog_done(&txn);
    if (!is_known) {
        flow_fail_unknown(flow);
        return;
    }
    error = decision_plan(flow, &promotion, &plan_hash, &why);
    if (!promotion_is_visible(flow->exchange, &promotion)) {
        flow_fail_unknown(flow);
    } else if (error != OK) {
        flow_fail(flow, error, &why);
    } else {
        propose_decision(flow, &plan_hash);
    }
    promotion_release(&promotion);
}

static enum error check_decision(struct flow *flow, struct reason *why)
{
    static const char *const decide[] = {"decision", "comment", "plan_hash", NULL};
    static const char *const cancel[] = {"reason", NULL};
    const char *decision = json_member_string(flow->decision, "decision");
    enum error error = document_check_members(
        flow->decision, "body", flow->kind == FLOW_DECIDE ? decide : cancel, NULL, why);

    if (error != OK) {
        return error;
    }
    if (decision_text(flow, "comment").size > PROMOTION_TEXT_MAX ||
        decision_text(flow, "reason").size > PROMOTION_TEXT_MAX) {
        return fail(why, ERROR_INVALID, "a text is at most %d bytes", PROMOTION_TEXT_MAX);
    }
    if (flow->kind == FLOW_CANCEL) {
        return OK;
    }
    flow->is_approval = decision != NULL && strcmp(decision, "approve") == 0;
    if (!flow->is_approval && (decision == NULL || strcmp(decision, "reject") != 0)) {
        return fail(why, ERROR_INVALID, "decision must be \"approve\" or \"reject\"");
    }
    return OK;
}

static void decide_body(struct exchange *exchange, struct bytes text, enum flow_kind kind)
{
    struct flow *flow = flow_make(exchange, kind);
    struct bytes body = text.size > 0 ? text : BYTES_LITERAL("{}");
    struct reason why = {""};
    enum error error = json_parse(body, API_BODY_MAX, &flow->decision, &why);

    if (error == OK) {
        error = check_decision(flow, &why);
    }
    if (error != OK) {
        flow_fail(flow, error, &why);
        return;
    }
    flow_set_id(flow);
    control_read(exchange_worker(exchange), &flow->read, decide_read_cb);
}

static void approval_body_cb(struct exchange *exchange, struct bytes text)
{
    decide_body(exchange, text, FLOW_DECIDE);
}

static void cancel_body_cb(struct exchange *exchange, struct bytes text)
{
    decide_body(exchange, text, FLOW_CANCEL);
}

void promotion_post_approval(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, approval_body_cb);
}

void promotion_post_cancel(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, cancel_body_cb);
}
