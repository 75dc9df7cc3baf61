#include "base/clock.h"
#include "node/routes_history.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/holds.h"
#include "promotion/statuses.h"

/* GET /digests/{digest}: which repositories have it and under which tags they had it, what was
 * reported about it, what holds it, and the promotions that moved it or would. Only what the caller
 * may pull. */

#define INTERVALS_MAX 10000

struct about {
    struct exchange *exchange;
    struct catalog_txn *txn;
    struct digest digest;
    struct bytes repository;
    json_t *repositories, *residence, *promotions, *statuses, *holds;
};

static void add_promotion(struct about *about, struct bytes id)
{
    struct promotion promotion;
    const json_t *seen;
    size_t i;

    json_array_foreach(about->promotions, i, seen)
    {
        if (bytes_equal_string(id, json_string_value(json_object_get(seen, "id")))) {
            return;
        }
    }
    if (promotion_load(about->txn, id, &promotion) != OK) {
        return;
    }
    if (promotion_is_visible(about->exchange, &promotion)) {
        json_array_append_new(
            about->promotions,
            json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "id", view_text(promotion.id), "pipeline",
                      view_text(promotion.pipeline), "to", view_text(promotion.to), "kind",
                      view_text(promotion.kind), "state", promotion_state_name(promotion.state),
                      "updated", view_time(promotion.updated_ms)));
    }
    promotion_release(&promotion);
}

static bool visit_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct about *about = data;

    if (!digest_equal(&interval->digest, &about->digest)) {
        return true;
    }
    json_array_append_new(
        about->residence,
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "repository", view_text(about->repository),
                  "tag", view_text(tag), "from", view_time(interval->from_ms), "to",
                  interval->to_index != 0 ? view_time(interval->to_ms) : json_null(), "by",
                  view_text(interval->from_actor), "promotion",
                  interval->from_promotion.size > 0 ? view_text(interval->from_promotion)
                                                    : json_null()));
    if (interval->from_promotion.size > 0) {
        add_promotion(about, interval->from_promotion);
    }
    return json_array_size(about->residence) < INTERVALS_MAX;
}

static bool visit_repository(void *data, struct bytes name)
{
    struct about *about = data;
    struct manifest_record manifest;

    if (!exchange_may(about->exchange, ACTION_PULL, name)) {
        return true;
    }
    if (catalog_manifest(about->txn, name, &about->digest, &manifest) == OK) {
        json_array_append_new(about->repositories, view_text(name));
        about->repository = name;
        catalog_tag_intervals(about->txn, name, BYTES_NONE, visit_interval, about);
    } else if (catalog_link(about->txn, name, &about->digest) == OK) {
        json_array_append_new(about->repositories, view_text(name));
    }
    return true;
}

static bool visit_open(void *data, struct bytes id)
{
    struct about *about = data;
    struct promotion promotion;
    bool is_in = false;
    size_t i;

    if (promotion_load(about->txn, id, &promotion) != OK) {
        return true;
    }
    for (i = 0; i < promotion.n_items; i++) {
        is_in = is_in || digest_equal(&promotion.items[i].root, &about->digest);
    }
    promotion_release(&promotion);
    if (is_in) {
        add_promotion(about, id);
    }
    return true;
}

static bool visit_status(void *data, const struct status_record *status)
{
    struct about *about = data;

    json_array_append_new(
        about->statuses,
        json_pack("{s:o, s:o, s:s, s:o, s:o}", "context", view_text(status->context), "reporter",
                  view_text(status->reporter), "state", status_state_name(status->state), "url",
                  view_text(status->url), "time", view_time(status->time_ms)));
    return true;
}

static bool visit_hold(void *data, const struct hold *hold)
{
    struct about *about = data;

    if (hold->kind == HOLD_QUARANTINE && digest_equal(&hold->digest, &about->digest)) {
        json_array_append_new(about->holds,
                              json_pack("{s:o, s:s, s:o, s:b, s:o, s:o}", "id", view_text(hold->id),
                                        "kind", hold_kind_name(hold->kind), "reason",
                                        view_text(hold->reason), "blocks_pull",
                                        (int)hold->blocks_pull, "actor", view_text(hold->actor),
                                        "time", view_time(hold->time_ms)));
    }
    return true;
}

static void collect(struct about *about)
{
    about->repositories = json_array();
    about->residence = json_array();
    about->promotions = json_array();
    about->statuses = json_array();
    about->holds = json_array();
    catalog_repositories(about->txn, BYTES_NONE, visit_repository, about);
    promotion_list_open(about->txn, visit_open, about);
    status_list(about->txn, &about->digest, visit_status, about);
    hold_list(about->txn, clock_wall_ms(), visit_hold, about);
}

static void answer_digest(struct exchange *exchange)
{
    struct about about = {.exchange = exchange};
    struct blob_record blob;
    struct catalog_txn txn;
    bool is_known;

    if (digest_parse(exchange_parameter(exchange, "digest"), &about.digest) != OK) {
        exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                         "the digest must be \"sha256:\" and 64 hex digits");
        return;
    }
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    about.txn = &txn;
    is_known = catalog_blob(&txn, &about.digest, &blob) == OK;
    collect(&about);
    catalog_done(&txn);
    /* Content that the caller may see nowhere does not exist for him. */
    if (is_known && json_array_size(about.repositories) > 0) {
        exchange_answer_json(exchange, 200,
                             json_pack("{s:o, s:I, s:O, s:O, s:O, s:O, s:O}", "digest",
                                       view_digest(&about.digest), "size", (json_int_t)blob.size,
                                       "repositories", about.repositories, "residence",
                                       about.residence, "promotions", about.promotions, "statuses",
                                       about.statuses, "holds", about.holds));
    } else {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL,
                         "no repository that you may read has this digest");
    }
    json_decref(about.repositories);
    json_decref(about.residence);
    json_decref(about.promotions);
    json_decref(about.statuses);
    json_decref(about.holds);
}

void digest_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_digest);
}
