/* The peers: who is reached where, links that are opened again, and what their frames mean. A peer
 * that sends garbage, a stranger and a dead network all end in a link that is closed with a line in
 * the log; Raft sees lost messages and nothing else. */
#include "raft/transport.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/transport_state.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS            50
#define PING_MS_DEFAULT    500
#define SILENCE_MS_DEFAULT 3000
#define OPENING_MS         3000 /* What connecting and TLS may take, and a bit. */
#define LISTEN_BACKLOG     128
#define OUT_SIZE_KEPT      (4u * 1024 * 1024)

/* --- links ----------------------------------------------------------------------------------- */

static void accept_next(struct transport *transport)
{
    struct link *link;

    if (transport->closing) {
        return;
    }
    if (transport->pending == TRANSPORT_PENDING_MAX) {
        transport->accept_waits = true; /* The rest waits in the kernel. */
        return;
    }
    transport->accept_waits = false;
    link = link_accept(transport->options.loop, (uv_stream_t *)&transport->listener,
                       transport->options.tls, &transport->self, &transport_link_events, transport);
    list_append(&transport->incoming, &link->item);
    transport->pending++;
    transport->n_links++;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct transport *transport = container_of((uv_tcp_t *)listener, struct transport, listener);

    if (status != 0) {
        LOG_WARN("cannot accept a peer: %s", uv_strerror(status));
        return;
    }
    accept_next(transport);
}

static void pending_is_over(struct transport *transport)
{
    CHECK(transport->pending > 0);
    transport->pending--;
    if (transport->accept_waits) {
        accept_next(transport);
    }
}

static enum error incoming_up(struct transport *transport, struct link *link,
                              const struct hello *hello, struct reason *why)
{
    pending_is_over(transport);
    if (transport_is_forgotten(transport, link->id) ||
        (transport->options.is_retired != NULL &&
         transport->options.is_retired(transport->options.data, link->id))) {
        return fail(why, ERROR_DENIED, "the node was removed from the cluster");
    }
    if (transport_reach(transport, link->id, hello->address) == NULL) {
        return fail(why, ERROR_TOO_LARGE, "there are links to %u nodes already",
                    transport->n_peers);
    }
    LIST_FOR_EACH (item, &transport->incoming) {
        struct link *other = container_of(item, struct link, item);

        if (other != link && other->up && other->id == link->id) {
            link_close(other, ERROR_CANCELED, "the node opened a new one");
        }
    }
    return OK;
}

static enum error on_link_up(struct link *link, const struct hello *hello, struct reason *why)
{
    struct transport *transport = link->data;
    struct peer *peer;

    if (!link->outgoing) {
        return incoming_up(transport, link, hello, why);
    }
    peer = transport_find(transport, link->id);
    if (peer == NULL || peer->link != link) {
        return fail(why, ERROR_CANCELED, "the link is not wanted any more");
    }
    peer->backoff_ms = TRANSPORT_BACKOFF_MS_MIN;
    peer->error[0] = '\0';
    LOG_INFO("link to node %016" PRIx64 " at %s is up", peer->id, peer->address);
    if (transport->options.events.link != NULL) {
        transport->options.events.link(transport->options.data, peer->id, true);
    }
    return OK;
}

/* The peer of an outgoing link, forgotten or not. */
static struct peer *owner_of(struct transport *transport, const struct link *link)
{
    LIST_FOR_EACH (item, &transport->peers) {
        struct peer *peer = container_of(item, struct peer, item);

        if (peer->link == link) {
            return peer;
        }
    }
    IMPOSSIBLE("an outgoing link without a peer");
}

static void outgoing_down(struct transport *transport, struct link *link, const char *text)
{
    struct peer *peer = owner_of(transport, link);

    peer->link = NULL;
    snapshot_send_abort(peer, ERROR_UNAVAILABLE);
    if (!peer->forgotten && !transport->closing) {
        peer_note_error(peer, text);
        peer_retry_later(peer);
    }
    if (link->up && transport->options.events.link != NULL) {
        transport->options.events.link(transport->options.data, peer->id, false);
    }
    snapshot_send_flush(transport);
    if (peer->forgotten || transport->closing) {
        peer_free(transport, peer);
    }
}

static void on_link_down(struct link *link, enum error error, const char *text)
{
    struct transport *transport = link->data;
    char from[64];

    CHECK(transport->n_links > 0);
    transport->n_links--;
    if (link->outgoing) {
        outgoing_down(transport, link, text);
    } else {
        stream_peer_address(&link->stream, from);
        list_remove(&link->item);
        snapshot_receive_abandon(link);
        if (!link->up) {
            pending_is_over(transport);
        }
        if (error != OK && !transport->closing) {
            LOG_WARN("link from %s (node %016" PRIx64 ") is down: %s", from, link->id, text);
        }
    }
    transport_check_closed(transport);
}

