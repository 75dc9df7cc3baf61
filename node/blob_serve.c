/* Serving one content: conditions, range, then the local copy (opened, and when small read and
 * checked, in the pool) or, when there is none, a holder's (node/blob_fetch.c). */
#include "node/blob_serve.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/repair.h"
#include "node/worker.h"
#include "store/blob_scan.h"
#include "store/chunk_sums.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct open_work {
    struct blob_serve *serve;
    uv_work_t work;
    struct buffer content;
    int fd;
    uint64_t size;
    struct blob_check *check; /* Of what fd has open. */
    enum error status;
    struct reason why;
};

/* A large file on its way, chunk by chunk. */
struct serve_check {
    struct blob_check *check;
    struct repair *repair; /* May be NULL. */
    struct digest digest;
    uint64_t size;
    bool is_bad;
};

void blob_serve_over(struct blob_serve *serve)
{
    struct exchange *exchange = serve->exchange;

    free(serve);
    exchange_release(exchange);
}

void blob_serve_begin(struct blob_serve *serve)
{
    const struct blob_range *range = &serve->range;

    if (range->is_partial) {
        exchange_set_header(serve->exchange, "Content-Range",
                            "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first,
                            range->first + range->length - 1, serve->record.size);
    }
    exchange_start(serve->exchange, range->is_partial ? 206 : 200, "application/octet-stream",
                   (int64_t)range->length);
}

void blob_serve_content(struct blob_serve *serve, struct bytes content)
{
    CHECK(content.size == serve->record.size);
    if (!exchange_is_gone(serve->exchange)) {
        blob_serve_begin(serve);
        exchange_write(serve->exchange, bytes_slice(content, (size_t)serve->range.first,
                                                    (size_t)serve->range.length));
        exchange_end(serve->exchange);
    }
    blob_serve_over(serve);
}

void blob_serve_fail(struct blob_serve *serve, enum error error, const struct reason *why)
{
    exchange_fail(serve->exchange, error, why);
    blob_serve_over(serve);
}

/* --- the local copy -------------------------------------------------------------------------- */

static void open_work(uv_work_t *work)
{
    struct open_work *open = container_of(work, struct open_work, work);
    struct blob_serve *serve = open->serve;
    struct blob_store *store = serve->worker->blobs;

    if (serve->record.size <= BLOB_CHECKED_MAX) {
        open->status =
            blob_load(store, &serve->digest, BLOB_CHECKED_MAX, &open->content, &open->why);
        open->size = open->content.size;
        return;
    }
    open->status = blob_open(store, &serve->digest, &open->fd, &open->size, &open->why);
    if (open->status == OK && open->size != serve->record.size) {
        close(open->fd);
        open->fd = -1;
        open->status = blob_verify(store, &serve->digest, &open->why); /* To quarantine with it. */
        if (open->status == OK) {
            open->status = fail(&open->why, ERROR_CORRUPT, "the size of this content is in doubt");
        }
    }
    if (open->status == OK) {
        open->status =
            blob_check_open(store, &serve->digest, open->fd, open->size, &open->check, &open->why);
        if (open->status != OK) {
            close(open->fd);
            open->fd = -1;
        }
    }
}

/* In the pool. */
static enum error serve_check_run(void *data, int fd, uint64_t offset, uint64_t length,
                                  struct reason *why)
{
    struct serve_check *check = data;
    uint64_t left = check->size - offset;
    enum error rv;

    (void)fd; /* The one that the check was opened with. */
    rv = blob_check_range(check->check, offset, length < left ? length : left, why);
    check->is_bad |= rv == ERROR_CORRUPT;
    return rv;
}

/* What was damaged is out of the way by now: the next reader is served by another node. */
static void serve_check_release(void *data)
{
    struct serve_check *check = data;

    if (check->is_bad && check->repair != NULL) {
        repair_want(check->repair, &check->digest, check->size);
    }
    blob_check_close(check->check);
    free(check);
}

static void serve_file(struct blob_serve *serve, struct open_work *open)
{
    struct serve_check *check = memory_zero(sizeof *check);
    const struct file_check checking = {.data = check,
                                        .chunk_size = CHUNK_SIZE,
                                        .run = serve_check_run,
                                        .release = serve_check_release};

    check->check = open->check;
    check->repair = serve->worker->repair;
    check->digest = serve->digest;
    check->size = open->size;
    if (exchange_is_gone(serve->exchange)) {
        serve_check_release(check);
        close(open->fd);
        return;
    }
    blob_serve_begin(serve);
    exchange_send_file(serve->exchange, open->fd, serve->range.first, serve->range.length,
                       &checking);
}

