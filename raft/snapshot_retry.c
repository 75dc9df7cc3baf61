#include "raft/snapshot_retry.h"

#include "base/log.h"
#include "raft/core.h"
#include "raft/io_snapshot.h"

#include <inttypes.h>

/* What installing takes after the last byte was stored, on a slow machine. */
#define RETRY_MS 5000u

/* raft_progress.state, of which libraft's header gives no names. */
#define PROGRESS_PROBE    0
#define PROGRESS_SNAPSHOT 2

void snapshot_retry(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    uint64_t now = core_now(consensus);

    if (raft->state != RAFT_LEADER) {
        return;
    }
    for (unsigned i = 0; i < raft->configuration.n && i < CONSENSUS_MEMBERS_MAX; i++) {
        struct raft_progress *progress = &raft->leader_state.progress[i];
        uint64_t id = raft->configuration.servers[i].id;
        struct snapshot_wait *wait = &consensus->snapshot_waits[i];

        if (progress->state != PROGRESS_SNAPSHOT || wait->id != id ||
            io_sends_snapshot(&consensus->io, id)) {
            *wait = (struct snapshot_wait){.id = id, .since_ms = now};
        } else if (now - wait->since_ms >= RETRY_MS) {
            LOG_WARN("member %016" PRIx64 " says nothing about its snapshot: it is asked again",
                     id);
            progress->state = PROGRESS_PROBE;
            progress->snapshot_index = 0;
        }
    }
}
