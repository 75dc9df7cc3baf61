#ifndef NODE_NODE_PRIVATE_H
#define NODE_NODE_PRIVATE_H

#include "base/mailbox.h"
#include "node/client_tls.h"
#include "node/command_tables.h"
#include "node/control.h"
#include "node/node.h"
#include "node/worker.h"

#include <stdatomic.h>

/* What the files of the running node share: node.c (life, the control thread), node_state.c (what
 * it stands on: files, TLS, catalog, log), node_workers.c (what runs on worker threads). */

struct bootstrap;
struct cluster_files;
struct promoter;
struct config;

/* A worker's word that it is done with a step of the stop. */
struct stop_task {
    struct task task; /* First: the mailbox hands this back. */
    struct node *node;
};

#define NODE_WORKERS_MAX 64

struct node {
    const struct config *config;
    uint64_t started_ms;
    atomic_bool is_stopping;
    /* node_state.c */
    struct cluster_files *files;
    struct tls_context *peer_tls, *greet_tls, *client_tls;
    const struct command_row *rows[COMMAND_ROWS_MAX];
    size_t n_rows;
    struct catalog *catalog;
    struct blob_store *blobs;
    struct consensus *consensus;
    struct control *control;
    struct bootstrap *bootstrap;
    /* node_workers.c */
    struct access_cache *access;
    struct uploads *uploads;
    struct repair *repair;
    struct scrub *scrub;
    struct promoter *promoter;
    struct worker *workers;
    unsigned n_workers;
    /* node.c: the control thread is the main thread. */
    uv_loop_t loop;
    struct mailbox mailbox;
    uv_signal_t terminate, interrupt, hangup;
    struct client_tls_reload reload;
    int stop_step;
    unsigned stop_waiting;
    struct stop_task stop_tasks[NODE_WORKERS_MAX];
};

/* Files, locks, TLS, catalog, blobs, log, in this order; what a failure leaves open ends with the
 * process. */
enum error node_state_open(struct node *node, struct reason *why) MUST_USE;
/* Of the identity that node_state_open() read. */
struct bytes node_certificate(const struct node *node);
struct bytes node_key(const struct node *node);
struct bytes node_ca(const struct node *node);
const char *node_raft_address(const struct node *node);
const char *node_data_listen(const struct node *node);
/* After the loop ran dry. */
void node_state_close(struct node *node);

/* Workers with their listeners, and what runs on worker 0. Started at the end. */
enum error node_workers_open(struct node *node, struct reason *why) MUST_USE;
/* On worker 0's thread: end repair, promoter and upload sessions. */
void node_tasks_close(struct node *node, void (*done_cb)(struct worker *worker));
void node_workers_close(struct node *node);

#endif
