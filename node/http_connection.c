#include "node/http_private.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>

/* One client connection: reads a head, lets the exchange run, reads the next. All progress happens
 * in connection_step(), called until it has nothing left to do; handlers only set flags and kick.
 * It fails by answering with Connection: close and lingering, or, when the client is gone or
 * stalls, by closing: the exchange is then detached and ends when its handler lets go. */

#define INPUT_MAX   (4u * 1024 * 1024) /* One read, at most, past what is left over. */
#define SLOW_BYTES  4096               /* Less than this in one sweep is slow... */
#define SLOW_SWEEPS 2   /* ...and so often in a row, dispensable when the port is full. */
#define LOOK_MAX    256 /* Connections that one newcomer has looked at. */

static uint64_t now_ms(const struct connection *c)
{
    return uv_now(c->listener->loop);
}

void connection_write(struct connection *connection, struct bytes bytes)
{
    connection->written += bytes.size;
    stream_write(&connection->stream, bytes);
}

enum error connection_send_file(struct connection *connection, int fd, uint64_t offset, size_t size,
                                size_t *taken, struct reason *why)
{
    enum error rv = stream_send_file(&connection->stream, fd, offset, size, taken, why);

    connection->written += *taken;
    return rv;
}

static void set_closed(struct connection *c)
{
    if (c->state != CONNECTION_CLOSED) {
        c->state = CONNECTION_CLOSED;
        c->listener->n_open--;
    }
}

void connection_close(struct connection *connection)
{
    set_closed(connection);
    connection->deadline_ms = 0;
    stream_close(&connection->stream);
}

static void close_when_flushed(struct connection *c)
{
    if (c->state == CONNECTION_LINGER && c->has_ended && stream_queued(&c->stream) == 0) {
        connection_close(c);
    }
}

void connection_linger(struct connection *connection)
{
    PRE(connection->exchange == NULL);
    connection->state = CONNECTION_LINGER;
    connection->deadline_ms = now_ms(connection) + LINGER_MS;
    stream_shutdown(&connection->stream);
    close_when_flushed(connection);
}

static void drop_exchange(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    c->exchange = NULL;
    if (exchange != NULL) {
        exchange_detach(exchange);
    }
}

/* --- reading a head ----------------------------------------------------------------------------
 */

static void refuse(struct connection *c, unsigned status, const char *code, const char *text)
{
    response_refuse(c, status, code, text);
    drop_exchange(c);
    connection_linger(c);
}

static void begin_exchange(struct connection *c, size_t head_size)
{
    struct exchange *exchange = exchange_create(c);
    struct reason why;
    unsigned status;

    c->exchange = exchange;
    if (http_message_open(&exchange->message, bytes_slice(c->view, 0, head_size), &status, &why) !=
        OK) {
        refuse(c, status, "UNSUPPORTED", why.text);
        return;
    }
    c->view = bytes_slice(c->view, head_size, c->view.size);
    c->state = CONNECTION_EXCHANGE;
    c->deadline_ms = 0;
    c->is_cut = false;
    exchange_dispatch(exchange);
}

static bool wait_for_head(struct connection *c, bool has_begun)
{
    const struct http_listener_options *options = &c->listener->options;

    if (c->has_ended) {
        if (has_begun) {
            refuse(c, 400, "UNSUPPORTED", "the request ended inside its header");
        } else {
            connection_linger(c);
        }
    } else if (c->deadline_ms == 0 && has_begun) {
        c->deadline_ms = now_ms(c) + options->header_ms;
    }
    return false;
}

static bool step_head(struct connection *c)
{
    struct reason why;
    unsigned status;
    size_t size;

    if (c->listener->is_closing) {
        connection_linger(c);
        return true;
    }
    if (stream_queued(&c->stream) > QUEUE_LOW) {
        return false;
    }
    if (bytes_starts_with(c->view, BYTES_LITERAL("\r\n"))) { /* RFC 9112, 2.2. */
        c->view = bytes_slice(c->view, 2, c->view.size);
    }
    if (c->view.size == 0) {
        return wait_for_head(c, c->has_begun);
    }
    if (!c->has_begun) { /* From idle to reading. */
        c->has_begun = true;
        c->deadline_ms = 0;
    }
    if (c->view.data[0] == 0x16 && (c->view.size < 2 || c->view.data[1] == 0x03)) {
        listener_tell(c->listener, "TLS", "plain HTTP", &c->stream);
        refuse(c, 400, "UNSUPPORTED", "this port speaks plain HTTP, not TLS");
        return true;
    }
    if (http_message_find_head(c->view, &size, &status, &why) != OK) {
        refuse(c, status, "UNSUPPORTED", why.text);
        return true;
    }
    if (size == 0) {
        return wait_for_head(c, true);
    }
    begin_exchange(c, size);
    return true;
}

