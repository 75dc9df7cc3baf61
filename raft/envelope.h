#ifndef RAFT_ENVELOPE_H
#define RAFT_ENVELOPE_H

#include "raft/consensus.h"

/* What is inside a log entry: the commands that were proposed in one turn of the leader's loop.
 *
 *   u32 length of the body, u32 version (1), little-endian
 *   body: msgpack [time_ms, command, command, ...]
 *   zeros up to whole 8-byte words (libraft 0.15 corrupts what is not)
 *
 * Pure functions. */

#define ENVELOPE_COMMANDS_MAX 64
/* Commands are packed into one entry up to this many bytes; one alone may be longer. */
#define ENVELOPE_SIZE_AIM (256u * 1024)
#define ENVELOPE_SIZE_MAX (COMMAND_SIZE_MAX + 1024u)

struct envelope {
    uint64_t time_ms;
    size_t n;
    struct bytes commands[ENVELOPE_COMMANDS_MAX]; /* Borrowed. */
};

/* Append the bytes of an entry to out, whose limit is at least ENVELOPE_SIZE_MAX + the aim. */
void envelope_encode(struct buffer *out, const struct envelope *envelope);
/* ERROR_UNSUPPORTED: a version that this program does not know. ERROR_CORRUPT: no envelope. */
enum error envelope_decode(struct bytes entry, struct envelope *out) MUST_USE;

#endif
