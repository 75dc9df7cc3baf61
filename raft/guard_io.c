/* What libraft asks of its raft_io, with the guard's rules on it; see guard.h. Nothing here returns
 * an error: a message is lost, or the process stops. */
#include "raft/guard_io.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"

#include <string.h>

static struct guard *guard_of_io(struct raft_io *io)
{
    return container_of(io, struct guard, io);
}

static int guard_init_io(struct raft_io *io, raft_id id, const char *address)
{
    struct guard *guard = guard_of_io(io);

    return guard->inner->init(guard->inner, id, address);
}

static void guard_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct guard *guard = guard_of_io(io);

    guard->close_cb = cb;
    guard->inner->close(guard->inner, guard_close_cb);
}

static int guard_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                      struct raft_snapshot **snapshot, raft_index *start_index,
                      struct raft_entry **entries, size_t *n_entries)
{
    struct guard *guard = guard_of_io(io);

    int rv = guard->inner->load(guard->inner, term, voted_for, snapshot, start_index, entries,
                                n_entries);

    if (rv == 0 && *snapshot != NULL) {
        guard_configuration_keep(guard, *snapshot);
    }
    return rv;
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
    if (message->type == RAFT_IO_REQUEST_VOTE && guard_disk_is_behind(guard)) {
        guard->counters.dropped_votes++;
        return true;
    }
    if (message->type == RAFT_IO_REQUEST_VOTE_RESULT &&
        !message->request_vote_result.vote_granted &&
        message->request_vote_result.term < guard_raft(guard)->current_term) {
        /* 0.15 answers a pre-vote with the term that it asked for. */
        copy->request_vote_result.term = guard_raft(guard)->current_term;
    }
    if (message->type != RAFT_IO_APPEND_ENTRIES_RESULT || result->rejected != 0) {
        return false;
    }
    if (guard->suppress) {
        guard->counters.suppressed++;
        return true;
    }
    end = guard_stored_end(guard);
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
        guard_lose(guard, request, cb, RAFT_CANCELED);
        return 0;
    }
    if (message->type == RAFT_IO_APPEND_ENTRIES_RESULT) {
        FAILPOINT("acknowledge.before_send");
    }
    rv = guard->inner->send(guard->inner, request, &copy, cb);
    if (rv != 0) {
        guard->counters.lost_sends++;
        guard_lose(guard, request, cb, rv);
    }
    return 0;
}

static int guard_append(struct raft_io *io, struct raft_io_append *request,
                        const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct guard *guard = guard_of_io(io);
    struct raft *raft = guard_raft(guard);
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
    rv = guard->inner->append(guard->inner, &append->request, entries, n, guard_append_cb);
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
    guard_configuration_cut(guard, index);
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
    put->term = guard_raft(guard)->current_term;
    put->index = snapshot->index;
    put->is_install = trailing == 0;
    guard->put = put;
    guard_configuration_keep(guard, snapshot);
    rv = guard->inner->snapshot_put(guard->inner, trailing, &put->request, snapshot, guard_put_cb);
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
    raft_configuration_init(&guard->configuration);
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
