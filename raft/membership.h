#ifndef RAFT_MEMBERSHIP_H
#define RAFT_MEMBERSHIP_H

#include "raft/consensus.h"

#include <raft.h>

/* Bringing the members of the log to those that are wanted, one committed change at a time, on the
 * leader only: add as spare, make a learner, make a voter once it has caught up, remove who is not
 * wanted. No step is taken unless a majority of the voters after it is reachable now. A leader that
 * is not wanted hands over first. */

struct membership {
    /* Private. */
    struct member wanted[CONSENSUS_MEMBERS_MAX];
    size_t n_wanted;                  /* 0: nobody has said yet. */
    raft_index wanted_at;             /* What was applied when it was said. */
    struct membership_change *change; /* Under way. */
    struct raft_transfer transfer;
    bool is_transferring;
    uint64_t known[CONSENSUS_MEMBERS_MAX]; /* Linked to, */
    size_t n_known;
    raft_index linked_index; /* for the configuration of this index. */
    unsigned linked_n;
    const char *refused; /* Last reason not to act, to say it once. */
};

struct consensus;

/* Links to the members of the configuration, then the next change, when leader. */
void membership_tick(struct consensus *consensus);
/* Hand leadership to id (0: any voter). ERROR_NOT_FOUND, ERROR_UNAVAILABLE. */
enum error membership_transfer(struct consensus *consensus, uint64_t id,
                               struct reason *why) MUST_USE;
/* "<id>@<address>" is what a configuration and its frames carry. */
bool membership_address_fits(uint64_t id, const char *address);
/* This node hears a majority of the voters (itself included), or does not know any yet. */
bool membership_sees_majority(const struct consensus *consensus);
/* This node heard of the member within two election time-outs, or is it. */
bool membership_is_reachable(const struct consensus *consensus, uint64_t id);

#endif
