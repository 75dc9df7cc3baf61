/* See io.h. Storage and transport give their callbacks from the loop; what has no callback of its
 * own (a message that was copied into a link's queue) completes in the next turn, since libraft
 * does not expect an answer inside its call. */
#include "raft/io.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "raft/frame.h"
#include "raft/io_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct io *io_of(struct raft_io *raft_io)
{
    return container_of(raft_io, struct io, raft_io);
}

/* --- answers in the next turn ---------------------------------------------------------------- */

struct io_done {
    struct list link;
    struct raft_io_send *send;
    raft_io_send_cb send_cb;
    struct raft_io_snapshot_get *get;
    raft_io_snapshot_get_cb get_cb;
    int status;
};

static void complete_get(struct io *io, const struct io_done *done)
{
    struct raft_snapshot *snapshot = storage_snapshot_get(io->storage);

    done->get_cb(done->get, snapshot, snapshot != NULL ? 0 : RAFT_NOTFOUND);
}

static void complete_all(struct io *io)
{
    while (!list_is_empty(&io->done)) {
        struct io_done *done = container_of(io->done.next, struct io_done, link);

        list_remove(&done->link);
        CHECK(io->done.next != &done->link);
        if (done->get != NULL) {
            complete_get(io, done);
        } else if (done->send_cb != NULL) {
            /* None for a TimeoutNow. */
            done->send_cb(done->send, done->status);
        }
        free(done);
    }
}

static void idle_cb(uv_idle_t *idle)
{
    struct io *io = idle->data;

    complete_all(io);
    uv_idle_stop(&io->idle);
}

static struct io_done *later(struct io *io)
{
    struct io_done *done = memory_zero(sizeof *done);

    list_append(&io->done, &done->link);
    uv_idle_start(&io->idle, idle_cb);
    return done;
}

/* --- network --------------------------------------------------------------------------------- */

void io_member_address(char out[IO_ADDRESS_MAX], uint64_t id, const char *address)
{
    snprintf(out, IO_ADDRESS_MAX, "%" PRIx64 "@%s", id, address);
}

const char *io_plain_address(const char *member_address)
{
    const char *at = strchr(member_address, '@');

    return at != NULL ? at + 1 : member_address;
}

static int io_send(struct raft_io *raft_io, struct raft_io_send *request,
                   const struct raft_message *message, raft_io_send_cb cb)
{
    struct io *io = io_of(raft_io);
    struct raft_message plain = *message;
    struct io_done *done;

    plain.server_address = io_plain_address(message->server_address);
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        io_send_snapshot(io, request, &plain, cb);
        return 0;
    }
    done = later(io);
    done->send = request;
    done->send_cb = cb;
    /* libraft goes back to probing a peer whose send failed. */
    done->status = transport_send(io->transport, &plain) ? 0 : RAFT_NOCONNECTION;
    return 0;
}

void io_receive(struct io *io, struct raft_message *message)
{
    if (io->is_started) {
        io->recv(&io->raft_io, message);
    } else {
        frame_release_message(message);
    }
}

/* --- disk ------------------------------------------------------------------------------------ */

static int io_load(struct raft_io *raft_io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry **entries, size_t *n_entries)
{
    storage_load(io_of(raft_io)->storage, term, voted_for, snapshot, start_index, entries,
                 n_entries);
    return 0;
}

static int io_bootstrap(struct raft_io *raft_io, const struct raft_configuration *configuration)
{
    struct reason why;

    return storage_bootstrap(io_of(raft_io)->storage, configuration, &why) == OK
               ? 0
               : RAFT_CANTBOOTSTRAP;
}

static int io_recover(struct raft_io *raft_io, const struct raft_configuration *configuration)
{
    (void)raft_io;
    (void)configuration;
    return RAFT_INVALID; /* A lost quorum is restored from a backup, not by rewriting a log. */
}

static int io_set_term(struct raft_io *raft_io, raft_term term)
{
    storage_set_term(io_of(raft_io)->storage, term);
    return 0;
}

