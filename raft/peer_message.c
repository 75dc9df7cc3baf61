#include "raft/peer_message.h"

#include "base/pack.h"
#include "raft/consensus.h"

/* On the wire statuses have numbers of their own, which never change. */
static const enum error wire_statuses[] = {OK, ERROR_UNAVAILABLE, ERROR_TOO_LARGE, ERROR_FULL};

#define WIRE_STATUSES_N (sizeof wire_statuses / sizeof *wire_statuses)

void peer_message_encode(struct buffer *out, const struct peer_message *message)
{
    uint64_t status = 1;

    for (size_t i = 0; i < WIRE_STATUSES_N; i++) {
        if (wire_statuses[i] == message->status) {
            status = i;
        }
    }
    pack_array(out, 6);
    pack_uint(out, message->number);
    pack_uint(out, message->timeout_ms);
    pack_uint(out, message->term);
    pack_uint(out, message->index);
    pack_uint(out, status);
    pack_bin(out, message->bytes);
}

enum error peer_message_decode(struct bytes body, struct peer_message *out)
{
    struct unpacker in;
    uint64_t status;

    unpack_start(&in, body);
    unpack_array_of(&in, 6);
    out->number = unpack_uint(&in);
    out->timeout_ms = unpack_uint(&in);
    out->term = unpack_uint(&in);
    out->index = unpack_uint(&in);
    status = unpack_uint(&in);
    out->bytes = unpack_bin(&in, COMMAND_SIZE_MAX);
    if (unpack_end(&in) != OK || status >= WIRE_STATUSES_N) {
        return ERROR_INVALID;
    }
    out->status = wire_statuses[status];
    return OK;
}
