#include "node/routes_history.h"

#include "node/routes_promotion.h"
#include "node/worker.h"

/* --- GET /environments/{stage}/history -------------------------------------------------------- */

#define HISTORY_DEFAULT 50
#define HISTORY_MAX     500

static json_t *revision_json(const struct promotion *promotion)
{
    json_t *document = view_promotion(promotion, NULL), *value;

    value = json_pack(
        "{s:I, s:o, s:o, s:O, s:o, s:o, s:o, s:I, s:O}", "revision",
        (json_int_t)promotion->stage_revision, "promotion", view_text(promotion->id), "kind",
        view_text(promotion->kind), "time", json_object_get(document, "committed"), "requester",
        view_text(promotion->requester), "committer", view_text(promotion->committer), "reason",
        view_text(promotion->reason), "raft_index", (json_int_t)promotion->commit_index, "moved",
        json_object_get(document, "moved"));
    json_decref(document);
    return value;
}

static void answer_history(struct exchange *exchange)
{
    json_t *list = json_array();
    const struct stage *stage;
    struct pipeline *pipeline;
    struct catalog_txn txn;
    uint64_t n, before, revision;

    if (!promotion_query_uint(exchange, "n", HISTORY_DEFAULT, HISTORY_MAX, &n) ||
        !promotion_query_uint(exchange, "before", 0, INT64_MAX, &before) ||
        !stage_view_open(exchange, &txn, &pipeline, &stage)) {
        json_decref(list);
        return;
    }
    revision = promotion_stage_revision(&txn, bytes_of_string(pipeline->name),
                                        bytes_of_string(stage->name));
    revision = before > 0 && before - 1 < revision ? before - 1 : revision;
    for (; revision > 0 && json_array_size(list) < n; revision--) {
        struct promotion promotion;
        struct bytes id;

        if (promotion_of_revision(&txn, bytes_of_string(pipeline->name),
                                  bytes_of_string(stage->name), revision, &id) != OK ||
            promotion_load(&txn, id, &promotion) != OK) {
            continue;
        }
        if (promotion_is_visible(exchange, &promotion)) {
            json_array_append_new(list, revision_json(&promotion));
        }
        promotion_release(&promotion);
    }
    exchange_answer_json(exchange, 200,
                         json_pack("{s:s, s:s, s:o}", "pipeline", pipeline->name, "stage",
                                   stage->name, "revisions", list));
    stage_view_close(&txn, pipeline);
}

static void history_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_history);
}

const struct route routes_history[] = {
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/environments/{stage}/history", ACCESS_LOGIN,
          history_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/environments/{stage}/lock", ACCESS_LOGIN, lock_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/digests/{digest}", ACCESS_LOGIN, digest_get),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/promotions/{id}/receipt", ACCESS_LOGIN, receipt_get),
    {0, NULL, (enum access)0, NULL},
};
