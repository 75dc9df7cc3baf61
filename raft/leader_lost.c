#include "raft/leader_lost.h"

#include "base/log.h"
#include "raft/core.h"

/* What an election takes on a disk that is not in a hurry. */
#define PLACE_HEARTBEATS 3

/* How many voters other than the lost leader come before this member; false: it does not vote. */
static bool place_of(const struct consensus *consensus, unsigned *place)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;

    *place = 0;
    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];

        if (server->id == consensus->id) {
            return server->role == RAFT_VOTER;
        }
        *place += server->role == RAFT_VOTER && server->id != consensus->leader;
    }
    return false;
}

void leader_lost(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    unsigned place;
    raft_time waited;

    if (raft->state != RAFT_FOLLOWER || raft->follower_state.current_leader.id == 0 ||
        !place_of(consensus, &place)) {
        return;
    }
    LOG_INFO("term %llu: the link to the leader broke, place %u to stand for election",
             (unsigned long long)raft->current_term, place);
    waited = raft->io->time(raft->io) - raft->election_timer_start;
    raft->follower_state.current_leader.id = 0;
    if (raft->follower_state.randomized_election_timeout >
        waited + place * PLACE_HEARTBEATS * consensus->heartbeat_ms) {
        raft->follower_state.randomized_election_timeout =
            (unsigned)waited + place * PLACE_HEARTBEATS * consensus->heartbeat_ms;
    }
}
