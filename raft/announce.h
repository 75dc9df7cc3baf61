#ifndef RAFT_ANNOUNCE_H
#define RAFT_ANNOUNCE_H

struct consensus;

/* Tell followers of a commit at once. libraft lets them learn it from the next entry or heartbeat,
 * so that a write through a follower would see its own result only a heartbeat later. Once a turn,
 * at the leader, when nothing is on its way that would carry the news. */
void announce_commit(struct consensus *consensus);

#endif
