/* A blob that is not on this node, streamed from a holder inside the client's request. One holder
 * after the other is asked until one begins to answer; after the first byte there is no way back: a
 * failure cuts the client's connection. Small content is read whole and checked first; of larger
 * content that is asked for whole, the last piece leaves only when the digest of all of it is
 * right, so that a wrong body is never complete. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/blob_serve.h"
#include "node/peers.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FETCH_QUEUE_FULL (512u * 1024)

struct blob_fetch {
    struct blob_serve *serve;
    struct peer_request request;
    uint64_t order[HOLDERS_MAX];
    size_t n, next;
    bool is_small, has_begun, is_wrong, waits_for_room, has_hasher;
    struct buffer content; /* Small content. */
    struct hasher hasher;
    uint64_t received, expected;
    struct reason why;
};

static void fetch_next(struct blob_fetch *fetch);

static void fetch_free(struct blob_fetch *fetch)
{
    if (fetch->has_hasher) {
        hasher_release(&fetch->hasher);
    }
    buffer_release(&fetch->content);
    free(fetch);
}

/* --- pieces ---------------------------------------------------------------------------------- */

static void fetch_drained(struct exchange *exchange)
{
    struct blob_serve *serve = exchange_data(exchange);
    struct blob_fetch *fetch = serve != NULL ? serve->work : NULL;

    if (fetch != NULL && fetch->waits_for_room) {
        fetch->waits_for_room = false;
        peer_resume(&fetch->request);
    }
}

static bool fetch_is_right(struct blob_fetch *fetch)
{
    struct digest actual;

    if (!fetch->has_hasher) {
        return true;
    }
    hasher_peek(&fetch->hasher, &actual);
    return digest_equal(&actual, &fetch->serve->digest);
}

static void fetch_forward(struct blob_fetch *fetch, struct bytes piece)
{
    struct exchange *exchange = fetch->serve->exchange;

    if (fetch->has_hasher) {
        hasher_update(&fetch->hasher, piece);
    }
    if (fetch->received == fetch->expected && !fetch_is_right(fetch)) {
        fetch->is_wrong = true;
        return;
    }
    exchange_write(exchange, piece);
    if (exchange_is_gone(exchange)) {
        peer_cancel(&fetch->request);
    } else if (exchange_queued(exchange) > FETCH_QUEUE_FULL && !fetch->waits_for_room) {
        fetch->waits_for_room = true;
        peer_pause(&fetch->request);
        exchange_on_drained(exchange, fetch_drained);
    }
}

static void fetch_header(struct peer_request *request)
{
    struct blob_fetch *fetch = container_of(request, struct blob_fetch, request);
    unsigned wanted = !fetch->is_small && fetch->serve->range.is_partial ? 206 : 200;

    if (peer_status(request) != wanted ||
        peer_content_length(request) != (int64_t)fetch->expected ||
        exchange_is_gone(fetch->serve->exchange)) {
        fail(&fetch->why, ERROR_PEER, "it answered %u", peer_status(request));
        peer_cancel(request);
        return;
    }
    if (!fetch->is_small) {
        fetch->has_begun = true;
        blob_serve_begin(fetch->serve);
    }
}

