#ifndef TESTS_LIB_RAFT_CLUSTER_H
#define TESTS_LIB_RAFT_CLUSTER_H

/* Members of one cluster in one process on one loop: real logs in a temporary directory, real
 * links with TLS on loopback, and a machine that counts. For the test and the benchmark of raft/.
 * Every failure here aborts: it is not what is being tested. */

#include "base/assert.h"
#include "base/durable.h"
#include "base/memory.h"
#include "base/tls.h"
#include "raft/consensus.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NODES_MAX   5
#define NUMBERS_MAX 65536

#define CLUSTER_ID "0123456789abcdef0123456789abcdef"

/* A command is a number (8 bytes, then anything); the result says how many different ones came
 * before and with it. A repeated number changes nothing. */
struct counter {
    uint64_t applied_index, n, hash;
    uint64_t n_snapshots, n_restores, n_entries;
    bool seen[NUMBERS_MAX];
    uint64_t place[NUMBERS_MAX];
};

struct node {
    struct cluster *cluster;
    struct consensus *consensus; /* NULL: stopped. */
    uint64_t id;
    char directory[160];
    char address[32];
    struct tls_context *tls;
    struct counter *counter;
    bool is_closed;
};

struct cluster {
    uv_loop_t loop;
    uv_timer_t timer; /* Wakes the loop so that conditions are looked at. */
    char directory[64];
    struct buffer ca, ca_key;
    struct node nodes[NODES_MAX];
    size_t n_nodes;
    unsigned election_timeout_ms, heartbeat_ms, snapshot_threshold, snapshot_trailing;
};

/* --- the machine ----------------------------------------------------------------------------- */

static inline uint64_t counter_applied_index(void *data)
{
    return ((struct counter *)data)->applied_index;
}

static inline void counter_apply(void *data, const struct entry *entry, struct buffer *results)
{
    struct counter *counter = data;

    CHECK(entry->index > counter->applied_index);
    CHECK(entry->term > 0 && entry->time_ms > 0);
    for (size_t i = 0; i < entry->n; i++) {
        uint64_t number;

        CHECK(entry->commands[i].size >= sizeof number);
        memcpy(&number, entry->commands[i].data, sizeof number);
        CHECK(number < NUMBERS_MAX);
        if (!counter->seen[number]) {
            counter->seen[number] = true;
            counter->place[number] = ++counter->n;
            counter->hash = (counter->hash ^ number) * 0x100000001b3u;
        }
        buffer_append(&results[i], bytes_of(&counter->place[number], sizeof number));
    }
    counter->applied_index = entry->index;
    counter->n_entries++;
}

static inline void *counter_snapshot_open(void *data, uint64_t *index)
{
    struct counter *counter = data;

    counter->n_snapshots++;
    *index = counter->applied_index;
    return memory_copy(counter, sizeof *counter);
}

static inline enum error
counter_snapshot_write(void *view, enum error (*sink)(void *sink_data, struct bytes piece),
                       void *sink_data, struct reason *why)
{
    (void)why;
    return sink(sink_data, bytes_of(view, sizeof(struct counter)));
}

static inline void counter_snapshot_close(void *view)
{
    free(view);
}

