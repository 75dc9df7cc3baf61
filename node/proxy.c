/* A forwarded upload request. An owner that cannot be reached has lost the session for now: 404, so
 * that clients start the blob again (their own retries of a 503 would hang on a dead node). When it
 * breaks on the way, the outcome is unknown: 503. */
#include "node/proxy.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/peers.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>

#define PROXY_FULL    (512u * 1024)
#define PROXY_IDLE_MS 60000

struct proxy {
    struct exchange *exchange;
    struct peer_request request;
    struct buffer answer;
    bool is_started, is_over, is_body_over, is_paused;
};

static void proxy_destroy(void *data)
{
    struct proxy *proxy = data;

    buffer_release(&proxy->answer);
    free(proxy);
}

static const char *const answer_headers[] = {
    "Location",    "Range",        "Docker-Upload-UUID",   "Docker-Content-Digest",
    "Retry-After", "X-Raft-Index", "X-Caisson-Consistency"};

static void proxy_answer(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    const char *type = peer_answer_header(&proxy->request, "Content-Type");

    for (size_t i = 0; i < sizeof answer_headers / sizeof answer_headers[0]; i++) {
        const char *value = peer_answer_header(&proxy->request, answer_headers[i]);

        if (value[0] != '\0') {
            exchange_set_header(exchange, answer_headers[i], "%s", value);
        }
    }
    exchange_answer(exchange, peer_status(&proxy->request), type[0] != '\0' ? type : NULL,
                    buffer_view(&proxy->answer));
}

static void proxy_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct proxy *proxy = container_of(request, struct proxy, request);
    struct exchange *exchange = proxy->exchange;

    proxy->is_over = true;
    if (status == OK && buffer_status(&proxy->answer) == OK && peer_status(request) >= 200) {
        proxy_answer(proxy);
    } else if (status == ERROR_UNAVAILABLE) {
        exchange_fail_as(exchange, 404, "BLOB_UPLOAD_UNKNOWN", NULL,
                         "the node that has this upload is not there; start the blob again (%s)",
                         why->text);
    } else {
        exchange_fail(exchange, ERROR_PEER, why);
    }
    exchange_release(exchange);
}

static void proxy_piece(struct peer_request *request, struct bytes piece)
{
    buffer_append(&container_of(request, struct proxy, request)->answer, piece);
}

static void proxy_taken(struct peer_request *request)
{
    struct proxy *proxy = container_of(request, struct proxy, request);

    if (proxy->is_paused && peer_queued(request) < PROXY_FULL) {
        proxy->is_paused = false;
        exchange_resume_body(proxy->exchange);
    }
}

static void proxy_body_piece(struct exchange *exchange, struct bytes piece)
{
    struct proxy *proxy = exchange_data(exchange);

    if (proxy->is_over) {
        return;
    }
    peer_write(&proxy->request, piece);
    if (peer_queued(&proxy->request) >= PROXY_FULL && !proxy->is_paused) {
        proxy->is_paused = true;
        exchange_pause_body(exchange);
    }
}

static void proxy_body_end(struct exchange *exchange, enum error status)
{
    struct proxy *proxy = exchange_data(exchange);

    if (proxy->is_over) {
        return;
    }
    if (status == OK) {
        peer_end(&proxy->request);
    } else {
        peer_cancel(&proxy->request); /* The owner takes back what came. */
    }
}

static const char *method_text(enum http_method method)
{
    switch (method) {
    case HTTP_PATCH_:
        return "PATCH";
    case HTTP_PUT_:
        return "PUT";
    case HTTP_DELETE_:
        return "DELETE";
    case HTTP_HEAD_:
    case HTTP_GET_:
        return "GET";
    case HTTP_POST_:
        return "POST";
    }
    IMPOSSIBLE("a method of its own");
}

static void proxy_request_setup(struct proxy *proxy, uint64_t owner)
{
    static const struct peer_events events = {
        .piece = proxy_piece, .taken = proxy_taken, .done = proxy_done};
    struct exchange *exchange = proxy->exchange;
    struct bytes range = exchange_header(exchange, "Content-Range");
    struct bytes target = exchange_target(exchange);
    char *text = bytes_to_string(target);

    peer_request_init(&proxy->request, owner, method_text(exchange_method(exchange)), text,
                      &events);
    free(text);
    proxy->request.idle_ms = PROXY_IDLE_MS;
    peer_request_header(&proxy->request, "X-Caisson-Actor", exchange_actor(exchange));
    peer_request_header(&proxy->request, "X-Request-Id",
                        bytes_of_string(exchange_request_id(exchange)));
    if (range.size > 0) {
        peer_request_header(&proxy->request, "Content-Range", range);
    }
}

void proxy_to_owner(struct exchange *exchange, uint64_t owner)
{
    static const struct exchange_sink sink = {.piece = proxy_body_piece, .end = proxy_body_end};
    struct proxy *proxy = memory_zero(sizeof *proxy);
    bool has_body = exchange_has_body(exchange) && (exchange_method(exchange) == HTTP_PATCH_ ||
                                                    exchange_method(exchange) == HTTP_PUT_);

    PRE(!exchange_is_internal(exchange));
    proxy->exchange = exchange;
    buffer_init(&proxy->answer, PROXY_ANSWER_MAX);
    exchange_set_data(exchange, proxy, proxy_destroy);
    exchange_hold(exchange);
    proxy_request_setup(proxy, owner);
    if (has_body) {
        peer_request_stream(&proxy->request, exchange_content_length(exchange));
    }
    peer_request_start(exchange_worker(exchange)->peers, &proxy->request);
    if (has_body && exchange_is_gone(exchange)) {
        peer_cancel(&proxy->request);
    } else if (has_body) {
        exchange_stream_body(exchange, &sink);
    }
}
