/* Fuzz target: bytes from a peer, cut into frames and decoded, as a link does it. */
#include "raft/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const struct frame *frame)
{
    struct raft_message message = {0};
    struct snapshot_piece piece;
    struct snapshot_offer offer;
    struct hello hello;
    uint64_t number;
    enum error error;

    if (frame->kind == FRAME_HELLO) {
        (void)!frame_decode_hello(frame->body, &hello, NULL);
    } else if (frame->kind == FRAME_PING || frame->kind == FRAME_PONG) {
        (void)!frame_decode_number(frame->body, &number, NULL);
    } else if (frame->kind == FRAME_SNAPSHOT_PIECE || frame->kind == FRAME_SNAPSHOT_ACK) {
        (void)!frame_decode_piece(frame->body, &piece, NULL);
    } else if (frame->kind < FRAME_APPLICATION) {
        message.type = RAFT_IO_INSTALL_SNAPSHOT;
        error = frame->kind == FRAME_INSTALL_SNAPSHOT
                    ? frame_decode_offer(frame->body, &offer, &message.install_snapshot, NULL)
                    : frame_decode_message(frame->kind, frame->body, &message, NULL);
        if (error == OK) {
            frame_release_message(&message);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of(data, size);
    struct frame frame = {0};
    bool complete;

    while (frame_split(rest, FRAME_SIZE_MAX, &frame, &complete, NULL) == OK && complete) {
        decode(&frame);
        rest = bytes_slice(rest, frame.size, rest.size);
    }
    /* Again as a kind and a body, since few changed frames pass the check of their sum. */
    if (size > 0) {
        frame.kind = data[0];
        frame.body = bytes_of(data + 1, size - 1);
        decode(&frame);
    }
    return 0;
}
