/* One outgoing request. It fails by itself when the connection cannot be made in PEER_CONNECT_MS,
 * and when nothing moves for idle_ms although it is not we who pause. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "node/peers_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PEER_TICK_MS       500
#define PEER_BUFFER        (128L * 1024)
#define PEER_IDLE_CONN_SEC 20L

static void kick(struct peer_request *request);

/* --- libcurl's callbacks --------------------------------------------------------------------- */

static void progress(struct peer_request *request)
{
    request->progress_ms = clock_monotonic_ms();
}

static size_t read_cb(char *out, size_t size, size_t n, void *data)
{
    struct peer_request *request = data;
    size_t left = peer_queued(request);
    size_t take = left < size * n ? left : size * n;

    if (request->canceled) {
        return CURL_READFUNC_ABORT;
    }
    if (take == 0 && !request->ended) {
        request->send_waits = true;
        return CURL_READFUNC_PAUSE;
    }
    progress(request);
    if (take == 0) {
        return 0;
    }
    memcpy(out,
           (request->has_stream ? request->queue.data : request->fixed.data) + request->queue_taken,
           take);
    request->queue_taken += take;
    if (request->has_stream && request->queue_taken == request->queue.size) {
        buffer_clear(&request->queue);
        request->queue_taken = 0;
    }
    if (request->events->taken != NULL && !request->ended) {
        request->events->taken(request);
    }
    return take;
}

/* libcurl wants to send again, on a fresh connection: possible with what we still have. */
static int seek_cb(void *data, curl_off_t offset, int origin)
{
    struct peer_request *request = data;

    if (request->has_stream || origin != SEEK_SET || offset < 0 ||
        (size_t)offset > request->fixed.size) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    request->queue_taken = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t write_cb(char *piece, size_t size, size_t n, void *data)
{
    struct peer_request *request = data;

    if (request->canceled) {
        return 0;
    }
    if (request->paused) {
        request->receive_waits = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    progress(request);
    if (request->events->piece != NULL) {
        request->events->piece(request, bytes_of(piece, size * n));
    }
    return size * n;
}

static size_t header_cb(char *line, size_t size, size_t n, void *data)
{
    struct peer_request *request = data;
    size_t length = size * n;

    progress(request);
    if (length <= 2 && (line[0] == '\r' || line[0] == '\n') && peer_status(request) >= 200 &&
        !request->has_header && !request->canceled) {
        request->has_header = true;
        if (request->events->header != NULL) {
            request->events->header(request);
        }
    }
    return length;
}

static CURLcode context_cb(CURL *easy, void *context, void *data)
{
    (void)easy;
    tls_expect_node(context, data);
    return CURLE_OK;
}

/* --- set-up ---------------------------------------------------------------------------------- */

void peer_request_init(struct peer_request *request, uint64_t member, const char *method,
                       const char *target, const struct peer_events *events)
{
    CURL *easy = curl_easy_init();

    CHECK(easy != NULL);
    *request = (struct peer_request){0};
    request->idle_ms = PEER_IDLE_MS;
    request->events = events;
    request->member = member;
    request->easy = easy;
    list_init(&request->link);
    list_init(&request->kick);
    buffer_init(&request->queue, PEER_QUEUE_MAX);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, target);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
        if (strcmp(method, "DELETE") != 0) {
            peer_request_body(request, BYTES_NONE);
        }
    }
}

void peer_request_header(struct peer_request *request, const char *name, struct bytes value)
{
    struct buffer line;

    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < ' ' || value.data[i] == 0x7f) {
            return; /* Not a header value: nothing of ours, and not to be passed on. */
        }
    }
    buffer_init(&line, 32u * 1024);
    buffer_print(&line, "%s: " BYTES_FMT, name, BYTES_ARG(value));
    request->headers = curl_slist_append(request->headers, buffer_string(&line));
    buffer_release(&line);
}

