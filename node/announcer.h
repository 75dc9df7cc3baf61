#ifndef NODE_ANNOUNCER_H
#define NODE_ANNOUNCER_H

#include "raft/consensus.h"
#include "store/catalog.h"

/* Tells the cluster which version this member runs (store/level.h), whenever what the catalog has
 * is not so: after a join, an upgrade, a downgrade. On the control thread, one proposal at a time;
 * what fails is tried again at the next tick after a pause. */

struct announcer {
    /* Private. */
    struct consensus *consensus;
    struct catalog *catalog;
    uint64_t self;
    struct proposal proposal;
    bool is_proposing;
    uint64_t not_before_ms;
};

void announcer_init(struct announcer *announcer, struct consensus *consensus,
                    struct catalog *catalog, uint64_t self);
/* Compare, and propose when it differs. */
void announcer_tick(struct announcer *announcer);

#endif
