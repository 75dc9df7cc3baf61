#include "tests/sim/world/network.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/stream.h"
#include "raft/frame.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/host.h"
#include "tests/sim/world/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESEND_US    200000u
#define REFUSED_US   500u
#define HANDSHAKE_US 1500u

struct packet {
    struct packet *next;
    size_t size;
    uint8_t bytes[];
};

/* One end of a connection. Both are freed with the seed's process, not before: events name them. */
struct end {
    struct stream *stream; /* NULL: closed, or its process is gone. */
    struct host *host;
    uint64_t life, node_id;
    struct end *other;
    struct packet *first, **last; /* From here to the other end. */
    size_t queued;
    bool is_pumping, is_connecting;
};

static struct end *end_of(const struct stream *stream)
{
    return (struct end *)(void *)stream->tls;
}

static bool lives(const struct end *end)
{
    return end->stream != NULL && end->host->life == end->life && end->host->is_up;
}

static struct network *network_of(const struct end *end)
{
    return end->host->network;
}

static bool is_cut(const struct host *from, const struct host *to)
{
    return from->network->cut[from->number][to->number];
}

static uint64_t delay(const struct host *from, const struct host *to)
{
    const struct network *network = from->network;

    return network->delay_us[from->number][to->number] + draw(0, network->jitter_us);
}

void network_reset(struct network *network)
{
    memset(network, 0, sizeof *network);
    network->jitter_us = 1;
}

void network_heal(struct network *network)
{
    memset(network->cut, 0, sizeof network->cut);
}

/* --- the end of a connection ----------------------------------------------------------------- */

static void tell_closed(void *data, uint64_t word)
{
    struct end *end = data;
    struct stream *stream = end->stream;

    if (stream == NULL) {
        return;
    }
    end->stream = NULL;
    stream->state = STREAM_CLOSED;
    stream->events->closed(stream, (enum error)word,
                           word == OK ? "" : error_text((enum error)word));
}

static void tell_ended(void *data, uint64_t word)
{
    struct end *end = data;

    (void)word;
    if (end->stream != NULL && end->stream->state == STREAM_OPEN) {
        end->stream->events->ended(end->stream);
    }
}

/* A FIN or a reset arrives. */
static void fin(void *data, uint64_t word)
{
    struct end *end = data;

    if (!lives(end)) {
        return;
    }
    if (word == OK) {
        loop_post(end->host, tell_ended, end, 0);
    } else if (end->stream->state < STREAM_CLOSING) {
        end->stream->state = STREAM_CLOSING;
        loop_post(end->host, tell_closed, end, word);
    }
}

/* Tell the other end, as far as the network lets it. */
static void hang_up(struct end *end, enum error how)
{
    struct end *other = end->other;

    if (other != NULL && !is_cut(end->host, other->host)) {
        engine_at(engine_now() + delay(end->host, other->host), fin, other, how);
    }
}

void stream_close(struct stream *stream)
{
    struct end *end = end_of(stream);

    if (stream->state >= STREAM_CLOSING) {
        return;
    }
    stream->state = STREAM_CLOSING;
    hang_up(end, OK);
    loop_post(end->host, tell_closed, end, OK);
}

void stream_shutdown(struct stream *stream)
{
    stream_close(stream);
}

void network_close_listener(struct host *host, const uv_tcp_t *listener)
{
    if (host->listener == listener) {
        host->listener = NULL;
        host->n_pending = 0;
    }
}

void network_drop(struct host *host, bool kernel_lives)
{
    for (size_t i = 0; i < host->n_ends; i++) {
        struct end *end = host->ends[i];

        if (end->stream != NULL) {
            end->stream = NULL;
            if (kernel_lives) {
                hang_up(end, ERROR_PEER);
            }
        }
    }
    host->n_ends = 0;
    host->listener = NULL;
    host->n_pending = 0;
}

/* --- connecting ------------------------------------------------------------------------------ */

static struct end *end_make(struct host *host, struct stream *stream,
                            const struct stream_events *events)
{
    struct end *end = memory_zero(sizeof *end);
    void *data = stream->data;

    end->stream = stream;
    end->host = host;
    end->life = host->life;
    end->node_id = host->node_id;
    end->last = &end->first;
    memset(stream, 0, sizeof *stream);
    stream->data = data;
    stream->events = events;
    stream->state = STREAM_CONNECTING;
    stream->tls = (struct tls_session *)(void *)end;
    if (host->n_ends == HOST_ENDS_MAX) {
        size_t kept = 0;

        for (size_t i = 0; i < host->n_ends; i++) {
            if (host->ends[i]->stream != NULL) {
                host->ends[kept++] = host->ends[i];
            }
        }
        CHECK(kept < HOST_ENDS_MAX);
        host->n_ends = kept;
    }
    host->ends[host->n_ends++] = end;
    return end;
}

static void tell_ready(void *data, uint64_t word)
{
    struct end *end = data;

    (void)word;
    if (end->stream != NULL && end->stream->state < STREAM_OPEN) {
        end->stream->state = STREAM_OPEN;
        end->stream->events->ready(end->stream);
    }
}

