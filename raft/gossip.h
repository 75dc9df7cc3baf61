#ifndef RAFT_GOSSIP_H
#define RAFT_GOSSIP_H

#include "raft/consensus.h"
#include "raft/divergence.h"
#include "raft/peer_message.h"

/* What members tell each other beside Raft: once a second, and first of all when a link comes up,
 * each sends each how far it is, its disk, its clock, and the marks that it knows.
 *
 * A mark is an index that a member has stored for certain, for good: acknowledged by it and
 * committed, so no leader can take it back. The leader sees it of the others, they of it; everybody
 * passes on what it heard. A member whose own log ends before its mark has lost what it promised to
 * keep: its data directory was rolled back (an old backup, a virtual machine's snapshot). It must
 * not vote, and stops (fail_stop). The frames of a link stay in order, so it hears of it before any
 * vote. Marks live in memory: a rollback of all members at once shows nothing. */

#define GOSSIP_MS 1000u
/* Of members that are no more, states are let go when room is needed. */
#define GOSSIP_STATES_MAX ((size_t)2 * CONSENSUS_MEMBERS_MAX)

struct gossip_state {
    uint64_t id; /* 0: free. */
    uint64_t mark;
    uint64_t heard_ms; /* Of this loop's clock; 0: it has said nothing. */
    uint64_t term, commit_index, applied_index, last_index, snapshot_index;
    uint64_t log_bytes, snapshot_bytes, free_bytes, total_bytes;
    int64_t clock_skew_ms;
    struct told_points told;
};

struct gossip {
    /* Private. */
    struct gossip_state members[GOSSIP_STATES_MAX];
    uint64_t due_ms;
    uint64_t free_bytes, total_bytes;
};

struct consensus;

/* Send when it is time. */
void gossip_tick(struct consensus *consensus);
/* A link to the member is up. */
void gossip_greet(struct consensus *consensus, uint64_t id);
/* FRAME_STATE. */
void gossip_heard(struct consensus *consensus, uint64_t from, const struct peer_message *message);
/* NULL: it has said nothing. */
const struct gossip_state *gossip_of(const struct consensus *consensus, uint64_t id);

#endif
