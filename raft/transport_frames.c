/* What the frames of a peer mean, by the direction of the link that they came on. An error from
 * here ends the link: what a member of the cluster never sends is either a fault or an attack. */
#include "base/assert.h"
#include "base/clock.h"
#include "raft/transport_state.h"

static enum error take_pong(struct peer *peer, const struct frame *frame, struct reason *why)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t then;
    enum error error = frame_decode_number(frame->body, &then, why);

    if (error == OK && then <= now) {
        peer->round_trip_us = (now - then) / 1000 + 1;
    }
    return error;
}

static enum error take_ack(struct peer *peer, const struct frame *frame, struct reason *why)
{
    struct snapshot_piece ack;
    enum error error = frame_decode_piece(frame->body, &ack, why);

    if (error == OK) {
        snapshot_send_ack(peer, &ack);
    }
    return error;
}

/* What may come back on a link that we opened. */
static enum error outgoing_frame(struct peer *peer, const struct frame *frame, struct reason *why)
{
    switch (frame->kind) {
    case FRAME_PONG:
        return take_pong(peer, frame, why);
    case FRAME_SNAPSHOT_ACK:
        return take_ack(peer, frame, why);
    default:
        return fail(why, ERROR_INVALID, "a frame of kind %s does not belong on this link",
                    frame_kind_name(frame->kind));
    }
}

static enum error take_ping(struct link *link, const struct frame *frame, struct reason *why)
{
    struct buffer out;
    uint64_t number;
    enum error error = frame_decode_number(frame->body, &number, why);

    if (error != OK) {
        return error;
    }
    buffer_init(&out, 64);
    error = frame_encode_number(&out, FRAME_PONG, number);
    CHECK(error == OK);
    (void)link_send(link, buffer_view(&out), TRANSPORT_SMALL_MAX);
    buffer_release(&out);
    return OK;
}

static enum error take_message(struct transport *transport, struct link *link,
                               const struct frame *frame, struct reason *why)
{
    struct raft_message message;
    enum error error = frame_decode_message(frame->kind, frame->body, &message, why);

    if (error != OK) {
        return error;
    }
    if (!transport->started || transport->closing) {
        frame_release_message(&message);
        return OK;
    }
    message.server_id = link->id;
    message.server_address = link->address;
    transport->options.events.message(transport->options.data, &message);
    return OK;
}

static enum error incoming_frame(struct transport *transport, struct link *link,
                                 const struct frame *frame, struct reason *why)
{
    switch (frame->kind) {
    case FRAME_PING:
        return take_ping(link, frame, why);
    case FRAME_INSTALL_SNAPSHOT:
        return snapshot_receive_offer(transport, link, frame, why);
    case FRAME_SNAPSHOT_PIECE:
        return snapshot_receive_piece(link, frame, why);
    case FRAME_HELLO:
    case FRAME_PONG:
    case FRAME_SNAPSHOT_ACK:
        return fail(why, ERROR_INVALID, "a frame of kind %s does not belong on this link",
                    frame_kind_name(frame->kind));
    default:
        break;
    }
    if (frame->kind < FRAME_APPLICATION) {
        return take_message(transport, link, frame, why);
    }
    if (transport->started && !transport->closing) {
        transport->options.events.frame(transport->options.data, link->id, frame->kind,
                                        frame->body);
    }
    return OK;
}

enum error transport_take_frame(struct link *link, const struct frame *frame, struct reason *why)
{
    struct transport *transport = link->data;
    struct peer *peer = transport_find(transport, link->id);

    if (peer == NULL) {
        return fail(why, ERROR_DENIED, "the node was removed from the cluster");
    }
    peer->heard_ms = link->heard_ms;
    return link->outgoing ? outgoing_frame(peer, frame, why)
                          : incoming_frame(transport, link, frame, why);
}
