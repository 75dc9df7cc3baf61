#ifndef PROMOTION_HOLDS_H
#define PROMOTION_HOLDS_H

#include "promotion/pipeline.h"
#include "promotion/promotion.h"

/* What stops promotions whatever their gates say: a freeze of a stage, a stop of a whole pipeline,
 * a hold on some repositories, a digest that is quarantined. Each has a scope, a reason and perhaps
 * an end; it ends by itself or is lifted, and both leave an audit record. No mode of a gate and no
 * approval passes one. */

enum hold_kind {
    HOLD_FREEZE = 1, /* Nothing enters: change freeze, incident. */
    HOLD_QUARANTINE, /* A digest is bad: nothing that contains it moves. */
};

#define HOLD_REASON_MAX 512
#define HOLDS_MAX       1000

struct hold {
    struct bytes id; /* PROMOTION_ID_SIZE, made by the proposer. */
    enum hold_kind kind;
    /* The scope; what is empty matches all, and at least one is given or the whole cluster is. */
    struct bytes pipeline, stage, repositories; /* repositories: a glob, of source or target. */
    struct digest digest;                       /* Quarantine. */
    bool blocks_pull;                           /* Quarantine: reads are refused too. */
    struct bytes reason;
    uint64_t until_ms; /* 0: until it is lifted. */
    /* Filled by the state. */
    struct bytes actor;
    uint64_t time_ms;
};

const char *hold_kind_name(enum hold_kind kind);
bool hold_kind_parse(struct bytes text, enum hold_kind *out);

typedef bool (*hold_visit)(void *data, const struct hold *hold);
/* All that are in force at now_ms, oldest first; borrowed. */
void hold_list(struct catalog_txn *txn, uint64_t now_ms, hold_visit visit, void *data);
/* The first that stops the promotion, which was planned. False: none. Borrowed. */
bool hold_find(struct catalog_txn *txn, const struct promotion *promotion, uint64_t now_ms,
               struct hold *out);
/* May the content be read, at now_ms? manifest: its record when it is one, NULL for a blob. False:
 * it, or what the manifest refers to, is quarantined with blocks_pull; *out says why. Costs nothing
 * while nothing is held. */
bool hold_allows_pull(struct catalog_txn *txn, const struct digest *digest,
                      const struct manifest_record *manifest, uint64_t now_ms, struct hold *out);

/* ERROR_EXISTS: the id is taken. ERROR_TOO_LARGE: HOLDS_MAX are in force. */
void command_hold_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                      const struct hold *hold);
/* ERROR_NOT_FOUND. */
void command_hold_lift(struct buffer *out, const struct command_id *id, struct bytes actor,
                       struct bytes hold, struct bytes reason);

#endif
