#include "node/routes_promotion.h"

#include "base/clock.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"
#include "promotion/audit.h"

#include <stdlib.h>

/* The table, and what only reads: lists, explanations, the audit trail. Every read waits until this
 * node has seen what was acknowledged anywhere before it came. */

struct reading {
    struct exchange *exchange;
    struct control_read read;
    void (*answer)(struct exchange *exchange);
};

static void read_cb(struct control_read *request, enum error status)
{
    struct reading *reading = request->data;
    struct exchange *exchange = reading->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (!exchange_is_gone(exchange)) {
        reading->answer(exchange);
    }
    free(reading);
    exchange_release(exchange);
}

void promotion_read_then(struct exchange *exchange, void (*answer)(struct exchange *exchange))
{
    struct reading *reading = memory_zero(sizeof *reading);

    reading->exchange = exchange;
    reading->answer = answer;
    reading->read.data = reading;
    exchange_hold(exchange);
    control_read(exchange_worker(exchange), &reading->read, read_cb);
}

bool promotion_is_visible(const struct exchange *exchange, const struct promotion *promotion)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        if (exchange_may(exchange, ACTION_PULL, promotion->items[i].source) ||
            exchange_may(exchange, ACTION_PULL, promotion->items[i].target)) {
            return true;
        }
    }
    return false;
}

bool promotion_query_uint(struct exchange *exchange, const char *key, uint64_t fallback,
                          uint64_t max, uint64_t *out)
{
    struct bytes value;

    *out = fallback;
    if (!exchange_query(exchange, key, 0, &value)) {
        return true;
    }
    if (bytes_to_uint(value, out) == OK && *out <= max) {
        return true;
    }
    exchange_fail_as(exchange, 400, "INVALID", NULL, "%s must be a number from 0 to %llu", key,
                     (unsigned long long)max);
    return false;
}

/* Empty: no such filter. */
static struct bytes query_of(struct exchange *exchange, const char *key)
{
    struct bytes value;

    return exchange_query(exchange, key, 0, &value) ? value : BYTES_NONE;
}

/* --- GET /promotions ------------------------------------------------------------------------- */

#define LIST_DEFAULT 100
#define LIST_MAX     1000

struct promotion_listing {
    struct exchange *exchange;
    struct catalog_txn *txn;
    struct bytes pipeline, state;
    uint64_t n;
    json_t *list;
};

static bool visit_promotion(void *data, struct bytes id)
{
    struct promotion_listing *listing = data;
    struct evaluation evaluation;
    struct promotion promotion;

    if (promotion_load(listing->txn, id, &promotion) != OK) {
        return true;
    }
    if ((listing->pipeline.size == 0 || bytes_equal(listing->pipeline, promotion.pipeline)) &&
        promotion_is_visible(listing->exchange, &promotion)) {
        evaluate_stored(listing->txn, &promotion, clock_wall_ms(), &evaluation);
        if (listing->state.size == 0 ||
            bytes_equal_string(listing->state, view_state(&promotion, &evaluation)) ||
            bytes_equal_string(listing->state, promotion_state_name(promotion.state))) {
            json_array_append_new(listing->list, view_promotion(&promotion, &evaluation));
        }
    }
    promotion_release(&promotion);
    return json_array_size(listing->list) < listing->n;
}

static void answer_list(struct exchange *exchange)
{
    struct catalog_txn txn;
    struct promotion_listing listing = {.exchange = exchange,
                                        .txn = &txn,
                                        .pipeline = query_of(exchange, "pipeline"),
                                        .state = query_of(exchange, "state")};

    if (!promotion_query_uint(exchange, "n", LIST_DEFAULT, LIST_MAX, &listing.n)) {
        return;
    }
    listing.list = json_array();
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (listing.n > 0) {
        promotion_list(&txn, query_of(exchange, "last"), visit_promotion, &listing);
    }
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "promotions", listing.list));
}

static void promotion_get_all(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_list);
}

/* --- GET /promotions/{id}/explain ------------------------------------------------------------ */