/* No good copy here: the other holders. */
static void serve_elsewhere(struct blob_serve *serve, enum error status, const struct reason *why)
{
    if (serve->worker->repair != NULL && (!serve->local_only || status == ERROR_CORRUPT)) {
        repair_want(serve->worker->repair, &serve->digest, serve->record.size);
    }
    if (serve->local_only) {
        blob_serve_fail(serve, status == ERROR_NOT_FOUND ? ERROR_BLOB_UNKNOWN : status, why);
        return;
    }
    blob_fetch_start(serve);
}

static void open_work_cb(uv_work_t *work, int result)
{
    struct open_work *open = container_of(work, struct open_work, work);
    struct blob_serve *serve = open->serve;

    CHECK(result == 0);
    if (open->status == OK && open->fd >= 0) {
        serve_file(serve, open);
        blob_serve_over(serve);
    } else if (open->status == OK && open->size == serve->record.size) {
        blob_serve_content(serve, buffer_view(&open->content));
    } else if (open->status == OK) {
        blob_serve_fail(serve, ERROR_CORRUPT,
                        &(struct reason){"the size of this content is in doubt"});
    } else {
        serve_elsewhere(serve, open->status, &open->why);
    }
    buffer_release(&open->content);
    free(open);
}

static void serve_open(struct blob_serve *serve)
{
    struct open_work *open = memory_zero(sizeof *open);

    open->serve = serve;
    open->fd = -1;
    CHECK(uv_queue_work(&serve->worker->loop, &open->work, open_work, open_work_cb) == 0);
}

/* --- conditions ------------------------------------------------------------------------------ */

/* If-Range with another validator makes the range moot. */
static enum error serve_range(struct exchange *exchange, const char *text, uint64_t size,
                              struct blob_range *range)
{
    struct bytes header = exchange_header(exchange, "Range");
    struct bytes condition = exchange_header(exchange, "If-Range");

    if (exchange_method(exchange) != HTTP_GET_ ||
        (condition.size > 0 && !etag_is_exactly(condition, text))) {
        header = BYTES_NONE;
    }
    return blob_range_read(header, size, range);
}

/* A pushed page is a file for a browser, not a page of ours. */
static void serve_headers(struct exchange *exchange, const char *text)
{
    exchange_set_header(exchange, "Content-Disposition", "attachment");
    exchange_set_header(exchange, "Content-Security-Policy", "default-src 'none'; sandbox");
    exchange_set_header(exchange, "Docker-Content-Digest", "%s", text);
    exchange_set_header(exchange, "ETag", "\"%s\"", text);
    exchange_set_header(exchange, "Accept-Ranges", "bytes");
    exchange_set_header(exchange, "Cache-Control", "max-age=31536000, immutable");
}

void blob_serve(struct exchange *exchange, const struct digest *digest,
                const struct blob_record *record, bool local_only)
{
    struct bytes none_match = exchange_header(exchange, "If-None-Match");
    struct blob_serve *serve;
    struct blob_range range;
    char text[DIGEST_TEXT_MAX];

    digest_format(digest, text);
    if (etag_list_names(none_match, text)) { /* Before the range: RFC 9110, 13.2.2. */
        serve_headers(exchange, text);
        exchange_answer(exchange, 304, NULL, BYTES_NONE);
        return;
    }
    if (serve_range(exchange, text, record->size, &range) != OK) {
        exchange_set_header(exchange, "Content-Range", "bytes */%" PRIu64, record->size);
        exchange_fail_as(exchange, 416, "BLOB_UPLOAD_INVALID", NULL,
                         "the range is outside of the blob's %" PRIu64 " bytes", record->size);
        return;
    }
    serve_headers(exchange, text);
    if (exchange_method(exchange) == HTTP_HEAD_ && record->n_holders == 0 && !local_only) {
        /* A client that is told so pushes it, which repairs it. */
        exchange_fail(exchange, ERROR_BLOB_UNKNOWN,
                      &(struct reason){"no node has a good copy of this blob: push it again"});
        return;
    }
    if (exchange_method(exchange) == HTTP_HEAD_) {
        exchange_start(exchange, 200, "application/octet-stream", (int64_t)record->size);
        exchange_end(exchange);
        return;
    }
    serve = memory_zero(sizeof *serve);
    serve->exchange = exchange;
    serve->worker = exchange_worker(exchange);
    serve->digest = *digest;
    serve->record = *record;
    serve->range = range;
    serve->local_only = local_only;
    exchange_hold(exchange);
    serve_open(serve);
}
