#include "node/http_private.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/page_cache.h"

#include <stdlib.h>
#include <unistd.h>

/* The rest of a response from a file.
 *
 *     file_next --in memory, checked--> connection_send_file() --kernel full--> drained ->
 * file_next |                                      |
 *         +--else--> file_work() in the pool ----+---> file_work_cb -> file_next
 *
 * The loop sends what is in the page cache itself; whatever has to come from the disk, or has to be
 * checked before it leaves, goes through the pool, one window ahead of the client. Nothing of the
 * file is held in memory here. It fails (a read error, a failed check, a file that is shorter than
 * announced, a client that is gone) by cutting the connection before the last byte. */

#define WINDOW    (1024u * 1024) /* Checked or read at once; also what one turn of the loop sends. */
#define TRUSTS_MS 1000 /* So long what the pool read is taken to be in the page cache still. */

struct file_send {
    struct exchange *exchange;
    int fd;
    uint64_t offset, end; /* Not sent yet. */
    struct file_check check;
    uint64_t ready;    /* What is before may leave... */
    uint64_t ready_ms; /* ...as of then. */
    uint64_t work_from, work_end;
    bool is_working, waits_for_room;
    enum error status;
    struct reason why;
    uv_work_t work;
};

static void file_next(struct file_send *send);

static void file_over(struct file_send *send)
{
    struct exchange *exchange = send->exchange;

    if (send->check.release != NULL) {
        send->check.release(send->check.data);
    }
    close(send->fd);
    exchange->file = NULL;
    free(send);
    exchange_release(exchange);
}

static void file_fail(struct file_send *send, const struct reason *why)
{
    LOG_WARN("http: request %s: cut with %llu bytes of a file to go: %s",
             send->exchange->request_id, (unsigned long long)(send->end - send->offset), why->text);
    exchange_abort(send->exchange);
    send->end = send->offset;
}

/* --- in the pool ------------------------------------------------------------------------------ */

static void file_work(uv_work_t *work)
{
    struct file_send *send = container_of(work, struct file_send, work);
    uint64_t end = send->work_end < send->end ? send->work_end : send->end;

    if (send->check.run != NULL) {
        send->status = send->check.run(send->check.data, send->fd, send->work_from,
                                       send->work_end - send->work_from, &send->why);
    } else {
        send->status =
            page_cache_load(send->fd, send->work_from, (size_t)(end - send->work_from), &send->why);
    }
}

static void file_work_cb(uv_work_t *work, int result)
{
    struct file_send *send = container_of(work, struct file_send, work);

    CHECK(result == 0);
    send->is_working = false;
    if (send->status != OK && !exchange_is_gone(send->exchange)) {
        file_fail(send, &send->why);
    } else if (send->work_from <= send->ready) {
        send->ready = send->work_end;
        send->ready_ms = uv_now(work->loop);
    }
    file_next(send);
}

static void file_work_start(struct file_send *send)
{
    uint64_t chunk = send->check.run != NULL ? send->check.chunk_size : 1;
    uint64_t size = chunk > WINDOW ? chunk : WINDOW;

    CHECK(!send->is_working);
    send->work_from = send->ready - send->ready % chunk;
    send->work_end = send->work_from + size;
    send->is_working = true;
    send->why.text[0] = '\0';
    CHECK(uv_queue_work(&send->exchange->worker->loop, &send->work, file_work, file_work_cb) == 0);
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void file_drained_cb(struct exchange *exchange)
{
    struct file_send *send = exchange->file;

    send->waits_for_room = false;
    file_next(send);
}

static void file_wait_for_room(struct file_send *send)
{
    send->waits_for_room = true;
    exchange_on_drained(send->exchange, file_drained_cb);
}

/* How much of it this turn of the loop may send without a wait for the disk; 0: ask the pool. */
static size_t file_sendable(struct file_send *send)
{
    uint64_t end = send->check.run != NULL && send->ready < send->end ? send->ready : send->end;
    uint64_t now_ms = uv_now(&send->exchange->worker->loop);
    size_t size;

    if (end <= send->offset) {
        return 0;
    }
    size = end - send->offset < WINDOW ? (size_t)(end - send->offset) : WINDOW;
    if (send->offset < send->ready && now_ms - send->ready_ms < TRUSTS_MS) {
        return send->ready - send->offset < size ? (size_t)(send->ready - send->offset) : size;
    }
    if (page_cache_holds(send->fd, send->offset, size)) {
        return size;
    }
    send->ready = send->offset; /* Has left memory: again. */
    return 0;
}

static void file_push(struct file_send *send, size_t size)
{
    struct exchange *exchange = send->exchange;
    struct reason why;
    size_t taken;
    enum error rv =
        connection_send_file(exchange->connection, send->fd, send->offset, size, &taken, &why);

    send->offset += taken;
    exchange->sent += taken;
    if (rv != OK) {
        file_fail(send, &why);
    }
}

/* Have the window after the one that is being sent checked meanwhile; for a client that reads. */
static void file_look_ahead(struct file_send *send)
{
    if ((exchange_queued(send->exchange) == 0 || send->ready - send->offset < WINDOW / 2) &&
        send->check.run != NULL && !send->is_working && send->offset < send->end &&
        send->ready < send->end && send->ready - send->offset <= WINDOW) {
        file_work_start(send);
    }
}

static bool file_is_done(const struct file_send *send)
{
    return exchange_is_gone(send->exchange) || send->offset == send->end;
}

static void file_send_some(struct file_send *send)
{
    size_t size;

    if (exchange_queued(send->exchange) > 0) {
        file_wait_for_room(send);
        return;
    }
    size = file_sendable(send);
    if (size > 0) {
        file_push(send, size);
        file_look_ahead(send);
        if (send->offset < send->end) {
            file_wait_for_room(send); /* With room left: after a turn for the others. */
        }
    } else if (!send->is_working) {
        file_work_start(send);
    }
}

static void file_next(struct file_send *send)
{
    if (!file_is_done(send) && !send->waits_for_room) {
        file_send_some(send);
    }
    if (file_is_done(send) && !send->waits_for_room && !send->is_working) {
        exchange_end(send->exchange);
        file_over(send);
    }
}

void exchange_send_file(struct exchange *exchange, int fd, uint64_t offset, uint64_t length,
                        const struct file_check *check)
{
    struct file_send *send = memory_zero(sizeof *send);

    PRE(fd >= 0 && (exchange_is_gone(exchange) || exchange->is_started));
    PRE(exchange->file == NULL && (check == NULL || check->chunk_size >= 4096));
    send->exchange = exchange;
    send->fd = fd;
    send->offset = send->ready = offset;
    send->end = offset + (exchange->message.method == HTTP_HEAD_ ? 0 : length);
    if (check != NULL) {
        send->check = *check;
    }
    exchange->file = send;
    exchange_hold(exchange);
    file_next(send);
}
