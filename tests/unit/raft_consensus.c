/* raft/consensus.h over real logs and real TLS links, several members on one loop. */
#include "tests/lib/raft_ask.h"

#include "raft/envelope.h"
#include "raft/peer_message.h"
#include "raft/propose.h"

#include <signal.h>

/* --- one member ------------------------------------------------------------------------------ */

static void test_consensus__one_member_keeps_its_log_over_restarts(void **state)
{
    struct cluster cluster;
    struct consensus_status status;
    struct node *node;
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    assert_int_equal(propose(node, &ask, 7, WAIT_MS), OK);
    assert_int_equal(ask.place, 1);
    propose_many(node, 100, 300);
    assert_int_equal(propose(node, &ask, 7, WAIT_MS), OK);
    assert_int_equal(ask.place, 1);
    assert_int_equal(read_at(node, &ask, WAIT_MS), OK);
    /* What came in one turn shares entries. */
    assert_true(node->counter->n_entries < 50);
    consensus_status(node->consensus, &status);
    assert_true(status.has_quorum && status.role == ROLE_LEADER && status.leader == node->id);
    node_stop(node);

    node_start(node, false, false);
    assert_int_equal(propose(node, &ask, 8, WAIT_MS), OK);
    assert_int_equal(ask.place, 302);
    node_stop(node);

    /* After a clean stop the machine may hold it all already: nothing is applied twice. */
    node->counter->n_entries = 0;
    node_start(node, false, true);
    assert_int_equal(propose(node, &ask, 9, WAIT_MS), OK);
    assert_int_equal(node->counter->n_entries, 1);
    cluster_close(&cluster);
}

static void test_consensus__refusals(void **state)
{
    struct cluster cluster;
    struct node *node;
    struct ask ask, waiting;
    uint8_t *large = memory_zero(COMMAND_SIZE_MAX + 1);

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    memset(&ask, 0, sizeof ask);
    consensus_propose(node->consensus, &ask.proposal, bytes_of(large, COMMAND_SIZE_MAX + 1),
                      WAIT_MS, proposed);
    assert_false(ask.is_done);
    assert_true(cluster_wait(&cluster, ask_is_done, &ask, WAIT_MS));
    assert_int_equal(ask.status, ERROR_TOO_LARGE);
    memset(&ask, 0, sizeof ask);
    consensus_propose(node->consensus, &ask.proposal, bytes_of(large, COMMAND_SIZE_MAX), WAIT_MS,
                      proposed);
    assert_true(cluster_wait(&cluster, ask_is_done, &ask, WAIT_MS));
    assert_int_equal(ask.status, OK);

    memset(&waiting, 0, sizeof waiting);
    consensus_wait_applied(node->consensus, &waiting.read, 1000, 200, read_done);
    assert_true(cluster_wait(&cluster, ask_is_done, &waiting, WAIT_MS));
    assert_int_equal(waiting.status, ERROR_TIMEOUT);
    memset(&waiting, 0, sizeof waiting);
    consensus_wait_applied(node->consensus, &waiting.read, 1000, WAIT_MS, read_done);
    ask_start(node, &ask, 5, WAIT_MS);
    node_stop(node);
    assert_int_equal(waiting.status, ERROR_CANCELED);
    assert_int_equal(ask.status, ERROR_CANCELED);
    free(large);
    cluster_close(&cluster);
}

/* More than PROPOSALS_OWN_MAX, or their bytes: told at once to come again, and nothing else lost.
 */
static void test_consensus__a_full_queue_is_busy(void **state)
{
    enum { COUNT_MAX = PROPOSALS_OWN_MAX, BYTES_MAX = PROPOSALS_OWN_BYTES_MAX / COMMAND_SIZE_MAX };
    static const size_t sizes[] = {8, COMMAND_SIZE_MAX}, fits[] = {COUNT_MAX, BYTES_MAX};
    uint8_t *command = memory_zero(COMMAND_SIZE_MAX);
    struct cluster cluster;
    struct node *node;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    command[0] = 7; /* The same number each time: the first place again. */
    for (size_t round = 0; round < 2; round++) {
        struct ask *asks = memory_zero((fits[round] + 1) * sizeof *asks);

        for (size_t i = 0; i <= fits[round]; i++) {
            consensus_propose(node->consensus, &asks[i].proposal, bytes_of(command, sizes[round]),
                              WAIT_MS, proposed);
        }
        for (size_t i = 0; i <= fits[round]; i++) {
            assert_true(cluster_wait(&cluster, ask_is_done, &asks[i], WAIT_MS));
            assert_int_equal(asks[i].status, i < fits[round] ? OK : ERROR_BUSY);
        }
        free(asks);
    }
    free(command);
    cluster_close(&cluster);
}

