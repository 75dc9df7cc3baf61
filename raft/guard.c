/* See guard.h for what is guarded and why.
 *
 *   libraft  ->  guard.io (send, append, truncate, snapshot_put)  ->  inner
 *   inner    ->  guard_tick, guard_recv, append_cb, put_cb        ->  libraft
 *
 * Nothing here fails: a message is lost, or the process stops. */
#include "raft/guard.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A write of entries on its way to the disk. */
struct guard_append {
    struct raft_io_append request;
    struct list link;
    struct guard *guard;
    struct raft_io_append *outer;
    raft_io_append_cb cb;
    raft_term term;
    raft_index first; /* Index of the first entry that still counts (truncation moves it). */
    raft_index checked;
    bool is_follower;
};

/* A snapshot on its way to the disk: taken here, or sent by the leader. */
struct guard_put {
    struct raft_io_snapshot_put request;
    struct guard *guard;
    struct raft_io_snapshot_put *outer;
    raft_io_snapshot_put_cb cb;
    raft_term term;
    raft_index index;
    bool is_install;
};

struct guard_lost {
    struct list link;
    struct raft_io_send *request;
    raft_io_send_cb cb;
    int status;
};

static struct guard *guard_of_io(struct raft_io *io)
{
    return container_of(io, struct guard, io);
}

static struct raft *raft_of(const struct guard *guard)
{
    return guard->io.data;
}

/* --- what is known to be on the disk --------------------------------------------------------- */

static bool is_installing(const struct guard *guard)
{
    return guard->put != NULL && guard->put->is_install;
}

static bool disk_is_behind(const struct guard *guard)
{
    return !list_is_empty(&guard->appends) || is_installing(guard);
}

/* The last index that this process has seen reach the disk, whatever libraft believes of it. */
static raft_index stored_end(const struct guard *guard)
{
    struct list *oldest = guard->appends.next;

    if (oldest == &guard->appends) {
        return raft_last_index(raft_of(guard));
    }
    return container_of(oldest, struct guard_append, link)->first - 1;
}

/* --- sends that were lost -------------------------------------------------------------------- */

/* The callback of a send must not run inside the send, so it waits for the next event. */
static void lose(struct guard *guard, struct raft_io_send *request, raft_io_send_cb cb, int status)
{
    struct guard_lost *lost = memory_zero(sizeof *lost);

    lost->request = request;
    lost->cb = cb;
    lost->status = status;
    list_append(&guard->lost, &lost->link);
}

static void complete_lost(struct guard *guard)
{
    while (!list_is_empty(&guard->lost)) {
        struct guard_lost *lost = container_of(guard->lost.next, struct guard_lost, link);

        list_remove(&lost->link);
        if (lost->cb != NULL) {
            lost->cb(lost->request, lost->status);
        }
        free(lost);
    }
}

/* --- barrier and gate ------------------------------------------------------------------------ */

struct guard_barrier {
    struct raft_barrier request;
    struct guard *guard;
    raft_term term;
};

static void barrier_cb(struct raft_barrier *request, int status)
{
    struct guard_barrier *barrier = container_of(request, struct guard_barrier, request);

    if (status == 0) {
        barrier->guard->ready_term = barrier->term;
    }
    free(barrier);
}

static void forget_held(struct guard *guard)
{
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        guard->held[i].id = 0;
    }
}

/* A new leader proposes an entry of its own term before anything else. */
static void propose_barrier(struct guard *guard)
{
    struct raft *raft = raft_of(guard);
    struct guard_barrier *barrier;

    if (raft->state != RAFT_LEADER || guard->led_term == raft->current_term) {
        return;
    }
    forget_held(guard);
    barrier = memory_zero(sizeof *barrier);
    barrier->guard = guard;
    barrier->term = raft->current_term;
    guard->led_term = raft->current_term;
    guard->barrier_index = raft_last_index(raft) + 1;
    if (raft_barrier(raft, &barrier->request, barrier_cb) != 0) {
        /* Stays closed; the next event tries again. */
        guard->led_term = 0;
        free(barrier);
        return;
    }
    guard->counters.barriers++;
}

