#include "raft/gossip.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pack.h"
#include "raft/core.h"

#include <inttypes.h>
#include <sys/statvfs.h>

/* The body of a FRAME_STATE: peer_message with number: wall clock, term, index: last index, and
 * bytes: [commit, applied, snapshot, log bytes, snapshot bytes, free, total, [id, mark, ...],
 * [index, state hash, ...]]. A later version appends to the outer array; the first ones had no
 * hashes. */
#define STATE_FIELDS     9u
#define STATE_FIELDS_MIN 8u
#define STATE_SIZE       2048u

static struct gossip_state *find(struct gossip *gossip, uint64_t id)
{
    for (size_t i = 0; i < GOSSIP_STATES_MAX; i++) {
        if (gossip->members[i].id == id) {
            return &gossip->members[i];
        }
    }
    return NULL;
}

/* The state of a member, a new one if need be; NULL: no room. */
static struct gossip_state *reach(struct consensus *consensus, uint64_t id)
{
    struct gossip *gossip = &consensus->gossip;
    struct gossip_state *state = find(gossip, id);

    if (state == NULL) {
        state = find(gossip, 0);
    }
    for (size_t i = 0; state == NULL && i < GOSSIP_STATES_MAX; i++) {
        if (core_server(consensus, gossip->members[i].id) == NULL) {
            state = &gossip->members[i];
        }
    }
    if (state != NULL && state->id != id) {
        *state = (struct gossip_state){.id = id};
    }
    return state;
}

/* --- marks ------------------------------------------------------------------------------------ */

static void raise_mark(struct consensus *consensus, uint64_t id, uint64_t index)
{
    struct gossip_state *state = id == 0 ? NULL : reach(consensus, id);

    if (state != NULL && index > state->mark) {
        state->mark = index;
    }
}

static void look_at_marks(struct consensus *consensus)
{
    const struct raft *raft = &consensus->raft;

    if (raft->state != RAFT_LEADER) {
        /* libraft's leader commits what it has stored itself. */
        raise_mark(consensus, core_leader(consensus), raft->commit_index);
        return;
    }
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        raft_index match = raft->leader_state.progress[i].match_index;

        if (raft->configuration.servers[i].id != consensus->id) {
            raise_mark(consensus, raft->configuration.servers[i].id,
                       match < raft->commit_index ? match : raft->commit_index);
        }
    }
}

