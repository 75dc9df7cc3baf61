/* Snapshots between libraft, the disk and the peers.
 *
 *   ours      fsm.snapshot -> view -> io_snapshot_put -> storage writes the file on a pool thread
 *   sending   io_send_snapshot -> transport reads the file in pieces (reader_*)
 *   receiving transport -> incoming_* -> storage; then the message with its token reaches libraft,
 *             which installs it by io_snapshot_put
 *
 * The transport writes from pool threads, storage wants its calls on the loop: the pool thread
 * posts a task and waits for the answer. A failed transfer is dropped; the leader tries again. */
#include "raft/io_snapshot.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- views ----------------------------------------------------------------------------------- */

/* libraft looks at a snapshot's length nowhere that matters; eight bytes keep its rule of words. */
void io_view_make(void *view, struct raft_buffer *buf)
{
    uint64_t word = (uint64_t)(uintptr_t)view;

    buf->base = raft_malloc(sizeof word);
    buf->len = sizeof word;
    if (buf->base == NULL) {
        fail_stop("out of memory for a snapshot");
    }
    memcpy(buf->base, &word, sizeof word);
}

void *io_view_of(const struct raft_buffer *buf)
{
    uint64_t word;

    PRE(buf->len == sizeof word);
    memcpy(&word, buf->base, sizeof word);
    return (void *)(uintptr_t)word;
}

/* --- put: our own, or the leader's ----------------------------------------------------------- */

struct io_put {
    struct storage_snapshot work;
    struct io *io;
    struct raft_io_snapshot_put *request;
    raft_io_snapshot_put_cb cb;
    bool is_install;
};

static int status_of(enum error error)
{
    switch (error) {
    case OK:
        return 0;
    case ERROR_FULL:
        return RAFT_NOSPACE;
    case ERROR_CANCELED:
        return RAFT_CANCELED;
    default:
        return RAFT_IOERR;
    }
}

static void put_cb(struct storage_snapshot *work, enum error status, const char *why)
{
    struct io_put *put = container_of(work, struct io_put, work);

    if (status != OK) {
        LOG_WARN("snapshot not %s: %s", put->is_install ? "installed" : "written", why);
    }
    put->io->put = NULL;
    put->cb(put->request, status_of(status));
    free(put);
}

int io_snapshot_put(struct raft_io *raft_io, unsigned trailing,
                    struct raft_io_snapshot_put *request, const struct raft_snapshot *snapshot,
                    raft_io_snapshot_put_cb cb)
{
    struct io *io = container_of(raft_io, struct io, raft_io);
    struct io_put *put = memory_zero(sizeof *put);

    PRE(io->put == NULL);
    put->io = io;
    put->request = request;
    put->cb = cb;
    put->is_install = trailing == 0;
    io->put = put;
    if (put->is_install) {
        storage_snapshot_install(io->storage, &put->work, snapshot, put_cb);
    } else {
        struct snapshot_content content = io->content;

        CHECK(snapshot->n_bufs == 1);
        content.view = io_view_of(&snapshot->bufs[0]);
        storage_snapshot_put(io->storage, &put->work, trailing, snapshot, content, put_cb);
    }
    return 0;
}

/* --- to a peer ------------------------------------------------------------------------------- */

struct io_send {
    struct snapshot_send send;
    struct list link;
    struct raft_io_send *request;
    raft_io_send_cb cb;
    raft_id to;
    raft_index index;
};

static void send_cb(struct snapshot_send *send, enum error status)
{
    struct io_send *transfer = container_of(send, struct io_send, send);

    if (status == OK) {
        LOG_INFO("snapshot %llu delivered to member %016" PRIx64, transfer->index,
                 (uint64_t)transfer->to);
    } else {
        LOG_WARN("snapshot %llu not delivered to member %016" PRIx64 ": %s", transfer->index,
                 (uint64_t)transfer->to, error_text(status));
    }
    list_remove(&transfer->link);
    transfer->cb(transfer->request, status_of(status));
    free(transfer);
}

void io_send_snapshot(struct io *io, struct raft_io_send *request,
                      const struct raft_message *message, raft_io_send_cb cb)
{
    struct io_send *transfer = memory_zero(sizeof *transfer);

    transfer->request = request;
    transfer->cb = cb;
    transfer->to = message->server_id;
    transfer->index = message->install_snapshot.last_index;
    list_append(&io->sends, &transfer->link);
    LOG_INFO("snapshot %llu goes to member %016" PRIx64, transfer->index, (uint64_t)transfer->to);
    transport_send_snapshot(io->transport, &transfer->send, message, send_cb);
}

bool io_sends_snapshot(const struct io *io, uint64_t id)
{
    LIST_FOR_EACH (link, &io->sends) {
        if (container_of(link, struct io_send, link)->to == id) {
            return true;
        }
    }
    return false;
}

