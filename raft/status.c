/* The status: made on the loop, read by any thread. */
#include "raft/core.h"

#include <stdio.h>
#include <string.h>

const char *consensus_role_name(enum consensus_role role)
{
    switch (role) {
    case ROLE_FOLLOWER:
        return "follower";
    case ROLE_CANDIDATE:
        return "candidate";
    case ROLE_LEADER:
        return "leader";
    case ROLE_LEARNER:
        return "learner";
    default:
        return "stopped";
    }
}

static enum consensus_role role_of(const struct consensus *consensus)
{
    const struct raft_server *self = core_server(consensus, consensus->id);

    switch (consensus->raft.state) {
    case RAFT_LEADER:
        return ROLE_LEADER;
    case RAFT_CANDIDATE:
        return ROLE_CANDIDATE;
    case RAFT_FOLLOWER:
        return self != NULL && self->role == RAFT_VOTER ? ROLE_FOLLOWER : ROLE_LEARNER;
    default:
        return ROLE_STOPPED;
    }
}

/* A leader asks whom it hears; the others trust a leader that they hear, since libraft's steps down
 * without a majority. */
static bool has_quorum(const struct consensus *consensus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    size_t n = 0;

    if (consensus->raft.state == RAFT_FOLLOWER) {
        return consensus->leader != 0 && membership_is_reachable(consensus, consensus->leader);
    }
    if (!guard_is_ready(&consensus->guard)) {
        return false;
    }
    for (unsigned i = 0; i < configuration->n; i++) {
        n += configuration->servers[i].role == RAFT_VOTER &&
             membership_is_reachable(consensus, configuration->servers[i].id);
    }
    return n > core_voters(consensus) / 2;
}

static void fill_told(const struct consensus *consensus, struct member_status *out)
{
    const struct gossip_state *state = gossip_of(consensus, out->member.id);

    if (state == NULL || state->heard_ms == 0) {
        return;
    }
    out->has_told = true;
    out->told_ms_ago = core_now(consensus) - state->heard_ms;
    out->term = state->term;
    out->commit_index = state->commit_index;
    out->applied_index = state->applied_index;
    out->last_index = state->last_index;
    out->snapshot_index = state->snapshot_index;
    out->log_bytes = state->log_bytes;
    out->snapshot_bytes = state->snapshot_bytes;
    out->free_bytes = state->free_bytes;
    out->total_bytes = state->total_bytes;
    out->clock_skew_ms = state->clock_skew_ms;
}

static void fill_member(const struct consensus *consensus, unsigned i, struct member_status *out)
{
    const struct raft *raft = &consensus->raft;
    const struct raft_server *server = &raft->configuration.servers[i];
    struct transport_peer peer;

    *out = (struct member_status){.heard_ms_ago = UINT64_MAX};
    out->member.id = server->id;
    snprintf(out->member.address, sizeof out->member.address, "%s",
             io_plain_address(server->address));
    out->role = server->role == RAFT_VOTER ? MEMBER_VOTER : MEMBER_LEARNER;
    if (raft->state == RAFT_LEADER) {
        out->match_index = raft->leader_state.progress[i].match_index;
    }
    if (server->id == consensus->id) {
        out->connected = true;
        out->heard_ms_ago = 0;
    } else if (consensus->io.transport != NULL &&
               transport_peer(consensus->io.transport, server->id, &peer)) {
        out->connected = peer.up;
        out->round_trip_us = peer.round_trip_us;
        out->heard_ms_ago = peer.heard_ms_ago;
        fill_told(consensus, out);
    }
}

/* This member's own, from the rest of the status. */
static void fill_self(const struct consensus *consensus, struct consensus_status *status)
{
    for (size_t i = 0; i < status->n_members; i++) {
        struct member_status *self = &status->members[i];

        if (self->member.id == consensus->id) {
            self->has_told = true;
            self->term = status->term;
            self->commit_index = status->commit_index;
            self->applied_index = status->applied_index;
            self->last_index = status->last_index;
            self->snapshot_index = status->snapshot_index;
            self->log_bytes = status->log_bytes;
            self->snapshot_bytes = status->snapshot_bytes;
            self->free_bytes = consensus->gossip.free_bytes;
            self->total_bytes = consensus->gossip.total_bytes;
        }
    }
}

static void fill_disk(const struct consensus *consensus, struct consensus_status *out)
{
    struct storage_status disk;

    storage_status(consensus->io.storage, &disk);
    out->snapshot_index = disk.snapshot_index;
    out->log_bytes = disk.log_bytes;
    out->snapshot_bytes = disk.snapshot_bytes;
    out->fsync_p50_us = disk.sync_p50_us;
    out->fsync_p99_us = disk.sync_p99_us;
    out->fsync_count = disk.syncs;
    out->fsync_sum_us = disk.sync_sum_us;
    memcpy(out->fsync_classes, disk.sync_classes, sizeof out->fsync_classes);
}

void status_publish(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    struct consensus_status status = {
        .id = consensus->id,
        .leader = consensus->leader,
        .role = role_of(consensus),
        .term = raft->current_term,
        .commit_index = raft->commit_index,
        .applied_index = raft_last_applied(raft),
        .last_index = raft_last_index(raft),
        .elections = consensus->guard.counters.barriers,
        .guard_held = consensus->guard.counters.held,
        .guard_clamped_acks = consensus->guard.counters.clamped_acks,
        .guard_clamped_commits = consensus->guard.counters.clamped_commits,
        .has_quorum = has_quorum(consensus),
        .states_differ = divergence_count(consensus),
    };

    for (unsigned i = 0; i < raft->configuration.n && i < CONSENSUS_MEMBERS_MAX; i++) {
        fill_member(consensus, i, &status.members[status.n_members++]);
    }
    fill_disk(consensus, &status);
    fill_self(consensus, &status);
    uv_mutex_lock(&consensus->status_lock);
    consensus->status = status;
    uv_mutex_unlock(&consensus->status_lock);
}

void consensus_status(const struct consensus *consensus, struct consensus_status *out)
{
    /* The lock alone is changed. */
    uv_mutex_t *lock = (uv_mutex_t *)(uintptr_t)&consensus->status_lock;

    uv_mutex_lock(lock);
    *out = consensus->status;
    uv_mutex_unlock(lock);
}
