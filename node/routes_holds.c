#include "base/clock.h"
#include "base/json.h"
#include "node/api_propose.h"
#include "node/routes_controls.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "promotion/document.h"
#include "promotion/holds.h"

/* Freezes and quarantines: opened and lifted by admins, seen by everybody who is logged in. */

/* "until" or "for", or neither. */
static enum error read_end(const json_t *body, struct hold *out, struct reason *why)
{
    struct bytes until = json_member_bytes(body, "until");
    uint64_t now_ms = clock_wall_ms(), ms = 0;
    enum error error = document_duration(body, "the request", "for", &ms, why);

    if (error == OK) {
        out->until_ms = now_ms + ms;
    } else if (error != ERROR_NOT_FOUND) {
        return error;
    }
    if (json_object_get(body, "until") == NULL) {
        return OK;
    }
    if (ms > 0 || clock_parse(until, &out->until_ms) != OK || out->until_ms <= now_ms) {
        return fail(why, ERROR_INVALID,
                    "until must be a time to come, in UTC such as \"2030-12-24T18:00:00Z\"; or say "
                    "\"for\": \"4h\"");
    }
    return OK;
}

static enum error read_reason(const json_t *body, struct hold *out, struct reason *why)
{
    out->reason = json_member_bytes(body, "reason");
    if (out->reason.size == 0 || out->reason.size > HOLD_REASON_MAX) {
        return fail(why, ERROR_INVALID,
                    "reason is missing: who is stopped by this has to know why (1 to %d bytes)",
                    HOLD_REASON_MAX);
    }
    return OK;
}

static enum error read_freeze(const json_t *body, struct hold *out, struct reason *why)
{
    static const char *const allowed[] = {"pipeline", "stage", "repositories", "reason", "until",
                                          "for",      NULL};
    enum error error = document_check_members(body, "the freeze", allowed, NULL, why);

    if (error != OK) {
        return error;
    }
    out->kind = HOLD_FREEZE;
    out->pipeline = json_member_bytes(body, "pipeline");
    out->stage = json_member_bytes(body, "stage");
    out->repositories = json_member_bytes(body, "repositories");
    if ((out->pipeline.size > 0 && !pipeline_name_is_valid(out->pipeline)) ||
        (out->stage.size > 0 && !pipeline_name_is_valid(out->stage)) ||
        out->repositories.size > NAME_MAX_SIZE) {
        return fail(why, ERROR_INVALID,
                    "pipeline and stage are names, repositories is a pattern such as prod/**; what "
                    "is left out stands for all");
    }
    error = read_reason(body, out, why);
    return error != OK ? error : read_end(body, out, why);
}

static enum error read_quarantine(const json_t *body, struct hold *out, struct reason *why)
{
    static const char *const allowed[] = {"digest", "mode", "reason", "until", "for", NULL};
    static const char *const modes[] = {"block-promotion", "block-pull", NULL};
    size_t mode = 0;
    enum error error = document_check_members(body, "the quarantine", allowed, NULL, why);

    if (error == OK) {
        error = document_choice(body, "the quarantine", "mode", modes, &mode, why);
    }
    if (error != OK) {
        return error;
    }
    out->kind = HOLD_QUARANTINE;
    out->blocks_pull = mode == 1;
    if (digest_parse(json_member_bytes(body, "digest"), &out->digest) != OK) {
        return fail(why, ERROR_INVALID, "digest must be \"sha256:\" and 64 hex digits");
    }
    error = read_reason(body, out, why);
    return error != OK ? error : read_end(body, out, why);
}

static void propose(struct exchange *exchange, struct bytes bytes,
                    enum error (*read)(const json_t *body, struct hold *out, struct reason *why))
{
    char text[PROMOTION_ID_SIZE + 1];
    struct hold hold = {.kind = HOLD_FREEZE};
    struct reason why = {""};
    json_t *body = NULL;
    enum error error = json_parse(bytes, API_BODY_MAX, &body, &why);

    if (error == OK) {
        error = read(body, &hold, &why);
    }
    if (error == OK) {
        struct buffer command = api_command();
        struct command_id id;

        promotion_id_make(clock_wall_ms(), text);
        hold.id = bytes_of(text, PROMOTION_ID_SIZE);
        command_id_make(&id);
        command_hold_put(&command, &id, exchange_actor(exchange), &hold);
        api_propose(exchange, &command, 201,
                    json_pack("{s:s, s:s}", "id", text, "kind", hold_kind_name(hold.kind)));
    } else {
        exchange_fail(exchange, error, &why);
    }
    json_decref(body);
}

static void freeze_body_cb(struct exchange *exchange, struct bytes body)
{
    propose(exchange, body, read_freeze);
}

static void post_hold(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, freeze_body_cb);
}

static void quarantine_body_cb(struct exchange *exchange, struct bytes body)
{
    propose(exchange, body, read_quarantine);
}

static void post_quarantine(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, quarantine_body_cb);
}

static void delete_hold(struct exchange *exchange)
{
    struct bytes hold = exchange_parameter(exchange, "id"), reason = BYTES_NONE;
    struct buffer command = api_command();
    struct command_id id;

    (void)exchange_query(exchange, "reason", 0, &reason);
    if (hold.size != PROMOTION_ID_SIZE || reason.size > HOLD_REASON_MAX) {
        buffer_release(&command);
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL,
                         "there is no freeze or quarantine with this id: see GET /api/v1/holds");
        return;
    }
    command_id_make(&id);
    command_hold_lift(&command, &id, exchange_actor(exchange), hold, reason);
    api_propose(exchange, &command, 204, NULL);
}

static bool visit_hold(void *data, const struct hold *hold)
{
    json_array_append_new(
        data, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "id",
                        view_text(hold->id), "kind", hold_kind_name(hold->kind), "pipeline",
                        view_text(hold->pipeline), "stage", view_text(hold->stage), "repositories",
                        view_text(hold->repositories), "digest", view_digest(&hold->digest), "mode",
                        hold->blocks_pull ? "block-pull" : "block-promotion", "reason",
                        view_text(hold->reason), "by", view_text(hold->actor), "since",
                        view_time(hold->time_ms), "until",
                        hold->until_ms != 0 ? view_time(hold->until_ms) : json_null()));
    return true;
}

static void answer_holds(struct exchange *exchange)
{
    json_t *list = json_array();
    struct catalog_txn txn;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    hold_list(&txn, clock_wall_ms(), visit_hold, list);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "holds", list));
}

static void get_holds(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_holds);
}

const struct route routes_holds[] = {
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/holds", ACCESS_LOGIN, get_holds),
    ROUTE(HTTP_POST_, "/api/v1/holds", ACCESS_ADMIN, post_hold),
    ROUTE(HTTP_DELETE_, "/api/v1/holds/{id}", ACCESS_ADMIN, delete_hold),
    ROUTE(HTTP_POST_, "/api/v1/quarantines", ACCESS_ADMIN, post_quarantine),
    {0, NULL, (enum access)0, NULL},
};
