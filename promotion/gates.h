#ifndef PROMOTION_GATES_H
#define PROMOTION_GATES_H

#include "promotion/pipeline.h"
#include "promotion/promotion.h"

/* Gates: pure decisions over the replicated state and a time. The same functions answer "why is it
 * blocked" on any node and let the commit pass in apply. */

/* In the order of how near to passing it is. Warn: it would not pass, but its mode lets it.
 * Overridden: nor would it, but people of the stage's override let it (promotion/override.h). */
enum gate_result { GATE_PASS, GATE_WARN, GATE_OVERRIDDEN, GATE_PENDING, GATE_FAIL };

bool gate_result_passes(enum gate_result result);
const char *gate_result_name(enum gate_result result);

struct gate_outcome {
    char id[PIPELINE_NAME_MAX + 1];
    const char *type;
    enum gate_result result;
    bool is_for_people; /* Pending: somebody has to decide. */
    const char *code;   /* Stable, "APPROVALS_MISSING"; "" when it passes. */
    char text[400];     /* A sentence: what is, and what should be. */
    char next[300];     /* What to do, "" when it passes. */
    uint64_t ready_ms;  /* When it passes by itself; 0: not by time alone. */
};

/* Decide one gate of a stage for a promotion that was planned (plan_make, plan_again). */
void gate_decide(struct catalog_txn *txn, const struct stage *stage, const struct gate *gate,
                 const struct promotion *promotion, uint64_t now_ms, struct gate_outcome *out);

/* Is the gate asked for this promotion? A rollback is asked those that the stage's "rollback"
 * lists, or without such a list all but those about newness (soak, age, version). */
bool gate_applies(const struct stage *stage, const struct gate *gate,
                  const struct promotion *promotion);
/* Has actor the action approve on every target? */
bool gates_may_approve(struct catalog_txn *txn, const struct promotion *promotion,
                       struct bytes actor);
/* May actor approve or reject, by the rules of now? ERROR_NOT_ELIGIBLE with a sentence. stage:
 * where the promotion leads. */
enum error gates_check_approver(struct catalog_txn *txn, const struct stage *stage,
                                const struct promotion *promotion, struct bytes actor,
                                bool is_approval, struct reason *why) MUST_USE;

#endif
