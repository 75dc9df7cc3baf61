#ifndef RAFT_FRAME_H
#define RAFT_FRAME_H

#include "base/bytes.h"
#include "base/error.h"

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

/* What peers say to each other, as bytes.
 *
 * A frame is a 6-byte header, u32 length of what follows it (little endian), u8 version, u8 kind,
 * and then a body of msgpack. Links are TLS, so frames carry no checksum of their own. A frame
 * comes from a verified member, but not a trusted one: every count is checked against the bytes
 * that are there before memory is taken (reference: libraft's own decoder believes them), and what
 * does not fit ends the link. All functions here are pure but for memory. */

#define FRAME_VERSION     1
#define FRAME_HEADER_SIZE 6
#define FRAME_SIZE_MAX    (16u * 1024 * 1024) /* Header included. */
#define FRAME_HELLO_MAX   512u                /* Before the hello nothing longer is accepted. */
/* An AppendEntries is cut into parts of about this many bytes of entries. */
#define FRAME_PART_SIZE (1024u * 1024)
/* One entry: no more than the log takes (STORAGE_ENTRY_MAX), which stops the process above that. */
#define FRAME_ENTRY_MAX (2u * 1024 * 1024)

enum frame_kind {
    /* The link's own. */
    FRAME_HELLO = 1,
    FRAME_PING,
    FRAME_PONG,
    FRAME_SNAPSHOT_PIECE,
    FRAME_SNAPSHOT_ACK,
    /* Raft's messages. */
    FRAME_APPEND_ENTRIES = 16,
    FRAME_APPEND_ENTRIES_RESULT,
    FRAME_REQUEST_VOTE,
    FRAME_REQUEST_VOTE_RESULT,
    FRAME_INSTALL_SNAPSHOT, /* Announces the pieces that follow. */
    FRAME_TIMEOUT_NOW,
    /* From here to the last: opaque to the transport, handed to transport_events.frame. */
    FRAME_APPLICATION = 64,
    FRAME_PROPOSE = FRAME_APPLICATION,
    FRAME_PROPOSE_RESULT,
    FRAME_READ_INDEX,
    FRAME_READ_INDEX_RESULT,
    FRAME_CONFIRM, /* The leader asks whether it still leads (one round for many reads). */
    FRAME_CONFIRM_RESULT,
    FRAME_STATE, /* raft/gossip.h */
    FRAME_KIND_LAST = 127
};

/* "append entries", for logs; "unknown" for a number that names none. */
const char *frame_kind_name(unsigned kind);

/* --- framing --------------------------------------------------------------------------------- */

struct frame {
    unsigned kind;
    struct bytes body; /* Borrowed from the input. */
    size_t size;       /* Of the whole frame, header included: skip that much. */
};

/* Look at the front of in. *complete false: more bytes are needed, and nothing else is said.
 * ERROR_TOO_LARGE (longer than size_max), ERROR_UNSUPPORTED (version), ERROR_INVALID (kind, or
 * shorter than its header). */
enum error frame_split(struct bytes in, size_t size_max, struct frame *out, bool *complete,
                       struct reason *why) MUST_USE;
/* Begin a frame at the end of out; end it with frame_end(), which fills in the length.
 * ERROR_TOO_LARGE when it, or out, ran over its limit: out is cut back to where the frame began. */
size_t frame_begin(struct buffer *out, unsigned kind);
enum error frame_end(struct buffer *out, size_t begin) MUST_USE;
/* A whole frame around body as it is. */
enum error frame_append(struct buffer *out, unsigned kind, struct bytes body) MUST_USE;

/* --- the link's own frames ------------------------------------------------------------------- */

#define HELLO_CLUSTER_MAX 32
#define HELLO_ADDRESS_MAX 79

/* The first frame in both directions. */
struct hello {
    uint64_t id;
    char cluster[HELLO_CLUSTER_MAX + 1];
    char address[HELLO_ADDRESS_MAX + 1]; /* Where the sender listens for peers. */
};

enum error frame_encode_hello(struct buffer *out, const struct hello *hello) MUST_USE;
enum error frame_decode_hello(struct bytes body, struct hello *out, struct reason *why) MUST_USE;
/* Ping and pong: a number that comes back. */
enum error frame_encode_number(struct buffer *out, unsigned kind, uint64_t number) MUST_USE;
enum error frame_decode_number(struct bytes body, uint64_t *number, struct reason *why) MUST_USE;

#define SNAPSHOT_PIECE_MAX (256u * 1024)

/* A piece of the snapshot file that an install snapshot frame announced; an ack carries no data and
 * says that everything before offset was taken (last: the snapshot was delivered). */
struct snapshot_piece {
    uint64_t number; /* Which sending: from the announcement. */
    uint64_t offset;
    bool last;
    struct bytes data; /* Borrowed when decoded; at most SNAPSHOT_PIECE_MAX. */
};

enum error frame_encode_piece(struct buffer *out, unsigned kind,
                              const struct snapshot_piece *piece) MUST_USE;
enum error frame_decode_piece(struct bytes body, struct snapshot_piece *out,
                              struct reason *why) MUST_USE;

/* What goes before the pieces: the message without its data, and what is to come. */
struct snapshot_offer {
    uint64_t number;
    uint64_t size; /* Of the file. */
};

enum error frame_encode_offer(struct buffer *out, const struct snapshot_offer *offer,
                              const struct raft_install_snapshot *message) MUST_USE;
/* message->conf is raft_configuration_close()d by the caller; message->data is empty. */
enum error frame_decode_offer(struct bytes body, struct snapshot_offer *offer,
                              struct raft_install_snapshot *message, struct reason *why) MUST_USE;

/* --- Raft's messages ------------------------------------------------------------------------- */

/* Append a message of any type but RAFT_IO_INSTALL_SNAPSHOT. Of an AppendEntries with many entries
 * one part is encoded: *done counts the entries that went out so far (start with 0), call again
 * while it is below n_entries. Each part is a full AppendEntries with prev index and term of its
 * own, and leader_commit at most the last index that it carries. ERROR_TOO_LARGE: an entry over
 * FRAME_ENTRY_MAX, or out ran over its limit. */
enum error frame_encode_message(struct buffer *out, const struct raft_message *message,
                                unsigned *done) MUST_USE;
/* The reverse. Memory as libraft wants it: the entries array is one raft_malloc, the data of all
 * entries another that is the batch of each (both NULL without entries). libraft frees them once it
 * has taken the message; else frame_release_message(). server_id and server_address are left to the
 * caller. */
enum error frame_decode_message(unsigned kind, struct bytes body, struct raft_message *out,
                                struct reason *why) MUST_USE;
void frame_release_message(struct raft_message *message);

#endif
