#ifndef NODE_WORKER_H
#define NODE_WORKER_H

#include "base/mailbox.h"
#include "raft/consensus.h"
#include "store/blob_store.h"
#include "store/catalog.h"

#include <uv.h>

/* A worker: one thread, one loop, its own listeners on the shared ports (SO_REUSEPORT). It reads
 * the catalog itself and sends everything else to the control thread (node/control.h). */

struct node;    /* The running program: node/node.h. */
struct control; /* The control thread's door: node/control.h. */
struct peers;   /* Outgoing requests to other nodes on this worker's loop: node/peers.h. */
struct uploads; /* Upload sessions of this node: node/uploads.h. */
struct repair;  /* Catching up, one per node: node/repair.h. */
struct scrub;   /* Reading everything again, one per node: node/scrub.h. */
struct access_cache;
struct manifest_cache; /* node/manifest_load.h */
struct http_listener;

struct worker {
    /* Borrowed by handlers. */
    uv_loop_t loop;
    struct mailbox mailbox;
    unsigned number;
    struct node *node;
    struct control *control;
    struct catalog *catalog;
    struct blob_store *blobs;
    struct peers *peers;
    struct uploads *uploads;
    struct repair *repair;
    struct scrub *scrub;
    struct access_cache *access;
    struct manifest_cache *manifests; /* This worker's own; NULL: none. */
    /* What a stop waits for: requests that the control thread has not answered (node/control.c),
     * exchanges whose handlers hold them, with or without a connection (node/http_exchange.c), and
     * copies on their way after the answer (node/copies.c). */
    size_t body_bytes; /* Held of requests' bodies that are collected whole. */
    unsigned control_pending, exchanges_pending, copies_pending;
    unsigned followers; /* Who follows promotions (node/routes_follow.c). */
    uint64_t drain_ms;  /* What requests under way may take once a stop was asked for. */
    /* Private. */
    uv_thread_t thread;
    struct task task;
    uv_timer_t settle_timer;
    unsigned closing;
    uint64_t drain_deadline_ms;
    struct http_listener *clients, *internal;
    void (*done_cb)(struct worker *worker); /* On the worker's thread. */
};

struct http_listener_options;
struct peers_options;

/* The loop and the mailbox, so that others can put handles on it. */
void worker_init(struct worker *worker, unsigned number);
/* The rest, before the thread starts: peers and the two listeners (where, TLS and routes are the
 * caller's, worker and loop are filled in here). The fields that handlers borrow were set before.
 */
enum error worker_open(struct worker *worker, const struct peers_options *peers,
                       struct http_listener_options *clients,
                       struct http_listener_options *internal, struct reason *why) MUST_USE;
/* Run the loop on a thread of its own until worker_close() is done. */
void worker_start(struct worker *worker);
/* From another thread, one after the other. drain: take no new connections, let requests and copies
 * under way finish; after drain_ms connections are cut and requests to peers canceled, and the step
 * still waits until every handler has let go, so that what they borrow may be closed after it.
 * close: end peers and the loop. done_cb runs on the worker's thread when the step is complete. */
void worker_drain(struct worker *worker, void (*done_cb)(struct worker *worker));
void worker_close(struct worker *worker, void (*done_cb)(struct worker *worker));
/* Wait for the thread and free what is left. */
void worker_join(struct worker *worker);

#endif