const struct link_events transport_link_events = {on_link_up, transport_take_frame, on_link_down};

/* --- sending --------------------------------------------------------------------------------- */

static struct buffer *scratch(struct transport *transport)
{
    if (transport->out.capacity > OUT_SIZE_KEPT) {
        buffer_release(&transport->out);
        buffer_init(&transport->out, FRAME_SIZE_MAX);
    }
    buffer_clear(&transport->out);
    return &transport->out;
}

static size_t bound_of(const struct raft_message *message)
{
    bool bulk = message->type == RAFT_IO_APPEND_ENTRIES && message->append_entries.n_entries > 0;

    return bulk ? TRANSPORT_BULK_MAX : TRANSPORT_SMALL_MAX;
}

bool transport_send(struct transport *transport, const struct raft_message *message)
{
    struct peer *peer = transport_reach(transport, message->server_id, message->server_address);
    unsigned n = message->type == RAFT_IO_APPEND_ENTRIES ? message->append_entries.n_entries : 0;
    unsigned done = 0;

    PRE(message->type != RAFT_IO_INSTALL_SNAPSHOT);
    if (peer == NULL || peer->link == NULL || !peer->link->up) {
        return false;
    }
    do {
        struct buffer *out = scratch(transport);

        if (frame_encode_message(out, message, &done) != OK) {
            LOG_ERROR("a message for node %016" PRIx64 " is too large to send", peer->id);
            return false;
        }
        if (!link_send(peer->link, buffer_view(out), bound_of(message))) {
            return false;
        }
    } while (done < n);
    return true;
}

bool transport_send_frame(struct transport *transport, uint64_t id, unsigned kind,
                          struct bytes body)
{
    struct peer *peer = transport_find(transport, id);
    struct buffer *out;

    PRE(kind >= FRAME_APPLICATION && kind <= FRAME_KIND_LAST);
    if (peer == NULL || peer->link == NULL || !peer->link->up) {
        return false;
    }
    out = scratch(transport);
    return frame_append(out, kind, body) == OK &&
           link_send(peer->link, buffer_view(out), TRANSPORT_BULK_MAX);
}

bool transport_peer(const struct transport *transport, uint64_t id, struct transport_peer *out)
{
    const struct peer *peer = transport_find(transport, id);

    memset(out, 0, sizeof *out);
    out->heard_ms_ago = UINT64_MAX;
    if (peer == NULL) {
        return false;
    }
    out->up = peer->link != NULL && peer->link->up;
    out->round_trip_us = peer->round_trip_us;
    if (peer->heard_ms != 0) {
        uint64_t now = clock_monotonic_ms();

        out->heard_ms_ago = now > peer->heard_ms ? now - peer->heard_ms : 0;
    }
    snprintf(out->error, sizeof out->error, "%s", peer->error);
    return true;
}

/* --- time ------------------------------------------------------------------------------------ */

static void close_if_silent(const struct transport *transport, struct link *link, uint64_t now)
{
    unsigned limit_ms = transport->options.silence_ms + (link->up ? 0 : OPENING_MS);
    char text[80];

    if (now > link->heard_ms && now - link->heard_ms > limit_ms) {
        snprintf(text, sizeof text, "nothing was heard for %u ms", limit_ms);
        link_close(link, ERROR_TIMEOUT, text);
    }
}

static void send_ping(struct transport *transport, struct peer *peer)
{
    struct buffer *out = scratch(transport);

    if (frame_encode_number(out, FRAME_PING, clock_monotonic_ns()) == OK) {
        (void)link_send(peer->link, buffer_view(out), TRANSPORT_SMALL_MAX);
    }
}