static int io_set_vote(struct raft_io *raft_io, raft_id id)
{
    storage_set_vote(io_of(raft_io)->storage, id);
    return 0;
}

static int io_append(struct raft_io *raft_io, struct raft_io_append *request,
                     const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    storage_append(io_of(raft_io)->storage, request, entries, n, cb);
    return 0;
}

static int io_truncate(struct raft_io *raft_io, raft_index index)
{
    storage_truncate(io_of(raft_io)->storage, index);
    return 0;
}

static int io_snapshot_get(struct raft_io *raft_io, struct raft_io_snapshot_get *request,
                           raft_io_snapshot_get_cb cb)
{
    struct io_done *done = later(io_of(raft_io));

    done->get = request;
    done->get_cb = cb;
    return 0;
}

/* --- time, chance, life ---------------------------------------------------------------------- */

static raft_time io_time(struct raft_io *raft_io)
{
    return uv_now(io_of(raft_io)->loop);
}

static int io_random(struct raft_io *raft_io, int min, int max)
{
    (void)raft_io;
    PRE(min <= max);
    return min + (int)(random_u64() % (uint64_t)(max - min + 1));
}

void io_tick(struct io *io)
{
    PRE(io->is_started);
    io->tick(&io->raft_io);
}

static void timer_cb(uv_timer_t *timer)
{
    io_tick(timer->data);
}

static int io_init_cb(struct raft_io *raft_io, raft_id id, const char *address)
{
    (void)raft_io;
    (void)id;
    (void)address;
    return 0;
}

static int io_start(struct raft_io *raft_io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb recv)
{
    struct io *io = io_of(raft_io);

    io->tick = tick;
    io->recv = recv;
    io->is_started = true;
    uv_timer_start(&io->timer, timer_cb, msecs, msecs);
    transport_start(io->transport);
    return 0;
}

static void idle_closed_cb(uv_handle_t *handle)
{
    struct io *io = handle->data;

    io->close_cb(&io->raft_io);
}

/* In a turn after the mailbox's handle is closed, so that io may be freed by the callback. */
static void timer_closed_cb(uv_handle_t *handle)
{
    struct io *io = handle->data;

    uv_close((uv_handle_t *)&io->idle, idle_closed_cb);
}

static void close_handles(struct io *io)
{
    mailbox_close(&io->mailbox);
    uv_close((uv_handle_t *)&io->timer, timer_closed_cb);
}

static void storage_closed_cb(void *data)
{
    struct io *io = data;

    CHECK(list_is_empty(&io->sends) && io->put == NULL && io->incoming == NULL);
    close_handles(io);
}

static void transport_closed_cb(void *data)
{
    struct io *io = data;

    io->transport = NULL;
    complete_all(io);
    storage_close(io->storage, storage_closed_cb, io);
}

static void io_close(struct raft_io *raft_io, raft_io_close_cb cb)
{
    struct io *io = io_of(raft_io);

    io->close_cb = cb;
    io->is_started = false;
    uv_timer_stop(&io->timer);
    transport_close(io->transport, transport_closed_cb, io);
}

void io_init(struct io *io, uv_loop_t *loop, struct snapshot_content content)
{
    *io = (struct io){.loop = loop, .content = content};
    list_init(&io->done);
    list_init(&io->sends);
    uv_timer_init(loop, &io->timer);
    uv_idle_init(loop, &io->idle);
    io->timer.data = io;
    io->idle.data = io;
    mailbox_init(&io->mailbox, loop);
    io->raft_io = (struct raft_io){
        .version = 1,
        .init = io_init_cb,
        .close = io_close,
        .load = io_load,
        .start = io_start,
        .bootstrap = io_bootstrap,
        .recover = io_recover,
        .set_term = io_set_term,
        .set_vote = io_set_vote,
        .send = io_send,
        .append = io_append,
        .truncate = io_truncate,
        .snapshot_put = io_snapshot_put,
        .snapshot_get = io_snapshot_get,
        .time = io_time,
        .random = io_random,
    };
}
