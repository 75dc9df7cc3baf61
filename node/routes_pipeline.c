#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "promotion/policy_change.h"

#include <stdlib.h>

/* Pipelines: their documents. */

/* --- GET /pipelines, /pipelines/{pipeline} --------------------------------------------------- */

static json_t *record_json(struct bytes name, const struct policy_record *record)
{
    json_t *document =
        json_loadb((const char *)record->document.data, record->document.size, 0, NULL);

    return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o}", "name", view_text(name), "number",
                     (json_int_t)record->number, "revision", view_digest(&record->revision),
                     "changed", view_time(record->time_ms), "by", view_text(record->actor),
                     "document", document != NULL ? document : json_null());
}

static bool visit_pipeline(void *data, struct bytes name, const struct policy_record *record)
{
    json_array_append_new(data, record_json(name, record));
    return true;
}

static void answer_all(struct exchange *exchange)
{
    json_t *list = json_array();
    struct catalog_txn txn;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    policy_list(&txn, visit_pipeline, list);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "pipelines", list));
}

void pipeline_get_all(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_all);
}

static void answer_pipeline(struct exchange *exchange)
{
    struct bytes name = exchange_parameter(exchange, "pipeline");
    char revision[DIGEST_TEXT_MAX];
    struct policy_record record;
    struct catalog_txn txn;
    enum error error;
    uint64_t number;

    if (!promotion_query_uint(exchange, "number", 0, INT64_MAX, &number)) {
        return;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    error = number > 0 ? policy_find_number(&txn, name, number, &record)
                       : policy_find(&txn, name, &record);
    if (error == OK) {
        digest_format(&record.revision, revision);
        exchange_set_header(exchange, "ETag", "\"%s\"", revision);
        exchange_answer(exchange, 200, "application/json", record.document);
    } else {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL,
                         "there is no such pipeline; make it with caisson pipeline apply -f FILE");
    }
    catalog_done(&txn);
}

void pipeline_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_pipeline);
}

/* --- GET /pipelines/{pipeline}/revisions ------------------------------------------------------ */

#define REVISIONS_DEFAULT 50
#define REVISIONS_MAX     500

static void answer_revisions(struct exchange *exchange)
{
    struct bytes name = exchange_parameter(exchange, "pipeline");
    json_t *list = json_array();
    struct policy_record record;
    struct catalog_txn txn;
    uint64_t n, before, number = 0;

    if (!promotion_query_uint(exchange, "n", REVISIONS_DEFAULT, REVISIONS_MAX, &n) ||
        !promotion_query_uint(exchange, "before", 0, INT64_MAX, &before)) {
        json_decref(list);
        return;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    number = policy_find(&txn, name, &record) == OK ? record.number : 0;
    if (number == 0) {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no such pipeline");
    }
    for (number = before > 0 && before - 1 < number ? before - 1 : number;
         number > 0 && json_array_size(list) < n; number--) {
        if (policy_find_number(&txn, name, number, &record) == OK) {
            json_array_append_new(
                list,
                json_pack("{s:I, s:o, s:o, s:o, s:I}", "number", (json_int_t)number, "revision",
                          view_digest(&record.revision), "changed", view_time(record.time_ms), "by",
                          view_text(record.actor), "raft_index", (json_int_t)record.index));
        }
    }
    if (policy_find(&txn, name, &record) == OK) {
        exchange_answer_json(exchange, 200,
                             json_pack("{s:o, s:O}", "name", view_text(name), "revisions", list));
    }
    json_decref(list);
    catalog_done(&txn);
}

void pipeline_get_revisions(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_revisions);
}

/* --- PUT /pipelines/{pipeline} --------------------------------------------------------------- */

struct putting {
    struct exchange *exchange;
    struct control_propose propose;
};

/* In force (200), or a change that waits for people (202), or was given up (200). */
static void answer_put(struct exchange *exchange, const struct policy_result *put,
                       const char *revision)
{
    bool is_waiting = put->given < put->wanted;
    json_t *value = json_pack("{s:o, s:I, s:s}", "name",
                              view_text(exchange_parameter(exchange, "pipeline")), "number",
                              (json_int_t)put->number, "revision", revision);

    if (is_waiting) {
        json_object_set_new(value, "agreed", json_integer((json_int_t)put->given));
        json_object_set_new(value, "wanted", json_integer((json_int_t)put->wanted));
    } else {
        exchange_set_header(exchange, "ETag", "\"%s\"", revision);
    }
    json_object_set_new(value, "state", json_string(is_waiting ? "waiting" : "in force"));
    exchange_answer_json(exchange, is_waiting ? 202 : 200, value);
}

static void put_cb(struct control_propose *request, enum error status,
                   const struct command_result *result)
{
    struct putting *putting = request->data;
    struct exchange *exchange = putting->exchange;
    char revision[DIGEST_TEXT_MAX];
    struct policy_result put;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else if (policy_result_read(result->body, &put) != OK) {
        exchange_fail(exchange, ERROR_CORRUPT, NULL);
    } else {
        digest_format(&put.revision, revision);
        exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)result->index);
        answer_put(exchange, &put, revision);
    }
    free(putting);
    exchange_release(exchange);
}

