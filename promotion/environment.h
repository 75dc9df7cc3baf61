#ifndef PROMOTION_ENVIRONMENT_H
#define PROMOTION_ENVIRONMENT_H

#include "promotion/pipeline.h"
#include "store/catalog.h"

/* What is, and was, in a stage: the history of its tags answers for any moment, exactly. */

/* By time or by index; is_now: whatever the others say. */
struct environment_moment {
    bool is_now;
    uint64_t time_ms; /* 0: by index. */
    uint64_t index;
};

/* After which entry the stage had this revision: the commit of its revision-th promotion.
 * ERROR_NOT_FOUND with a sentence. */
enum error environment_of_revision(struct catalog_txn *txn, const struct pipeline *pipeline,
                                   const struct stage *stage, uint64_t revision,
                                   struct environment_moment *out, struct reason *why) MUST_USE;

typedef bool (*environment_visit)(void *data, struct bytes repository, struct bytes tag,
                                  const struct tag_interval *interval);
/* Every tag that named something in a repository of the stage at the moment, with the interval that
 * says what; by repository and tag, without what is attached by tags of the tag schemes, while
 * visit returns true. Borrowed. */
void environment_walk(struct catalog_txn *txn, const struct stage *stage,
                      const struct environment_moment *moment, environment_visit visit, void *data);

/* Did a promotion ever put the digest under a tag of this repository? */
bool environment_had(struct catalog_txn *txn, struct bytes repository, const struct digest *digest);

#endif
