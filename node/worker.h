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
struct repair;  /* Catching up on missing content: node/repair.h. */
struct access_cache;

struct worker {
    uv_loop_t loop;
    struct mailbox mailbox;
    unsigned number;
    struct node *node;
    struct control *control;
    struct catalog *catalog;
    struct blob_store *blobs;
    struct peers *peers;
    struct uploads *uploads;
    struct repair *repair; /* The node's one; its functions for other threads say so. */
    struct access_cache *access;
};

#endif