static bool gate_is_closed(const struct guard *guard)
{
    const struct raft *raft = raft_of(guard);

    return raft->state == RAFT_LEADER &&
           (guard->led_term != raft->current_term || stored_end(guard) < guard->barrier_index);
}

/* Keep the newest success of each peer, and let libraft hear only that the peer is there. */
static void hold(struct guard *guard, const struct raft_message *message)
{
    struct guard_held *slot = NULL;
    struct raft_message contact = *message;

    guard->counters.held++;
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        if (guard->held[i].id == message->server_id) {
            slot = &guard->held[i];
            break;
        }
        if (slot == NULL && guard->held[i].id == 0) {
            slot = &guard->held[i];
        }
    }
    if (slot != NULL) {
        slot->id = message->server_id;
        slot->result = message->append_entries_result;
        snprintf(slot->address, sizeof slot->address, "%s", message->server_address);
    }
    contact.append_entries_result.last_log_index = 0;
    guard->recv(&guard->io, &contact);
}

static void release_held(struct guard *guard)
{
    for (size_t i = 0; i < GUARD_PEERS_MAX && !gate_is_closed(guard); i++) {
        struct guard_held held = guard->held[i];
        struct raft_message message;

        if (held.id == 0) {
            continue;
        }
        guard->held[i].id = 0;
        memset(&message, 0, sizeof message);
        message.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        message.server_id = held.id;
        message.server_address = held.address;
        message.append_entries_result = held.result;
        guard->recv(&guard->io, &message);
    }
}

static void after_event(struct guard *guard)
{
    guard->checked = 0;
    guard->suppress = false;
    propose_barrier(guard);
    release_held(guard);
    if (guard->moved != NULL) {
        guard->moved(guard->data);
    }
}

/* --- from the inner raft_io to libraft ------------------------------------------------------- */

static void guard_tick(struct raft_io *inner)
{
    struct guard *guard = inner->data;
    struct raft *raft = raft_of(guard);

    complete_lost(guard);
    if (raft->state == RAFT_FOLLOWER && disk_is_behind(guard)) {
        /* A candidate would offer entries that it may still lose. */
        raft->election_timer_start = guard->io.time(&guard->io);
        guard->counters.postponed++;
    }
    guard->tick(&guard->io);
    after_event(guard);
}

static bool has_odd_entry(const struct raft_append_entries *request)
{
    for (unsigned i = 0; i < request->n_entries; i++) {
        if (request->entries[i].buf.len % 8 != 0) {
            return true;
        }
    }
    return false;
}

static void drop_entries(struct guard *guard, struct raft_append_entries *request)
{
    guard->counters.dropped_entries++;
    raft_free(request->entries[0].batch);
    raft_free(request->entries);
}

static void recv_append_entries(struct guard *guard, struct raft_message *message)
{
    struct raft_append_entries *request = &message->append_entries;
    raft_index end = request->prev_log_index + request->n_entries;

    if (has_odd_entry(request)) {
        drop_entries(guard, request);
        return;
    }
    if (request->leader_commit > end) {
        request->leader_commit = end;
        guard->counters.clamped_commits++;
    }
    guard->checked = end;
    guard->recv(&guard->io, message);
}

static void recv_result(struct guard *guard, struct raft_message *message)
{
    const struct raft *raft = raft_of(guard);
    const struct raft_append_entries_result *result = &message->append_entries_result;

    if (result->term == raft->current_term && result->rejected == 0 && gate_is_closed(guard)) {
        hold(guard, message);
        return;
    }
    guard->recv(&guard->io, message);
}

static void guard_recv(struct raft_io *inner, struct raft_message *message)
{
    struct guard *guard = inner->data;

    complete_lost(guard);
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        recv_append_entries(guard, message);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        recv_result(guard, message);
        break;
    case RAFT_IO_TIMEOUT_NOW:
        if (disk_is_behind(guard)) {
            guard->counters.dropped_votes++;
        } else {
            guard->recv(&guard->io, message);
        }
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        guard->checked = message->install_snapshot.last_index;
        guard->recv(&guard->io, message);
        break;
    default:
        guard->recv(&guard->io, message);
        break;
    }
    after_event(guard);
}