static void answer_explain(struct exchange *exchange)
{
    struct bytes id = exchange_parameter(exchange, "id");
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;
    struct reason summary = {""};

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (promotion_load(&txn, id, &promotion) != OK) {
        catalog_done(&txn);
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
        return;
    }
    if (promotion_is_visible(exchange, &promotion)) {
        evaluate_stored(&txn, &promotion, clock_wall_ms(), &evaluation);
        view_summary(&promotion, &evaluation, &summary);
        exchange_answer_json(
            exchange, 200,
            json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "id", view_text(promotion.id), "state",
                      view_state(&promotion, &evaluation), "code", evaluation.code, "summary",
                      view_text(bytes_of_string(summary.text)), "plan_hash",
                      view_digest(&promotion.plan_hash), "gates", view_gates(&evaluation)));
    } else {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
    }
    promotion_release(&promotion);
    catalog_done(&txn);
}

static void promotion_explain(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_explain);
}

/* --- GET /audit/entries ---------------------------------------------------------------------- */

struct audit_filter {
    struct bytes pipeline, promotion, kind;
    uint64_t n;
    json_t *list;
};

static bool visit_audit(void *data, const struct audit_record *record)
{
    struct audit_filter *filter = data;
    json_t *details;

    if ((filter->pipeline.size > 0 && !bytes_equal(filter->pipeline, record->pipeline)) ||
        (filter->promotion.size > 0 && !bytes_equal(filter->promotion, record->subject)) ||
        (filter->kind.size > 0 && !bytes_equal(filter->kind, record->kind))) {
        return true;
    }
    details = json_loadb((const char *)record->details.data, record->details.size, 0, NULL);
    json_array_append_new(
        filter->list,
        json_pack("{s:I, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "number",
                  (json_int_t)record->number, "time", view_time(record->time_ms), "raft_index",
                  (json_int_t)record->index, "actor", view_text(record->actor), "kind",
                  view_text(record->kind), "pipeline", view_text(record->pipeline), "promotion",
                  view_text(record->subject), "details", details != NULL ? details : json_object(),
                  "previous", view_digest(&record->previous)));
    return json_array_size(filter->list) < filter->n;
}

static void answer_audit(struct exchange *exchange)
{
    struct audit_filter filter = {.pipeline = query_of(exchange, "pipeline"),
                                  .promotion = query_of(exchange, "promotion"),
                                  .kind = query_of(exchange, "kind")};
    struct catalog_txn txn;
    uint64_t after;

    if (!promotion_query_uint(exchange, "n", LIST_DEFAULT, LIST_MAX, &filter.n) ||
        !promotion_query_uint(exchange, "after", 0, INT64_MAX, &after)) {
        return;
    }
    filter.list = json_array();
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (filter.n > 0) {
        audit_list(&txn, after, visit_audit, &filter);
    }
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "entries", filter.list));
}

static void audit_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_audit);
}

const struct route routes_promotion[] = {
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/pipelines", ACCESS_LOGIN, pipeline_get_all),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/pipelines/{pipeline}", ACCESS_LOGIN, pipeline_get),
    ROUTE(HTTP_PUT_, "/api/v1/pipelines/{pipeline}", ACCESS_ADMIN, pipeline_put),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/pipelines/{pipeline}/revisions", ACCESS_LOGIN,
          pipeline_get_revisions),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/pipelines/{pipeline}/change", ACCESS_LOGIN,
          policy_change_get),
    ROUTE(HTTP_POST_, "/api/v1/pipelines/{pipeline}/change", ACCESS_LOGIN, policy_change_post),
    ROUTE(HTTP_POST_, "/api/v1/promotions", ACCESS_LOGIN, promotion_post),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/promotions", ACCESS_LOGIN, promotion_get_all),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/promotions/{id}", ACCESS_LOGIN, promotion_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/promotions/{id}/explain", ACCESS_LOGIN,
          promotion_explain),
    ROUTE(HTTP_POST_, "/api/v1/promotions/{id}/approvals", ACCESS_APPROVE, promotion_post_approval),
    ROUTE(HTTP_POST_, "/api/v1/promotions/{id}/overrides", ACCESS_APPROVE, promotion_post_override),
    ROUTE(HTTP_POST_, "/api/v1/promotions/{id}/cancel", ACCESS_LOGIN, promotion_post_cancel),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/environments/{stage}", ACCESS_LOGIN, environment_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/diff", ACCESS_LOGIN, environment_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/audit/entries", ACCESS_ADMIN, audit_get),
    {0, NULL, (enum access)0, NULL},
};
