/* The follower's side of a snapshot: pieces in order into a writer, one pool job at a time, each
 * acknowledged when it is written; after the last one finish, and only then the message. What goes
 * wrong with the writer refuses the snapshot; a piece out of order ends the link.
 *
 *     RECEIVING --all written--> FINISHING --ok--> delivered, freed
 *         \------- error, link down -------> thrown away, freed (after the job that runs) */
#include "raft/transport_state.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

#define TOKEN_MAX 4096

struct waiting_piece {
    struct list item;
    size_t size;
    uint8_t data[];
};

struct snapshot_receive {
    struct transport *transport;
    struct link *link; /* NULL: it went down. */
    struct raft_message message;
    struct snapshot_offer offer;
    void *writer;
    uint64_t arrived, written;
    struct list pieces;
    bool finishing;
    struct waiting_piece *writing; /* Of the job that runs. */
    bool working;
    uv_work_t work;
    enum error error;
    struct reason why;
    struct buffer token;
};

static void receive_free(struct snapshot_receive *receive, bool delivered)
{
    struct transport *transport = receive->transport;

    CHECK(!receive->working);
    if (receive->link != NULL) {
        receive->link->receive = NULL;
    }
    LIST_FOR_EACH (item, &receive->pieces) {
        free(container_of(item, struct waiting_piece, item));
    }
    transport->options.snapshots.release(receive->writer, delivered);
    if (!delivered) {
        frame_release_message(&receive->message);
    }
    buffer_release(&receive->token);
    free(receive);
}

static void acknowledge(struct link *link, uint64_t number, uint64_t offset, bool last)
{
    struct snapshot_piece ack = {.number = number, .offset = offset, .last = last};
    struct buffer out;

    buffer_init(&out, 256);
    if (frame_encode_piece(&out, FRAME_SNAPSHOT_ACK, &ack) == OK) {
        (void)link_send(link, buffer_view(&out), TRANSPORT_SMALL_MAX);
    }
    buffer_release(&out);
}

static void refuse(struct snapshot_receive *receive)
{
    LOG_WARN("snapshot from node %016" PRIx64 " refused: %s", receive->link->id, receive->why.text);
    acknowledge(receive->link, receive->offer.number, SNAPSHOT_REFUSED, false);
    receive_free(receive, false);
}

static void deliver(struct snapshot_receive *receive)
{
    struct transport *transport = receive->transport;
    struct raft_message *message = &receive->message;
    struct raft_buffer *token = &message->install_snapshot.data;

    token->len = receive->token.size;
    token->base = raft_malloc(receive->token.size > 0 ? receive->token.size : 1);
    if (token->base == NULL) {
        fail_stop("out of memory for the token of a snapshot");
    }
    memcpy(token->base, receive->token.data, receive->token.size);
    message->server_id = receive->link->id;
    message->server_address = receive->link->address;
    LOG_INFO("snapshot from node %016" PRIx64 " up to index %llu received, %" PRIu64 " bytes",
             receive->link->id, message->install_snapshot.last_index, receive->offer.size);
    acknowledge(receive->link, receive->offer.number, receive->offer.size, true);
    transport->options.events.message(transport->options.data, message);
    receive_free(receive, true);
}

/* --- jobs ------------------------------------------------------------------------------------ */

static void on_pool(uv_work_t *work)
{
    struct snapshot_receive *receive = container_of(work, struct snapshot_receive, work);
    const struct transport_snapshots *snapshots = &receive->transport->options.snapshots;

    receive->error =
        receive->finishing
            ? snapshots->finish(receive->writer, &receive->token, &receive->why)
            : snapshots->write(receive->writer,
                               bytes_of(receive->writing->data, receive->writing->size),
                               &receive->why);
}

static void on_work_done(uv_work_t *work, int status);

