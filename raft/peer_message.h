#ifndef RAFT_PEER_MESSAGE_H
#define RAFT_PEER_MESSAGE_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdint.h>

/* Bodies of the application frames that members send each other beside Raft's own messages
 * (FRAME_PROPOSE to FRAME_CONFIRM_RESULT of raft/frame.h). One msgpack array each; a field that a
 * kind does not use is 0. Pure functions. */

struct peer_message {
    uint64_t number;     /* The asker's name for the question, given back in the answer. */
    uint64_t timeout_ms; /* FRAME_PROPOSE: how long the asker will still wait. */
    uint64_t term;       /* FRAME_CONFIRM, _RESULT: the sender's current term. */
    uint64_t index;      /* Results: where it was applied, or what to wait for. */
    enum error status;   /* Results: OK, ERROR_UNAVAILABLE, ERROR_TOO_LARGE, ERROR_FULL. */
    struct bytes bytes;  /* FRAME_PROPOSE: the command; its result. Borrowed. */
};

void peer_message_encode(struct buffer *out, const struct peer_message *message);
/* ERROR_INVALID: not one of ours; nothing of out is to be used. */
enum error peer_message_decode(struct bytes body, struct peer_message *out) MUST_USE;

#endif
