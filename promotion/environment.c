#include "promotion/environment.h"

#include "promotion/promotion.h"

struct revision_search {
    struct catalog_txn *txn;
    struct bytes pipeline, stage;
    uint64_t revision;
    uint64_t index; /* 0: not found yet. */
};

static bool visit_promotion(void *data, struct bytes id)
{
    struct revision_search *search = data;
    struct promotion promotion;

    if (promotion_load(search->txn, id, &promotion) != OK) {
        return true;
    }
    if (promotion.state == PROMOTION_COMMITTED && promotion.stage_revision == search->revision &&
        bytes_equal(promotion.pipeline, search->pipeline) &&
        bytes_equal(promotion.to, search->stage)) {
        search->index = promotion.commit_index;
    }
    promotion_release(&promotion);
    return search->index == 0;
}

enum error environment_of_revision(struct catalog_txn *txn, const struct pipeline *pipeline,
                                   const struct stage *stage, uint64_t revision,
                                   struct environment_moment *out, struct reason *why)
{
    struct revision_search search = {.txn = txn,
                                     .pipeline = bytes_of_string(pipeline->name),
                                     .stage = bytes_of_string(stage->name),
                                     .revision = revision};
    uint64_t last = promotion_stage_revision(txn, search.pipeline, search.stage);

    if (revision > 0 && revision <= last) {
        promotion_list(txn, BYTES_NONE, visit_promotion, &search);
    }
    if (search.index == 0) {
        return fail(why, ERROR_NOT_FOUND, "stage %s of pipeline %s has the revisions 1 to %llu",
                    stage->name, pipeline->name, (unsigned long long)last);
    }
    *out = (struct environment_moment){.index = search.index};
    return OK;
}

struct walk {
    struct catalog_txn *txn;
    const struct stage *stage;
    const struct environment_moment *moment;
    environment_visit visit;
    void *data;
    struct bytes repository;
    bool goes_on;
};

static bool is_at(const struct tag_interval *interval, const struct environment_moment *moment)
{
    if (moment->is_now) {
        return interval->to_index == 0;
    }
    if (moment->time_ms > 0) {
        return interval->from_ms <= moment->time_ms &&
               (interval->to_index == 0 || interval->to_ms > moment->time_ms);
    }
    return interval->from_index <= moment->index &&
           (interval->to_index == 0 || interval->to_index > moment->index);
}

static bool visit_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct walk *walk = data;

    /* Attachments belong to what they are attached to. */
    if (!bytes_starts_with(tag, BYTES_LITERAL("sha256-")) &&
        !bytes_starts_with(tag, BYTES_LITERAL("sha512-")) && is_at(interval, walk->moment)) {
        walk->goes_on = walk->visit(walk->data, walk->repository, tag, interval);
    }
    return walk->goes_on;
}

static bool visit_repository(void *data, struct bytes name)
{
    struct walk *walk = data;
    struct bytes capture;

    if (repository_pattern_match(&walk->stage->repos, name, &capture)) {
        walk->repository = name;
        catalog_tag_intervals(walk->txn, name, BYTES_NONE, visit_interval, walk);
    }
    return walk->goes_on;
}

void environment_walk(struct catalog_txn *txn, const struct stage *stage,
                      const struct environment_moment *moment, environment_visit visit, void *data)
{
    struct walk walk = {.txn = txn,
                        .stage = stage,
                        .moment = moment,
                        .visit = visit,
                        .data = data,
                        .goes_on = true};

    catalog_repositories(txn, BYTES_NONE, visit_repository, &walk);
}

struct had {
    const struct digest *digest;
    bool is_found;
};

static bool visit_had(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct had *had = data;

    (void)tag;
    had->is_found = interval->from_promotion.size > 0 &&
                    digest_equal(&interval->digest, had->digest);
    return !had->is_found;
}

bool environment_had(struct catalog_txn *txn, struct bytes repository, const struct digest *digest)
{
    struct had had = {.digest = digest};

    catalog_tag_intervals(txn, repository, BYTES_NONE, visit_had, &had);
    return had.is_found;
}