static void tick_peer(struct transport *transport, struct peer *peer, uint64_t now, bool ping)
{
    if (peer->link == NULL && !peer->forgotten && now >= peer->retry_ms) {
        peer_connect(transport, peer);
    } else if (peer->link != NULL) {
        close_if_silent(transport, peer->link, now);
        if (ping) {
            send_ping(transport, peer);
        }
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct transport *transport = container_of(timer, struct transport, tick);
    uint64_t now = clock_monotonic_ms();
    bool ping = now >= transport->ping_due_ms;

    if (ping) {
        transport->ping_due_ms = now + transport->options.ping_ms;
    }
    LIST_FOR_EACH (item, &transport->peers) {
        tick_peer(transport, container_of(item, struct peer, item), now, ping);
    }
    LIST_FOR_EACH (item, &transport->incoming) {
        close_if_silent(transport, container_of(item, struct link, item), now);
    }
    snapshot_send_flush(transport);
}

/* --- life ------------------------------------------------------------------------------------ */

static enum error check_options(const struct transport_options *options, struct reason *why)
{
    struct sockaddr_storage parsed;

    PRE(options->id != 0 && options->tls != NULL);
    PRE(options->events.message != NULL && options->events.frame != NULL);
    if (strlen(options->address) > HELLO_ADDRESS_MAX ||
        strlen(options->cluster) > HELLO_CLUSTER_MAX) {
        return fail(why, ERROR_INVALID, "the peer address or the cluster id is too long");
    }
    return address_parse(options->address, &parsed, why);
}

/* Say the port that the kernel chose where the address left it open. */
static void settle_address(struct transport *transport)
{
    struct sockaddr_storage said;
    struct sockaddr_storage bound;
    int size = sizeof bound;
    char host[HELLO_ADDRESS_MAX + 1];
    char *colon;
    uint16_t port;

    snprintf(transport->self.address, sizeof transport->self.address, "%s",
             transport->options.address);
    if (address_parse(transport->options.address, &said, NULL) != OK ||
        ((struct sockaddr_in *)&said)->sin_port != 0 ||
        uv_tcp_getsockname(&transport->listener, (struct sockaddr *)&bound, &size) != 0) {
        return;
    }
    port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
    snprintf(host, sizeof host, "%s", transport->options.address);
    colon = strrchr(host, ':');
    *colon = '\0';
    snprintf(transport->self.address, sizeof transport->self.address, "%.72s:%u", host, port);
}

enum error transport_open(const struct transport_options *options, struct transport **out,
                          struct reason *why)
{
    struct transport *transport;
    enum error error = check_options(options, why);
    int rv;

    *out = NULL;
    if (error != OK) {
        return error;
    }
    transport = memory_zero(sizeof *transport);
    transport->options = *options;
    transport->options.ping_ms = options->ping_ms > 0 ? options->ping_ms : PING_MS_DEFAULT;
    transport->options.silence_ms = options->silence_ms > 0 ? options->silence_ms
                                                            : SILENCE_MS_DEFAULT;
    list_init(&transport->peers);
    list_init(&transport->incoming);
    list_init(&transport->finished);
    transport->self.id = options->id;
    snprintf(transport->self.cluster, sizeof transport->self.cluster, "%s", options->cluster);
    error = stream_listen(&transport->listener, options->loop,
                          options->listen != NULL ? options->listen : options->address, false,
                          LISTEN_BACKLOG, on_connection, why);
    if (error != OK) {
        free(transport);
        return error;
    }
    settle_address(transport);
    buffer_init(&transport->out, FRAME_SIZE_MAX);
    tls_context_hold(options->tls);
    rv = uv_timer_init(options->loop, &transport->tick);
    CHECK(rv == 0);
    (void)uv_timer_start(&transport->tick, on_tick, TICK_MS, TICK_MS);
    transport->open_handles = 2;
    *out = transport;
    return OK;
}

void transport_start(struct transport *transport)
{
    transport->started = true;
}

const char *transport_address(const struct transport *transport)
{
    return transport->self.address;
}

void transport_check_closed(struct transport *transport)
{
    void (*closed_cb)(void *data) = transport->closed_cb;
    void *data = transport->closed_data;

    if (!transport->closing || transport->open_handles > 0 || transport->n_links > 0 ||
        transport->n_works > 0) {
        return;
    }
    CHECK(list_is_empty(&transport->peers) && list_is_empty(&transport->incoming));
    snapshot_send_flush(transport);
    tls_context_release(transport->options.tls);
    buffer_release(&transport->out);
    free(transport);
    closed_cb(data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct transport *transport = container_of((uv_tcp_t *)handle, struct transport, listener);

    transport->open_handles--;
    transport_check_closed(transport);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct transport *transport = container_of((uv_timer_t *)handle, struct transport, tick);

    transport->open_handles--;
    transport_check_closed(transport);
}

void transport_close(struct transport *transport, void (*closed_cb)(void *data), void *data)
{
    PRE(!transport->closing);
    transport->closing = true;
    transport->closed_cb = closed_cb;
    transport->closed_data = data;
    LIST_FOR_EACH (item, &transport->incoming) {
        link_close(container_of(item, struct link, item), OK, "");
    }
    LIST_FOR_EACH (item, &transport->peers) {
        struct peer *peer = container_of(item, struct peer, item);

        if (peer->link != NULL) {
            link_close(peer->link, OK, "");
        } else {
            peer_free(transport, peer);
        }
    }
    uv_close((uv_handle_t *)&transport->listener, on_listener_closed);
    uv_close((uv_handle_t *)&transport->tick, on_tick_closed);
}
