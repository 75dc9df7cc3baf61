#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"
#include "node/access.h"
#include "node/config.h"
#include "node/descriptors.h"
#include "node/node_private.h"
#include "node/peers.h"
#include "node/promoter.h"
#include "node/repair.h"
#include "node/routes.h"
#include "node/scrub.h"
#include "node/uploads.h"

#include <stdlib.h>

/* The worker threads and what runs on the first of them. */

/* --- opening ---------------------------------------------------------------------------------- */

static enum error open_shared(struct node *node, struct reason *why)
{
    const struct uploads_options options = {
        .loop = &node->workers[0].loop,
        .blobs = node->blobs,
        .self = node_id(node),
        .name = node_name(node),
        .idle_ms = (uint64_t)node->config->upload_idle_minutes * 60 * 1000,
        .free_min = node->config->free_space_mark,
        .total = connection_limits_now(node->n_workers).uploads};

    node->access = access_cache_open(node->config->open);
    return uploads_open(&options, &node->uploads, why);
}

static enum error open_tasks(struct node *node, struct reason *why)
{
    const struct repair_options options = {.worker = &node->workers[0],
                                           .bytes_per_second = node->config->repair_rate,
                                           .free_min = node->config->free_space_mark};
    struct scrub_options scrub = {.worker = &node->workers[0],
                                  .directory = node->config->data_dir,
                                  .bytes_per_second = node->config->scrub_rate,
                                  .interval_ms = (uint64_t)node->config->scrub_interval_hours *
                                                 3600 * 1000};
    enum error rv = repair_open(&options, &node->repair, why);
    unsigned i;

    scrub.repair = node->repair;
    scrub_open(&scrub, &node->scrub);

    /* Its loop does not run yet, so this thread may start it. */
    node->promoter = promoter_start(&node->workers[0]);
    for (i = 0; i < node->n_workers; i++) {
        node->workers[i].repair = node->repair;
        node->workers[i].scrub = node->scrub;
        node->workers[i].drain_ms = (uint64_t)node->config->drain_seconds * 1000;
    }
    return rv;
}

static enum error open_worker(struct node *node, struct worker *worker, struct reason *why)
{
    const struct peers_options peers = {.catalog = node->catalog,
                                        .cluster = node_cluster(node),
                                        .self = node_id(node),
                                        .certificate = node_certificate(node),
                                        .key = node_key(node),
                                        .ca = node_ca(node)};
    const struct connection_limits limits = connection_limits_now(node->n_workers);
    struct http_listener_options clients = {.address = node->config->listen,
                                            .tls = node->client_tls,
                                            .connections_max = limits.clients,
                                            .routes = routes_of_clients};
    struct http_listener_options internal = {.address = node_data_listen(node),
                                             .tls = node->greet_tls,
                                             .is_internal = true,
                                             .connections_max = limits.peers,
                                             .routes = routes_of_peers};

    worker->node = node;
    worker->control = node->control;
    worker->catalog = node->catalog;
    worker->blobs = node->blobs;
    worker->access = node->access;
    worker->uploads = node->uploads;
    return worker_open(worker, &peers, &clients, &internal, why);
}

enum error node_workers_open(struct node *node, struct reason *why)
{
    enum error rv;
    unsigned i;

    CHECK(node->config->workers >= 1 && node->config->workers <= NODE_WORKERS_MAX);
    descriptors_raise();
    node->n_workers = node->config->workers;
    node->workers = memory_zero(node->n_workers * sizeof *node->workers);
    for (i = 0; i < node->n_workers; i++) {
        worker_init(&node->workers[i], i);
    }
    rv = stream_address_is_free(node->config->listen, why);
    if (rv == OK) {
        rv = stream_address_is_free(node_data_listen(node), why);
    }
    if (rv == OK) {
        rv = open_shared(node, why);
    }
    for (i = 0; rv == OK && i < node->n_workers; i++) {
        rv = open_worker(node, &node->workers[i], why);
    }
    if (rv == OK) {
        rv = open_tasks(node, why);
    }
    if (rv != OK) {
        return rv;
    }
    for (i = 0; i < node->n_workers; i++) {
        worker_start(&node->workers[i]);
    }
    LOG_INFO("serving clients on %s%s, peers on %s and %s, with %u worker%s", node->config->listen,
             node->client_tls != NULL ? " (TLS)" : "", node_raft_address(node),
             node_data_listen(node), node->n_workers, node->n_workers == 1 ? "" : "s");
    return OK;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void uploads_closed_cb(void *data)
{
    struct worker *worker = data;

    worker->done_cb(worker);
}

static void promoter_closed_cb(void *data)
{
    struct worker *worker = data;

    uploads_close(worker->node->uploads, uploads_closed_cb, worker);
}

static void repair_closed_cb(void *data)
{
    struct worker *worker = data;

    promoter_stop(worker->node->promoter, promoter_closed_cb, worker);
}

static void scrub_closed_cb(void *data)
{
    struct worker *worker = data;

    repair_close(worker->node->repair, repair_closed_cb, worker);
}

static void tasks_close_run(struct task *task)
{
    struct worker *worker = container_of(task, struct worker, task);

    scrub_close(worker->node->scrub, scrub_closed_cb, worker);
}

void node_tasks_close(struct node *node, void (*done_cb)(struct worker *worker))
{
    struct worker *first = &node->workers[0];

    first->done_cb = done_cb;
    first->task.run = tasks_close_run;
    mailbox_post(&first->mailbox, &first->task);
}

void node_workers_close(struct node *node)
{
    unsigned i;

    for (i = 0; i < node->n_workers; i++) {
        worker_join(&node->workers[i]);
    }
    access_cache_close(node->access);
    free(node->workers);
}
