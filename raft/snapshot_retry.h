#ifndef RAFT_SNAPSHOT_RETRY_H
#define RAFT_SNAPSHOT_RETRY_H

struct consensus;

/* Each tick, at the leader. A peer that was sent a snapshot gets no entries until it says that it
 * has it. When that answer is lost, or the peer stopped before it gave one, libraft 0.15 waits out
 * its install time-out, which has to be long for the sake of large snapshots. So a peer that is
 * sent nothing any more and stays silent about its snapshot for a few seconds is probed again. */
void snapshot_retry(struct consensus *consensus);

#endif
