/* A leader that is killed is replaced before any election time-out is over; a leader that lives is
 * not, though a link to it breaks. */
#include "tests/lib/raft_cluster.h"

#include "tests/lib/test.h"

#include "base/assert.h"
#include "base/clock.h"
#include "raft/core.h"
#include "raft/transport_state.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEARTBEAT_MS        80u
#define ELECTION_TIMEOUT_MS 4000u
#define WAIT_MS             20000u

struct wish {
    uv_timer_t timer;
    struct consensus *consensus;
    struct member members[3];
};

/* Again and again, as node/control.c does: a leader heeds no list of before its term. */
static void wish_cb(uv_timer_t *timer)
{
    struct wish *wish = container_of(timer, struct wish, timer);

    consensus_want_members(wish->consensus, wish->members, 3);
}

/* Node 1 in a process of its own, so that it can be killed; it makes the cluster. */
static pid_t start_leader(struct cluster *cluster)
{
    struct wish wish = {.consensus = NULL};
    pid_t parent = getpid(), pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    /* It goes with the test, however that ends. */
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
    CHECK(uv_loop_fork(&cluster->loop) == 0);
    node_start(&cluster->nodes[0], true, false);
    wish.consensus = cluster->nodes[0].consensus;
    for (size_t i = 0; i < 3; i++) {
        wish.members[i].id = cluster->nodes[i].id;
        snprintf(wish.members[i].address, sizeof wish.members[i].address, "%s",
                 cluster->nodes[i].address);
    }
    CHECK(uv_timer_init(&cluster->loop, &wish.timer) == 0);
    CHECK(uv_timer_start(&wish.timer, wish_cb, 0, HEARTBEAT_MS) == 0);
    uv_run(&cluster->loop, UV_RUN_DEFAULT);
    _exit(1);
}

static bool follows_with_three_voters(const struct node *node)
{
    struct consensus_status status;
    size_t n_voters = 0;

    consensus_status(node->consensus, &status);
    for (size_t i = 0; i < status.n_members; i++) {
        n_voters += status.members[i].role == MEMBER_VOTER;
    }
    return status.leader == 1 && n_voters == 3;
}

static bool both_follow(void *data)
{
    struct cluster *cluster = data;

    return follows_with_three_voters(&cluster->nodes[1]) &&
           follows_with_three_voters(&cluster->nodes[2]);
}

static void test_leader_lost__a_killed_leader_is_replaced_at_once(void **state)
{
    struct cluster cluster;
    uint64_t killed_ms;
    pid_t leader;

    (void)state;
    cluster_open(&cluster);
    cluster.heartbeat_ms = HEARTBEAT_MS;
    cluster.election_timeout_ms = ELECTION_TIMEOUT_MS;
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_add(&cluster, id, NULL);
    }
    leader = start_leader(&cluster);
    node_start(&cluster.nodes[1], false, false);
    node_start(&cluster.nodes[2], false, false);
    assert_true(cluster_wait(&cluster, both_follow, &cluster, WAIT_MS));
    killed_ms = clock_monotonic_ms();
    assert_int_equal(kill(leader, SIGKILL), 0);
    assert_int_equal(waitpid(leader, NULL, 0), leader);
    assert_true(cluster_wait(&cluster, has_leader, &cluster, WAIT_MS));
    assert_true(clock_monotonic_ms() - killed_ms < ELECTION_TIMEOUT_MS);
    cluster_close(&cluster);
}

static void break_link(struct cluster *cluster, struct node *from, const struct node *to)
{
    struct peer *peer = transport_find(from->consensus->io.transport, to->id);

    assert_non_null(peer);
    assert_non_null(peer->link);
    link_close(peer->link, ERROR_CANCELED, "broken by the test");
    cluster_wait(cluster, never_holds, NULL, (uint64_t)10 * HEARTBEAT_MS);
}

static void test_leader_lost__a_broken_link_does_not_unseat_a_leader(void **state)
{
    struct cluster cluster;
    struct consensus_status before, after;
    struct node *leader;

    (void)state;
    cluster_open(&cluster);
    cluster.heartbeat_ms = HEARTBEAT_MS;
    cluster.election_timeout_ms = ELECTION_TIMEOUT_MS;
    cluster_form(&cluster, 3);
    leader = cluster_leader(&cluster);
    CHECK(leader != NULL); /* The compiler knows that this does not return. */
    consensus_status(leader->consensus, &before);
    for (size_t i = 0; i < 3; i++) {
        if (&cluster.nodes[i] != leader) {
            break_link(&cluster, &cluster.nodes[i], leader);
        }
    }
    consensus_status(leader->consensus, &after);
    assert_int_equal(after.role, ROLE_LEADER);
    assert_int_equal(after.term, before.term);
    for (size_t i = 0; i < 3; i++) {
        consensus_status(cluster.nodes[i].consensus, &after);
        assert_int_equal(after.leader, leader->id);
    }
    cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_lost__a_killed_leader_is_replaced_at_once),
        cmocka_unit_test(test_leader_lost__a_broken_link_does_not_unseat_a_leader),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
