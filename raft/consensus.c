/* Life of a member, and the turn of the loop.
 *
 *   workers' commands -> propose.c -> libraft -> guard.c -> io.c -> storage (log thread), transport
 *   committed entries <- machine.c <- libraft
 *
 * libraft is called from three places only: its own raft_io callbacks (which the guard sees first),
 * the turn (uv_check, after each poll) and the timer. Our callers' callbacks run in the turn or the
 * timer, never inside libraft, so they may call anything in raft/consensus.h. */
#include "raft/consensus.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/announce.h"
#include "raft/core.h"
#include "raft/io_snapshot.h"
#include "raft/leader_lost.h"
#include "raft/machine.h"
#include "raft/snapshot_retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ELECTION_TIMEOUT_MS         600u
#define HEARTBEAT_MS                80u
#define SNAPSHOT_THRESHOLD          16384u
#define SNAPSHOT_TRAILING           16384u
#define INSTALL_SNAPSHOT_TIMEOUT_MS 120000u
#define CUT_OFF_MS                  500u /* On top of what membership_is_reachable() waits. */
#define CATCH_UP_ROUNDS             100u
#define CATCH_UP_ROUND_MS           5000u /* Only who is close to the end is made a voter. */

/* --- role and leader ------------------------------------------------------------------------- */

static void tell_move(const struct consensus *consensus, uint64_t leader)
{
    uint64_t term = consensus->raft.current_term;

    switch (consensus->raft.state) {
    case RAFT_LEADER:
        LOG_INFO("term %" PRIu64 ": this member leads, log at %llu", term,
                 (unsigned long long)consensus->raft.last_stored);
        break;
    case RAFT_CANDIDATE:
        LOG_INFO("term %" PRIu64 ": no leader heard, standing for election", term);
        break;
    default:
        if (leader != 0) {
            LOG_INFO("term %" PRIu64 ": following member %016" PRIx64, term, leader);
        } else {
            LOG_INFO("term %" PRIu64 ": no leader", term);
        }
        break;
    }
}

/* The guard calls this after whatever may have moved libraft. */
static void moved(void *data)
{
    struct consensus *consensus = data;
    uint64_t leader = core_leader(consensus);

    core_arm(consensus);
    if (consensus->raft.state == RAFT_UNAVAILABLE) {
        if (consensus->life != LIFE_CLOSING) {
            fail_stop("libraft has given up: %s", raft_errmsg(&consensus->raft));
        }
        return;
    }
    if (consensus->state == consensus->raft.state && consensus->leader == leader &&
        consensus->term == consensus->raft.current_term) {
        return;
    }
    tell_move(consensus, leader);
    consensus->state = consensus->raft.state;
    consensus->leader = leader;
    consensus->term = consensus->raft.current_term;
    consensus->has_moved = true;
}

/* --- from the transport ---------------------------------------------------------------------- */

static struct consensus *consensus_of_io(void *data)
{
    return container_of(data, struct consensus, io);
}

static void transport_message(void *data, struct raft_message *message)
{
    struct consensus *consensus = consensus_of_io(data);

    if (consensus->life == LIFE_RUNNING || consensus->life == LIFE_HANDOVER) {
        io_receive(&consensus->io, message);
    } else {
        frame_release_message(message);
    }
}

static void transport_frame(void *data, uint64_t from, unsigned kind, struct bytes body)
{
    static void (*const handlers[])(struct consensus *, uint64_t, const struct peer_message *) = {
        [FRAME_PROPOSE - FRAME_APPLICATION] = proposals_asked,
        [FRAME_PROPOSE_RESULT - FRAME_APPLICATION] = proposals_answered,
        [FRAME_READ_INDEX - FRAME_APPLICATION] = reads_asked,
        [FRAME_READ_INDEX_RESULT - FRAME_APPLICATION] = reads_answered,
        [FRAME_CONFIRM - FRAME_APPLICATION] = reads_confirm,
        [FRAME_CONFIRM_RESULT - FRAME_APPLICATION] = reads_confirmed,
        [FRAME_STATE - FRAME_APPLICATION] = gossip_heard,
    };
    struct consensus *consensus = consensus_of_io(data);
    struct peer_message message;
    size_t i = kind - FRAME_APPLICATION;

    if (consensus->life != LIFE_RUNNING || i >= sizeof handlers / sizeof *handlers) {
        return; /* A newer member's question stays without an answer. */
    }
    if (peer_message_decode(body, &message) != OK) {
        LOG_WARN("member %016" PRIx64 " sent a %s that cannot be read", from,
                 frame_kind_name(kind));
        return;
    }
    handlers[i](consensus, from, &message);
}

