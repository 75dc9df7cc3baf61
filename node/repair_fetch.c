/* Fetching one content: look here first (it may have come with a push whose entry does not name us
 * yet), then ask the holders one after the other. Two things may be under way, the request and one
 * append; fetch_next() looks at both. */
#include "node/repair_fetch.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define FETCH_PENDING_MAX (512u * 1024)

struct verify_work {
    uv_work_t work;
    struct repair_fetch *fetch;
    enum error status;
};

static void fetch_ask(struct repair_fetch *fetch);

static void fetch_over(struct repair_fetch *fetch, enum error status, uint64_t bytes)
{
    if (fetch->upload != NULL) {
        upload_discard(fetch->upload, &fetch->worker->loop);
        fetch->upload = NULL;
    }
    buffer_release(&fetch->pending);
    fetch->cb(fetch, status, bytes);
}

static void fetch_commit_cb(struct upload *upload, void *data, enum error status,
                            const struct reason *why)
{
    struct repair_fetch *fetch = data;
    uint64_t bytes = upload_size(upload);

    (void)why;
    if (status == OK || status == ERROR_FULL || status == ERROR_IO) {
        fetch_over(fetch, status, bytes);
        return;
    }
    upload_discard(fetch->upload, &fetch->worker->loop);
    fetch->upload = NULL;
    fetch_ask(fetch); /* That holder's copy is another content: the next one. */
}

static void fetch_next(struct repair_fetch *fetch);

static void fetch_append_cb(struct upload *upload, void *data, enum error status,
                            const struct reason *why)
{
    struct repair_fetch *fetch = data;

    (void)upload;
    (void)why;
    fetch->is_appending = false;
    if (status != OK) {
        fetch->status = status;
        if (fetch->is_asking) {
            peer_cancel(&fetch->request);
        }
    }
    fetch_next(fetch);
}

static void fetch_next(struct repair_fetch *fetch)
{
    if (fetch->is_appending) {
        return;
    }
    if (fetch->status == OK && fetch->pending.size > 0) {
        fetch->is_appending = true;
        upload_append(fetch->upload, &fetch->worker->loop, buffer_view(&fetch->pending),
                      fetch_append_cb, fetch);
        buffer_clear(&fetch->pending);
        if (fetch->is_paused && fetch->is_asking) {
            fetch->is_paused = false;
            peer_resume(&fetch->request);
        }
        return;
    }
    if (fetch->is_asking) {
        return;
    }
    if (fetch->status == OK) {
        upload_commit(fetch->upload, &fetch->worker->loop, &fetch->digest, fetch_commit_cb, fetch);
    } else if (fetch->status == ERROR_FULL || fetch->status == ERROR_IO) {
        fetch_over(fetch, fetch->status, 0);
    } else {
        upload_discard(fetch->upload, &fetch->worker->loop);
        fetch->upload = NULL;
        fetch_ask(fetch);
    }
}

static void fetch_piece(struct peer_request *request, struct bytes piece)
{
    struct repair_fetch *fetch = container_of(request, struct repair_fetch, request);

    if (peer_status(request) != 200 || fetch->status != OK) {
        return;
    }
    fetch->received += piece.size;
    buffer_append(&fetch->pending, piece);
    if (buffer_status(&fetch->pending) != OK) {
        fetch->status = ERROR_TOO_LARGE;
        peer_cancel(request);
        return;
    }
    if (fetch->pending.size >= FETCH_PENDING_MAX && !fetch->is_paused) {
        fetch->is_paused = true;
        peer_pause(request);
    }
    fetch_next(fetch);
}

static void fetch_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct repair_fetch *fetch = container_of(request, struct repair_fetch, request);

    (void)why;
    fetch->is_asking = false;
    if (fetch->status == OK && status == OK && peer_status(request) != 200) {
        status = ERROR_PEER;
    }
    if (fetch->status == OK) {
        fetch->status = status;
    }
    fetch_next(fetch);
}

static void fetch_ask(struct repair_fetch *fetch)
{
    static const struct peer_events events = {.piece = fetch_piece, .done = fetch_done};
    char target[40 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

    if (fetch->next == fetch->n || fetch->is_canceled) {
        fetch_over(fetch, fetch->status != OK ? fetch->status : ERROR_UNAVAILABLE, 0);
        return;
    }
    digest_format(&fetch->digest, text);
    snprintf(target, sizeof target, "/internal/v1/blobs/%s", text);
    fetch->upload = upload_create(fetch->worker->blobs);
    fetch->status = OK;
    fetch->received = 0;
    fetch->is_paused = false;
    buffer_clear(&fetch->pending);
    fetch->is_asking = true;
    peer_request_init(&fetch->request, fetch->holders[fetch->next++], "GET", target, &events);
    peer_request_start(fetch->worker->peers, &fetch->request);
}

static void verify_work(uv_work_t *work)
{
    struct verify_work *verify = container_of(work, struct verify_work, work);

    verify->status = blob_verify(verify->fetch->worker->blobs, &verify->fetch->digest, NULL);
}

static void verify_work_cb(uv_work_t *work, int result)
{
    struct verify_work *verify = container_of(work, struct verify_work, work);
    struct repair_fetch *fetch = verify->fetch;
    enum error status = verify->status;

    CHECK(result == 0);
    free(verify);
    if (status == OK) {
        fetch_over(fetch, OK, 0);
    } else {
        fetch_ask(fetch);
    }
}

void repair_fetch_start(struct repair_fetch *fetch, struct worker *worker,
                        const struct digest *digest, const uint64_t *holders, size_t n,
                        repair_fetch_cb cb)
{
    struct verify_work *verify = memory_zero(sizeof *verify);
    void *data = fetch->data;

    PRE(n <= HOLDERS_MAX);
    *fetch = (struct repair_fetch){.data = data, .digest = *digest, .worker = worker, .cb = cb};
    fetch->n = n;
    memcpy(fetch->holders, holders, n * sizeof holders[0]);
    buffer_init(&fetch->pending, 4 * FETCH_PENDING_MAX);
    verify->fetch = fetch;
    CHECK(uv_queue_work(&worker->loop, &verify->work, verify_work, verify_work_cb) == 0);
}

void repair_fetch_cancel(struct repair_fetch *fetch)
{
    fetch->is_canceled = true;
    if (fetch->is_asking) {
        peer_cancel(&fetch->request);
    }
}
