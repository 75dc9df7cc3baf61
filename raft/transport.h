#ifndef RAFT_TRANSPORT_H
#define RAFT_TRANSPORT_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/tls.h"

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Messages between members: mutual TLS 1.3, one connection per direction.
 *
 * A member sends on the link that it opened to a peer and receives on those that peers opened to
 * it. Both sides say hello first; the id in the hello must be the id in the certificate, and on our
 * own link the id that we wanted. A link that fails is opened again after 50 to 1,000 ms; what was
 * on it is lost, which is what Raft expects of a network. Nothing here fails towards the caller
 * (libraft frees twice when a send does).
 *
 * Everything runs on the loop of the options; callbacks never run inside a call of ours. */

struct transport;

/* Where snapshots are read from and written to; storage brings them. Calls marked (pool) run on a
 * thread of libuv's pool, one at a time per reader or writer; the others on the loop. */
struct transport_snapshots {
    /* Open the snapshot that token (install_snapshot.data of the message) names. NULL and why when
     * it is gone. */
    void *(*open)(void *data, struct bytes token, uint64_t *size, struct reason *why);
    /* (pool) The next bytes, at most size; exactly as many as are left or size. */
    enum error (*read)(void *reader, void *out, size_t size, size_t *n, struct reason *why);
    void (*close)(void *reader);

    /* A snapshot of size bytes is about to come; about is without data. NULL and why to refuse. */
    void *(*create)(void *data, const struct raft_install_snapshot *about, uint64_t size,
                    struct reason *why);
    /* (pool) */
    enum error (*write)(void *writer, struct bytes piece, struct reason *why);
    /* (pool) All came: check it, make it durable, give the token that goes into the delivered
     * message's data. */
    enum error (*finish)(void *writer, struct buffer *token, struct reason *why);
    /* The last call for a writer. delivered: the message with its token was handed over; false:
     * throw away what was written. */
    void (*release)(void *writer, bool delivered);
};

struct transport_events {
    /* A message from a peer, as raft_io's recv callback takes it: server_id and server_address are
     * the sender's and borrowed for the call; the rest of its memory goes to the callee (libraft;
     * frame_release_message() to drop it). */
    void (*message)(void *data, struct raft_message *message);
    /* An application frame (kind from FRAME_APPLICATION on) from a peer; body borrowed. */
    void (*frame)(void *data, uint64_t from, unsigned kind, struct bytes body);
    /* Our link to a peer came up or went down. May be NULL. */
    void (*link)(void *data, uint64_t id, bool up);
};

struct transport_options {
    uv_loop_t *loop;
    uint64_t id;
    const char *cluster;
    const char *address;     /* Said in the hello; port 0: the port that listen got. */
    const char *listen;      /* NULL: address. */
    struct tls_context *tls; /* TLS_PEER; held while open. */
    struct transport_events events;
    struct transport_snapshots snapshots;
    /* A member that was removed in an earlier life of this process. May be NULL. */
    bool (*is_retired)(void *data, uint64_t id);
    void *data;          /* For all callbacks but those that take a reader or writer. */
    unsigned ping_ms;    /* 0: 500. */
    unsigned silence_ms; /* A link that gave nothing for so long is dead. 0: 3,000. */
};

/* Bind and listen. Until transport_start() what arrives is dropped. ERROR_INVALID, ERROR_BUSY (the
 * address is taken), ERROR_IO. */
enum error transport_open(const struct transport_options *options, struct transport **out,
                          struct reason *why) MUST_USE;
void transport_start(struct transport *transport);
/* Close all links and the listener; snapshots that wait get their callback with an error before
 * closed_cb, which is the end of transport. */
void transport_close(struct transport *transport, void (*closed_cb)(void *data), void *data);
/* The address that the hello says. */
const char *transport_address(const struct transport *transport);

/* Have a link to a peer, or move the one that is there to a new address. Sending to an unknown id
 * does this too, and so does a peer's hello. */
void transport_connect(struct transport *transport, uint64_t id, const char *address);
/* Close the links to and from a member that was removed, and refuse it from now on (its certificate
 * is still good; ids are never used twice). */
void transport_forget(struct transport *transport, uint64_t id);

/* Send a copy of message to message->server_id at message->server_address; not for
 * RAFT_IO_INSTALL_SNAPSHOT. False: it was dropped, at least in part (no link yet, or too much
 * waits on it). Callers need not care; a raft_io may pass it on as the status of its send callback,
 * which is safe where an error from send itself is not. */
bool transport_send(struct transport *transport, const struct raft_message *message);
/* Send an application frame to a peer that has a link. False: dropped. */
bool transport_send_frame(struct transport *transport, uint64_t id, unsigned kind,
                          struct bytes body);

/* A snapshot on its way to a peer; embedded in its owner, who keeps it until the callback. */
struct snapshot_send {
    void *data; /* The owner's. */
    /* Private. */
    void (*cb)(struct snapshot_send *send, enum error status);
    struct transport *transport;
    struct peer *peer;
    struct list item;
    void *reader;
    uv_work_t work;
    uint64_t number, size, sent, acked;
    enum error status, read_error;
    struct reason why;
    uint8_t *piece;
    size_t piece_size;
    bool reading;
};

typedef void (*snapshot_send_cb)(struct snapshot_send *send, enum error status);

/* Send an InstallSnapshot whose data is a token for snapshots.open(). The file goes in pieces of at
 * most 256 KiB, four of them under way at most, so that heartbeats pass between them. The callback:
 * OK when the peer has stored it all and was handed the message, else why not. One at a time per
 * peer: ERROR_BUSY through the callback. */
void transport_send_snapshot(struct transport *transport, struct snapshot_send *send,
                             const struct raft_message *message, snapshot_send_cb cb);

struct transport_peer {
    bool up;                /* Our link to it is up. */
    uint64_t round_trip_us; /* Of the last ping; 0: none yet. */
    uint64_t heard_ms_ago;  /* Any frame, on either link; UINT64_MAX: never. */
    char error[160];        /* Why the link went down last, or could not come up; "" never. */
};

/* False: no link to id is known. */
bool transport_peer(const struct transport *transport, uint64_t id, struct transport_peer *out);

#endif
