/* One connection: connect or accept, handshake, open, closing, closed.
 *
 *     CONNECTING --connected--> HANDSHAKE --established--> OPEN --close, error--> CLOSING -->
 * CLOSED
 *
 * Everything that the network or the other side does wrong ends in stream_fail(), which keeps the
 * first reason and closes; the closed event comes from the loop when both handles are gone. */
#include "base/stream_private.h"

#include "base/assert.h"
#include "base/memory.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READ_SIZE         65536
#define USER_TIMEOUT_MS   10000
#define KEEPALIVE_SECONDS 10
#define REFUSE_MS         2000

#define TLS_RECORD_HANDSHAKE 0x16

static void on_readable(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf);
static void on_timer(uv_timer_t *timer);
static void become_open(struct stream *stream);

static struct stream *stream_of_tcp(void *tcp)
{
    return container_of(tcp, struct stream, tcp);
}

/* --- closing --------------------------------------------------------------------------------- */

static void on_handle_closed(struct stream *stream)
{
    CHECK(stream->open_handles > 0);
    if (--stream->open_handles > 0) {
        return;
    }
    tls_session_close(stream->tls);
    stream->tls = NULL;
    buffer_release(&stream->held);
    stream->state = STREAM_CLOSED;
    stream->events->closed(stream, stream->error, stream->error_text);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    on_handle_closed(stream_of_tcp(handle));
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(container_of(handle, struct stream, timer));
}

static void close_handles(struct stream *stream)
{
    CHECK(!stream_is_over(stream));
    stream->state = STREAM_CLOSING;
    uv_close((uv_handle_t *)&stream->tcp, on_tcp_closed);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}

void stream_fail(struct stream *stream, enum error error, const char *text)
{
    PRE(error != OK);
    if (stream_is_over(stream)) {
        return;
    }
    stream->error = error;
    snprintf(stream->error_text, sizeof stream->error_text, "%.*s",
             (int)sizeof stream->error_text - 1, text);
    close_handles(stream);
}

void stream_fail_uv(struct stream *stream, int rv, const char *what)
{
    struct reason why;
    enum error error = fail_errno(&why, rv, "%s", what);

    stream_fail(stream, error, why.text);
}

/* Tell the other side of a TLS connection that this is the end, if that can be said at once. */
static void say_goodbye(struct stream *stream)
{
    struct buffer out;

    if (stream->tls == NULL || stream->state != STREAM_OPEN || stream->shutting_down ||
        stream->queued > 0) {
        return;
    }
    buffer_init(&out, STREAM_STEP_MAX);
    tls_session_finish(stream->tls, &out);
    if (out.size > 0) {
        uv_buf_t buf = uv_buf_init((char *)out.data, (unsigned)out.size);

        (void)uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
    }
    buffer_release(&out);
}

void stream_close(struct stream *stream)
{
    if (!stream_is_over(stream)) {
        say_goodbye(stream);
        close_handles(stream);
    }
}

/* --- reading --------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(memory_alloc(READ_SIZE), READ_SIZE);
}

static void start_reading(struct stream *stream)
{
    int rv = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_readable);

    if (rv != 0 && rv != UV_EALREADY) {
        stream_fail_uv(stream, rv, "cannot read");
    }
}

/* Hand over what was decrypted, and that it was the last, unless the owner paused. */
static void deliver(struct stream *stream)
{
    if (stream->state == STREAM_OPEN && !stream->paused && stream->held.size > 0) {
        struct buffer plain = stream->held;

        buffer_init(&stream->held, STREAM_STEP_MAX);
        stream->events->received(stream, buffer_view(&plain));
        buffer_release(&plain);
    }
    if (stream->state == STREAM_OPEN && !stream->paused && stream->ended && !stream->ended_told) {
        stream->ended_told = true;
        stream->events->ended(stream);
    }
    if (stream->state == STREAM_OPEN && (stream->paused || stream->ended)) {
        (void)uv_read_stop((uv_stream_t *)&stream->tcp);
    }
}

static bool is_expected(struct stream *stream)
{
    uint64_t node = tls_session_peer_node(stream->tls);
    struct reason why;

    if (stream->expect == 0 || node == stream->expect) {
        return true;
    }
    stream_fail(stream,
                fail(&why, ERROR_FOREIGN, "the certificate is that of node %016llx, not of %016llx",
                     (unsigned long long)node, (unsigned long long)stream->expect),
                why.text);
    return false;
}