/* The next piece, or the end, or nothing to do yet. */
static void work_next(struct snapshot_receive *receive)
{
    int rv;

    if (receive->working) {
        return;
    }
    if (!list_is_empty(&receive->pieces)) {
        receive->writing = container_of(receive->pieces.next, struct waiting_piece, item);
        list_remove(&receive->writing->item);
    } else if (receive->written == receive->offer.size) {
        receive->finishing = true;
    } else {
        return;
    }
    receive->working = true;
    receive->transport->n_works++;
    rv = uv_queue_work(receive->transport->options.loop, &receive->work, on_pool, on_work_done);
    CHECK(rv == 0);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct snapshot_receive *receive = container_of(work, struct snapshot_receive, work);
    struct transport *transport = receive->transport;

    CHECK(status == 0 && receive->working);
    receive->working = false;
    transport->n_works--;
    if (receive->writing != NULL) {
        receive->written += receive->writing->size;
        free(receive->writing);
        receive->writing = NULL;
    }
    if (receive->link == NULL || transport->closing) {
        receive_free(receive, false);
    } else if (receive->error != OK) {
        refuse(receive);
    } else if (receive->finishing) {
        deliver(receive);
    } else {
        acknowledge(receive->link, receive->offer.number, receive->written, false);
        work_next(receive);
    }
    transport_check_closed(transport);
}

/* --- frames ---------------------------------------------------------------------------------- */

enum error snapshot_receive_offer(struct transport *transport, struct link *link,
                                  const struct frame *frame, struct reason *why)
{
    struct snapshot_receive *receive;
    struct raft_message message = {.type = RAFT_IO_INSTALL_SNAPSHOT};
    struct snapshot_offer offer;
    struct reason refusal = {"no reason given"};
    enum error error = frame_decode_offer(frame->body, &offer, &message.install_snapshot, why);
    void *writer = NULL;

    if (error != OK) {
        return error;
    }
    snapshot_receive_abandon(link); /* A new sending replaces the one before. */
    if (transport->started && offer.size > 0) {
        writer = transport->options.snapshots.create(
            transport->options.data, &message.install_snapshot, offer.size, &refusal);
    }
    if (writer == NULL) {
        LOG_WARN("snapshot from node %016" PRIx64 " refused: %s", link->id, refusal.text);
        acknowledge(link, offer.number, SNAPSHOT_REFUSED, false);
        frame_release_message(&message);
        return OK;
    }
    receive = memory_zero(sizeof *receive);
    receive->transport = transport;
    receive->link = link;
    receive->message = message;
    receive->offer = offer;
    receive->writer = writer;
    list_init(&receive->pieces);
    buffer_init(&receive->token, TOKEN_MAX);
    link->receive = receive;
    return OK;
}

enum error snapshot_receive_piece(struct link *link, const struct frame *frame, struct reason *why)
{
    struct snapshot_receive *receive = link->receive;
    struct waiting_piece *waiting;
    struct snapshot_piece piece;
    enum error error = frame_decode_piece(frame->body, &piece, why);

    if (error != OK || receive == NULL || receive->offer.number != piece.number) {
        return error; /* Pieces of a snapshot that was refused are still under way. */
    }
    if (piece.offset != receive->arrived || piece.data.size == 0 ||
        piece.data.size > receive->offer.size - receive->arrived ||
        piece.last != (piece.offset + piece.data.size == receive->offer.size)) {
        return fail(why, ERROR_INVALID, "a snapshot piece does not follow the one before");
    }
    if (piece.offset + piece.data.size - receive->written > (uint64_t)2 * SNAPSHOT_WINDOW) {
        return fail(why, ERROR_INVALID, "snapshot pieces come faster than they are asked for");
    }
    waiting = memory_alloc(sizeof *waiting + piece.data.size);
    waiting->size = piece.data.size;
    memcpy(waiting->data, piece.data.data, piece.data.size);
    list_append(&receive->pieces, &waiting->item);
    receive->arrived += piece.data.size;
    work_next(receive);
    return OK;
}

void snapshot_receive_abandon(struct link *link)
{
    struct snapshot_receive *receive = link->receive;

    if (receive == NULL) {
        return;
    }
    receive->link = NULL;
    link->receive = NULL;
    if (!receive->working) {
        receive_free(receive, false);
    }
}