/* --- the exchange ------------------------------------------------------------------------------
 */

static void next_request(struct connection *c)
{
    c->state = CONNECTION_HEAD;
    c->has_begun = false;
    c->deadline_ms = now_ms(c) + c->listener->options.idle_ms;
}

/* The response is complete. */
static bool finish(struct connection *c)
{
    const struct exchange *exchange = c->exchange;

    response_log(exchange);
    if (exchange->must_close || c->is_cut) {
        drop_exchange(c);
        connection_linger(c);
    } else if (!exchange->message.is_complete) {
        c->state = CONNECTION_DRAIN;
        c->dropped = 0;
        c->deadline_ms = now_ms(c) + DRAIN_MS;
    } else {
        drop_exchange(c);
        next_request(c);
    }
    return true;
}

/* The body will not be complete: tell the sink, and the client unless the handler does. */
static void cut_body(struct connection *c, unsigned status, const char *text)
{
    struct exchange *exchange = c->exchange;
    bool tell = exchange->body_state == BODY_STREAM;

    c->is_cut = true;
    c->deadline_ms = now_ms(c) + LINGER_MS;
    c->view = BYTES_NONE;
    exchange->must_close = true;
    exchange->body_state = BODY_FINISHED;
    exchange_hold(exchange);
    if (tell) {
        exchange->sink.end(exchange, ERROR_PEER);
    }
    if (!exchange->is_started && exchange->references <= 2) { /* Ours, and the connection's. */
        exchange_fail_as(exchange, status, "SIZE_INVALID", NULL, "%s", text);
    }
    exchange_release(exchange);
}

static bool step_body(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    struct bytes piece;
    struct reason why;
    size_t consumed;

    if (exchange->message.is_complete) {
        exchange_take_end(exchange);
        return true;
    }
    if (c->view.size == 0) {
        if (c->has_ended) {
            cut_body(c, 400, "the request's body ended early");
            return true;
        }
        if (c->deadline_ms == 0) {
            c->deadline_ms = now_ms(c) + c->listener->options.body_ms;
        }
        return false;
    }
    if (http_message_body(&exchange->message, c->view, &consumed, &piece, &why) != OK) {
        cut_body(c, 400, why.text);
        return true;
    }
    if (exchange->body_state == BODY_STREAM) { /* One that is collected has a time for all of it. */
        c->deadline_ms = 0;
    }
    c->view = bytes_slice(c->view, consumed, c->view.size);
    if (piece.size > 0) {
        exchange_take_piece(exchange, piece);
    }
    return true;
}

static bool step_exchange(struct connection *c)
{
    struct exchange *exchange = c->exchange;

    if (exchange->drained_cb != NULL && stream_queued(&c->stream) == 0) {
        void (*drained_cb)(struct exchange *) = exchange->drained_cb;

        exchange->drained_cb = NULL;
        drained_cb(exchange);
        return true;
    }
    if (exchange->is_ended) {
        return finish(c);
    }
    if (exchange_wants_body(exchange)) {
        return step_body(c);
    }
    if (!c->is_cut) {
        c->deadline_ms = 0;
    }
    return false;
}

static bool step_drain(struct connection *c)
{
    struct bytes piece;
    size_t consumed;

    if (c->exchange->message.is_complete) {
        drop_exchange(c);
        next_request(c);
        return true;
    }
    if (c->view.size == 0 && !c->has_ended) {
        return false;
    }
    if (c->has_ended || c->dropped > DRAIN_MAX ||
        http_message_body(&c->exchange->message, c->view, &consumed, &piece, NULL) != OK) {
        drop_exchange(c);
        connection_linger(c);
        return true;
    }
    c->dropped += consumed;
    c->view = bytes_slice(c->view, consumed, c->view.size);
    return true;
}