static void handshake_done(void *data, uint64_t word)
{
    struct end *end = data;

    (void)word;
    if (lives(end)) {
        loop_post(end->host, tell_ready, end, 0);
    }
}

static void arrives(void *data, uint64_t word);

/* In the loop of the host that was connected to. */
static void incoming(void *data, uint64_t word)
{
    struct end *from = data;
    struct host *host = host_current();

    (void)word;
    if (host->listener == NULL || !lives(from)) {
        return;
    }
    if (host->n_pending > 0) {
        /* Stays in the kernel until the one before was accepted. */
        engine_at(engine_now() + RESEND_US, arrives, from, host->number);
        return;
    }
    host->pending[host->n_pending++] = from;
    host->on_connection((uv_stream_t *)host->listener, 0);
}

static void gives_up(void *data, uint64_t word)
{
    struct end *end = data;

    if (lives(end) && end->stream->state < STREAM_OPEN) {
        fin(end, word);
    }
}

static void arrives(void *data, uint64_t word)
{
    struct end *end = data;
    struct host *to = &end->host->world_hosts[word];

    if (!lives(end) || end->stream->state != STREAM_CONNECTING) {
        return;
    }
    if (is_cut(end->host, to) || is_cut(to, end->host) || to->is_without_power) {
        engine_at(engine_now() + RESEND_US, arrives, end, word);
    } else if (!to->is_up || to->listener == NULL) {
        engine_at(engine_now() + REFUSED_US, fin, end, ERROR_PEER);
    } else {
        loop_post(to, incoming, end, 0);
    }
}

enum error stream_connect(struct stream *stream, uv_loop_t *loop, const char *address,
                          struct tls_context *tls, uint64_t expect, uint64_t connect_ms,
                          const struct stream_events *events)
{
    struct host *host = loop_host(loop);
    struct end *end;
    unsigned number;

    (void)tls;
    if (sscanf(address, HOST_ADDRESS, &number) != 1 || number >= HOSTS_MAX) {
        return ERROR_INVALID;
    }
    end = end_make(host, stream, events);
    stream->expect = expect;
    engine_at(engine_now() + delay(host, &host->world_hosts[number]), arrives, end, number);
    engine_at(engine_now() + connect_ms * 1000, gives_up, end, ERROR_TIMEOUT);
    return OK;
}

enum error stream_accept(struct stream *stream, uv_loop_t *loop, uv_stream_t *listener,
                         struct tls_context *tls, uint64_t handshake_ms,
                         const struct stream_events *events)
{
    struct host *host = loop_host(loop);
    struct end *from, *end;
    uint64_t at;

    (void)listener;
    (void)tls;
    CHECK(host->n_pending > 0);
    from = host->pending[0];
    memmove(host->pending, host->pending + 1, --host->n_pending * sizeof *host->pending);
    end = end_make(host, stream, events);
    end->other = from;
    from->other = end;
    if (lives(from)) {
        at = engine_now() + HANDSHAKE_US + delay(host, from->host);
        if (from->stream->expect != 0 && from->stream->expect != host->node_id) {
            engine_at(at, fin, from, ERROR_FOREIGN);
            engine_at(at, fin, end, ERROR_FOREIGN);
        } else {
            from->stream->state = stream->state = STREAM_HANDSHAKE;
            engine_at(at, handshake_done, from, 0);
            engine_at(at, handshake_done, end, 0);
        }
    }
    engine_at(engine_now() + handshake_ms * 1000, gives_up, end, ERROR_TIMEOUT);
    return OK;
}

enum error __wrap_stream_listen(uv_tcp_t *listener, uv_loop_t *loop, const char *address,
                                bool shared, int backlog, uv_connection_cb on_connection,
                                struct reason *why);
enum error __wrap_stream_listen(uv_tcp_t *listener, uv_loop_t *loop, const char *address,
                                bool shared, int backlog, uv_connection_cb on_connection,
                                struct reason *why)
{
    struct host *host = loop_host(loop);

    (void)address;
    (void)shared;
    (void)backlog;
    (void)why;
    memset(listener, 0, sizeof *listener);
    listener->loop = loop;
    listener->type = UV_TCP;
    host->listener = listener;
    host->on_connection = on_connection;
    return OK;
}

void stream_peer_address(const struct stream *stream, char text[64])
{
    const struct end *end = end_of(stream);

    snprintf(text, 64, HOST_ADDRESS, end->other != NULL ? end->other->host->number : 99);
}