static void fetch_piece(struct peer_request *request, struct bytes piece)
{
    struct blob_fetch *fetch = container_of(request, struct blob_fetch, request);

    fetch->received += piece.size;
    if (fetch->received > fetch->expected || fetch->is_wrong) {
        fetch->is_wrong = true;
    } else if (fetch->is_small) {
        buffer_append(&fetch->content, piece);
    } else {
        fetch_forward(fetch, piece);
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static bool small_is_right(struct blob_fetch *fetch)
{
    struct digest actual;

    digest_of(fetch->serve->digest.algorithm, buffer_view(&fetch->content), &actual);
    return digest_equal(&actual, &fetch->serve->digest);
}

/* The client has got bytes already: finish, or cut. */
static void fetch_finish(struct blob_fetch *fetch, bool is_whole)
{
    struct exchange *exchange = fetch->serve->exchange;

    if (is_whole) {
        exchange_end(exchange);
    } else {
        LOG_WARN("a blob from another node broke off after %" PRIu64 " of %" PRIu64
                 " bytes: client cut",
                 fetch->received, fetch->expected);
        exchange_abort(exchange);
    }
    exchange_set_data(exchange, NULL, NULL);
    blob_serve_over(fetch->serve);
    fetch_free(fetch);
}

static void fetch_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct blob_fetch *fetch = container_of(request, struct blob_fetch, request);
    bool is_whole = status == OK && fetch->received == fetch->expected && !fetch->is_wrong;

    if (fetch->has_begun) {
        fetch_finish(fetch, is_whole);
        return;
    }
    if (fetch->is_small && is_whole && small_is_right(fetch)) {
        exchange_set_data(fetch->serve->exchange, NULL, NULL);
        blob_serve_content(fetch->serve, buffer_view(&fetch->content));
        fetch_free(fetch);
        return;
    }
    if (status != OK && status != ERROR_CANCELED) {
        fetch->why = *why;
    }
    fetch_next(fetch);
}

static void fetch_next(struct blob_fetch *fetch)
{
    static const struct peer_events events = {
        .header = fetch_header, .piece = fetch_piece, .done = fetch_done};
    struct blob_serve *serve = fetch->serve;
    char target[40 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

    if (fetch->next == fetch->n || exchange_is_gone(serve->exchange)) {
        enum error error = ERROR_UNAVAILABLE;
        struct reason why;

        if (serve->record.n_holders == 0) {
            error = fail(&why, ERROR_CORRUPT,
                         "no node has a good copy of this blob any more: push it again");
        } else {
            fail(&why, error,
                 "no node that has a good copy of this blob can be reached now (%.300s)",
                 fetch->why.text);
        }
        exchange_set_data(serve->exchange, NULL, NULL);
        fetch_free(fetch);
        blob_serve_fail(serve, error, &why);
        return;
    }
    digest_format(&serve->digest, text);
    snprintf(target, sizeof target, "/internal/v1/blobs/%s", text);
    fetch->received = 0;
    buffer_clear(&fetch->content);
    peer_request_init(&fetch->request, fetch->order[fetch->next++], "GET", target, &events);
    peer_request_header(&fetch->request, "X-Request-Id",
                        bytes_of_string(exchange_request_id(serve->exchange)));
    if (serve->range.is_partial && !fetch->is_small) {
        snprintf(text, sizeof text, "bytes=%" PRIu64 "-%" PRIu64, serve->range.first,
                 serve->range.first + serve->range.length - 1);
        peer_request_header(&fetch->request, "Range", bytes_of_string(text));
    }
    peer_request_start(serve->worker->peers, &fetch->request);
}

void blob_fetch_start(struct blob_serve *serve)
{
    struct blob_fetch *fetch = memory_zero(sizeof *fetch);
    const struct blob_record *record = &serve->record;

    fetch->serve = serve;
    fetch->is_small = record->size <= BLOB_CHECKED_MAX;
    fetch->expected = fetch->is_small ? record->size : serve->range.length;
    buffer_init(&fetch->content, BLOB_CHECKED_MAX);
    if (!fetch->is_small && !serve->range.is_partial) {
        fetch->has_hasher = true;
        hasher_init(&fetch->hasher, serve->digest.algorithm);
    }
    for (int down = 0; down <= 1; down++) {
        for (size_t i = 0; i < record->n_holders; i++) {
            uint64_t id = record->holders[i];

            if (id != peers_self(serve->worker->peers) &&
                peers_is_down(serve->worker->peers, id) == (down == 1)) {
                fetch->order[fetch->n++] = id;
            }
        }
    }
    serve->work = fetch;
    exchange_set_data(serve->exchange, serve, NULL);
    fetch_next(fetch);
}