/* One step; false when nothing can be done before something happens. */
static bool connection_step(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_HEAD:
        return step_head(c);
    case CONNECTION_EXCHANGE:
        return step_exchange(c);
    case CONNECTION_DRAIN:
        return step_drain(c);
    case CONNECTION_LINGER:
    case CONNECTION_CLOSED:
        c->view = BYTES_NONE;
        return false;
    }
    IMPOSSIBLE("a connection in no state");
}

/* Bytes that wait for a handler or for room in the queue stop the reading: back-pressure. */
static void settle(struct connection *c)
{
    bool stuck = c->input.size > 0 &&
                 (c->state == CONNECTION_EXCHANGE ||
                  (c->state == CONNECTION_HEAD && stream_queued(&c->stream) > QUEUE_LOW));

    if (c->state == CONNECTION_CLOSED || stuck == c->is_paused) {
        return;
    }
    c->is_paused = stuck;
    if (stuck) {
        stream_pause(&c->stream);
    } else {
        stream_resume(&c->stream);
    }
}

static void run(struct connection *c, struct bytes view, bool is_borrowed)
{
    PRE(!c->advancing);
    c->view = view;
    c->advancing = true;
    while (connection_step(c)) {
    }
    c->advancing = false;
    if (is_borrowed) {
        buffer_append(&c->input, c->view);
    } else {
        buffer_skip(&c->input, c->input.size - c->view.size);
    }
    c->view = BYTES_NONE;
    settle(c);
}

void connection_advance(struct connection *connection)
{
    run(connection, buffer_view(&connection->input), false);
}

void connection_kick(struct connection *connection)
{
    struct http_listener *listener = connection->listener;

    if (!connection->advancing && list_is_empty(&connection->ready)) {
        list_append(&listener->ready, &connection->ready);
        listener_wake(listener);
    }
}

/* --- events of the stream ----------------------------------------------------------------------
 */

static void ready_cb(struct stream *stream)
{
    struct connection *c = stream->data;

    c->deadline_ms = now_ms(c) + c->listener->options.header_ms;
}

static void received_cb(struct stream *stream, struct bytes bytes)
{
    struct connection *c = stream->data;

    c->received += bytes.size;
    if (c->input.size == 0) {
        run(c, bytes, true);
        return;
    }
    buffer_append(&c->input, bytes);
    if (buffer_status(&c->input) != OK) { /* Only a stream that ignores the pause. */
        connection_close(c);
        return;
    }
    connection_advance(c);
}

static void ended_cb(struct stream *stream)
{
    struct connection *c = stream->data;

    c->has_ended = true;
    connection_advance(c);
    close_when_flushed(c);
}

static void drained_cb(struct stream *stream)
{
    struct connection *c = stream->data;

    connection_advance(c);
    close_when_flushed(c);
}

