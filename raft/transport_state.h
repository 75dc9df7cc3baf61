#ifndef RAFT_TRANSPORT_STATE_H
#define RAFT_TRANSPORT_STATE_H

#include "raft/link.h"
#include "raft/transport.h"

/* What raft/transport.c and raft/snapshot_*.c share; no other file includes it. */

#define TRANSPORT_PEERS_MAX      32
#define TRANSPORT_PENDING_MAX    64 /* Incoming links before their hello. */
#define TRANSPORT_FORGOTTEN_MAX  64
#define TRANSPORT_BACKOFF_MS_MIN 50
/* How much may wait on a link before a message is dropped: entries and application frames give way
 * to votes, heartbeats and results. */
#define TRANSPORT_BULK_MAX  (8u * 1024 * 1024)
#define TRANSPORT_SMALL_MAX (12u * 1024 * 1024)
#define SNAPSHOT_WINDOW     (4u * SNAPSHOT_PIECE_MAX)
/* The offset of an ack that means no. */
#define SNAPSHOT_REFUSED UINT64_MAX

/* A member that we send to. */
struct peer {
    struct list item;
    uint64_t id;
    char address[HELLO_ADDRESS_MAX + 1];
    struct link *link; /* NULL: waiting for retry_ms. */
    uint64_t backoff_ms, retry_ms;
    uint64_t round_trip_us, heard_ms;
    bool forgotten; /* Freed when its link is down. */
    char error[160];
    struct snapshot_send *sending;
};

struct transport {
    struct transport_options options;
    struct hello self;
    char listen[HELLO_ADDRESS_MAX + 1];
    uv_tcp_t listener;
    uv_timer_t tick;
    unsigned open_handles;
    bool started, closing;
    bool accept_waits; /* A connection waits for a pending place. */
    unsigned pending;
    struct list peers;    /* struct peer. */
    struct list incoming; /* struct link. */
    unsigned n_peers, n_links, n_works;
    struct list finished; /* snapshot_send whose callback is due. */
    uint64_t forgotten[TRANSPORT_FORGOTTEN_MAX];
    unsigned n_forgotten;
    uint64_t number; /* Of the last snapshot sent. */
    uint64_t ping_due_ms;
    struct buffer out; /* Scratch for encoding. */
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* --- raft/transport_peers.c --- */

struct peer *transport_find(const struct transport *transport, uint64_t id);
/* Find or make; NULL: forgotten, ourselves, or too many. */
struct peer *transport_reach(struct transport *transport, uint64_t id, const char *address);

/* Free a peer that has no link and no snapshot on its way. */
void peer_free(struct transport *transport, struct peer *peer);
void peer_connect(struct transport *transport, struct peer *peer);
void peer_retry_later(struct peer *peer);
/* Remember why its link is down, and log it when that is news. */
void peer_note_error(struct peer *peer, const char *text);
bool transport_is_forgotten(const struct transport *transport, uint64_t id);

/* --- raft/transport.c --- */
extern const struct link_events transport_link_events;
/* Ends closing once nothing is left; call it after each thing that went. */
void transport_check_closed(struct transport *transport);

/* --- raft/transport_frames.c: link_events.frame --- */
enum error transport_take_frame(struct link *link, const struct frame *frame, struct reason *why);

/* --- raft/snapshot_send.c --- */
void snapshot_send_ack(struct peer *peer, const struct snapshot_piece *ack);
/* The link went down, or the transport closes. */
void snapshot_send_abort(struct peer *peer, enum error error);
/* Run due callbacks. */
void snapshot_send_flush(struct transport *transport);

/* --- raft/snapshot_receive.c (link->receive is its own) --- */
struct snapshot_receive;
enum error snapshot_receive_offer(struct transport *transport, struct link *link,
                                  const struct frame *frame, struct reason *why) MUST_USE;
enum error snapshot_receive_piece(struct link *link, const struct frame *frame,
                                  struct reason *why) MUST_USE;
/* The link goes down: what is under way is thrown away. */
void snapshot_receive_abandon(struct link *link);

#endif