/* One turn of TLS: what came in, what must go out, what was decrypted. */
static void step_tls(struct stream *stream, struct bytes in)
{
    bool established = false;
    struct buffer out;
    struct reason why;
    enum error error;

    buffer_init(&out, STREAM_STEP_MAX);
    error =
        tls_session_step(stream->tls, in, &out, &stream->held, &established, &stream->ended, &why);
    stream_write_raw(stream, buffer_view(&out));
    buffer_release(&out);
    if (error != OK) {
        stream_fail(stream, error, why.text);
        return;
    }
    if (established && stream->state == STREAM_HANDSHAKE && is_expected(stream)) {
        become_open(stream);
    }
    deliver(stream);
}

/* Does a TLS client begin like this? Asked once, of the first bytes. */
static bool is_stranger(struct stream *stream, struct bytes bytes)
{
    bool is_first = stream->state == STREAM_HANDSHAKE && !stream->is_greeted;

    stream->is_greeted = true;
    return is_first && !stream->connected_by_us && stream->events->not_tls != NULL &&
           bytes.data[0] != TLS_RECORD_HANDSHAKE;
}

/* Answer in its own words and end, without a reset that would eat the answer. */
static void refuse_stranger(struct stream *stream)
{
    tls_session_close(stream->tls);
    stream->tls = NULL;
    stream->refused = true;
    stream->state = STREAM_OPEN;
    (void)uv_timer_start(&stream->timer, on_timer, REFUSE_MS, 0);
    stream_write_raw(stream, stream->events->not_tls(stream));
    stream_shutdown(stream);
}

static void take(struct stream *stream, struct bytes bytes)
{
    if (stream->refused) {
        return;
    }
    if (stream->tls != NULL && is_stranger(stream, bytes)) {
        refuse_stranger(stream);
    } else if (stream->tls != NULL) {
        step_tls(stream, bytes);
    } else {
        stream->events->received(stream, bytes);
    }
}

static void end_refused(struct stream *stream)
{
    stream_fail(stream, ERROR_INVALID, "plain bytes came where TLS is spoken");
}

static void take_end(struct stream *stream)
{
    if (stream->refused) {
        end_refused(stream);
    }
    if (stream->ended || stream->refused) {
        return;
    }
    if (stream->tls != NULL) {
        stream_fail(stream, ERROR_PEER,
                    stream->state == STREAM_HANDSHAKE
                        ? "the other side hung up during the TLS handshake"
                        : "the connection was cut: it ended without a TLS goodbye");
        return;
    }
    stream->ended = true;
    deliver(stream);
}

static void on_readable(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
    struct stream *stream = stream_of_tcp(tcp);

    if (stream_is_over(stream)) {
        n = 0;
    }
    if (n > 0) {
        take(stream, bytes_of(buf->base, (size_t)n));
    } else if (n == UV_EOF) {
        take_end(stream);
    } else if (n < 0) {
        stream_fail_uv(stream, (int)n, "cannot read");
    }
    free(buf->base);
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->state == STREAM_OPEN) {
        (void)uv_read_stop((uv_stream_t *)&stream->tcp);
    }
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused) {
        return;
    }
    stream->paused = false;
    if (stream->state != STREAM_OPEN) {
        return;
    }
    if (stream->held.size > 0 || stream->ended) {
        (void)uv_timer_start(&stream->timer, on_timer, 0, 0);
    } else {
        start_reading(stream);
    }
}

/* --- opening --------------------------------------------------------------------------------- */

static void become_open(struct stream *stream)
{
    CHECK(stream->state == STREAM_HANDSHAKE);
    stream->state = STREAM_OPEN;
    (void)uv_timer_stop(&stream->timer);
    stream->events->ready(stream);
}

/* Before open: time is up, or (plain) it is time to say ready. Open: a resumed stream held
 * something back. */
static void on_timer(uv_timer_t *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    struct reason why;

    if (stream->refused) {
        end_refused(stream);
    } else if (stream->state == STREAM_HANDSHAKE && stream->tls == NULL) {
        become_open(stream);
    } else if (stream->state == STREAM_CONNECTING || stream->state == STREAM_HANDSHAKE) {
        stream_fail(stream,
                    fail(&why, ERROR_TIMEOUT, "no %s within %llu ms",
                         stream->state == STREAM_CONNECTING ? "connection" : "TLS handshake",
                         (unsigned long long)stream->limit_ms),
                    why.text);
    } else {
        deliver(stream);
    }
    if (stream->state == STREAM_OPEN && !stream->paused && !stream->ended) {
        start_reading(stream);
    }
}