static void transport_link(void *data, uint64_t id, bool up)
{
    struct consensus *consensus = consensus_of_io(data);

    if (up && consensus->life == LIFE_RUNNING) {
        gossip_greet(consensus, id);
    }
    if (up || id != consensus->leader || consensus->life != LIFE_RUNNING) {
        return;
    }
    leader_lost(consensus);
    proposals_again(consensus);
    reads_again(consensus);
}

static bool transport_is_retired(void *data, uint64_t id)
{
    const struct consensus *consensus = consensus_of_io(data);

    return consensus->is_retired != NULL && consensus->is_retired(consensus->data, id);
}

static void low_space(void *data, bool is_low)
{
    struct consensus *consensus = data;

    LOG_WARN("%s", is_low ? "no space for another log segment: handing leadership over, taking no "
                            "commands"
                          : "there is space for the log again");
    consensus->is_low_space = is_low;
    consensus->low_space_ms = core_now(consensus);
}

/* --- turn and timer -------------------------------------------------------------------------- */

static void finish_handover(struct consensus *consensus);

static void check_cb(uv_check_t *check)
{
    struct consensus *consensus = check->data;

    uv_idle_stop(&consensus->idle);
    if (consensus->has_moved) {
        consensus->has_moved = false;
        proposals_again(consensus);
        reads_again(consensus);
        status_publish(consensus);
        if (consensus->changed != NULL) {
            consensus->changed(consensus->data);
        }
    }
    proposals_turn(consensus);
    if (consensus->life == LIFE_RUNNING) {
        announce_commit(consensus);
    }
    reads_turn(consensus);
    if (consensus->life == LIFE_HANDOVER) {
        finish_handover(consensus);
    }
}

/* A member that hears no majority cannot take part in an election either: who asks it should go
 * elsewhere, and soon. */
static void look_around(struct consensus *consensus)
{
    uint64_t now = core_now(consensus);

    if (membership_sees_majority(consensus)) {
        consensus->cut_off_ms = 0;
    } else if (consensus->cut_off_ms == 0) {
        consensus->cut_off_ms = now;
    } else if (now - consensus->cut_off_ms >= CUT_OFF_MS) {
        proposals_cut_off(consensus);
        reads_cut_off(consensus);
    }
}

static void timer_cb(uv_timer_t *timer)
{
    struct consensus *consensus = timer->data;

    if (consensus->life != LIFE_RUNNING) {
        core_arm(consensus);
        return;
    }
    look_around(consensus);
    proposals_tick(consensus);
    reads_tick(consensus);
    membership_tick(consensus);
    gossip_tick(consensus);
    snapshot_retry(consensus);
    status_publish(consensus);
}

/* --- open ------------------------------------------------------------------------------------ */

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value != 0 ? value : otherwise;
}

/* libraft is not there yet, so a half-opened member closes in the background. */
static void storage_dropped_cb(void *data)
{
    struct consensus *consensus = data;

    free(consensus->directory);
    free(consensus);
}

static enum error open_disk_and_network(struct consensus *consensus,
                                        const struct consensus_options *options,
                                        struct storage **storage, struct transport **transport,
                                        struct reason *why)
{
    struct storage_options disk = {
        .loop = options->loop,
        .directory = options->directory,
        .cluster = options->cluster,
        .id = options->id,
        .segment_size = options->segment_size,
        .low_space = low_space,
        .data = consensus,
    };
    struct transport_options network = {
        .loop = options->loop,
        .id = options->id,
        .cluster = options->cluster,
        .address = options->address,
        .listen = options->listen,
        .tls = options->tls,
        .events = {transport_message, transport_frame, transport_link},
        .snapshots = io_transport_snapshots(),
        .is_retired = transport_is_retired,
        .data = &consensus->io,
    };
    enum error error = storage_open(&disk, storage, why);

    if (error != OK) {
        storage_dropped_cb(consensus);
        return error;
    }
    error = transport_open(&network, transport, why);
    if (error != OK) {
        storage_close(*storage, storage_dropped_cb, consensus);
    }
    return error;
}

static void set_up_loop(struct consensus *consensus)
{
    uv_check_init(consensus->loop, &consensus->check);
    uv_idle_init(consensus->loop, &consensus->idle);
    uv_timer_init(consensus->loop, &consensus->timer);
    consensus->check.data = consensus;
    consensus->idle.data = consensus;
    consensus->timer.data = consensus;
    uv_check_start(&consensus->check, check_cb);
}

