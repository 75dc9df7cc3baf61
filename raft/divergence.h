#ifndef RAFT_DIVERGENCE_H
#define RAFT_DIVERGENCE_H

#include "base/pack.h"

#include <stdbool.h>
#include <stdint.h>

/* One history: at one applied index all members have the same state. Each tells the others hashes
 * of its state at points that all of them pass (every DIVERGENCE_INTERVAL entries) and at where it
 * stands now, with its gossip (raft/gossip.h). A member against whose state a majority of the
 * voters agree stops (fail_stop): it would answer what the cluster never decided. One that differs
 * from fewer cannot know who is right; it says so, and goes on. Points live in memory. */

#define DIVERGENCE_INTERVAL 1024u
#define STATE_HASH_SIZE     65u /* 64 hex digits and NUL. */
/* Of this member, which is compared with those that are ahead or behind; and as many are told. */
#define STATE_POINTS_OWN  16u
#define STATE_POINTS_TOLD 4u

struct state_point {
    uint64_t index; /* 0: none. */
    char hash[STATE_HASH_SIZE];
};

/* What one member said last. */
struct told_points {
    struct state_point points[STATE_POINTS_TOLD];
    uint64_t agrees_at;  /* The newest index at which it is known to have this member's state. */
    uint64_t differs_at; /* One after that at which it has another; 0: none. */
};

struct divergence {
    /* Private. */
    struct state_point own[STATE_POINTS_OWN]; /* A ring. */
    unsigned next;
};

struct consensus;

/* The machine applied the entry of this index. */
void divergence_applied(struct consensus *consensus, uint64_t index);
/* The machine's state was replaced: what this member was before says nothing about it. */
void divergence_forget(struct consensus *consensus);

/* Add where this member stands, and append [index, hash, ...] of the newest points: one value. */
void divergence_pack(struct consensus *consensus, struct buffer *out);
/* Read that; false: it is none, which unpack_status() reports or what it holds is ill-formed. */
bool divergence_unpack(struct unpacker *in, struct told_points *out);
/* After either side has new points; stops the process if a majority is against this member. */
void divergence_check(struct consensus *consensus);
/* How many members' newest known state is not that of this one. */
unsigned divergence_count(const struct consensus *consensus);

#endif