static void test_consensus__another_process_or_cluster_is_refused(void **state)
{
    struct cluster cluster;
    struct node *node;
    struct consensus_options options = {0};
    struct consensus *other;
    struct reason why;
    char address[32];

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    free_address(address);
    options = (struct consensus_options){.loop = &cluster.loop,
                                         .directory = node->directory,
                                         .id = node->id,
                                         .cluster = CLUSTER_ID,
                                         .address = address,
                                         .tls = node->tls};
    assert_int_equal(consensus_open(&options, &other, &why), ERROR_BUSY);
    node_stop(node);
    options.id = 99;
    assert_int_equal(consensus_open(&options, &other, &why), ERROR_FOREIGN);
    options.id = node->id;
    options.address = "a-name-that-is-so-long-that-no-configuration-would-carry-it-to-the-others:"
                      "65535";
    assert_int_equal(consensus_open(&options, &other, &why), ERROR_INVALID);
    cluster_close(&cluster);
}

static void test_consensus__a_snapshot_can_be_asked_for(void **state)
{
    struct cluster cluster;
    struct consensus_status status;
    struct node *node;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    propose_many(node, 1, 10);
    assert_int_equal(consensus_snapshot(node->consensus), OK);
    cluster_wait(&cluster, never_holds, NULL, 400);
    consensus_status(node->consensus, &status);
    assert_true(status.snapshot_index > 0);
    node_stop(node);
    node_start(node, false, false);
    assert_agreement(&cluster, 10);
    assert_int_equal(node->counter->n_restores, 1);
    cluster_close(&cluster);
}

/* --- three members --------------------------------------------------------------------------- */

static void test_consensus__any_member_serves_and_a_lost_leader_is_replaced(void **state)
{
    struct cluster cluster;
    struct node *leader, *follower;
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(propose(&cluster.nodes[i], &ask, i + 1, WAIT_MS), OK);
        assert_int_equal(ask.place, i + 1);
        assert_int_equal(read_at(&cluster.nodes[(i + 1) % 3], &ask, WAIT_MS), OK);
        /* Whoever read sees what was acknowledged before. */
        assert_int_equal(cluster.nodes[(i + 1) % 3].counter->n, i + 1);
    }
    propose_many(follower_of(&cluster), 100, 200);
    assert_agreement(&cluster, 203);

    leader = leader_of(&cluster);
    node_stop(leader);
    follower = &cluster.nodes[leader == &cluster.nodes[0] ? 1 : 0];
    assert_int_equal(propose(follower, &ask, 10, WAIT_MS), OK);
    propose_many(follower, 300, 50);
    assert_agreement(&cluster, 254);
    node_start(leader, false, false);
    assert_agreement(&cluster, 254);
    assert_int_equal(read_at(leader, &ask, WAIT_MS), OK);
    cluster_close(&cluster);
}

static void test_consensus__proposals_live_through_a_change_of_leader(void **state)
{
    struct cluster cluster;
    struct node *leader, *follower;
    struct ask asks[60];
    struct reason why;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    leader = leader_of(&cluster);
    follower = follower_of(&cluster);
    for (unsigned i = 0; i < 60; i++) {
        ask_start(i % 2 == 0 ? leader : follower, &asks[i], i + 1, WAIT_MS);
        if (i == 30) {
            assert_int_equal(consensus_transfer(leader->consensus, 0, &why), OK);
        }
        cluster_wait(&cluster, never_holds, NULL, 2);
    }
    for (unsigned i = 0; i < 60; i++) {
        assert_true(cluster_wait(&cluster, ask_is_done, &asks[i], WAIT_MS));
        assert_int_equal(asks[i].status, OK);
    }
    assert_agreement(&cluster, 60);
    cluster_close(&cluster);
}