static void body_setup(struct peer_request *request, int64_t length)
{
    curl_easy_setopt(request->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(request->easy, CURLOPT_READFUNCTION, read_cb);
    curl_easy_setopt(request->easy, CURLOPT_READDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_SEEKFUNCTION, seek_cb);
    curl_easy_setopt(request->easy, CURLOPT_SEEKDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(request->easy, CURLOPT_UPLOAD_BUFFERSIZE, PEER_BUFFER);
}

void peer_request_body(struct peer_request *request, struct bytes body)
{
    PRE(!request->started);
    request->fixed = body;
    request->has_stream = false;
    request->ended = true;
    body_setup(request, (int64_t)body.size);
}

void peer_request_stream(struct peer_request *request, int64_t length)
{
    PRE(!request->started);
    request->has_stream = true;
    request->ended = false;
    body_setup(request, length);
}

static const struct tls_expected *expected_of(struct peers *peers, uint64_t member)
{
    struct peer_expected *item = peers->expected;

    while (item != NULL && item->expected.node != member) {
        item = item->next;
    }
    if (item == NULL) {
        item = memory_zero(sizeof *item);
        memcpy(item->expected.cluster, peers->cluster, sizeof item->expected.cluster);
        item->expected.node = member;
        item->next = peers->expected;
        peers->expected = item;
    }
    return &item->expected;
}

static struct curl_blob blob_of(char *text)
{
    return (struct curl_blob){.data = text, .len = strlen(text), .flags = CURL_BLOB_NOCOPY};
}

static void tls_setup(struct peer_request *request)
{
    struct peers *peers = request->peers;
    struct curl_blob certificate = blob_of(peers->certificate);
    struct curl_blob key = blob_of(peers->key);
    struct curl_blob ca = blob_of(peers->ca);
    CURL *easy = request->easy;

    curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
    curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
    curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    /* The name that counts is the node id, checked by context_cb; addresses change. */
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, context_cb);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA,
                     (void *)(uintptr_t)expected_of(peers, request->member));
}

static void common_setup(struct peer_request *request)
{
    CURL *easy = request->easy;

    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)PEER_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, PEER_IDLE_CONN_SEC);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, PEER_BUFFER);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_cb);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_cb);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    request->headers = curl_slist_append(request->headers, "Expect:");
    request->headers = curl_slist_append(request->headers, "Accept:");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
}

static enum error request_setup(struct peer_request *request)
{
    struct peers *peers = request->peers;
    char address[PEER_ADDRESS_MAX], text[PEER_ADDRESS_MAX + 16];
    bool is_plain = peers->certificate[0] == '\0';
    enum error rv = peers_address(peers, request->member, address, &request->why);

    if (rv != OK) {
        return rv;
    }
    snprintf(text, sizeof text, "%s://node-%016" PRIx64 ".invalid/", is_plain ? "http" : "https",
             request->member);
    curl_easy_setopt(request->easy, CURLOPT_URL, text);
    snprintf(text, sizeof text, "::%s", address);
    request->connect_to = curl_slist_append(NULL, text);
    /* A connection from before may lead nowhere. */
    if (request->is_fresh || peers_is_down(peers, request->member)) {
        curl_easy_setopt(request->easy, CURLOPT_FRESH_CONNECT, 1L);
    }
    curl_easy_setopt(request->easy, CURLOPT_CONNECT_TO, request->connect_to);
    if (!is_plain) {
        tls_setup(request);
    }
    common_setup(request);
    return OK;
}

/* --- the end --------------------------------------------------------------------------------- */

static enum error error_of(struct peer_request *request, CURLcode code)
{
    curl_off_t connected_us = 0;

    if (request->canceled) {
        return fail(&request->why, ERROR_CANCELED, "the request to a peer was canceled");
    }
    curl_easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0) {
        peers_mark(request->peers, request->member, true);
        return fail(&request->why, ERROR_UNAVAILABLE, "node %016" PRIx64 " cannot be reached: %s",
                    request->member, curl_easy_strerror(code));
    }
    if (request->failed_idle) {
        peers_mark(request->peers, request->member, true);
        return fail(&request->why, ERROR_TIMEOUT,
                    "node %016" PRIx64 " made no progress for %" PRIu64 " ms", request->member,
                    clock_monotonic_ms() - request->progress_ms);
    }
    return fail(&request->why, ERROR_PEER, "the request to node %016" PRIx64 " broke: %s",
                request->member, curl_easy_strerror(code));
}

void peers_finish(struct peer_request *request, CURLcode code)
{
    enum error status = request->error;
    struct reason why;

    if (status == OK && (code != CURLE_OK || request->canceled)) {
        status = error_of(request, code);
    } else if (status == OK) {
        peers_mark(request->peers, request->member, false);
    }
    list_remove(&request->link);
    list_remove(&request->kick);
    if (list_is_empty(&request->peers->requests) && !request->peers->is_closing) {
        uv_timer_stop(&request->peers->tick_timer);
    }
    /* The owner may free the request in done: everything of it is let go before, all but what
     * peer_status() and peer_answer_header() read, which goes after. */
    CURL *easy = request->easy;
    struct curl_slist *headers = request->headers, *connect_to = request->connect_to;

    curl_multi_remove_handle(request->peers->multi, easy);
    buffer_release(&request->queue);
    why = request->why;
    request->events->done(request, status, &why);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
}

void peers_collect(struct peers *peers)
{
    CURLMsg *message;
    int left;

    while (peers->multi != NULL && (message = curl_multi_info_read(peers->multi, &left)) != NULL) {
        struct peer_request *request = NULL;
        CURLcode code = message->data.result;

        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
            peers_finish(request, code);
        }
    }
}

/* --- kicks and ticks -------------------------------------------------------------------------- */

