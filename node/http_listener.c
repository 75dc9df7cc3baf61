#include "node/http_private.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>

/* One port of one worker. Closing: no more connections; those that wait for a request go at once,
 * the others when their exchange is done or at the deadline. */

#define CONNECTIONS_MAX 10000
#define HEADER_MS       15000
#define IDLE_MS         75000
#define BODY_MS         60000
#define WRITE_MS        60000
#define SWEEP_MS_MIN    20
#define SWEEP_MS_MAX    1000
#define TELL_MS         10000
#define BACKLOG         1024

static void defaults(struct http_listener_options *options)
{
    options->connections_max = options->connections_max == 0 ? CONNECTIONS_MAX
                                                             : options->connections_max;
    options->header_ms = options->header_ms == 0 ? HEADER_MS : options->header_ms;
    options->idle_ms = options->idle_ms == 0 ? IDLE_MS : options->idle_ms;
    options->body_ms = options->body_ms == 0 ? BODY_MS : options->body_ms;
    options->write_ms = options->write_ms == 0 ? WRITE_MS : options->write_ms;
}

static uint64_t sweep_ms(const struct http_listener_options *options)
{
    uint64_t least = options->header_ms;

    least = options->idle_ms < least ? options->idle_ms : least;
    least = options->body_ms < least ? options->body_ms : least;
    least = (options->write_ms < least ? options->write_ms : least) / 4;
    return least < SWEEP_MS_MIN ? SWEEP_MS_MIN : least > SWEEP_MS_MAX ? SWEEP_MS_MAX : least;
}

static void connection_cb(uv_stream_t *server, int status)
{
    struct http_listener *listener = server->data;

    if (status < 0) {
        LOG_WARN("http: accept: %s", uv_strerror(status));
        return;
    }
    connection_open(listener);
}

static void idle_cb(uv_idle_t *idle)
{
    struct http_listener *listener = idle->data;
    struct list ready;

    CHECK(uv_idle_stop(idle) == 0);
    list_move(&listener->ready, &ready);
    while (!list_is_empty(&ready)) {
        struct connection *connection = container_of(ready.next, struct connection, ready);

        list_remove(&connection->ready);
        connection_advance(connection);
    }
}

void listener_wake(struct http_listener *listener)
{
    CHECK(uv_idle_start(&listener->idle, idle_cb) == 0);
}

void listener_tell(struct http_listener *listener, const char *came, const char *speaks,
                   const struct stream *stream)
{
    uint64_t now = uv_now(listener->loop);
    char address[64];

    if (listener->told_ms != 0 && now - listener->told_ms < TELL_MS) {
        return;
    }
    listener->told_ms = now;
    stream_peer_address(stream, address);
    LOG_WARN("http: %s came with %s to %s, which speaks %s: refused", address, came,
             listener->options.address, speaks);
}

static void handle_closed_cb(uv_handle_t *handle)
{
    struct http_listener *listener = handle->data;

    PRE(listener->open_handles > 0);
    if (--listener->open_handles == 0) {
        listener->closed_cb(listener->closed_data);
        free(listener);
    }
}

/* The last handles go when the last connection is gone. */
static void close_when_empty(struct http_listener *listener)
{
    if (listener->is_closing && listener->n_connections == 0 &&
        !uv_is_closing((uv_handle_t *)&listener->sweep)) {
        uv_close((uv_handle_t *)&listener->sweep, handle_closed_cb);
        uv_close((uv_handle_t *)&listener->idle, handle_closed_cb);
    }
}

void listener_forget(struct connection *connection)
{
    struct http_listener *listener = connection->listener;

    list_remove(&connection->link);
    list_remove(&connection->ready);
    listener->n_connections--;
    if (listener->n_open <= listener->options.connections_max / 2) {
        listener->is_full = false;
    }
    close_when_empty(listener);
}

static void sweep_cb(uv_timer_t *timer)
{
    struct http_listener *listener = timer->data;
    uint64_t now = uv_now(listener->loop);

    LIST_FOR_EACH (item, &listener->connections) {
        struct connection *connection = container_of(item, struct connection, link);

        if (listener->is_closing && now >= listener->drain_deadline_ms) {
            if (connection->state != CONNECTION_CLOSED) {
                connection_close(connection);
            }
        } else {
            connection_sweep(connection, now);
        }
    }
}

enum error http_listener_open(const struct http_listener_options *options,
                              struct http_listener **out, struct reason *why)
{
    struct http_listener *listener;
    uint64_t period;
    enum error rv;

    PRE(router_is_sound(options->routes));
    *out = NULL;
    listener = memory_zero(sizeof *listener);
    listener->options = *options;
    listener->loop = &options->worker->loop;
    defaults(&listener->options);
    list_init(&listener->connections);
    list_init(&listener->ready);
    rv = stream_listen(&listener->tcp, listener->loop, options->address, true, BACKLOG,
                       connection_cb, why);
    if (rv != OK) {
        free(listener);
        return rv;
    }
    listener->tcp.data = listener;
    listener->open_handles = 3;
    CHECK(uv_timer_init(listener->loop, &listener->sweep) == 0);
    CHECK(uv_idle_init(listener->loop, &listener->idle) == 0);
    listener->sweep.data = listener->idle.data = listener;
    period = sweep_ms(&listener->options);
    CHECK(uv_timer_start(&listener->sweep, sweep_cb, period, period) == 0);
    *out = listener;
    return OK;
}

void http_listener_address(const struct http_listener *listener, char text[64])
{
    struct sockaddr_storage address;
    char host[46] = "";
    int size = sizeof address;
    unsigned port = 0;

    CHECK(uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address, &size) == 0);
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;

        CHECK(uv_ip6_name(in6, host, sizeof host) == 0);
        port = ntohs(in6->sin6_port);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;

        CHECK(uv_ip4_name(in, host, sizeof host) == 0);
        port = ntohs(in->sin_port);
    }
    snprintf(text, 64, address.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

void http_listener_close(struct http_listener *listener, uint64_t drain_ms,
                         void (*closed_cb)(void *data), void *data)
{
    PRE(!listener->is_closing);
    listener->is_closing = true;
    listener->drain_deadline_ms = uv_now(listener->loop) + drain_ms;
    listener->closed_cb = closed_cb;
    listener->closed_data = data;
    uv_close((uv_handle_t *)&listener->tcp, handle_closed_cb);
    LIST_FOR_EACH (item, &listener->connections) {
        connection_kick(container_of(item, struct connection, link));
    }
    close_when_empty(listener);
}