uint64_t stream_peer_node(const struct stream *stream)
{
    const struct end *end = end_of(stream);

    return end->other != NULL ? end->other->node_id : 0;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static void trace_message(const struct end *end, struct bytes bytes)
{
    unsigned from = end->other->host->number, to = end->host->number, kind;
    struct raft_message message;
    struct frame frame;
    bool is_complete;

    if (!trace_messages_wanted() ||
        frame_split(bytes, FRAME_SIZE_MAX, &frame, &is_complete, NULL) != OK || !is_complete) {
        return;
    }
    kind = frame.kind;
    if (frame_decode_message(kind, frame.body, &message, NULL) != OK) {
        trace_line("h%u > h%u: %s", from, to, frame_kind_name(kind));
        return;
    }
    if (kind == FRAME_APPEND_ENTRIES) {
        const struct raft_append_entries *args = &message.append_entries;

        trace_line("h%u > h%u: append entries, term %llu, after %llu of %llu, %u entries, commit "
                   "%llu",
                   from, to, args->term, args->prev_log_index, args->prev_log_term, args->n_entries,
                   args->leader_commit);
    } else if (kind == FRAME_APPEND_ENTRIES_RESULT) {
        const struct raft_append_entries_result *result = &message.append_entries_result;

        trace_line("h%u > h%u: append entries result, term %llu, rejected %llu, last %llu", from,
                   to, result->term, result->rejected, result->last_log_index);
    } else if (kind == FRAME_REQUEST_VOTE) {
        const struct raft_request_vote *args = &message.request_vote;

        trace_line("h%u > h%u: request %s, term %llu, log to %llu of %llu", from, to,
                   args->pre_vote ? "pre-vote" : "vote", args->term, args->last_log_index,
                   args->last_log_term);
    } else if (kind == FRAME_REQUEST_VOTE_RESULT) {
        trace_line("h%u > h%u: vote result, term %llu, %s", from, to,
                   message.request_vote_result.term,
                   message.request_vote_result.vote_granted ? "granted" : "refused");
    } else {
        trace_line("h%u > h%u: %s", from, to, frame_kind_name(kind));
    }
    frame_release_message(&message);
}

static void receive(void *data, uint64_t word)
{
    struct packet *packet = data;
    struct end *end = (struct end *)(uintptr_t)word;

    if (end->stream != NULL && end->stream->state == STREAM_OPEN) {
        trace_message(end, bytes_of(packet->bytes, packet->size));
        end->stream->events->received(end->stream, bytes_of(packet->bytes, packet->size));
    }
    free(packet);
}

static void pump(void *data, uint64_t word)
{
    struct end *end = data;
    struct end *other = end->other;
    const struct network *network = network_of(end);
    struct packet *packet = end->first;

    (void)word;
    end->is_pumping = false;
    if (packet == NULL || other == NULL || end->stream == NULL) {
        return; /* What a process that is gone had queued is lost with it. */
    }
    if (is_cut(end->host, other->host) || (network->loss != 0 && one_in(network->loss))) {
        end->is_pumping = true;
        engine_at(engine_now() + RESEND_US + draw(0, RESEND_US), pump, end, 0);
        return;
    }
    if (other->host->is_without_power || (lives(other) && other->stream->state < STREAM_OPEN)) {
        end->is_pumping = true;
        engine_at(engine_now() + RESEND_US, pump, end, 0);
        return;
    }
    end->first = packet->next;
    if (end->first == NULL) {
        end->last = &end->first;
    }
    end->queued -= packet->size;
    if (lives(other)) {
        loop_post(other->host, receive, packet, (uint64_t)(uintptr_t)other);
    } else {
        free(packet);
        engine_at(engine_now() + delay(other->host, end->host), fin, end, ERROR_PEER);
    }
    if (end->first != NULL) {
        end->is_pumping = true;
        engine_at(engine_now() + draw(0, 20), pump, end, 0);
    }
}

static void enqueue(struct end *end, struct bytes bytes, bool overtakes)
{
    struct packet *packet = memory_alloc(sizeof *packet + bytes.size);

    packet->next = NULL;
    packet->size = bytes.size;
    memcpy(packet->bytes, bytes.data, bytes.size);
    if (overtakes && end->first != NULL) {
        packet->next = end->first;
        end->first = packet;
    } else {
        *end->last = packet;
        end->last = &packet->next;
    }
    end->queued += bytes.size;
}

/* Frames that mean something without those before them. */
static bool may_be_disordered(struct bytes bytes)
{
    unsigned kind = bytes.size > FRAME_HEADER_SIZE ? bytes.data[5] : 0;

    return (kind >= FRAME_APPEND_ENTRIES && kind != FRAME_INSTALL_SNAPSHOT);
}

void stream_write(struct stream *stream, struct bytes bytes)
{
    struct end *end = end_of(stream);
    const struct network *network = network_of(end);
    bool is_disordered = network->disorder != 0 && may_be_disordered(bytes);

    if (stream->state != STREAM_OPEN || end->other == NULL) {
        return;
    }
    if (is_disordered && one_in(network->disorder)) {
        return;
    }
    enqueue(end, bytes, is_disordered && one_in(network->disorder));
    if (is_disordered && one_in(network->disorder)) {
        enqueue(end, bytes, one_in(2));
    }
    if (!end->is_pumping) {
        end->is_pumping = true;
        engine_at(engine_now() + delay(end->host, end->other->host), pump, end, 0);
    }
}

size_t stream_queued(const struct stream *stream)
{
    const struct end *end = end_of(stream);

    return end != NULL ? end->queued : 0;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
}

void stream_resume(struct stream *stream)
{
    stream->paused = false;
}