/* If-Match: a revision, with quotes or without. False: answered. */
static bool read_condition(struct exchange *exchange, struct digest *expected)
{
    struct bytes value = exchange_header(exchange, "If-Match");

    *expected = (struct digest){0};
    if (value.size == 0 || bytes_equal_string(value, "*")) {
        return true;
    }
    if (value.size > 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
        value = bytes_slice(value, 1, value.size - 2);
    }
    if (digest_parse(value, expected) == OK) {
        return true;
    }
    exchange_fail_as(exchange, 400, "INVALID", NULL,
                     "If-Match must be the pipeline's revision, as its ETag says");
    return false;
}

/* Everything that can be told at once, so that it does not cost a log entry. */
static enum error check_document(struct exchange *exchange, struct bytes body, char *revision,
                                 struct reason *why)
{
    struct pipeline *pipeline = NULL;
    struct catalog_txn txn;
    enum error error =
        pipeline_parse(body, exchange_parameter(exchange, "pipeline"), &pipeline, why);

    if (error == OK) {
        digest_format(&pipeline->revision, revision);
        catalog_read(exchange_worker(exchange)->catalog, &txn);
        error = policy_check(&txn, pipeline, why);
        catalog_done(&txn);
    }
    pipeline_release(pipeline);
    return error;
}

struct trial {
    struct exchange *exchange;
    struct catalog_txn txn;
    const struct pipeline *pipeline;
    json_t *open;
};

/* How an open promotion stands, by the document in force and by the one that is tried. */
static bool visit_trial(void *data, struct bytes id)
{
    struct trial *trial = data;
    struct evaluation now, then = {.verdict = VERDICT_BLOCKED, .code = "PLAN_IMPOSSIBLE"};
    struct promotion promotion;
    struct reason why = {""};

    if (promotion_load(&trial->txn, id, &promotion) != OK) {
        return true;
    }
    if (bytes_equal_string(promotion.pipeline, trial->pipeline->name) &&
        promotion_is_visible(trial->exchange, &promotion)) {
        evaluate_stored(&trial->txn, &promotion, clock_wall_ms(), &now);
        if (plan_again(&trial->txn, trial->pipeline, &promotion, &why) == OK) {
            evaluate_planned(&trial->txn, trial->pipeline, &promotion, clock_wall_ms(), &then);
        }
        json_array_append_new(trial->open,
                              json_pack("{s:o, s:o, s:s, s:s, s:s}", "id", view_text(id), "to",
                                        view_text(promotion.to), "now", verdict_name(now.verdict),
                                        "then", verdict_name(then.verdict), "code", then.code));
    }
    promotion_release(&promotion);
    return true;
}

/* What the document would do, if it were set now. */
static void answer_trial(struct exchange *exchange, struct bytes body, const char *revision)
{
    struct trial trial = {.exchange = exchange, .open = json_array()};
    struct pipeline *pipeline = NULL;
    struct reason why = {""};

    if (pipeline_parse(body, exchange_parameter(exchange, "pipeline"), &pipeline, &why) == OK) {
        trial.pipeline = pipeline;
        catalog_read(exchange_worker(exchange)->catalog, &trial.txn);
        promotion_list_open(&trial.txn, visit_trial, &trial);
        catalog_done(&trial.txn);
    }
    pipeline_release(pipeline);
    exchange_answer_json(
        exchange, 200,
        json_pack("{s:b, s:s, s:o}", "dry_run", 1, "revision", revision, "open", trial.open));
}

static void put_body_cb(struct exchange *exchange, struct bytes body)
{
    char revision[DIGEST_TEXT_MAX] = "";
    struct digest expected;
    struct command_id id;
    struct putting *putting;
    struct reason why = {""};
    struct bytes dry_run;
    enum error error = check_document(exchange, body, revision, &why);

    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    if (!read_condition(exchange, &expected)) {
        return;
    }
    if (exchange_query(exchange, "dry_run", 0, &dry_run) && !bytes_equal_string(dry_run, "0")) {
        answer_trial(exchange, body, revision);
        return;
    }
    putting = memory_zero(sizeof *putting);
    putting->exchange = exchange;
    putting->propose.data = putting;
    command_id_make(&id);
    buffer_init(&putting->propose.bytes, COMMAND_SIZE_MAX);
    command_pipeline_put(&putting->propose.bytes, &id, exchange_actor(exchange),
                         exchange_parameter(exchange, "pipeline"), body, &expected);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &putting->propose, put_cb);
}

void pipeline_put(struct exchange *exchange)
{
    if (!pipeline_name_is_valid(exchange_parameter(exchange, "pipeline"))) {
        exchange_fail_as(exchange, 400, "INVALID", NULL,
                         "a pipeline's name is lower-case letters, digits and dashes, at most %d",
                         PIPELINE_NAME_MAX);
        return;
    }
    exchange_read_body(exchange, PIPELINE_SIZE_MAX, put_body_cb);
}
