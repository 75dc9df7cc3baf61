#ifndef NODE_DRILL_RUN_H
#define NODE_DRILL_RUN_H

#include "node/drill_check.h"
#include "node/drill_hands.h"

/* One run: the canary starts, each fault is made and healed in turn, the canary ends, all is
 * judged. */

struct drill_step {
    enum drill_fault fault;
    unsigned node; /* What it was done to; of a rolling restart and a handover: the leader before.
                    */
    unsigned leader_before, leader_after;
    uint64_t from_us, healed_us, to_us; /* Begun; everybody ready again; the next begins. */
};

struct drill_result {
    struct drill_step steps[DRILL_STEPS_MAX];
    size_t n_steps;
    struct drill_history history;
    struct drill_watch watch;
    struct drill_check check;
    uint64_t lost_content;   /* Acknowledged manifests that a node did not give at the end. */
    size_t not_deleted;      /* Canary manifests that stayed. */
    uint64_t from_us, to_us; /* Of the canary. */
};

/* result is filled as far as it got, also when it fails; drill_result_release() either way.
 * ERROR_CANCELED: SIGINT or SIGTERM came (both must be blocked in all threads); what was broken is
 * healed first. tell: a sentence about what is being done. */
enum error drill_run(const struct drill_setup *setup, const struct drill_hands *hands,
                     const enum drill_fault *faults, size_t n_faults,
                     void (*tell)(const char *sentence), struct drill_result *result,
                     struct reason *why) MUST_USE;
void drill_result_release(struct drill_result *result);

/* Every node has a quorum, and all are voters that reach each other. */
enum error drill_wait_ready(const struct drill_setup *setup, uint64_t timeout_ms,
                            struct reason *why) MUST_USE;

#endif
