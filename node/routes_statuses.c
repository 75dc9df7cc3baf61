#include "base/clock.h"
#include "base/json.h"
#include "node/api_propose.h"
#include "node/routes_controls.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/document.h"
#include "promotion/statuses.h"

/* Status checks: CI reports what it found about a digest. */

struct report {
    struct digest digest;
    struct bytes context, url, description;
    enum status_state state;
    uint64_t ttl_ms;
};

static enum error read_report(const json_t *body, struct report *out, struct reason *why)
{
    static const char *const allowed[] = {"digest",      "context", "state", "url",
                                          "description", "ttl",     NULL};
    enum error error = document_check_members(body, "the report", allowed, NULL, why);

    if (error != OK) {
        return error;
    }
    out->context = json_member_bytes(body, "context");
    out->url = json_member_bytes(body, "url");
    out->description = json_member_bytes(body, "description");
    if (digest_parse(json_member_bytes(body, "digest"), &out->digest) != OK) {
        return fail(why, ERROR_INVALID, "digest must be \"sha256:\" and 64 hex digits");
    }
    if (!status_context_is_valid(out->context)) {
        return fail(why, ERROR_INVALID,
                    "context must be the check's name: letters, digits and \"._-/ \", at most %d",
                    STATUS_CONTEXT_MAX);
    }
    if (!status_state_parse(json_member_bytes(body, "state"), &out->state)) {
        return fail(why, ERROR_INVALID, "state must be pending, success, failure or error");
    }
    if (out->url.size > STATUS_URL_MAX || out->description.size > STATUS_TEXT_MAX) {
        return fail(why, ERROR_INVALID, "url has at most %d bytes, description at most %d",
                    STATUS_URL_MAX, STATUS_TEXT_MAX);
    }
    error = document_duration(body, "the report", "ttl", &out->ttl_ms, why);
    return error == ERROR_NOT_FOUND ? OK : error;
}

static void post_body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct report report = {0};
    struct reason why = {""};
    json_t *body = NULL;
    enum error error = json_parse(bytes, API_BODY_MAX, &body, &why);

    if (error == OK) {
        error = read_report(body, &report, &why);
    }
    if (error == OK) {
        struct buffer command = api_command();
        struct command_id id;

        command_id_make(&id);
        command_status_put(&command, &id, exchange_actor(exchange), &report.digest, report.context,
                           report.state, report.url, report.description, report.ttl_ms);
        api_propose(exchange, &command, 201,
                    json_pack("{s:o, s:o, s:s}", "digest", view_digest(&report.digest), "context",
                              view_text(report.context), "state", status_state_name(report.state)));
    } else {
        exchange_fail(exchange, error, &why);
    }
    json_decref(body);
}

static void post_status(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, post_body_cb);
}

static bool visit_status(void *data, const struct status_record *status)
{
    json_array_append_new(
        data,
        json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "context", view_text(status->context),
                  "reporter", view_text(status->reporter), "state",
                  status_state_name(status->state), "url", view_text(status->url), "description",
                  view_text(status->description), "time", view_time(status->time_ms), "until",
                  status->until_ms != 0 ? view_time(status->until_ms) : json_null()));
    return true;
}

static void answer_statuses(struct exchange *exchange)
{
    json_t *list = json_array();
    struct catalog_txn txn;
    struct digest digest;
    struct bytes value;

    if (!exchange_query(exchange, "digest", 0, &value) || digest_parse(value, &digest) != OK) {
        json_decref(list);
        exchange_fail_as(exchange, 400, "INVALID", NULL,
                         "say of which digest: ?digest=sha256:... with 64 hex digits");
        return;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    status_list(&txn, &digest, visit_status, list);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200,
                         json_pack("{s:o, s:o}", "digest", view_digest(&digest), "statuses", list));
}

static void get_statuses(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_statuses);
}

const struct route routes_statuses[] = {
    ROUTE(HTTP_POST_, "/api/v1/statuses", ACCESS_LOGIN, post_status),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/statuses", ACCESS_LOGIN, get_statuses),
    {0, NULL, (enum access)0, NULL},
};
