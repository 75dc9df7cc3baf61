#ifndef PROMOTION_PROMOTION_H
#define PROMOTION_PROMOTION_H

#include "promotion/closure.h"

/* The record of a promotion, in the replicated state: what was asked for, the plan that it became,
 * who said what about it, and how it ended. Whether an open one is ready is not stored: that also
 * depends on the time, and is decided anew from the record (promotion/evaluate.h). */

#define PROMOTION_ID_SIZE    26 /* A ULID: sorts by the time of its making. */
#define PROMOTION_ITEMS_MAX  200
#define PROMOTION_TAGS_MAX   16 /* Of one item. */
#define PROMOTION_TEXT_MAX   1024
#define PROMOTION_KEY_MAX    128
#define APPROVALS_MAX        256
#define PROMOTION_RECORD_MAX (2u * 1024 * 1024)

/* open -> committed | rejected | cancelled | superseded; all but open are final. */
#define PROMOTION_STATE_LIST(X)                                                                    \
    X(PROMOTION_OPEN, 0, "open")                                                                   \
    X(PROMOTION_COMMITTED, 1, "committed")                                                         \
    X(PROMOTION_REJECTED, 2, "rejected")                                                           \
    X(PROMOTION_CANCELLED, 3, "cancelled")                                                         \
    X(PROMOTION_SUPERSEDED, 4, "superseded")

enum promotion_state {
#define X(id, number, name) id = (number),
    PROMOTION_STATE_LIST(X)
#undef X
};

/* A tag to set in the target, and what it must name until then. */
struct promotion_tag {
    struct bytes name;
    struct digest expect; /* Algorithm 0: must be absent. */
};

struct promotion_item {
    struct bytes source, target; /* Repositories. */
    struct digest root;
    struct digest closure_hash;
    uint64_t closure_n, closure_bytes;
    struct promotion_tag tags[PROMOTION_TAGS_MAX];
    size_t n_tags;
    struct closure closure; /* Of the last planning; empty in a record that was only loaded. */
};

struct approval {
    struct bytes actor, comment;
    bool is_approval; /* Else a rejection. */
    struct digest plan_hash;
    uint64_t time_ms;
};

struct override; /* promotion/override.h */

/* All bytes are borrowed from memory, or from whoever filled it in. */
struct promotion {
    struct bytes id, pipeline, from, to;
    struct bytes kind; /* "promote" or "rollback". */
    struct bytes requester, reason, key;
    enum promotion_state state;
    struct bytes code, text; /* Of the last refusal, or of how it ended. */
    uint64_t created_ms, updated_ms;
    struct digest policy_revision;
    struct digest plan_hash;
    uint64_t plans; /* How often it was planned. */
    struct promotion_item *items;
    size_t n_items;
    struct approval *approvals;
    size_t n_approvals;
    struct override *overrides;
    size_t n_overrides;
    /* Once committed. */
    struct bytes gates; /* What they said then: JSON, as the API shows them. */
    uint64_t stage_revision, commit_index, committed_ms;
    struct bytes committer;
    /* Private. */
    uint8_t *memory;  /* Of the record that was loaded. */
    uint8_t *targets; /* Names of the last planning. */
};

const char *promotion_state_name(enum promotion_state state);
bool promotion_is_rollback(const struct promotion *promotion);

/* Room for items and approvals; promotion_release() frees it. */
void promotion_init(struct promotion *promotion, size_t n_items, size_t n_approvals_max);
void promotion_release(struct promotion *promotion);

/* A copy of the record, good after the transaction. ERROR_NOT_FOUND. */
enum error promotion_load(struct catalog_txn *txn, struct bytes id, struct promotion *out) MUST_USE;
/* Write it, and keep the list of the open ones. In apply. */
void promotion_save(struct catalog_txn *txn, const struct promotion *promotion);

typedef bool (*promotion_visit)(void *data, struct bytes id);
/* Ids of the open ones, oldest first, while visit returns true. */
void promotion_list_open(struct catalog_txn *txn, promotion_visit visit, void *data);
/* All ids after last (empty: from the start), oldest first. */
void promotion_list(struct catalog_txn *txn, struct bytes last, promotion_visit visit, void *data);

/* Revisions of a stage: how many promotions it took. */
uint64_t promotion_stage_revision(struct catalog_txn *txn, struct bytes pipeline,
                                  struct bytes stage);
/* The next one is the promotion's. In apply. */
uint64_t promotion_stage_advance(struct catalog_txn *txn, const struct promotion *promotion);

/* Id of the promotion that gave the stage this revision, borrowed. ERROR_NOT_FOUND. */
enum error promotion_of_revision(struct catalog_txn *txn, struct bytes pipeline, struct bytes stage,
                                 uint64_t revision, struct bytes *id) MUST_USE;

#endif