static bool waits_for_us(const struct peer_request *request)
{
    return (request->paused && request->receive_waits) ||
           (request->has_stream && !request->ended && peer_queued(request) == 0);
}

static void tick_cb(uv_timer_t *timer)
{
    struct peers *peers = container_of(timer, struct peers, tick_timer);
    uint64_t now = clock_monotonic_ms();

    LIST_FOR_EACH (item, &peers->requests) {
        struct peer_request *request = container_of(item, struct peer_request, link);

        if (waits_for_us(request)) {
            request->progress_ms = now;
        } else if (now - request->progress_ms > request->idle_ms && !request->failed_idle) {
            peer_request_give_up(request);
        } else if (request != peers->probe && peer_request_is_silent(request, now)) {
            peers_probe(peers, request->member);
        }
    }
}

void peer_request_give_up(struct peer_request *request)
{
    request->failed_idle = true;
    kick(request);
}

static void request_unpause(struct peer_request *request)
{
    bool can_send = request->send_waits && (peer_queued(request) > 0 || request->ended);
    bool can_receive = request->receive_waits && !request->paused;
    int mask;

    if (!can_send && !can_receive) {
        return;
    }
    mask = (request->send_waits && !can_send ? CURLPAUSE_SEND : 0) |
           (request->receive_waits && !can_receive ? CURLPAUSE_RECV : 0);
    if (can_send) {
        request->send_waits = false;
    }
    if (can_receive) {
        request->receive_waits = false;
    }
    progress(request);
    curl_easy_pause(request->easy, mask);
}

static void request_start(struct peer_request *request)
{
    request->started = true;
    request->error = request_setup(request);
    if (request->error != OK) {
        peers_finish(request, CURLE_OK);
        return;
    }
    progress(request);
    CHECK(curl_multi_add_handle(request->peers->multi, request->easy) == CURLM_OK);
}

static void kick_cb(uv_timer_t *timer)
{
    struct peers *peers = container_of(timer, struct peers, kick_timer);
    struct list kicks;

    list_move(&peers->kicks, &kicks);
    while (!list_is_empty(&kicks)) {
        struct peer_request *request = container_of(kicks.next, struct peer_request, kick);

        list_remove(&request->kick);
        if (request->canceled || request->failed_idle) {
            peers_finish(request, CURLE_OPERATION_TIMEDOUT);
        } else if (!request->started) {
            request_start(request);
        } else {
            request_unpause(request);
        }
    }
    peers_collect(peers);
}

static void kick(struct peer_request *request)
{
    struct peers *peers = request->peers;

    if (!list_is_empty(&request->kick) || peers->is_closing) {
        return;
    }
    list_append(&peers->kicks, &request->kick);
    if (!uv_is_active((uv_handle_t *)&peers->kick_timer)) {
        uv_timer_start(&peers->kick_timer, kick_cb, 0, 0);
    }
}

void peer_request_start(struct peers *peers, struct peer_request *request)
{
    PRE(request->peers == NULL);
    request->peers = peers;
    if (list_is_empty(&peers->requests) && !peers->is_closing) {
        uv_timer_start(&peers->tick_timer, tick_cb, PEER_TICK_MS, PEER_TICK_MS);
    }
    list_append(&peers->requests, &request->link);
    kick(request);
}

/* --- while it runs --------------------------------------------------------------------------- */

void peer_write(struct peer_request *request, struct bytes piece)
{
    PRE(request->has_stream);
    PRE(!request->ended);
    if (request->queue_taken > 0 && request->queue_taken >= request->queue.size / 2) {
        buffer_skip(&request->queue, request->queue_taken);
        request->queue_taken = 0;
    }
    buffer_append(&request->queue, piece);
    if (buffer_status(&request->queue) != OK) {
        request->error = fail(&request->why, ERROR_TOO_LARGE, "too much waits for a peer");
        request->failed_idle = true;
    }
    kick(request);
}

size_t peer_queued(const struct peer_request *request)
{
    return (request->has_stream ? request->queue.size : request->fixed.size) - request->queue_taken;
}

void peer_end(struct peer_request *request)
{
    PRE(request->has_stream);
    request->ended = true;
    kick(request);
}

void peer_pause(struct peer_request *request)
{
    request->paused = true;
}

void peer_resume(struct peer_request *request)
{
    request->paused = false;
    kick(request);
}

void peer_cancel(struct peer_request *request)
{
    PRE(request->peers != NULL);
    request->canceled = true;
    kick(request);
}

unsigned peer_status(const struct peer_request *request)
{
    long status = 0;

    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

int64_t peer_content_length(const struct peer_request *request)
{
    curl_off_t length = -1;

    curl_easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return (int64_t)length;
}

const char *peer_answer_header(const struct peer_request *request, const char *name)
{
    struct curl_header *header;

    return curl_easy_header(request->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : "";
}
