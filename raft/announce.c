#include "raft/announce.h"

#include "raft/core.h"

/* What follower i may apply, once it is told: it has it on disk, and it is committed. */
static raft_index tellable(const struct raft *raft, unsigned i)
{
    raft_index match = raft->leader_state.progress[i].match_index;

    return match < raft->commit_index ? match : raft->commit_index;
}

void announce_commit(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    bool is_due = false;

    if (raft->state != RAFT_LEADER || raft->configuration.n > CONSENSUS_MEMBERS_MAX ||
        raft->commit_index < raft_last_index(raft)) {
        return;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        struct announced *announced = &consensus->announced[i];
        raft_id id = raft->configuration.servers[i].id;
        raft_index index = tellable(raft, i);

        if (announced->id != id) { /* Members move up when one before them leaves. */
            *announced = (struct announced){.id = id};
        }
        if (id != consensus->id && index > announced->index) {
            announced->index = index;
            /* A heartbeat is due to whoever was sent nothing for a while; the tick sends it. */
            raft->leader_state.progress[i].last_send = 0;
            is_due = true;
        }
    }
    if (is_due) {
        io_tick(&consensus->io);
    }
}
