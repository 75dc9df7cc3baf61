#include "node/http_private.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

/* The rest of a response from a file: read in libuv's pool, one piece ahead of what the client
 * takes, over TLS and plain alike. It fails (a read error, a file that is shorter than announced, a
 * client that is gone) by cutting the connection before the last byte. */

#define PIECE_SIZE (256u * 1024)

struct file_send {
    struct exchange *exchange;
    uv_fs_t fs;
    uv_file file;
    uint64_t offset, left; /* Not read yet. */
    struct bytes piece;    /* Read, not sent yet. */
    bool is_reading, waits_for_room;
    uint8_t data[PIECE_SIZE];
};

static void file_next(struct file_send *send);

static void file_closed_cb(uv_fs_t *fs)
{
    struct file_send *send = container_of(fs, struct file_send, fs);
    struct exchange *exchange = send->exchange;

    uv_fs_req_cleanup(fs);
    free(send);
    exchange_release(exchange);
}

static void file_over(struct file_send *send)
{
    CHECK(uv_fs_close(&send->exchange->worker->loop, &send->fs, send->file, file_closed_cb) == 0);
}

static void file_read_cb(uv_fs_t *fs)
{
    struct file_send *send = container_of(fs, struct file_send, fs);
    ssize_t n = fs->result;

    uv_fs_req_cleanup(fs);
    send->is_reading = false;
    if (n <= 0) {
        exchange_abort(send->exchange);
        send->left = 0;
        send->piece = BYTES_NONE;
    } else {
        send->piece = bytes_of(send->data, (size_t)n);
        send->offset += (size_t)n;
        send->left -= (size_t)n;
    }
    file_next(send);
}

static void file_drained_cb(struct exchange *exchange)
{
    struct file_send *send = exchange->file;

    send->waits_for_room = false;
    file_next(send);
}

static void file_read(struct file_send *send)
{
    size_t size = send->left < PIECE_SIZE ? (size_t)send->left : PIECE_SIZE;
    uv_buf_t buf = uv_buf_init((char *)send->data, (unsigned)size);

    send->is_reading = true;
    CHECK(uv_fs_read(&send->exchange->worker->loop, &send->fs, send->file, &buf, 1,
                     (int64_t)send->offset, file_read_cb) == 0);
}

/* What to do next; the read ahead is under way while the queue drains. */
static void file_next(struct file_send *send)
{
    struct exchange *exchange = send->exchange;

    if (send->is_reading || send->waits_for_room) {
        return;
    }
    if (exchange_is_gone(exchange)) {
        file_over(send);
        return;
    }
    if (send->piece.size > 0) {
        if (exchange_queued(exchange) > 2 * PIECE_SIZE) {
            send->waits_for_room = true;
            exchange_on_drained(exchange, file_drained_cb);
            return;
        }
        exchange_write(exchange, send->piece);
        send->piece = BYTES_NONE;
    }
    if (send->left > 0) {
        file_read(send);
        return;
    }
    exchange_end(exchange);
    file_over(send);
}

void exchange_send_file(struct exchange *exchange, int fd, uint64_t offset, uint64_t length)
{
    struct file_send *send = memory_zero(sizeof *send);

    PRE(fd >= 0 && (exchange_is_gone(exchange) || exchange->is_started));
    send->exchange = exchange;
    send->file = fd;
    send->offset = offset;
    send->left = exchange->message.method == HTTP_HEAD_ ? 0 : length;
    exchange->file = send;
    exchange_hold(exchange);
    file_next(send);
}
