/* Sends one content to one member. Two things may be under way, the request and one read of the
 * file; the callback comes when both are over. */
#include "node/copy_send.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEND_PIECE   (256u * 1024)
#define SEND_IDLE_MS 30000

static void send_read(struct copy_send *send);

static void send_over(struct copy_send *send)
{
    if (!send->is_over || send->is_reading) {
        return;
    }
    if (send->fd >= 0) {
        close(send->fd);
    }
    free(send->piece);
    send->cb(send, send->status, &send->why);
}

static void send_read_cb(uv_fs_t *fs)
{
    struct copy_send *send = container_of(fs, struct copy_send, read);
    ssize_t n = fs->result;

    uv_fs_req_cleanup(fs);
    send->is_reading = false;
    if (send->is_over) {
        send_over(send);
        return;
    }
    if (n <= 0) {
        peer_cancel(&send->request); /* The file is shorter than it was, or cannot be read. */
        return;
    }
    peer_write(&send->request, bytes_of(send->piece, (size_t)n));
    send->offset += (uint64_t)n;
    if (send->offset == send->size) {
        peer_end(&send->request);
    } else {
        send_read(send);
    }
}

static void send_read(struct copy_send *send)
{
    uint64_t left = send->size - send->offset;
    uv_buf_t piece =
        uv_buf_init((char *)send->piece, (unsigned)(left < SEND_PIECE ? left : SEND_PIECE));

    if (send->is_reading || send->is_over || left == 0 ||
        peer_queued(&send->request) >= SEND_PIECE) {
        return;
    }
    send->is_reading = true;
    CHECK(uv_fs_read(&send->worker->loop, &send->read, send->fd, &piece, 1, (int64_t)send->offset,
                     send_read_cb) == 0);
}

static void send_taken(struct peer_request *request)
{
    send_read(container_of(request, struct copy_send, request));
}

static void send_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct copy_send *send = container_of(request, struct copy_send, request);

    send->is_over = true;
    send->status = status;
    send->why = *why;
    if (status == OK && peer_status(request) != 201) {
        send->status = fail(&send->why, peer_status(request) == 507 ? ERROR_FULL : ERROR_PEER,
                            "the other node answered %u to a copy", peer_status(request));
    }
    send_over(send);
}

void copy_send_start(struct copy_send *send, struct worker *worker, uint64_t member,
                     const struct digest *digest, struct bytes content, copy_send_cb cb)
{
    static const struct peer_events memory_events = {.done = send_done};
    static const struct peer_events file_events = {.taken = send_taken, .done = send_done};
    char target[40 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];
    bool from_file = content.data == NULL;

    digest_format(digest, text);
    snprintf(target, sizeof target, "/internal/v1/blobs/%s", text);
    *send = (struct copy_send){.data = send->data, .worker = worker, .cb = cb, .fd = -1};
    peer_request_init(&send->request, member, "PUT", target,
                      from_file ? &file_events : &memory_events);
    send->request.idle_ms = SEND_IDLE_MS;
    if (!from_file) {
        peer_request_body(&send->request, content);
    } else if (blob_open(worker->blobs, digest, &send->fd, &send->size, NULL) == OK) {
        send->piece = memory_alloc(SEND_PIECE);
        peer_request_stream(&send->request, (int64_t)send->size);
    }
    peer_request_start(worker->peers, &send->request);
    if (from_file && send->fd < 0) {
        peer_cancel(&send->request);
    } else if (from_file && send->size == 0) {
        peer_end(&send->request);
    } else if (from_file) {
        send_read(send);
    }
}
