#ifndef TESTS_LIB_RAFT_ASK_H
#define TESTS_LIB_RAFT_ASK_H

/* Proposals and reads at the members of tests/lib/raft_cluster.h, and waiting for them. */

#include "tests/lib/raft_cluster.h"

#include "tests/lib/test.h"

#define WAIT_MS 15000u

/* --- asking ---------------------------------------------------------------------------------- */

struct ask {
    struct proposal proposal;
    struct read_index read;
    bool is_done;
    enum error status;
    uint64_t index, place;
};

static inline bool ask_is_done(void *data)
{
    return ((struct ask *)data)->is_done;
}

static inline void proposed(struct proposal *proposal, enum error status, uint64_t index,
                            struct bytes result)
{
    struct ask *ask = container_of(proposal, struct ask, proposal);

    assert_false(ask->is_done);
    ask->is_done = true;
    ask->status = status;
    ask->index = index;
    if (status == OK) {
        assert_int_equal(result.size, sizeof ask->place);
        memcpy(&ask->place, result.data, sizeof ask->place);
    }
}

static inline void read_done(struct read_index *read, enum error status, uint64_t index)
{
    struct ask *ask = container_of(read, struct ask, read);

    assert_false(ask->is_done);
    ask->is_done = true;
    ask->status = status;
    ask->index = index;
}

static inline void ask_start(struct node *node, struct ask *ask, uint64_t number,
                             uint64_t timeout_ms)
{
    memset(ask, 0, sizeof *ask);
    consensus_propose(node->consensus, &ask->proposal, bytes_of(&number, sizeof number), timeout_ms,
                      proposed);
    assert_false(ask->is_done);
}

static inline enum error propose(struct node *node, struct ask *ask, uint64_t number,
                                 uint64_t timeout_ms)
{
    ask_start(node, ask, number, timeout_ms);
    assert_true(cluster_wait(node->cluster, ask_is_done, ask, timeout_ms + 5000));
    return ask->status;
}

/* Numbers first..first+n-1, all at once. */
static inline void propose_many(struct node *node, uint64_t first, size_t n)
{
    struct ask *asks = memory_zero(n * sizeof *asks);

    for (size_t i = 0; i < n; i++) {
        ask_start(node, &asks[i], first + i, WAIT_MS);
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(cluster_wait(node->cluster, ask_is_done, &asks[i], WAIT_MS + 5000));
        assert_int_equal(asks[i].status, OK);
    }
    free(asks);
}

static inline enum error read_at(struct node *node, struct ask *ask, uint64_t timeout_ms)
{
    memset(ask, 0, sizeof *ask);
    consensus_read_index(node->consensus, &ask->read, timeout_ms, read_done);
    assert_false(ask->is_done);
    assert_true(cluster_wait(node->cluster, ask_is_done, ask, timeout_ms + 5000));
    return ask->status;
}

static inline struct node *leader_of(struct cluster *cluster)
{
    struct node *leader;

    assert_true(cluster_wait(cluster, has_leader, cluster, WAIT_MS));
    leader = cluster_leader(cluster);
    /* Not assert_non_null: gcc does not know that it never returns. */
    CHECK(leader != NULL);
    return leader;
}

static inline struct node *follower_of(struct cluster *cluster)
{
    struct node *leader = leader_of(cluster);

    for (size_t i = 0; i < cluster->n_nodes; i++) {
        if (&cluster->nodes[i] != leader && cluster->nodes[i].consensus != NULL) {
            return &cluster->nodes[i];
        }
    }
    IMPOSSIBLE("a cluster of several without a follower");
}

/* All running nodes hold the same n numbers. */
struct agreement {
    struct cluster *cluster;
    uint64_t n;
};

static inline bool all_agree(void *data)
{
    struct agreement *agreement = data;
    uint64_t hash = 0;

    for (size_t i = 0; i < agreement->cluster->n_nodes; i++) {
        const struct node *node = &agreement->cluster->nodes[i];

        if (node->consensus == NULL) {
            continue;
        }
        if (node->counter->n != agreement->n || (hash != 0 && node->counter->hash != hash)) {
            return false;
        }
        hash = node->counter->hash;
    }
    return true;
}

static inline void assert_agreement(struct cluster *cluster, uint64_t n)
{
    struct agreement agreement = {cluster, n};

    assert_true(cluster_wait(cluster, all_agree, &agreement, WAIT_MS));
}

#endif
