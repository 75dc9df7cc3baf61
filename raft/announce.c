#include "raft/announce.h"

#include "raft/core.h"

void announce_commit(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;

    if (raft->state != RAFT_LEADER || raft->commit_index <= consensus->announced ||
        raft->commit_index < raft_last_index(raft)) {
        return;
    }
    consensus->announced = raft->commit_index;
    /* A heartbeat is due to whoever was sent nothing for a while; the tick sends it. */
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        raft->leader_state.progress[i].last_send = 0;
    }
    io_tick(&consensus->io);
}