struct io_reader {
    struct snapshot_reader *file;
    uint64_t offset;
};

static void *reader_open(void *data, struct bytes token, uint64_t *size, struct reason *why)
{
    struct io *io = data;
    struct raft_buffer buf = {(void *)(uintptr_t)token.data, token.size};
    struct io_reader *reader;
    struct snapshot_reader *file;
    uint64_t index, term;

    if (snapshot_token_parse(&buf, &index, &term) != OK) {
        (void)fail(why, ERROR_INVALID, "not the token of a snapshot");
        return NULL;
    }
    if (storage_snapshot_open(io->storage, index, term, &file, why) != OK) {
        return NULL;
    }
    reader = memory_zero(sizeof *reader);
    reader->file = file;
    *size = snapshot_reader_about(file)->file_size;
    return reader;
}

static enum error reader_read(void *data, void *out, size_t size, size_t *n, struct reason *why)
{
    struct io_reader *reader = data;
    enum error error = snapshot_reader_raw(reader->file, reader->offset, out, size, n, why);

    if (error == OK) {
        reader->offset += *n;
    }
    return error;
}

static void reader_close(void *data)
{
    struct io_reader *reader = data;

    snapshot_reader_close(reader->file);
    free(reader);
}

/* --- from a peer ----------------------------------------------------------------------------- */

struct io_incoming {
    struct task task;
    struct storage_snapshot work;
    struct io *io;
    uv_sem_t answered;
    uint64_t index, term;
    /* Of the call that waits. */
    struct bytes piece;
    struct reason *why;
    enum error status;
};

static void *incoming_create(void *data, const struct raft_install_snapshot *about, uint64_t size,
                             struct reason *why)
{
    struct io *io = data;
    struct io_incoming *incoming;

    (void)size;
    if (!io->is_started || io->incoming != NULL || io->put != NULL) {
        (void)fail(why, ERROR_BUSY, "another snapshot is being written or installed here");
        return NULL;
    }
    if (storage_incoming_begin(io->storage, about->last_index, about->last_term, why) != OK) {
        return NULL;
    }
    incoming = memory_zero(sizeof *incoming);
    incoming->io = io;
    incoming->index = about->last_index;
    incoming->term = about->last_term;
    uv_sem_init(&incoming->answered, 0);
    io->incoming = incoming;
    return incoming;
}

static enum error ask_loop(struct io_incoming *incoming, void (*run)(struct task *task))
{
    incoming->task.run = run;
    mailbox_post(&incoming->io->mailbox, &incoming->task);
    uv_sem_wait(&incoming->answered);
    return incoming->status;
}

static void incoming_write_run(struct task *task)
{
    struct io_incoming *incoming = container_of(task, struct io_incoming, task);

    incoming->status =
        storage_incoming_write(incoming->io->storage, incoming->piece, incoming->why);
    uv_sem_post(&incoming->answered);
}

static enum error incoming_write(void *writer, struct bytes piece, struct reason *why)
{
    struct io_incoming *incoming = writer;

    incoming->piece = piece;
    incoming->why = why;
    return ask_loop(incoming, incoming_write_run);
}

static void incoming_finish_cb(struct storage_snapshot *work, enum error status, const char *why)
{
    struct io_incoming *incoming = container_of(work, struct io_incoming, work);

    incoming->status = status;
    if (status != OK) {
        (void)fail(incoming->why, status, "%s", why);
    }
    uv_sem_post(&incoming->answered);
}

static void incoming_finish_run(struct task *task)
{
    struct io_incoming *incoming = container_of(task, struct io_incoming, task);

    storage_incoming_finish(incoming->io->storage, &incoming->work, incoming_finish_cb);
}

static enum error incoming_finish(void *writer, struct buffer *token, struct reason *why)
{
    struct io_incoming *incoming = writer;
    struct raft_buffer buf;
    enum error error;

    incoming->why = why;
    error = ask_loop(incoming, incoming_finish_run);
    if (error == OK) {
        snapshot_token_make(incoming->index, incoming->term, &buf);
        buffer_append(token, bytes_of(buf.base, buf.len));
        raft_free(buf.base);
    }
    return error;
}

static void incoming_release(void *writer, bool delivered)
{
    struct io_incoming *incoming = writer;

    /* libraft may have taken the message and left the snapshot: the next one drops it. */
    if (!delivered) {
        storage_incoming_drop(incoming->io->storage);
    }
    incoming->io->incoming = NULL;
    uv_sem_destroy(&incoming->answered);
    free(incoming);
}

struct transport_snapshots io_transport_snapshots(void)
{
    return (struct transport_snapshots){
        .open = reader_open,
        .read = reader_read,
        .close = reader_close,
        .create = incoming_create,
        .write = incoming_write,
        .finish = incoming_finish,
        .release = incoming_release,
    };
}
