#include "raft/divergence.h"

#include "base/assert.h"
#include "base/log.h"
#include "raft/core.h"

#include <inttypes.h>
#include <string.h>

/* --- points ----------------------------------------------------------------------------------- */

static const struct state_point *own_point(const struct divergence *divergence, uint64_t index)
{
    for (size_t i = 0; i < STATE_POINTS_OWN; i++) {
        if (index != 0 && divergence->own[i].index == index) {
            return &divergence->own[i];
        }
    }
    return NULL;
}

/* Where the machine stands now, unless that is known already. */
static void note_now(struct consensus *consensus)
{
    struct divergence *divergence = &consensus->divergence;
    const struct machine *machine = &consensus->machine;
    struct state_point now = {.index = machine->applied_index(machine->data)};

    if (machine->state_hash == NULL || now.index == 0 || own_point(divergence, now.index) != NULL) {
        return;
    }
    machine->state_hash(machine->data, now.hash);
    divergence->own[divergence->next++ % STATE_POINTS_OWN] = now;
}

void divergence_applied(struct consensus *consensus, uint64_t index)
{
    if (index % DIVERGENCE_INTERVAL == 0) {
        note_now(consensus);
    }
}

void divergence_forget(struct consensus *consensus)
{
    consensus->divergence = (struct divergence){.next = 0};
}

/* --- frames ----------------------------------------------------------------------------------- */

void divergence_pack(struct consensus *consensus, struct buffer *out)
{
    const struct divergence *divergence = &consensus->divergence;
    const struct state_point *newest[STATE_POINTS_TOLD];
    size_t n = 0;

    note_now(consensus);
    for (unsigned i = 0; i < STATE_POINTS_OWN && n < STATE_POINTS_TOLD; i++) {
        const struct state_point *point =
            &divergence->own[(divergence->next - 1 - i) % STATE_POINTS_OWN];

        if (point->index != 0) {
            newest[n++] = point;
        }
    }
    pack_array(out, 2 * n);
    for (size_t i = 0; i < n; i++) {
        pack_uint(out, newest[i]->index);
        pack_text(out, newest[i]->hash);
    }
}

bool divergence_unpack(struct unpacker *in, struct told_points *out)
{
    size_t n = unpack_array(in);

    if (n > (size_t)2 * STATE_POINTS_TOLD || n % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < n / 2; i++) {
        struct state_point *point = &out->points[i];
        struct bytes hash;

        point->index = unpack_uint(in);
        hash = unpack_string(in, STATE_HASH_SIZE - 1);
        if (unpack_status(in) != OK || hash.size != STATE_HASH_SIZE - 1) {
            return false;
        }
        memcpy(point->hash, hash.data, hash.size);
    }
    return true;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* What the member told of this index; NULL: nothing. */
static const struct state_point *told_point(const struct consensus *consensus, uint64_t id,
                                            uint64_t index)
{
    const struct gossip_state *state = gossip_of(consensus, id);

    for (size_t i = 0; state != NULL && i < STATE_POINTS_TOLD; i++) {
        if (state->told.points[i].index == index) {
            return &state->told.points[i];
        }
    }
    return NULL;
}

/* How many voters told this hash at this index. */
static size_t voters_for(const struct consensus *consensus, const struct state_point *wanted)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    size_t n = 0;

    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];
        const struct state_point *point = NULL;

        if (server->role == RAFT_VOTER && server->id != consensus->id) {
            point = told_point(consensus, server->id, wanted->index);
        }
        n += point != NULL && strcmp(point->hash, wanted->hash) == 0;
    }
    return n;
}

static void differ(struct consensus *consensus, struct gossip_state *member,
                   const struct state_point *theirs, const struct state_point *ours)
{
    size_t against = voters_for(consensus, theirs);

    if (against > core_voters(consensus) / 2) {
        fail_stop(
            "the state of this node is not the cluster's: at entry %" PRIu64
            " its hash is %.16s..., %zu of %zu voters have %.16s.... What it would answer was "
            "never decided. Its next start builds the catalog anew from snapshot and log; if it "
            "stops again, keep a copy of the data directory to find out why, empty it, and let the "
            "node join again",
            ours->index, ours->hash, against, core_voters(consensus), theirs->hash);
    }
    if (theirs->index > member->told.differs_at && theirs->index > member->told.agrees_at) {
        LOG_ERROR("member %016" PRIx64 " has another state than this node at entry %" PRIu64
                  ": hash %.16s... there, %.16s... here; no majority tells yet who is wrong",
                  member->id, theirs->index, theirs->hash, ours->hash);
        member->told.differs_at = theirs->index;
    }
}

/* An older difference is over then: the member was emptied and is back, say. */
static void agree(struct told_points *told, uint64_t index)
{
    told->agrees_at = index > told->agrees_at ? index : told->agrees_at;
    if (told->agrees_at > told->differs_at) {
        told->differs_at = 0;
    }
}

void divergence_check(struct consensus *consensus)
{
    for (size_t i = 0; i < GOSSIP_STATES_MAX; i++) {
        struct gossip_state *member = &consensus->gossip.members[i];

        for (size_t k = 0; k < STATE_POINTS_TOLD && core_server(consensus, member->id) != NULL;
             k++) {
            const struct state_point *theirs = &member->told.points[k];
            const struct state_point *ours = own_point(&consensus->divergence, theirs->index);

            if (ours == NULL) {
                continue;
            }
            if (strcmp(ours->hash, theirs->hash) != 0) {
                differ(consensus, member, theirs, ours);
            } else {
                agree(&member->told, theirs->index);
            }
        }
    }
}

unsigned divergence_count(const struct consensus *consensus)
{
    unsigned n = 0;

    for (size_t i = 0; i < GOSSIP_STATES_MAX; i++) {
        const struct gossip_state *member = &consensus->gossip.members[i];

        n += member->told.differs_at != 0 && core_server(consensus, member->id) != NULL;
    }
    return n;
}
