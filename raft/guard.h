#ifndef RAFT_GUARD_H
#define RAFT_GUARD_H

#include "base/list.h"

#include <raft.h>
#include <stdint.h>

/* The guard: a raft_io around another raft_io that keeps libraft 0.15.0 inside the rules of the
 * Raft paper. libraft talks to guard.io, the guard to the inner one (ours, or the fixture's in
 * tests). Dropping and holding messages is always safe in Raft; that is all that it does, besides
 * making two numbers smaller. One loop, no threads, no clock of its own.
 *
 * Its parts, and the defect that each makes harmless:
 *   barrier       an entry of the own term at each election; 0.15 appends none, so that old entries
 *                 are committed by counting replicas (paper 5.4.2, Figure 8)
 *   gate          results of AppendEntries are held until that entry is on the own disk, so that
 *                 the first index to be committed is of the own term
 *   ack clamp     a success says at most prev + n of the request that it answers, and at most what
 *                 this process has seen reach the disk; 0.15 reports its whole log, leftovers of
 *                 dead terms included. An answer that is due after a disk write is not sent when
 *                 term or role changed meanwhile
 *   compaction    a request that begins before our snapshot begins after it; 0.15 refuses it for
 *                 ever, or appends a second time what it holds
 *   commit clamp  leader_commit of a request counts up to its prev + n
 *   elections     no candidacy, TimeoutNow or RequestVote while entries or a snapshot are on their
 *                 way to the disk
 *   terms         a voter that refuses a pre-vote since its term is newer tells it; 0.15 ignores
 *                 that, and two members can refuse each other for ever
 *   learners      a member that does not know yet that it is a voter votes when it is asked (paper
 *                 section 6); in 0.15 it does not, and when its vote is needed nobody ever leads
 *   configuration one whose entry is cut from the log is taken back, after a restart and behind a
 *                 snapshot too
 *   sends         a failed send is a lost message: libraft frees twice when told
 *   disk          a failed write stops the process (fail_stop)
 *   lengths       entries are whole 8-byte words; what is not never enters the log */

#define GUARD_PEERS_MAX   32
#define GUARD_ADDRESS_MAX 96

struct guard_counters {
    uint64_t barriers;        /* Own-term entries proposed: elections won. */
    uint64_t held;            /* Results that came before the own-term entry was stored. */
    uint64_t clamped_acks;    /* Successes that would have said too much. */
    uint64_t clamped_commits; /* Requests whose commit index was past what they proved. */
    uint64_t suppressed;      /* Answers not sent since term or role had changed. */
    uint64_t postponed;       /* Ticks without candidacy since the disk was behind. */
    uint64_t dropped_votes;   /* RequestVote not sent, TimeoutNow made to wait, same reason. */
    uint64_t dropped_entries; /* Requests with an entry that is not whole words. */
    uint64_t skipped;         /* Requests that began where a snapshot has replaced our log. */
    uint64_t terms_learnt;    /* Taken over from a voter that refused a pre-vote. */
    uint64_t lost_sends;      /* Messages that the inner raft_io refused. */
};

struct guard_held {
    raft_id id; /* 0: free. */
    char address[GUARD_ADDRESS_MAX];
    struct raft_append_entries_result result;
};

struct guard {
    struct raft_io io; /* Hand this one to raft_init(). */
    struct guard_counters counters;
    /* Called after everything that can have moved role, term or indexes; may be NULL. Must not call
     * back into libraft. */
    void (*moved)(void *data);
    void *data;
    /* Private. */
    struct raft_io *inner;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_io_close_cb close_cb;
    raft_term led_term;       /* The term whose barrier was proposed, */
    raft_index barrier_index; /* where it is, */
    raft_term ready_term;     /* and the last term whose barrier was committed. */
    raft_index checked;       /* prev + n of the request that is answered now; 0: none. */
    bool suppress;            /* Answers of now are out of date. */
    struct list appends;      /* Not on the disk yet, oldest first. */
    struct list lost;         /* Sends to complete from the next event. */
    struct guard_held held[GUARD_PEERS_MAX];
    struct raft_message timeout_now; /* Waits for the disk; type 0: none. */
    char timeout_now_from[GUARD_ADDRESS_MAX];
    struct guard_put *put;                   /* The snapshot on its way to the disk. */
    struct raft_configuration configuration; /* Of the newest snapshot. */
    raft_index configuration_index;
};

/* Stand between raft (not yet initialised, or of a fixture that is not started) and inner. */
void guard_init(struct guard *guard, struct raft_io *inner);
/* This member leads and has committed an entry of its own term: its commit index is the cluster's
 * (the first condition of a read index). */
bool guard_is_ready(const struct guard *guard);

#endif