static void set_up_raft(struct consensus *consensus, const struct consensus_options *options)
{
    struct raft *raft = &consensus->raft;
    unsigned trailing = or_default(options->snapshot_trailing, SNAPSHOT_TRAILING);
    unsigned threshold = or_default(options->snapshot_threshold, SNAPSHOT_THRESHOLD);
    char address[IO_ADDRESS_MAX];

    guard_init(&consensus->guard, &consensus->io.raft_io);
    consensus->guard.moved = moved;
    consensus->guard.data = consensus;
    consensus->fsm = machine_fsm(consensus);
    io_member_address(address, consensus->id, consensus->address);
    CHECK(raft_init(raft, &consensus->guard.io, &consensus->fsm, consensus->id, address) == 0);
    /* Members that count the same entries must not all snapshot at the same one. */
    consensus->snapshot_threshold = threshold + (unsigned)(consensus->id % (threshold / 4 + 1));
    consensus->election_timeout_ms = or_default(options->election_timeout_ms, ELECTION_TIMEOUT_MS);
    consensus->heartbeat_ms = or_default(options->heartbeat_ms, HEARTBEAT_MS);
    raft_set_pre_vote(raft, true);
    raft_set_election_timeout(raft, consensus->election_timeout_ms);
    raft_set_heartbeat_timeout(raft, consensus->heartbeat_ms);
    raft_set_install_snapshot_timeout(raft, INSTALL_SNAPSHOT_TIMEOUT_MS);
    raft_set_snapshot_threshold(raft, consensus->snapshot_threshold);
    raft_set_snapshot_trailing(raft, trailing);
    raft_set_max_catch_up_rounds(raft, CATCH_UP_ROUNDS);
    raft_set_max_catch_up_round_duration(raft, CATCH_UP_ROUND_MS);
}

enum error consensus_open(const struct consensus_options *options, struct consensus **out,
                          struct reason *why)
{
    struct consensus *consensus = memory_zero(sizeof *consensus);
    struct storage *storage;
    struct transport *transport;
    enum error error;

    PRE(options->id != 0 && options->loop != NULL);
    if (!membership_address_fits(options->id, options->address)) {
        free(consensus);
        return fail(why, ERROR_INVALID, "the peer address \"%s\" is too long", options->address);
    }
    consensus->loop = options->loop;
    consensus->id = options->id;
    consensus->machine = options->machine;
    consensus->changed = options->changed;
    consensus->is_retired = options->is_retired;
    consensus->data = options->data;
    consensus->directory = memory_string(options->directory);
    consensus->state = RAFT_UNAVAILABLE;
    error = open_disk_and_network(consensus, options, &storage, &transport, why);
    if (error != OK) {
        return error;
    }
    /* Nothing has run yet, so io may be made only now. */
    io_init(&consensus->io, options->loop,
            (struct snapshot_content){options->machine.snapshot_write, NULL});
    consensus->io.storage = storage;
    consensus->io.transport = transport;
    snprintf(consensus->address, sizeof consensus->address, "%s", transport_address(transport));
    proposals_init(&consensus->proposals);
    reads_init(&consensus->reads);
    CHECK(uv_mutex_init(&consensus->status_lock) == 0);
    set_up_loop(consensus);
    set_up_raft(consensus, options);
    status_publish(consensus);
    *out = consensus;
    return OK;
}

enum error consensus_bootstrap(struct consensus *consensus, struct reason *why)
{
    struct raft_configuration configuration;
    char address[IO_ADDRESS_MAX];
    int rv;

    PRE(consensus->life == LIFE_OPEN);
    if (!storage_is_empty(consensus->io.storage)) {
        return fail(why, ERROR_EXISTS, "the log is not empty: a cluster was made here before");
    }
    io_member_address(address, consensus->id, consensus->address);
    raft_configuration_init(&configuration);
    rv = raft_configuration_add(&configuration, consensus->id, address, RAFT_VOTER);
    if (rv == 0) {
        rv = raft_bootstrap(&consensus->raft, &configuration);
    }
    raft_configuration_close(&configuration);
    if (rv != 0) {
        return fail(why, ERROR_IO, "the first configuration cannot be written: %s",
                    raft_strerror(rv));
    }
    LOG_INFO("cluster made, member %016" PRIx64 " at %s", consensus->id, consensus->address);
    return OK;
}

/* Only what is in the log is ever applied, so a machine that knows more shows that log or snapshots
 * were lost, and with them what this member has promised. */
static enum error check_machine(const struct consensus *consensus, struct reason *why)
{
    uint64_t applied = consensus->machine.applied_index(consensus->machine.data);
    struct storage_status disk;

    storage_status(consensus->io.storage, &disk);
    if (applied <= disk.last_index) {
        return OK;
    }
    return fail(why, ERROR_CORRUPT,
                "the log ends at index %" PRIu64 ", but %" PRIu64
                " entries were applied here: the log was lost or replaced. Wipe this member's data "
                "directory and let it join again",
                disk.last_index, applied);
}

enum error consensus_start(struct consensus *consensus, struct reason *why)
{
    enum error error = check_machine(consensus, why);
    int rv;