static void test_consensus__a_minority_gives_no_answer(void **state)
{
    struct cluster cluster;
    struct consensus_status status;
    struct node *leader;
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    leader = leader_of(&cluster);
    assert_int_equal(propose(leader, &ask, 1, WAIT_MS), OK);
    /* The others' files stay; only this one runs on. Those that stop do not lead, so nothing is
     * handed over: the leader finds itself alone. */
    for (size_t i = 0; i < 3; i++) {
        if (&cluster.nodes[i] != leader) {
            node_stop(&cluster.nodes[i]);
        }
    }
    assert_int_equal(read_at(leader, &ask, 400), ERROR_UNAVAILABLE);
    assert_int_equal(propose(leader, &ask, 2, 400), ERROR_UNAVAILABLE);
    cluster_wait(&cluster, never_holds, NULL, 3000);
    consensus_status(leader->consensus, &status);
    assert_false(status.has_quorum);
    assert_int_not_equal(status.role, ROLE_LEADER);
    assert_int_equal(read_at(leader, &ask, 400), ERROR_UNAVAILABLE);

    for (size_t i = 0; i < 3; i++) {
        if (&cluster.nodes[i] != leader) {
            node_start(&cluster.nodes[i], false, false);
        }
    }
    /* Soon again; until it hears the others it says no, and says so quickly. */
    for (int i = 0; i < 10 && propose(leader, &ask, 3, WAIT_MS) != OK; i++) {
    }
    assert_int_equal(ask.status, OK);
    assert_int_equal(read_at(leader, &ask, WAIT_MS), OK);
    cluster_close(&cluster);
}

/* --- snapshots ------------------------------------------------------------------------------- */

static void test_consensus__a_member_far_behind_gets_a_snapshot(void **state)
{
    struct cluster cluster;
    struct consensus_status status;
    struct node *behind, *leader;

    (void)state;
    cluster_open(&cluster);
    cluster.snapshot_threshold = 20;
    cluster.snapshot_trailing = 5;
    cluster_form(&cluster, 3);
    behind = follower_of(&cluster);
    node_stop(behind);
    leader = leader_of(&cluster);
    for (uint64_t i = 0; i < 60; i++) {
        struct ask ask;

        assert_int_equal(propose(leader, &ask, i + 1, WAIT_MS), OK);
    }
    assert_true(leader->counter->n_snapshots >= 1);
    cluster_wait(&cluster, never_holds, NULL, 300);
    consensus_status(leader->consensus, &status);
    assert_true(status.snapshot_index > 0);

    node_start(behind, false, false);
    assert_agreement(&cluster, 60);
    assert_true(behind->counter->n_restores >= 1);
    propose_many(behind, 100, 10);
    assert_agreement(&cluster, 70);
    for (size_t i = 0; i < 3; i++) {
        /* From the snapshot and the log after it. */
        node_stop(&cluster.nodes[i]);
        node_start(&cluster.nodes[i], false, false);
        assert_agreement(&cluster, 70);
    }
    cluster_close(&cluster);
}

/* --- members --------------------------------------------------------------------------------- */

static void test_consensus__a_dead_member_is_replaced_under_a_new_id(void **state)
{
    struct cluster cluster;
    struct node *dead, *fresh, *nodes[3];
    char address[sizeof dead->address];
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    propose_many(leader_of(&cluster), 1, 40);
    dead = leader_of(&cluster);
    node_stop(dead);
    /* Its machine comes back with an empty disk: same address, new member. */
    memcpy(address, dead->address, sizeof address);
    fresh = cluster_add(&cluster, 77, address);
    node_start(fresh, false, false);
    nodes[0] = fresh;
    nodes[1] = &cluster.nodes[dead == &cluster.nodes[0] ? 1 : 0];
    nodes[2] = &cluster.nodes[dead == &cluster.nodes[2] ? 1 : 2];
    assert_true(cluster_want(&cluster, nodes, 3, WAIT_MS));
    assert_agreement(&cluster, 40);
    assert_int_equal(propose(fresh, &ask, 50, WAIT_MS), OK);
    /* It counts: without another one there is still a quorum. */
    node_stop(nodes[1]);
    assert_int_equal(propose(fresh, &ask, 51, WAIT_MS), OK);
    cluster_close(&cluster);
}

