#ifndef RAFT_READ_INDEX_H
#define RAFT_READ_INDEX_H

#include "raft/consensus.h"
#include "raft/peer_message.h"

/* Reads that must see everything acknowledged before them.
 *
 *   at the leader   waiting -> a round: note the commit index, ask the voters whether this is still
 *                   their term, and when a majority says so the index is good for all of the round
 *   elsewhere       waiting -> ask the leader for an index; one question serves all that wait
 *   then            settled until the local machine has applied the index -> callback
 *
 * One round and one question are under way at a time; who comes meanwhile takes the next. A leader
 * that has not committed an entry of its own term, or that a majority does not confirm, gives no
 * index: reads end at their deadline with ERROR_UNAVAILABLE. */

#define READS_ASKERS_MAX 64u

struct reads {
    /* Private. */
    struct list waiting; /* For an index; */
    struct list round;   /* whose round is under way; */
    struct list asked;   /* who asked the leader; */
    struct list settled; /* who have an index, not applied yet; */
    struct list applied; /* consensus_wait_applied(). */
    uint64_t nonce, round_index, round_term, round_ms;
    uint64_t confirmed[CONSENSUS_MEMBERS_MAX];
    size_t n_confirmed;
    bool has_round;
    uint64_t question, question_ms; /* 0: none is under way. */
    uint64_t not_before_ms;         /* The leader had no answer: ask again later. */
    /* Peers that wait for the next round, and those of the one under way. */
    struct reads_asker {
        uint64_t from, number;
    } askers[READS_ASKERS_MAX], round_askers[READS_ASKERS_MAX];
    size_t n_askers, n_round_askers;
};

struct consensus;

void reads_init(struct reads *reads);
/* Start rounds and questions, call back those whose index is applied. */
void reads_turn(struct consensus *consensus);
/* Deadlines; what was lost is sent again. */
void reads_tick(struct consensus *consensus);
/* Leader or term changed: begin anew. */
void reads_again(struct consensus *consensus);
/* FRAME_READ_INDEX, FRAME_READ_INDEX_RESULT, FRAME_CONFIRM, FRAME_CONFIRM_RESULT. */
void reads_asked(struct consensus *consensus, uint64_t from, const struct peer_message *message);
void reads_answered(struct consensus *consensus, uint64_t from, const struct peer_message *message);
void reads_confirm(struct consensus *consensus, uint64_t from, const struct peer_message *message);
void reads_confirmed(struct consensus *consensus, uint64_t from,
                     const struct peer_message *message);
/* No majority is reachable: what has waited for an index a while ends with ERROR_UNAVAILABLE. */
void reads_cut_off(struct consensus *consensus);
/* The end: all that wait get status, from this call. */
void reads_fail(struct consensus *consensus, enum error status);

#endif
