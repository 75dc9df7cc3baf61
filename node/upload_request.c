/* The body of one upload request. Events (a piece came, the disk took one, the relay has room, the
 * body ended) only note what they bring; upload_request_next() looks at all of it and decides. */
#include "node/upload_request.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/relay.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>

static void upload_request_next(struct upload_request *request);

static void upload_request_destroy(void *data)
{
    struct upload_request *request = data;

    CHECK(request->session == NULL);
    buffer_release(&request->pending);
    free(request);
}

struct upload_request *upload_request_create(struct exchange *exchange, struct session *session)
{
    struct upload_request *request = memory_zero(sizeof *request);

    request->exchange = exchange;
    request->worker = exchange_worker(exchange);
    request->session = session;
    request->offset = session->upload != NULL ? upload_size(session->upload) : 0;
    buffer_init(&request->pending, 4 * UPLOAD_PENDING_MAX);
    exchange_set_data(exchange, request, upload_request_destroy);
    exchange_hold(exchange);
    return request;
}

/* Everything is let go but the exchange. */
static void upload_request_leave(struct upload_request *request)
{
    PRE(!request->is_over);
    request->is_over = true;
    if (request->relay != NULL) {
        relay_abort(request->relay);
        request->relay = NULL;
    }
    session_checkin(request->session, &request->worker->loop);
    request->session = NULL;
}

void upload_request_fail(struct upload_request *request, enum error error, const struct reason *why)
{
    struct reason text = *why; /* It may be the request's own. */

    upload_request_leave(request);
    exchange_fail(request->exchange, error, &text);
    exchange_release(request->exchange);
}

void upload_request_answer(struct upload_request *request, unsigned status)
{
    upload_request_leave(request);
    exchange_answer(request->exchange, status, NULL, BYTES_NONE);
    exchange_release(request->exchange);
}

/* --- a body that is taken back ---------------------------------------------------------------- */

static void truncate_cb(struct upload *upload, void *data, enum error status,
                        const struct reason *why)
{
    struct upload_request *request = data;

    (void)upload;
    if (status != OK) {
        request->session->state = SESSION_SPENT;
        upload_request_fail(request, status, why);
        return;
    }
    if (request->is_cut) {
        fail(&request->why, ERROR_INVALID,
             "the request's body ended early; its bytes were taken back, send it again");
        upload_request_fail(request, ERROR_INVALID, &request->why);
        return;
    }
    upload_request_leave(request);
    exchange_fail_as(request->exchange, 400, "SIZE_INVALID", NULL,
                     "the body does not have the %" PRIu64 " bytes of Content-Range; what came was "
                     "taken back",
                     request->announced);
    exchange_release(request->exchange);
}

/* --- the body -------------------------------------------------------------------------------- */

static void append_cb(struct upload *upload, void *data, enum error status,
                      const struct reason *why)
{
    struct upload_request *request = data;

    (void)upload;
    request->is_appending = false;
    if (status != OK) {
        request->error = status;
        request->why = *why;
    }
    upload_request_next(request);
}

static void relay_changed(void *data)
{
    upload_request_next(data);
}

static void relay_done(void *data)
{
    struct upload_request *request = data;

    request->relay = NULL;
    request->stored(request);
}

/* Without Content-Length, only the end tells whether the body is what Content-Range announced. */
static bool has_wrong_size(const struct upload_request *request)
{
    return request->announced > 0 &&
           upload_size(request->session->upload) - request->offset != request->announced;
}

/* Nothing more comes and nothing is under way. */
static void upload_request_stored(struct upload_request *request)
{
    request->is_stored = true;
    if (!request->is_cut && has_wrong_size(request) && request->relay != NULL) {
        relay_abort(request->relay);
        request->relay = NULL;
    }
    if (request->is_cut || has_wrong_size(request)) {
        upload_truncate(request->session->upload, &request->worker->loop, request->offset,
                        truncate_cb, request);
    } else if (request->relay != NULL) {
        relay_finish(request->relay, relay_done, request);
    } else {
        request->stored(request);
    }
}

static void upload_request_flow(struct upload_request *request)
{
    bool is_full = request->pending.size >= UPLOAD_PENDING_MAX ||
                   (request->relay != NULL && relay_is_full(request->relay));

    if (is_full && !request->is_paused) {
        request->is_paused = true;
        exchange_pause_body(request->exchange);
    } else if (!is_full && request->is_paused) {
        request->is_paused = false;
        exchange_resume_body(request->exchange);
    }
}

static void upload_request_next(struct upload_request *request)
{
    if (request->is_over || request->is_stored || request->is_appending) {
        if (!request->is_over && !request->is_stored && !request->is_ended) {
            upload_request_flow(request);
        }
        return;
    }
    if (request->error != OK) {
        request->session->state = SESSION_SPENT;
        upload_request_fail(request, request->error, &request->why);
        return;
    }
    if (request->pending.size > 0 && !request->is_cut) {
        /* However long the body is, the log and the catalog keep their room. */
        request->error = uploads_check_space(request->worker->uploads, &request->why);
        if (request->error != OK) {
            upload_request_next(request);
            return;
        }
        request->is_appending = true;
        upload_append(request->session->upload, &request->worker->loop,
                      buffer_view(&request->pending), append_cb, request);
        buffer_clear(&request->pending);
    } else if (request->is_ended) {
        upload_request_stored(request);
        return;
    }
    if (!request->is_ended) {
        upload_request_flow(request);
    }
}

static void body_piece(struct exchange *exchange, struct bytes piece)
{
    struct upload_request *request = exchange_data(exchange);

    if (request->is_over || request->error != OK) {
        return;
    }
    if (request->relay != NULL) {
        relay_write(request->relay, piece);
    }
    buffer_append(&request->pending, piece);
    request->error = buffer_status(&request->pending);
    if (request->error != OK) {
        fail(&request->why, request->error, "more of the body came than was asked for");
    }
    upload_request_next(request);
}

static void body_end(struct exchange *exchange, enum error status)
{
    struct upload_request *request = exchange_data(exchange);

    if (request->is_over) {
        return;
    }
    request->is_ended = true;
    request->is_cut = status != OK;
    if (request->is_cut && request->relay != NULL) {
        relay_abort(request->relay);
        request->relay = NULL;
    }
    upload_request_next(request);
}

void upload_request_body(struct upload_request *request, bool is_relayed, upload_request_cb stored)
{
    static const struct exchange_sink sink = {.piece = body_piece, .end = body_end};

    PRE(request->session->state == SESSION_OPEN);
    request->stored = stored;
    if (!exchange_has_body(request->exchange)) {
        request->is_ended = request->is_stored = true;
        stored(request);
        return;
    }
    if (is_relayed) {
        request->relay =
            relay_start(request->worker, request->session, request->offset, relay_changed, request);
    }
    if (exchange_is_gone(request->exchange)) {
        body_end(request->exchange, ERROR_PEER);
        return;
    }
    exchange_stream_body(request->exchange, &sink);
}
