#include "promotion/environment.h"

#include "promotion/promotion.h"

enum error environment_of_revision(struct catalog_txn *txn, const struct pipeline *pipeline,
                                   const struct stage *stage, uint64_t revision,
                                   struct environment_moment *out, struct reason *why)
{
    struct bytes name = bytes_of_string(pipeline->name), to = bytes_of_string(stage->name), id;
    struct promotion promotion;

    if (promotion_of_revision(txn, name, to, revision, &id) != OK ||
        promotion_load(txn, id, &promotion) != OK) {
        return fail(why, ERROR_NOT_FOUND, "stage %s of pipeline %s has the revisions 1 to %llu",
                    stage->name, pipeline->name,
                    (unsigned long long)promotion_stage_revision(txn, name, to));
    }
    *out = (struct environment_moment){.index = promotion.commit_index};
    promotion_release(&promotion);
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
