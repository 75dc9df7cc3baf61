#ifndef RAFT_MACHINE_H
#define RAFT_MACHINE_H

#include <raft.h>

/* libraft's state machine calls, turned into those of struct machine (raft/consensus.h): entries
 * are unpacked, what the machine already holds is skipped, snapshots are frozen views and files. */

struct consensus;

/* data of the result is consensus. */
struct raft_fsm machine_fsm(struct consensus *consensus);
/* Drop the results of the entry that was applied last. */
void machine_forget_results(struct consensus *consensus);

#endif