static void test_consensus__a_leader_that_is_not_wanted_hands_over(void **state)
{
    struct cluster cluster;
    struct node *leader, *nodes[2];
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    leader = leader_of(&cluster);
    nodes[0] = &cluster.nodes[leader == &cluster.nodes[0] ? 1 : 0];
    nodes[1] = &cluster.nodes[leader == &cluster.nodes[2] ? 1 : 2];
    assert_true(cluster_want(&cluster, nodes, 2, WAIT_MS));
    assert_ptr_not_equal(leader_of(&cluster), leader);
    node_stop(leader);
    assert_int_equal(propose(nodes[0], &ask, 1, WAIT_MS), OK);
    cluster_close(&cluster);
}

/* --- formats --------------------------------------------------------------------------------- */

static void test_envelope__gives_back_what_went_in_and_refuses_the_rest(void **state)
{
    struct envelope in = {.time_ms = 1234, .n = 2}, out;
    struct buffer bytes;

    (void)state;
    in.commands[0] = BYTES_LITERAL("one");
    in.commands[1] = BYTES_LITERAL("");
    buffer_init(&bytes, ENVELOPE_SIZE_MAX);
    envelope_encode(&bytes, &in);
    assert_int_equal(bytes.size % 8, 0);
    assert_int_equal(envelope_decode(buffer_view(&bytes), &out), OK);
    assert_int_equal(out.time_ms, 1234);
    assert_int_equal(out.n, 2);
    assert_true(bytes_equal_string(out.commands[0], "one"));
    assert_int_equal(out.commands[1].size, 0);
    for (size_t n = 0; n < 16; n++) {
        assert_int_not_equal(envelope_decode(bytes_of(bytes.data, n), &out), OK);
    }
    bytes.data[4] = 2;
    assert_int_equal(envelope_decode(buffer_view(&bytes), &out), ERROR_UNSUPPORTED);
    bytes.data[4] = 1;
    bytes.data[8] = 0xdd; /* An array of 32-bit length. */
    assert_int_not_equal(envelope_decode(buffer_view(&bytes), &out), OK);
    buffer_release(&bytes);
}

static void test_peer_message__cut_bytes_are_refused(void **state)
{
    struct peer_message in = {.number = 1, .term = 70000, .status = ERROR_FULL}, out;
    struct buffer bytes;

    (void)state;
    in.bytes = BYTES_LITERAL("command");
    buffer_init(&bytes, 4096);
    peer_message_encode(&bytes, &in);
    assert_int_equal(peer_message_decode(buffer_view(&bytes), &out), OK);
    assert_int_equal(out.term, 70000);
    assert_int_equal(out.status, ERROR_FULL);
    assert_true(bytes_equal_string(out.bytes, "command"));
    for (size_t n = 0; n < bytes.size; n++) {
        assert_int_equal(peer_message_decode(bytes_of(bytes.data, n), &out), ERROR_INVALID);
    }
    buffer_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__gives_back_what_went_in_and_refuses_the_rest),
        cmocka_unit_test(test_peer_message__cut_bytes_are_refused),
        cmocka_unit_test(test_consensus__one_member_keeps_its_log_over_restarts),
        cmocka_unit_test(test_consensus__refusals),
        cmocka_unit_test(test_consensus__a_full_queue_is_busy),
        cmocka_unit_test(test_consensus__another_process_or_cluster_is_refused),
        cmocka_unit_test(test_consensus__a_snapshot_can_be_asked_for),
        cmocka_unit_test(test_consensus__any_member_serves_and_a_lost_leader_is_replaced),
        cmocka_unit_test(test_consensus__proposals_live_through_a_change_of_leader),
        cmocka_unit_test(test_consensus__a_minority_gives_no_answer),
        cmocka_unit_test(test_consensus__a_member_far_behind_gets_a_snapshot),
        cmocka_unit_test(test_consensus__a_dead_member_is_replaced_under_a_new_id),
        cmocka_unit_test(test_consensus__a_leader_that_is_not_wanted_hands_over),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
