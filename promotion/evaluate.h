#ifndef PROMOTION_EVALUATE_H
#define PROMOTION_EVALUATE_H

#include "promotion/gates.h"
#include "promotion/plan.h"

/* Is a promotion ready, and if not, why? Looks at everything that the commit depends on: the plan
 * still holds, each tag is what it should be, every blob is on enough nodes, the gates of the
 * stage. Pure: apply asks it before it commits, every node asks it for explanations. */

enum verdict {
    VERDICT_READY,
    VERDICT_WAITING,  /* For time, or for copies of blobs. */
    VERDICT_APPROVAL, /* For people (and perhaps for time). */
    VERDICT_BLOCKED,  /* A gate says no: something has to change. */
    VERDICT_CHANGED,  /* The plan changed: it has to be planned again. */
    VERDICT_MOVED,    /* A tag moved: this promotion cannot happen any more. */
    VERDICT_CLOSED,   /* It is not open. */
};

/* As shown: "ready", "evaluating", "awaiting_approval", "blocked", "superseded". */
const char *verdict_name(enum verdict verdict);

#define EVALUATION_GATES_MAX (GATES_MAX + 6)

struct evaluation {
    enum verdict verdict;
    const char *code; /* Of the first gate that does not pass; "" when all do. */
    struct gate_outcome gates[EVALUATION_GATES_MAX];
    size_t n_gates;
};

/* A promotion that was planned in this transaction. */
void evaluate_planned(struct catalog_txn *txn, const struct pipeline *pipeline,
                      const struct promotion *promotion, uint64_t now_ms, struct evaluation *out);
/* A stored one, planned again first: promotion_load() it, and it carries the plan of now
 * afterwards. */
void evaluate_stored(struct catalog_txn *txn, struct promotion *promotion, uint64_t now_ms,
                     struct evaluation *out);

#endif
