#ifndef RAFT_ANNOUNCE_H
#define RAFT_ANNOUNCE_H

struct consensus;

/* Tell followers of a commit at once. libraft lets them learn it from the next entry or heartbeat,
 * so that a write through a follower would see its own result only a heartbeat later. Each follower
 * is told when it has stored what was committed: libraft forgets a commit index that comes before
 * the follower's own disk is done. Once a turn, at the leader, when no entry is on its way that
 * would carry the news. */
void announce_commit(struct consensus *consensus);

#endif