/* The answer that libraft gives from here on belongs to work that was begun in this term. */
static void answer_for(struct guard *guard, raft_term term, raft_index checked)
{
    const struct raft *raft = raft_of(guard);

    guard->suppress = raft->state != RAFT_FOLLOWER || raft->current_term != term;
    guard->checked = checked;
}

static void append_cb(struct raft_io_append *request, int status)
{
    struct guard_append *append = container_of(request, struct guard_append, request);
    struct guard *guard = append->guard;

    if (status != 0 && status != RAFT_CANCELED) {
        fail_stop("log write failed: %s", raft_strerror(status));
    }
    list_remove(&append->link);
    if (append->is_follower) {
        answer_for(guard, append->term, append->checked);
    }
    append->cb(append->outer, status);
    free(append);
    after_event(guard);
}

static void put_cb(struct raft_io_snapshot_put *request, int status)
{
    struct guard_put *put = container_of(request, struct guard_put, request);
    struct guard *guard = put->guard;

    guard->put = NULL;
    if (put->is_install) {
        if (status != 0 && status != RAFT_CANCELED) {
            /* libraft has forgotten its log for this snapshot already. */
            fail_stop("snapshot of the leader cannot be kept: %s", raft_strerror(status));
        }
        answer_for(guard, put->term, put->index);
    }
    put->cb(put->outer, status);
    free(put);
    after_event(guard);
}

static void close_cb(struct raft_io *inner)
{
    struct guard *guard = inner->data;

    complete_lost(guard);
    guard->close_cb(&guard->io);
}

/* --- from libraft to the inner raft_io ------------------------------------------------------- */

static int guard_init_io(struct raft_io *io, raft_id id, const char *address)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->init(guard->inner, id, address);
}

static void guard_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct guard *guard = guard_of_io(io);

    guard->close_cb = cb;
    guard->inner->close(guard->inner, close_cb);
}

static int guard_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                      struct raft_snapshot **snapshot, raft_index *start_index,
                      struct raft_entry **entries, size_t *n_entries)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->load(guard->inner, term, voted_for, snapshot, start_index, entries,
                              n_entries);
}

static int guard_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                       raft_io_recv_cb recv)
{
    struct guard *guard = guard_of_io(io);

    guard->tick = tick;
    guard->recv = recv;
    return guard->inner->start(guard->inner, msecs, guard_tick, guard_recv);
}

static int guard_bootstrap(struct raft_io *io, const struct raft_configuration *configuration)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->bootstrap(guard->inner, configuration);
}

static int guard_recover(struct raft_io *io, const struct raft_configuration *configuration)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->recover(guard->inner, configuration);
}

static int guard_set_term(struct raft_io *io, raft_term term)
{
    struct guard *guard = guard_of_io(io);

    if (guard->inner->set_term(guard->inner, term) != 0) {
        fail_stop("term %llu cannot be written: %s", term, guard->inner->errmsg);
    }
    return 0;
}

static int guard_set_vote(struct raft_io *io, raft_id server_id)
{
    struct guard *guard = guard_of_io(io);

    if (guard->inner->set_vote(guard->inner, server_id) != 0) {
        fail_stop("vote cannot be written: %s", guard->inner->errmsg);
    }
    return 0;
}

/* True when the message must not go out as it is; a clamped copy replaces it in *copy. */
static bool refuse(struct guard *guard, const struct raft_message *message,
                   struct raft_message *copy)
{
    struct raft_append_entries_result *result = &copy->append_entries_result;
    raft_index end;

    *copy = *message;
    if (message->type == RAFT_IO_REQUEST_VOTE && disk_is_behind(guard)) {
        guard->counters.dropped_votes++;
        return true;
    }
    if (message->type != RAFT_IO_APPEND_ENTRIES_RESULT || result->rejected != 0) {
        return false;
    }
    if (guard->suppress) {
        guard->counters.suppressed++;
        return true;
    }
    end = stored_end(guard);
    if (guard->checked < end) {
        end = guard->checked;
    }
    if (result->last_log_index > end) {
        result->last_log_index = end;
        guard->counters.clamped_acks++;
    }
    return false;
}

