/* Commits are told to each follower at once, also to the one whose disk was slower than the commit:
 * with rare heartbeats, who waits for one is seen. */
#include "tests/lib/raft_cluster.h"

#include "tests/lib/test.h"

#include "base/clock.h"

#include <signal.h>

#define HEARTBEAT_MS 400u
#define WRITES       20u
#define WAIT_MS      30000u

struct ask {
    struct proposal proposal;
    struct cluster *cluster;
    uint64_t index;
    bool is_done;
};

static void proposed(struct proposal *proposal, enum error status, uint64_t index,
                     struct bytes result)
{
    struct ask *ask = container_of(proposal, struct ask, proposal);

    (void)result;
    assert_int_equal(status, OK);
    ask->is_done = true;
    ask->index = index;
}

static bool is_everywhere(void *data)
{
    struct ask *ask = data;

    for (size_t i = 0; i < ask->cluster->n_nodes; i++) {
        if (!ask->is_done || ask->cluster->nodes[i].counter->applied_index < ask->index) {
            return false;
        }
    }
    return true;
}

static void test_announce__every_follower_applies_without_waiting_for_a_heartbeat(void **state)
{
    struct cluster cluster;
    uint64_t begun_ms;

    (void)state;
    cluster_open(&cluster);
    cluster.heartbeat_ms = HEARTBEAT_MS;
    cluster.election_timeout_ms = 10 * HEARTBEAT_MS;
    cluster_form(&cluster, 3);
    assert_true(cluster_wait(&cluster, has_leader, &cluster, WAIT_MS));
    begun_ms = clock_monotonic_ms();
    for (uint64_t number = 0; number < WRITES; number++) {
        struct ask ask = {.cluster = &cluster};
        const struct node *leader = cluster_leader(&cluster);

        CHECK(leader != NULL);
        consensus_propose(leader->consensus, &ask.proposal, bytes_of(&number, sizeof number),
                          WAIT_MS, proposed);
        assert_true(cluster_wait(&cluster, is_everywhere, &ask, WAIT_MS));
    }
    /* One follower in two is later than the other: half of these would wait. */
    assert_true(clock_monotonic_ms() - begun_ms < (uint64_t)WRITES * HEARTBEAT_MS / 5);
    cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announce__every_follower_applies_without_waiting_for_a_heartbeat),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
