#include "base/assert.h"
#include "base/durable.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/bootstrap.h"
#include "node/client_tls.h"
#include "node/cluster_start.h"
#include "node/config.h"
#include "node/node_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* What a node stands on, opened in the order in which one needs the other. */

/* --- who we are ------------------------------------------------------------------------------- */

uint64_t node_id(const struct node *node)
{
    return node->files->identity.member;
}

const char *node_name(const struct node *node)
{
    return node->files->identity.name;
}

const char *node_cluster(const struct node *node)
{
    return node->files->identity.cluster;
}

bool node_is_open(const struct node *node)
{
    return node->config->open;
}

bool node_is_tls(const struct node *node)
{
    return node->client_tls != NULL;
}

bool node_allows_sparse(const struct node *node)
{
    return node->config->allow_sparse;
}

struct bytes node_certificate(const struct node *node)
{
    return buffer_view(&node->files->certificate);
}

struct bytes node_key(const struct node *node)
{
    return buffer_view(&node->files->key);
}

struct bytes node_ca(const struct node *node)
{
    return buffer_view(&node->files->ca);
}

const char *node_raft_address(const struct node *node)
{
    return node->files->identity.raft_address;
}

const char *node_data_listen(const struct node *node)
{
    return node->config->data_listen[0] != '\0' ? node->config->data_listen
                                                : node->files->identity.data_address;
}

static enum error open_files(struct node *node, struct reason *why)
{
    enum error rv;

    node->files = memory_zero(sizeof *node->files);
    rv = cluster_start(node->config, node->files, why);
    if (rv == OK) {
        log_setup(node->config->log_level, node_name(node));
    }
    return rv;
}

/* --- TLS -------------------------------------------------------------------------------------- */

static enum error open_peer_tls(struct node *node, enum tls_role role, struct tls_context **out,
                                struct reason *why)
{
    const struct tls_options options = {.role = role,
                                        .certificate = buffer_view(&node->files->certificate),
                                        .key = buffer_view(&node->files->key),
                                        .ca = buffer_view(&node->files->ca),
                                        .cluster = node_cluster(node)};

    return tls_context_open(&options, out, why);
}

static enum error open_tls(struct node *node, struct reason *why)
{
    enum error rv = open_peer_tls(node, TLS_PEER, &node->peer_tls, why);

    if (rv == OK) {
        rv = open_peer_tls(node, TLS_PEER_GREET, &node->greet_tls, why);
    }
    if (rv == OK) {
        rv = client_tls_open(node->config, &node->client_tls, why);
    }
    return rv;
}

/* --- catalog and blobs ------------------------------------------------------------------------ */

static enum error open_store(struct node *node, struct reason *why)
{
    char directory[PATH_MAX];
    enum error rv;

    node->n_rows = command_tables(node->rows, COMMAND_ROWS_MAX);
    snprintf(directory, sizeof directory, "%s/meta", node->config->data_dir);
    rv = catalog_open(directory, node->rows, node->n_rows, &node->catalog, why);
    if (rv == OK) {
        rv = blob_store_open(node->config->data_dir, &node->blobs, why);
    }
    return rv;
}

/* --- the log ---------------------------------------------------------------------------------- */

static void log_changed(void *data)
{
    struct node *node = data;
    struct consensus_status status;

    consensus_status(node->consensus, &status);
    LOG_INFO("%s of term %llu, leader %016llx", consensus_role_name(status.role),
             (unsigned long long)status.term, (unsigned long long)status.leader);
}

static bool log_is_retired(void *data, uint64_t id)
{
    struct node *node = data;
    struct catalog_txn txn;
    bool is_retired;

    catalog_read(node->catalog, &txn);
    is_retired = catalog_member_is_retired(&txn, id);
    catalog_done(&txn);
    return is_retired;
}

static enum error open_log(struct node *node, struct reason *why)
{
    const struct node_identity *identity = &node->files->identity;
    const struct consensus_options options = {
        .loop = &node->loop,
        .directory = node->config->data_dir,
        .id = identity->member,
        .cluster = identity->cluster,
        .address = identity->raft_address,
        .listen = node->config->raft_listen[0] != '\0' ? node->config->raft_listen : NULL,
        .tls = node->peer_tls,
        .machine = control_machine(node->catalog),
        .election_timeout_ms = node->config->election_timeout_ms,
        .heartbeat_ms = node->config->heartbeat_ms,
        .snapshot_threshold = node->config->snapshot_threshold,
        .snapshot_trailing = node->config->snapshot_trailing,
        .segment_size = node->config->log_segment_size,
        .changed = log_changed,
        .is_retired = log_is_retired,
        .data = node,
    };
    enum error rv = consensus_open(&options, &node->consensus, why);

    if (rv == OK) {
        rv = bootstrap_open(node->files, node->consensus, &node->bootstrap, why);
    }
    if (rv == OK) {
        rv = consensus_start(node->consensus, why);
    }
    if (rv == OK) {
        node->control = control_open(&node->loop, node->consensus, node->catalog, identity->member);
        bootstrap_start(node->bootstrap);
    }
    return rv;
}

/* --- all of it -------------------------------------------------------------------------------- */

enum error node_state_open(struct node *node, struct reason *why)
{
    enum error rv = open_files(node, why);

    if (rv == OK) {
        rv = open_tls(node, why);
    }
    if (rv == OK) {
        rv = open_store(node, why);
    }
    if (rv == OK) {
        rv = open_log(node, why);
    }
    return rv;
}

void node_state_close(struct node *node)
{
    control_release(node->control);
    bootstrap_release(node->bootstrap);
    catalog_close(node->catalog);
    blob_store_close(node->blobs);
    tls_context_release(node->peer_tls);
    tls_context_release(node->greet_tls);
    if (node->client_tls != NULL) {
        tls_context_release(node->client_tls);
    }
    cluster_files_release(node->files);
    free(node->files);
}
