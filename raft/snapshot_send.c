/* The leader's side of a snapshot: read a piece on a pool thread, send it, never more than a window
 * ahead of what the peer has written, so that heartbeats on the same link hardly wait.
 *
 *     offer -> (read piece -> send piece)* -> ack of the last -> callback */
#include "raft/transport_state.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

static void read_next(struct snapshot_send *send);

static void finish(struct snapshot_send *send, enum error status)
{
    struct transport *transport = send->transport;

    CHECK(!send->reading);
    if (send->reader != NULL) {
        transport->options.snapshots.close(send->reader);
        send->reader = NULL;
    }
    free(send->piece);
    send->piece = NULL;
    send->status = status;
    if (send->peer != NULL && send->peer->sending == send) {
        send->peer->sending = NULL;
    }
    send->peer = NULL;
    list_append(&transport->finished, &send->item);
}

void snapshot_send_flush(struct transport *transport)
{
    while (!list_is_empty(&transport->finished)) {
        struct snapshot_send *send =
            container_of(transport->finished.next, struct snapshot_send, item);

        list_remove(&send->item);
        send->cb(send, send->status);
    }
}

static void on_pool_read(uv_work_t *work)
{
    struct snapshot_send *send = container_of(work, struct snapshot_send, work);
    uint64_t left = send->size - send->sent;
    size_t wanted = left < SNAPSHOT_PIECE_MAX ? (size_t)left : SNAPSHOT_PIECE_MAX;
    enum error error = send->transport->options.snapshots.read(send->reader, send->piece, wanted,
                                                               &send->piece_size, &send->why);

    if (error == OK && send->piece_size != wanted) {
        error = fail(&send->why, ERROR_CORRUPT, "the snapshot is shorter than it was");
    }
    send->read_error = error;
}

static enum error send_piece(struct snapshot_send *send)
{
    struct transport *transport = send->transport;
    struct snapshot_piece piece = {.number = send->number,
                                   .offset = send->sent,
                                   .last = send->sent + send->piece_size == send->size,
                                   .data = bytes_of(send->piece, send->piece_size)};
    enum error error;

    buffer_clear(&transport->out);
    error = frame_encode_piece(&transport->out, FRAME_SNAPSHOT_PIECE, &piece);
    if (error != OK) {
        return error;
    }
    if (send->peer->link == NULL ||
        !link_send(send->peer->link, buffer_view(&transport->out), TRANSPORT_SMALL_MAX)) {
        return ERROR_UNAVAILABLE;
    }
    send->sent += send->piece_size;
    return OK;
}

static void on_read(uv_work_t *work, int status)
{
    struct snapshot_send *send = container_of(work, struct snapshot_send, work);
    struct transport *transport = send->transport;
    enum error error;

    CHECK(status == 0 && send->reading);
    send->reading = false;
    transport->n_works--;
    error = send->status != OK ? send->status : send->read_error;
    if (error == OK) {
        error = send_piece(send);
    }
    if (error != OK) {
        finish(send, error);
        snapshot_send_flush(transport);
        transport_check_closed(transport);
        return;
    }
    read_next(send);
}

static void read_next(struct snapshot_send *send)
{
    int rv;

    if (send->reading || send->sent == send->size || send->sent - send->acked >= SNAPSHOT_WINDOW) {
        return;
    }
    send->reading = true;
    send->transport->n_works++;
    rv = uv_queue_work(send->transport->options.loop, &send->work, on_pool_read, on_read);
    CHECK(rv == 0);
}

void snapshot_send_ack(struct peer *peer, const struct snapshot_piece *ack)
{
    struct snapshot_send *send = peer->sending;
    struct transport *transport;

    if (send == NULL || send->number != ack->number || send->status != OK) {
        return;
    }
    transport = send->transport;
    if (ack->offset == SNAPSHOT_REFUSED || ack->offset > send->sent || ack->offset < send->acked) {
        snapshot_send_abort(peer, ERROR_PEER);
    } else if (ack->last && ack->offset == send->size) {
        finish(send, OK);
    } else {
        send->acked = ack->offset;
        read_next(send);
    }
    snapshot_send_flush(transport);
}

void snapshot_send_abort(struct peer *peer, enum error error)
{
    struct snapshot_send *send = peer->sending;

    if (send == NULL) {
        return;
    }
    peer->sending = NULL;
    send->peer = NULL;
    if (send->reading) {
        /* on_read() finishes it: the reader is in use. */
        send->status = error;
    } else {
        finish(send, error);
    }
}

/* Everything that can be wrong before the first byte; the callback comes from the next tick. */
static enum error begin(struct snapshot_send *send, const struct raft_message *message)
{
    struct transport *transport = send->transport;
    const struct raft_install_snapshot *install = &message->install_snapshot;
    struct peer *peer = transport_reach(transport, message->server_id, message->server_address);
    struct snapshot_offer offer = {.number = ++transport->number};

    if (peer == NULL || peer->link == NULL || !peer->link->up || transport->closing) {
        return ERROR_UNAVAILABLE;
    }
    if (peer->sending != NULL) {
        return ERROR_BUSY;
    }
    send->reader = transport->options.snapshots.open(
        transport->options.data, bytes_of(install->data.base, install->data.len), &send->size,
        &send->why);
    if (send->reader == NULL || send->size == 0) {
        return ERROR_NOT_FOUND;
    }
    offer.size = send->size;
    buffer_clear(&transport->out);
    if (frame_encode_offer(&transport->out, &offer, install) != OK ||
        !link_send(peer->link, buffer_view(&transport->out), TRANSPORT_SMALL_MAX)) {
        return ERROR_UNAVAILABLE;
    }
    send->number = offer.number;
    send->peer = peer;
    send->piece = memory_alloc(SNAPSHOT_PIECE_MAX);
    peer->sending = send;
    return OK;
}

void transport_send_snapshot(struct transport *transport, struct snapshot_send *send,
                             const struct raft_message *message, snapshot_send_cb cb)
{
    void *data = send->data;
    enum error error;

    PRE(message->type == RAFT_IO_INSTALL_SNAPSHOT);
    memset(send, 0, sizeof *send);
    send->data = data;
    send->transport = transport;
    send->cb = cb;
    list_init(&send->item);
    error = begin(send, message);
    if (error != OK) {
        finish(send, error);
        return;
    }
    read_next(send);
}