static struct bytes not_tls_cb(struct stream *stream)
{
    static const char answer[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 129\r\n"
        "Docker-Distribution-API-Version: registry/2.0\r\nConnection: close\r\n\r\n"
        "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"a plain HTTP request was sent to a "
        "port that speaks TLS: use https://\",\"detail\":{}}]}";
    struct connection *c = stream->data;

    listener_tell(c->listener, "plain HTTP", "TLS", stream);
    return c->listener->options.is_internal ? BYTES_NONE : BYTES_LITERAL(answer);
}

static void closed_cb(struct stream *stream, enum error why, const char *text)
{
    struct connection *c = stream->data;

    if (why != OK) {
        LOG_DEBUG("http: a connection ended: %s", text);
    }
    set_closed(c);
    drop_exchange(c);
    listener_forget(c);
    buffer_release(&c->input);
    free(c);
}

static const struct stream_events events = {
    .ready = ready_cb,
    .received = received_cb,
    .ended = ended_cb,
    .not_tls = not_tls_cb,
    .drained = drained_cb,
    .closed = closed_cb,
};

/* Answered as far as it can be without waiting, and closed. */
static void shed(struct connection *c)
{
    bool is_owed = c->state == CONNECTION_HEAD
                       ? c->has_begun
                       : c->state == CONNECTION_EXCHANGE && !c->exchange->is_started;

    if (is_owed) {
        response_refuse(c, 429, "TOOMANYREQUESTS",
                        "this node has too many connections, and this one is slow; try again");
    }
    connection_close(c);
}

/* One that has asked for nothing yet, or has its answer; or one whose client has hardly taken or
 * sent anything for a while. Never a node's. */
static bool is_dispensable(const struct connection *c)
{
    return c->state != CONNECTION_CLOSED && stream_peer_node(&c->stream) == 0 &&
           (c->state != CONNECTION_EXCHANGE || c->slow_sweeps >= SLOW_SWEEPS);
}

/* The port is full: one that only waits goes, so that whoever holds connections open without using
 * them keeps nobody out. Those that were looked at go to the end of the list, so that a full port
 * costs little per newcomer. */
static void make_room(struct http_listener *listener)
{
    size_t i, n = listener->n_connections;

    if (!listener->is_full) {
        LOG_WARN("http: over %zu connections: those that wait are closed for new ones",
                 listener->options.connections_max);
    }
    listener->is_full = true;
    for (i = 0; i < n && i < LOOK_MAX; i++) {
        struct connection *c = container_of(listener->connections.next, struct connection, link);

        if (is_dispensable(c)) {
            shed(c);
            return;
        }
        list_remove(&c->link);
        list_append(&listener->connections, &c->link);
    }
}

void connection_open(struct http_listener *listener)
{
    struct connection *c = memory_zero(sizeof *c);
    enum error rv;

    c->listener = listener;
    c->stream.data = c;
    list_init(&c->link);
    list_init(&c->ready);
    buffer_init(&c->input, INPUT_MAX);
    rv = stream_accept(&c->stream, listener->loop, (uv_stream_t *)&listener->tcp,
                       listener->options.tls, TLS_HANDSHAKE_MS, &events);
    if (rv != OK) {
        LOG_WARN("http: a connection was not accepted: %s", error_text(rv));
        buffer_release(&c->input);
        free(c);
        return;
    }
    if (listener->n_open >= listener->options.connections_max) {
        make_room(listener);
    }
    list_append(&listener->connections, &c->link);
    listener->n_connections++;
    listener->n_open++;
    if (listener->n_open > listener->options.connections_max) {
        connection_close(c); /* All are busy: the new one has to come again. */
    }
}

/* --- deadlines ---------------------------------------------------------------------------------
 */

static void deadline_passed(struct connection *c)
{
    c->deadline_ms = 0;
    switch (c->state) {
    case CONNECTION_HEAD:
        if (c->has_begun) {
            refuse(c, 408, "UNSUPPORTED", "the request's header took too long");
        } else {
            connection_linger(c);
        }
        break;
    case CONNECTION_EXCHANGE:
        if (c->is_cut) {
            connection_close(c);
        } else {
            cut_body(c, 408, "the request's body took too long");
        }
        break;
    case CONNECTION_DRAIN:
        drop_exchange(c);
        connection_linger(c);
        break;
    case CONNECTION_LINGER:
        connection_close(c);
        break;
    case CONNECTION_CLOSED:
        break;
    }
    if (c->state != CONNECTION_CLOSED) {
        connection_advance(c);
    }
}

/* Does it wait for its client, and has that moved little since the last sweep? */
static void count_slowness(struct connection *c, size_t queued)
{
    uint64_t moved = c->written - queued + c->received;
    bool waits = queued > 0 || (c->exchange != NULL && exchange_wants_body(c->exchange));

    if (waits && moved - c->moved < SLOW_BYTES) {
        c->slow_sweeps += c->slow_sweeps < SLOW_SWEEPS;
    } else {
        c->slow_sweeps = 0;
    }
    c->moved = moved;
}

void connection_sweep(struct connection *connection, uint64_t now)
{
    size_t queued = stream_queued(&connection->stream);
    uint64_t flushed = connection->written - queued;

    count_slowness(connection, queued);
    if (queued == 0) {
        connection->write_deadline_ms = 0;
    } else if (connection->write_deadline_ms == 0 || flushed != connection->flushed) {
        connection->write_deadline_ms = now + connection->listener->options.write_ms;
    } else if (now >= connection->write_deadline_ms && connection->state != CONNECTION_CLOSED) {
        connection_close(connection);
        return;
    }
    connection->flushed = flushed;
    if (connection->deadline_ms != 0 && now >= connection->deadline_ms) {
        deadline_passed(connection);
    }
}