    PRE(consensus->life == LIFE_OPEN);
    if (error != OK) {
        return error;
    }
    consensus->life = LIFE_RUNNING;
    uv_update_time(consensus->loop);
    rv = raft_start(&consensus->raft);
    if (rv != 0) {
        consensus->life = LIFE_OPEN;
        return fail(why, ERROR_CORRUPT, "the log cannot be replayed: %s: %s", raft_strerror(rv),
                    raft_errmsg(&consensus->raft));
    }
    LOG_INFO("log open: entries to %llu, applied to %llu, term %llu, %u members",
             (unsigned long long)raft_last_index(&consensus->raft),
             (unsigned long long)raft_last_applied(&consensus->raft),
             (unsigned long long)consensus->raft.current_term, consensus->raft.configuration.n);
    uv_timer_start(&consensus->timer, timer_cb, consensus->heartbeat_ms, consensus->heartbeat_ms);
    moved(consensus);
    membership_tick(consensus);
    status_publish(consensus);
    return OK;
}

static void snapshot_barrier_cb(struct raft_barrier *request, int status)
{
    (void)status;
    free(request);
}

enum error consensus_snapshot(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;
    struct raft_barrier *barrier;

    if (consensus->life != LIFE_RUNNING || consensus->view != NULL || consensus->wants_snapshot) {
        return ERROR_BUSY;
    }
    /* libraft looks at the threshold after each entry that it applies: a leader makes one, another
     * member waits for the next. */
    consensus->wants_snapshot = true;
    raft_set_snapshot_threshold(raft, 1);
    barrier = memory_zero(sizeof *barrier);
    if (!core_leads(consensus) || raft_barrier(raft, barrier, snapshot_barrier_cb) != 0) {
        free(barrier);
    }
    return OK;
}

/* --- stop ------------------------------------------------------------------------------------ */

static void handle_closed_cb(uv_handle_t *handle)
{
    struct consensus *consensus = handle->data;
    void (*closed_cb)(void *data) = consensus->closed_cb;
    void *data = consensus->closed_data;

    if (--consensus->open_handles > 0) {
        return;
    }
    uv_mutex_destroy(&consensus->status_lock);
    free(consensus->directory);
    free(consensus);
    if (closed_cb != NULL) {
        closed_cb(data);
    }
}

static void raft_closed_cb(struct raft *raft)
{
    struct consensus *consensus = container_of(raft, struct consensus, raft);

    /* What was asked for meanwhile. */
    proposals_fail(consensus, ERROR_CANCELED);
    reads_fail(consensus, ERROR_CANCELED);
    machine_forget_results(consensus);
    consensus->life = LIFE_CLOSED;
    consensus->open_handles = 3;
    uv_close((uv_handle_t *)&consensus->check, handle_closed_cb);
    uv_close((uv_handle_t *)&consensus->idle, handle_closed_cb);
    uv_close((uv_handle_t *)&consensus->timer, handle_closed_cb);
}

static void close_raft(struct consensus *consensus)
{
    LOG_INFO("log closes at %llu", (unsigned long long)raft_last_index(&consensus->raft));
    consensus->life = LIFE_CLOSING;
    proposals_fail(consensus, ERROR_CANCELED);
    reads_fail(consensus, ERROR_CANCELED);
    raft_close(&consensus->raft, raft_closed_cb);
}

static void finish_handover(struct consensus *consensus)
{
    bool is_waiting = consensus->raft.state == RAFT_LEADER &&
                      consensus->membership.is_transferring &&
                      core_now(consensus) < consensus->stop_at_ms;

    if (!is_waiting) {
        close_raft(consensus);
    }
}

void consensus_cancel(struct consensus *consensus)
{
    proposals_fail(consensus, ERROR_CANCELED);
    reads_fail(consensus, ERROR_CANCELED);
}

void consensus_stop(struct consensus *consensus, void (*closed_cb)(void *data), void *data)
{
    bool is_running = consensus->life == LIFE_RUNNING;
    struct reason why;

    PRE(consensus->life == LIFE_OPEN || is_running);
    consensus->closed_cb = closed_cb;
    consensus->closed_data = data;
    consensus->life = LIFE_HANDOVER;
    consensus->stop_at_ms = core_now(consensus) + consensus->election_timeout_ms;
    if (is_running && consensus->raft.state == RAFT_LEADER && core_voters(consensus) > 1 &&
        membership_transfer(consensus, 0, &why) != OK) {
        LOG_WARN("stopping as leader: %s", why.text);
    }
    proposals_fail(consensus, ERROR_CANCELED);
    reads_fail(consensus, ERROR_CANCELED);
    /* From the turn: this may be inside a callback of libraft's. */
    core_arm(consensus);
}
