#ifndef PROMOTION_PLAN_H
#define PROMOTION_PLAN_H

#include "promotion/closure.h"
#include "promotion/pipeline.h"
#include "promotion/promotion.h"

/* What a promotion would do, found from the state alone: where each image goes, all that moves with
 * it, the tags that are set and what they must name until then. The plan hash stands for all of it;
 * approvals are given to a plan hash, and a plan that changes voids them. */

/* What is asked for. Bytes are borrowed. */
struct promotion_request_item {
    struct bytes source;
    struct digest root; /* Algorithm 0: what tag names. */
    struct bytes tag;   /* Of the source; empty when root is given. */
    struct bytes
        tags[PROMOTION_TAGS_MAX]; /* To set in the target; none: the source's tag, if any. */
    size_t n_tags;
};

/* "The target's tag names this now" (algorithm 0: is absent), instead of what it names then. */
struct promotion_expect {
    struct bytes target, tag;
    struct digest digest;
};

struct promotion_request {
    struct bytes pipeline, to, reason;
    /* Bring back what the stage had: the items are of its own repositories. */
    bool is_rollback;
    struct promotion_request_item *items;
    size_t n_items;
    struct promotion_expect *expects;
    size_t n_expects;
};

/* Fill the promotion's stages, items and hashes; it was initialised for as many items as the
 * request has, and borrows from the request. ERROR_INVALID and the errors of
 * closure_find() and stage_tags_check(), with a sentence. */
enum error plan_make(struct catalog_txn *txn, const struct pipeline *pipeline,
                     const struct promotion_request *request, struct promotion *out,
                     struct reason *why) MUST_USE;

/* Plan a promotion that was loaded again: same images, same tags, same expectations, the policy and
 * the closures of now. Changes stages, targets and hashes of it. As plan_make(). */
enum error plan_again(struct catalog_txn *txn, const struct pipeline *pipeline,
                      struct promotion *promotion, struct reason *why) MUST_USE;

#endif