static void check_own_mark(struct consensus *consensus, uint64_t from, uint64_t mark)
{
    uint64_t last = raft_last_index(&consensus->raft);

    if (mark > last) {
        fail_stop(
            "this data directory was rolled back: member %016" PRIx64 " knows that entry %" PRIu64
            " was stored here, but the log ends at %" PRIu64
            ". What it promised to keep is gone, so it must not vote: empty the directory and "
            "let the node join again",
            from, mark, last);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

static void pack_marks(const struct consensus *consensus, struct buffer *out)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    const struct gossip_state *known[CONSENSUS_MEMBERS_MAX];
    size_t n = 0;

    for (unsigned i = 0; i < configuration->n && n < CONSENSUS_MEMBERS_MAX; i++) {
        const struct gossip_state *state = gossip_of(consensus, configuration->servers[i].id);

        if (state != NULL && state->mark > 0) {
            known[n++] = state;
        }
    }
    pack_array(out, 2 * n);
    for (size_t i = 0; i < n; i++) {
        pack_uint(out, known[i]->id);
        pack_uint(out, known[i]->mark);
    }
}

static void send_state(struct consensus *consensus, uint64_t to)
{
    const struct gossip *gossip = &consensus->gossip;
    struct raft *raft = &consensus->raft;
    struct peer_message message = {
        .number = clock_wall_ms(), .term = raft->current_term, .index = raft_last_index(raft)};
    struct storage_status disk;
    struct buffer bytes;

    storage_status(consensus->io.storage, &disk);
    buffer_init(&bytes, STATE_SIZE);
    pack_array(&bytes, STATE_FIELDS);
    pack_uint(&bytes, raft->commit_index);
    pack_uint(&bytes, raft_last_applied(raft));
    pack_uint(&bytes, disk.snapshot_index);
    pack_uint(&bytes, disk.log_bytes);
    pack_uint(&bytes, disk.snapshot_bytes);
    pack_uint(&bytes, gossip->free_bytes);
    pack_uint(&bytes, gossip->total_bytes);
    pack_marks(consensus, &bytes);
    divergence_pack(consensus, &bytes);
    CHECK(buffer_status(&bytes) == OK);
    message.bytes = buffer_view(&bytes);
    (void)core_send(consensus, to, FRAME_STATE, &message);
    buffer_release(&bytes);
}

void gossip_greet(struct consensus *consensus, uint64_t id)
{
    look_at_marks(consensus);
    send_state(consensus, id);
}

void gossip_tick(struct consensus *consensus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    struct gossip *gossip = &consensus->gossip;
    uint64_t now = core_now(consensus);
    struct statvfs space;

    if (now < gossip->due_ms) {
        return;
    }
    gossip->due_ms = now + GOSSIP_MS;
    if (statvfs(consensus->directory, &space) == 0) {
        gossip->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        gossip->total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    }
    look_at_marks(consensus);
    for (unsigned i = 0; i < configuration->n; i++) {
        if (configuration->servers[i].id != consensus->id) {
            send_state(consensus, configuration->servers[i].id);
        }
    }
    divergence_check(consensus);
}

/* --- hearing ---------------------------------------------------------------------------------- */

static void take_marks(struct consensus *consensus, uint64_t from, struct unpacker *in)
{
    size_t n = unpack_array(in);

    for (size_t i = 0; i + 1 < n && unpack_status(in) == OK; i += 2) {
        uint64_t id = unpack_uint(in), mark = unpack_uint(in);

        if (unpack_status(in) != OK) {
            return;
        }
        if (id == consensus->id) {
            check_own_mark(consensus, from, mark);
        } else if (core_server(consensus, id) != NULL) {
            raise_mark(consensus, id, mark);
        }
    }
}

static int64_t skew_of(const struct consensus *consensus, uint64_t from, uint64_t wall_ms)
{
    struct transport_peer peer = {.round_trip_us = 0};

    (void)transport_peer(consensus->io.transport, from, &peer);
    return (int64_t)(wall_ms + peer.round_trip_us / 2000) - (int64_t)clock_wall_ms();
}

void gossip_heard(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct gossip_state *state = core_server(consensus, from) == NULL ? NULL
                                                                      : reach(consensus, from);
    struct gossip_state heard = {.id = from};
    struct unpacker in;
    size_t n_fields;

    unpack_start(&in, message->bytes);
    n_fields = unpack_array(&in);
    if (n_fields < STATE_FIELDS_MIN) {
        return;
    }
    heard.commit_index = unpack_uint(&in);
    heard.applied_index = unpack_uint(&in);
    heard.snapshot_index = unpack_uint(&in);
    heard.log_bytes = unpack_uint(&in);
    heard.snapshot_bytes = unpack_uint(&in);
    heard.free_bytes = unpack_uint(&in);
    heard.total_bytes = unpack_uint(&in);
    /* Also when this member does not know the sender yet: its log may be too short for that. */
    take_marks(consensus, from, &in);
    if (unpack_status(&in) != OK || state == NULL) {
        return;
    }
    if (n_fields > STATE_FIELDS_MIN && !divergence_unpack(&in, &heard.told)) {
        return;
    }
    heard.mark = state->mark;
    heard.told.agrees_at = state->told.agrees_at;
    heard.told.differs_at = state->told.differs_at;
    heard.term = message->term;
    heard.last_index = message->index;
    heard.heard_ms = core_now(consensus);
    heard.clock_skew_ms = skew_of(consensus, from, message->number);
    *state = heard;
    divergence_check(consensus);
}

const struct gossip_state *gossip_of(const struct consensus *consensus, uint64_t id)
{
    for (size_t i = 0; i < GOSSIP_STATES_MAX; i++) {
        if (consensus->gossip.members[i].id == id) {
            return &consensus->gossip.members[i];
        }
    }
    return NULL;
}
