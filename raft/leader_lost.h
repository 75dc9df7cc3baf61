#ifndef RAFT_LEADER_LOST_H
#define RAFT_LEADER_LOST_H

struct consensus;

/* The link to the leader broke: its process is gone, as far as a connection can tell. A follower
 * then does not sit out its election time-out, in which it would refuse the pre-vote of another,
 * too. It forgets who leads and asks for pre-votes soon: the voters one after the other by their
 * place in the configuration, so that they do not split the vote. Safe whatever the reason was:
 * with a leader that lives, the others refuse the pre-vote and its next heartbeat ends the matter.
 */
void leader_lost(struct consensus *consensus);

#endif
