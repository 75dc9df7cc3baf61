#ifndef RAFT_PROPOSE_H
#define RAFT_PROPOSE_H

#include "raft/envelope.h"
#include "raft/peer_message.h"

/* Commands on their way into the log.
 *
 *                      +---------------- try again: leader lost, no answer ---------------+
 *                      v                                                                  |
 *   consensus_propose: QUEUED --leader here--> APPENDED --applied--> DONE --turn--> callback
 *                        |                                            ^
 *                        +--leader elsewhere--> FORWARDED --answer----+
 *
 * Everything is decided once per turn of the loop (proposals_turn), so what came in one turn shares
 * an entry. Limits: entries and bytes that libraft holds uncommitted; commands that peers forwarded
 * to us. The rest waits in the queue until its deadline. */

#define PROPOSALS_ENTRIES_MAX 64u
#define PROPOSALS_BYTES_MAX   (1024u * 1024)
/* Forwarded by peers and not answered yet; past it they are told to come again. */
#define PROPOSALS_RELAYED_MAX       4096u
#define PROPOSALS_RELAYED_BYTES_MAX (32u * 1024 * 1024)
/* Of this process and not answered yet; past it ERROR_BUSY, before memory is taken. */
#define PROPOSALS_OWN_MAX       4096u
#define PROPOSALS_OWN_BYTES_MAX (64u * 1024 * 1024)

struct consensus;

enum proposal_state { PROPOSAL_QUEUED, PROPOSAL_APPENDED, PROPOSAL_FORWARDED, PROPOSAL_DONE };

struct proposals {
    /* Private. */
    struct list queue, forwarded, done;
    struct list batches; /* struct batch: entries given to libraft. */
    size_t n_batches, batch_bytes;
    size_t n_relayed, relayed_bytes;
    size_t n_own, own_bytes;
    uint64_t next_number;
    bool is_blocked; /* libraft or the link refused; the next tick tries again. */
};

void proposals_init(struct proposals *proposals);
/* Append, forward, and call back what is done. */
void proposals_turn(struct consensus *consensus);
/* Deadlines and answers that never came. */
void proposals_tick(struct consensus *consensus);
/* Leader or term changed, or the link to the leader was lost: ask again. */
void proposals_again(struct consensus *consensus);
/* FRAME_PROPOSE and FRAME_PROPOSE_RESULT. */
void proposals_asked(struct consensus *consensus, uint64_t from,
                     const struct peer_message *message);
void proposals_answered(struct consensus *consensus, uint64_t from,
                        const struct peer_message *message);
/* No majority is reachable: what has waited for a leader a while ends with ERROR_UNAVAILABLE. */
void proposals_cut_off(struct consensus *consensus);
/* The end: everything that waits gets status in the next turn. */
void proposals_fail(struct consensus *consensus, enum error status);

#endif