static int guard_send(struct raft_io *io, struct raft_io_send *request,
                      const struct raft_message *message, raft_io_send_cb cb)
{
    struct guard *guard = guard_of_io(io);
    struct raft_message copy;
    int rv;

    if (refuse(guard, message, &copy)) {
        lose(guard, request, cb, RAFT_CANCELED);
        return 0;
    }
    rv = guard->inner->send(guard->inner, request, &copy, cb);
    if (rv != 0) {
        guard->counters.lost_sends++;
        lose(guard, request, cb, rv);
    }
    return 0;
}

static int guard_append(struct raft_io *io, struct raft_io_append *request,
                        const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct guard *guard = guard_of_io(io);
    struct raft *raft = raft_of(guard);
    struct guard_append *append = memory_zero(sizeof *append);
    int rv;

    for (unsigned i = 0; i < n; i++) {
        CHECK(entries[i].buf.len % 8 == 0);
    }
    append->guard = guard;
    append->outer = request;
    append->cb = cb;
    append->term = raft->current_term;
    /* libraft appends to its own log first: what it writes is always the tail. */
    append->first = raft_last_index(raft) - n + 1;
    append->checked = guard->checked;
    append->is_follower = raft->state == RAFT_FOLLOWER;
    list_append(&guard->appends, &append->link);
    rv = guard->inner->append(guard->inner, &append->request, entries, n, append_cb);
    if (rv != 0) {
        fail_stop("log write cannot be started: %s", raft_strerror(rv));
    }
    return 0;
}

static int guard_truncate(struct raft_io *io, raft_index index)
{
    struct guard *guard = guard_of_io(io);

    /* What is written from here on comes after these on the disk. */
    LIST_FOR_EACH (link, &guard->appends) {
        struct guard_append *append = container_of(link, struct guard_append, link);

        if (append->first > index) {
            append->first = index;
        }
    }
    if (guard->inner->truncate(guard->inner, index) != 0) {
        fail_stop("log cannot be cut at %llu: %s", index, guard->inner->errmsg);
    }
    return 0;
}

static int guard_snapshot_put(struct raft_io *io, unsigned trailing,
                              struct raft_io_snapshot_put *request,
                              const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct guard *guard = guard_of_io(io);
    struct guard_put *put = memory_zero(sizeof *put);
    int rv;

    CHECK(guard->put == NULL);
    put->guard = guard;
    put->outer = request;
    put->cb = cb;
    put->term = raft_of(guard)->current_term;
    put->index = snapshot->index;
    put->is_install = trailing == 0;
    guard->put = put;
    rv = guard->inner->snapshot_put(guard->inner, trailing, &put->request, snapshot, put_cb);
    if (rv != 0) {
        fail_stop("snapshot cannot be written: %s", raft_strerror(rv));
    }
    return 0;
}

static int guard_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *request,
                              raft_io_snapshot_get_cb cb)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->snapshot_get(guard->inner, request, cb);
}

static raft_time guard_time(struct raft_io *io)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->time(guard->inner);
}

static int guard_random(struct raft_io *io, int min, int max)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->random(guard->inner, min, max);
}

void guard_init(struct guard *guard, struct raft_io *inner)
{
    void *data = inner->data;

    memset(guard, 0, sizeof *guard);
    list_init(&guard->appends);
    list_init(&guard->lost);
    guard->inner = inner;
    inner->data = guard;
    guard->io = (struct raft_io){
        .version = 1,
        .data = data,
        .init = guard_init_io,
        .close = guard_close,
        .load = guard_load,
        .start = guard_start,
        .bootstrap = guard_bootstrap,
        .recover = guard_recover,
        .set_term = guard_set_term,
        .set_vote = guard_set_vote,
        .send = guard_send,
        .append = guard_append,
        .truncate = guard_truncate,
        .snapshot_put = guard_snapshot_put,
        .snapshot_get = guard_snapshot_get,
        .time = guard_time,
        .random = guard_random,
    };
}

bool guard_is_ready(const struct guard *guard)
{
    const struct raft *raft = raft_of(guard);

    return raft->state == RAFT_LEADER && guard->ready_term == raft->current_term;
}