static void stream_init(struct stream *stream, uv_loop_t *loop, struct tls_context *tls,
                        bool connected_by_us, const struct stream_events *events)
{
    void *data = stream->data;
    int rv;

    memset(stream, 0, sizeof *stream);
    stream->data = data;
    stream->events = events;
    stream->connected_by_us = connected_by_us;
    buffer_init(&stream->held, STREAM_STEP_MAX);
    if (tls != NULL) {
        stream->tls = tls_session_open(tls, !connected_by_us);
    }
    rv = uv_tcp_init(loop, &stream->tcp);
    CHECK(rv == 0);
    rv = uv_timer_init(loop, &stream->timer);
    CHECK(rv == 0);
    stream->open_handles = 2;
}

/* The TCP connection stands: handshake, or ready from the loop. */
static void begin_handshake(struct stream *stream)
{
    (void)uv_tcp_nodelay(&stream->tcp, 1);
    stream->state = STREAM_HANDSHAKE;
    if (stream->tls != NULL) {
        start_reading(stream);
        if (stream->connected_by_us && !stream_is_over(stream)) {
            step_tls(stream, BYTES_NONE);
        }
    } else {
        (void)uv_timer_start(&stream->timer, on_timer, 0, 0);
    }
}

static void remember_peer(struct stream *stream)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";

    if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&address, &size) != 0) {
        snprintf(stream->address, sizeof stream->address, "(gone)");
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;

        (void)uv_ip6_name(v6, host, sizeof host);
        snprintf(stream->address, sizeof stream->address, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;

        (void)uv_ip4_name(v4, host, sizeof host);
        snprintf(stream->address, sizeof stream->address, "%s:%u", host, ntohs(v4->sin_port));
    }
}

enum error stream_accept(struct stream *stream, uv_loop_t *loop, uv_stream_t *listener,
                         struct tls_context *tls, uint64_t handshake_ms,
                         const struct stream_events *events)
{
    int rv;

    stream_init(stream, loop, tls, false, events);
    stream->limit_ms = handshake_ms;
    (void)uv_timer_start(&stream->timer, on_timer, handshake_ms, 0);
    rv = uv_accept(listener, (uv_stream_t *)&stream->tcp);
    if (rv != 0) {
        stream_fail_uv(stream, rv, "cannot accept a connection");
        return OK;
    }
    remember_peer(stream);
    begin_handshake(stream);
    return OK;
}

/* A peer that vanished without a word is noticed within about ten seconds. */
static void set_patience(struct stream *stream)
{
    unsigned user_timeout_ms = USER_TIMEOUT_MS;
    uv_os_fd_t fd;

    (void)uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_SECONDS);
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
                         sizeof user_timeout_ms);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *stream = container_of(request, struct stream, connect);

    if (stream_is_over(stream)) {
        return;
    }
    if (status != 0) {
        stream_fail_uv(stream, status, "cannot connect");
        return;
    }
    set_patience(stream);
    begin_handshake(stream);
}

enum error stream_connect(struct stream *stream, uv_loop_t *loop, const char *address,
                          struct tls_context *tls, uint64_t expect, uint64_t connect_ms,
                          const struct stream_events *events)
{
    struct sockaddr_storage parsed;
    enum error error = address_parse(address, &parsed, NULL);
    int rv;

    PRE(expect == 0 || tls != NULL);
    if (error != OK) {
        return error;
    }
    stream_init(stream, loop, tls, true, events);
    snprintf(stream->address, sizeof stream->address, "%s", address);
    stream->expect = expect;
    stream->limit_ms = connect_ms;
    (void)uv_timer_start(&stream->timer, on_timer, connect_ms, 0);
    rv = uv_tcp_connect(&stream->connect, &stream->tcp, (const struct sockaddr *)&parsed,
                        on_connected);
    if (rv != 0) {
        stream_fail_uv(stream, rv, "cannot connect");
    }
    return OK;
}

void stream_peer_address(const struct stream *stream, char text[64])
{
    memcpy(text, stream->address, sizeof stream->address);
}

uint64_t stream_peer_node(const struct stream *stream)
{
    return stream->tls != NULL ? tls_session_peer_node(stream->tls) : 0;
}
