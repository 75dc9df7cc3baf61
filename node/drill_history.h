#ifndef NODE_DRILL_HISTORY_H
#define NODE_DRILL_HISTORY_H

#include "base/bytes.h"

#include <uv.h>

/* What the canary clients of a drill did, one record for each operation, written by all of their
 * threads. A canary tag is a register: each push puts a manifest there that carries a number of its
 * own, so that a read says which push it saw. */

#define DRILL_KEYS_MAX       16      /* Canary tags. */
#define DRILL_OPERATIONS_MAX 400000u /* Records; what comes after is not recorded, and counted. */
#define DRILL_VALUE_ABSENT   0u      /* No such tag. */

enum drill_kind {
    DRILL_PUSH, /* A tiny manifest under a canary tag. */
    DRILL_SWAP, /* The same, on condition that the tag still names what was read (If-Match). */
    DRILL_READ, /* The tag, at one node. */
    DRILL_LIST, /* The tag list, at one node: keys is what it showed. */
};

enum drill_outcome {
    DRILL_DONE,    /* Acknowledged; a read: answered. */
    DRILL_REFUSED, /* Answered no: nothing changed. A swap that lost. */
    DRILL_FAILED,  /* No answer, or an error that leaves open what happened. */
};

struct drill_operation {
    enum drill_kind kind;
    enum drill_outcome outcome;
    unsigned client, node, key;
    bool is_final;           /* After everything was healed: what it misses is lost. */
    uint64_t value;          /* Written, or seen. */
    uint64_t expected;       /* Swap: what had to be there. */
    uint64_t keys;           /* List: bit i: canary tag i was in it. */
    uint64_t from_us, to_us; /* Since the drill's start. */
    long status;             /* Of HTTP; 0: no answer. */
    char error[64];          /* "" when there was none. */
};

struct drill_history {
    struct drill_operation *operations; /* In the order in which they ended. */
    size_t n;
    uint64_t dropped;
    /* Private. */
    size_t capacity;
    uv_mutex_t lock;
};

void drill_history_init(struct drill_history *history);
void drill_history_release(struct drill_history *history);
/* A copy; from any thread. */
void drill_history_add(struct drill_history *history, const struct drill_operation *operation);

const char *drill_kind_name(enum drill_kind kind);
const char *drill_outcome_name(enum drill_outcome outcome);
/* One JSON object and a newline. nodes: the names of the nodes. */
void drill_operation_write(const struct drill_operation *operation, const char *const *nodes,
                           struct buffer *out);

#endif