static inline enum error counter_restore(void *data, uint64_t index,
                                         enum error (*source)(void *source_data, void *out,
                                                              size_t size, size_t *n),
                                         void *source_data, struct reason *why)
{
    struct counter *counter = data, *loaded = memory_zero(sizeof *loaded);
    size_t filled = 0, n = 1;
    enum error error = OK;

    while (error == OK && n > 0 && filled < sizeof *loaded) {
        error = source(source_data, (uint8_t *)loaded + filled, sizeof *loaded - filled, &n);
        filled += n;
    }
    if (error == OK && filled == sizeof *loaded) {
        loaded->n_restores = counter->n_restores + 1;
        loaded->n_snapshots = counter->n_snapshots;
        loaded->n_entries = counter->n_entries;
        *counter = *loaded;
        counter->applied_index = index;
    } else {
        error = fail(why, ERROR_CORRUPT, "%zu bytes of a counter", filled);
    }
    free(loaded);
    return error;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* A port that was free a moment ago. */
static inline void free_address(char out[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    close(fd);
    snprintf(out, 32, "127.0.0.1:%u", ntohs(address.sin_port));
}

static inline void node_certify(struct node *node)
{
    struct cluster *cluster = node->cluster;
    struct buffer key, request, certificate;
    struct tls_options options = {.role = TLS_PEER, .cluster = CLUSTER_ID};
    struct reason why;

    buffer_init(&key, 16384);
    buffer_init(&request, 16384);
    buffer_init(&certificate, 16384);
    CHECK(tls_make_request(&key, &request, &why) == OK);
    CHECK(tls_sign_request(buffer_view(&cluster->ca), buffer_view(&cluster->ca_key),
                           buffer_view(&request), CLUSTER_ID, node->id, &certificate, &why) == OK);
    options.certificate = buffer_view(&certificate);
    options.key = buffer_view(&key);
    options.ca = buffer_view(&cluster->ca);
    CHECK(tls_context_open(&options, &node->tls, &why) == OK);
    buffer_release(&key);
    buffer_release(&request);
    buffer_release(&certificate);
}

/* A member with an empty directory, not started. address NULL: a free one. */
static inline struct node *cluster_add(struct cluster *cluster, uint64_t id, const char *address)
{
    struct node *node = &cluster->nodes[cluster->n_nodes++];

    CHECK(cluster->n_nodes <= NODES_MAX);
    node->cluster = cluster;
    node->id = id;
    node->counter = memory_zero(sizeof *node->counter);
    snprintf(node->directory, sizeof node->directory, "%s/%llx", cluster->directory,
             (unsigned long long)id);
    CHECK(durable_make_directory(node->directory, NULL) == OK);
    if (address != NULL) {
        snprintf(node->address, sizeof node->address, "%s", address);
    } else {
        free_address(node->address);
    }
    node_certify(node);
    return node;
}

/* The machine starts empty each time, as after a crash; keeps: as after a clean stop. */
static inline void node_start(struct node *node, bool bootstraps, bool keeps)
{
    const struct cluster *cluster = node->cluster;
    struct consensus_options options = {
        .loop = (uv_loop_t *)(uintptr_t)&cluster->loop,
        .directory = node->directory,
        .id = node->id,
        .cluster = CLUSTER_ID,
        .address = node->address,
        .tls = node->tls,
        .machine = {.data = node->counter,
                    .applied_index = counter_applied_index,
                    .apply = counter_apply,
                    .snapshot_open = counter_snapshot_open,
                    .snapshot_write = counter_snapshot_write,
                    .snapshot_close = counter_snapshot_close,
                    .restore = counter_restore},
        .election_timeout_ms = cluster->election_timeout_ms,
        .heartbeat_ms = cluster->heartbeat_ms,
        .snapshot_threshold = cluster->snapshot_threshold,
        .snapshot_trailing = cluster->snapshot_trailing,
        .segment_size = 16u * 1024 * 1024,
    };
    struct reason why = {""};

    if (!keeps) {
        memset(node->counter, 0, sizeof *node->counter);
    }
    if (consensus_open(&options, &node->consensus, &why) != OK ||
        (bootstraps && consensus_bootstrap(node->consensus, &why) != OK) ||
        consensus_start(node->consensus, &why) != OK) {
        fail_stop("node %llx does not start: %s", (unsigned long long)node->id, why.text);
    }
}

/* --- waiting --------------------------------------------------------------------------------- */

static inline void wake_cb(uv_timer_t *timer)
{
    (void)timer;
}

/* Run the loop until holds() says so. False after timeout_ms. */
static inline bool cluster_wait(struct cluster *cluster, bool (*holds)(void *data), void *data,
                                uint64_t timeout_ms)
{
    uint64_t until;

    uv_update_time(&cluster->loop);
    until = uv_now(&cluster->loop) + timeout_ms;
    while (!holds(data)) {
        if (uv_now(&cluster->loop) >= until) {
            return false;
        }
        uv_run(&cluster->loop, UV_RUN_ONCE);
    }
    return true;
}

static inline bool never_holds(void *data)
{
    (void)data;
    return false;
}

static inline void node_closed(void *data)
{
    ((struct node *)data)->is_closed = true;
}

static inline bool node_is_closed(void *data)
{
    return ((struct node *)data)->is_closed;
}

static inline void node_stop(struct node *node)
{
    if (node->consensus == NULL) {
        return;
    }
    node->is_closed = false;
    consensus_stop(node->consensus, node_closed, node);
    CHECK(cluster_wait(node->cluster, node_is_closed, node, 10000));
    node->consensus = NULL;
}

/* The one that leads and knows its quorum; NULL: none. */
static inline struct node *cluster_leader(struct cluster *cluster)
{
    struct consensus_status status;

    for (size_t i = 0; i < cluster->n_nodes; i++) {
        if (cluster->nodes[i].consensus != NULL) {
            consensus_status(cluster->nodes[i].consensus, &status);
            if (status.role == ROLE_LEADER && status.has_quorum) {
                return &cluster->nodes[i];
            }
        }
    }
    return NULL;
}

static inline bool has_leader(void *data)
{
    return cluster_leader(data) != NULL;
}

/* Every running node has this member list, all voters, committed. */
struct members_wanted {
    struct cluster *cluster;
    struct member members[CONSENSUS_MEMBERS_MAX];
    size_t n;
};

static inline bool members_are(void *data)
{
    struct members_wanted *wanted = data;
    struct node *leader = cluster_leader(wanted->cluster);
    struct consensus_status status;
    size_t n_voters = 0;

    if (leader == NULL) {
        return false;
    }
    consensus_want_members(leader->consensus, wanted->members, wanted->n);
    consensus_status(leader->consensus, &status);
    for (size_t i = 0; i < status.n_members; i++) {
        for (size_t k = 0; k < wanted->n; k++) {
            n_voters += status.members[i].member.id == wanted->members[k].id &&
                        status.members[i].role == MEMBER_VOTER;
        }
    }
    return status.n_members == wanted->n && n_voters == wanted->n;
}

/* Want these nodes as members and wait until they are. */
static inline bool cluster_want(struct cluster *cluster, struct node *const *nodes, size_t n,
                                uint64_t timeout_ms)
{
    struct members_wanted wanted = {.cluster = cluster, .n = n};

    for (size_t i = 0; i < n; i++) {
        wanted.members[i].id = nodes[i]->id;
        snprintf(wanted.members[i].address, sizeof wanted.members[i].address, "%s",
                 nodes[i]->address);
    }
    for (size_t i = 0; i < cluster->n_nodes; i++) {
        if (cluster->nodes[i].consensus != NULL) {
            consensus_want_members(cluster->nodes[i].consensus, wanted.members, n);
        }
    }
    return cluster_wait(cluster, members_are, &wanted, timeout_ms);
}

/* --- the cluster ----------------------------------------------------------------------------- */

static inline void cluster_open(struct cluster *cluster)
{
    memset(cluster, 0, sizeof *cluster);
    CHECK(uv_loop_init(&cluster->loop) == 0);
    uv_timer_init(&cluster->loop, &cluster->timer);
    uv_timer_start(&cluster->timer, wake_cb, 5, 5);
    snprintf(cluster->directory, sizeof cluster->directory, "%s/caisson-raft-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(cluster->directory) != NULL);
    buffer_init(&cluster->ca, 16384);
    buffer_init(&cluster->ca_key, 16384);
    CHECK(tls_make_ca(CLUSTER_ID, &cluster->ca, &cluster->ca_key, NULL) == OK);
    cluster->election_timeout_ms = 300;
    cluster->heartbeat_ms = 40;
}

/* n nodes with ids 1..n, all of them voters. */
static inline void cluster_form(struct cluster *cluster, size_t n)
{
    struct node *nodes[NODES_MAX];

    for (size_t i = 0; i < n; i++) {
        nodes[i] = cluster_add(cluster, i + 1, NULL);
        node_start(nodes[i], i == 0, false);
    }
    CHECK(cluster_want(cluster, nodes, n, 20000));
}

static inline int remove_file(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void cluster_close(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->n_nodes; i++) {
        node_stop(&cluster->nodes[i]);
        tls_context_release(cluster->nodes[i].tls);
        free(cluster->nodes[i].counter);
    }
    uv_close((uv_handle_t *)&cluster->timer, NULL);
    uv_run(&cluster->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&cluster->loop) == 0);
    buffer_release(&cluster->ca);
    buffer_release(&cluster->ca_key);
    nftw(cluster->directory, remove_file, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
