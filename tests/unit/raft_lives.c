/* A member that comes back: what was meant for its earlier life, and a log that is not the one that
 * it left. */
#include "tests/lib/raft_ask.h"

#include "raft/core.h"
#include "raft/peer_message.h"

#include <signal.h>

/* What the leader would have answered to the questions and commands of a member's earlier life. */
static void answer_the_dead(const struct node *leader, const struct node *member, unsigned kind)
{
    static const uint64_t place = 999;

    for (uint64_t number = 1; number <= 64; number++) {
        struct peer_message message = {.number = number, .status = OK, .index = 1};

        message.bytes = bytes_of(&place, sizeof place);
        CHECK(core_send(leader->consensus, member->id, kind, &message));
    }
}

static bool is_linked_to_member(void *data)
{
    struct node **pair = data;
    struct transport_peer peer;

    return transport_peer(pair[0]->consensus->io.transport, pair[1]->id, &peer) && peer.up;
}

/* A follower that was stopped and started again, linked with the leader; [0]: the leader. */
static void bring_back(struct cluster *cluster, struct node *pair[2])
{
    struct node *back[2];

    pair[0] = leader_of(cluster);
    pair[1] = follower_of(cluster);
    node_stop(pair[1]);
    node_start(pair[1], false, false);
    back[0] = pair[1];
    back[1] = pair[0];
    assert_true(cluster_wait(cluster, is_linked_to_member, pair, WAIT_MS));
    assert_true(cluster_wait(cluster, is_linked_to_member, back, WAIT_MS));
}

static void test_lives__an_answer_to_an_earlier_life_acknowledges_nothing(void **state)
{
    struct cluster cluster;
    struct node *pair[2];
    struct ask asks[64];

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    bring_back(&cluster, pair);
    for (unsigned i = 0; i < 64; i++) {
        ask_start(pair[1], &asks[i], i + 1, WAIT_MS);
    }
    answer_the_dead(pair[0], pair[1], FRAME_PROPOSE_RESULT);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(cluster_wait(&cluster, ask_is_done, &asks[i], WAIT_MS));
        assert_int_equal(asks[i].status, OK);
        assert_int_equal(asks[i].place, i + 1);
    }
    cluster_close(&cluster);
}

static bool is_asking(void *data)
{
    return ((struct node *)data)->consensus->reads.question != 0;
}

static void test_lives__an_answer_to_an_earlier_life_makes_no_read_current(void **state)
{
    struct cluster cluster;
    struct node *pair[2];
    struct ask write, read;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    bring_back(&cluster, pair);
    for (uint64_t i = 1; i <= 8; i++) {
        assert_int_equal(propose(pair[0], &write, i, WAIT_MS), OK);
        memset(&read, 0, sizeof read);
        consensus_read_index(pair[1]->consensus, &read.read, WAIT_MS, read_done);
        assert_true(cluster_wait(&cluster, is_asking, pair[1], WAIT_MS));
        answer_the_dead(pair[0], pair[1], FRAME_READ_INDEX_RESULT);
        assert_true(cluster_wait(&cluster, ask_is_done, &read, WAIT_MS));
        assert_int_equal(read.status, OK);
        assert_true(read.index >= write.index);
    }
    cluster_close(&cluster);
}

static void test_lives__a_log_that_ends_before_the_machine_is_refused(void **state)
{
    struct cluster cluster;
    struct consensus_options options;
    struct consensus *consensus;
    struct reason why;
    struct node *node;
    char path[200];

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 1);
    node = leader_of(&cluster);
    propose_many(node, 1, 20);
    node_stop(node);
    /* The log goes, the machine stays: this member has forgotten what it acknowledged. */
    snprintf(path, sizeof path, "%s/log", node->directory);
    nftw(path, remove_file, 16, FTW_DEPTH | FTW_PHYS);
    options = (struct consensus_options){
        .loop = &cluster.loop,
        .directory = node->directory,
        .id = node->id,
        .cluster = CLUSTER_ID,
        .address = node->address,
        .tls = node->tls,
        .machine = {.data = node->counter, .applied_index = counter_applied_index}};
    assert_int_equal(consensus_open(&options, &consensus, &why), OK);
    assert_int_equal(consensus_start(consensus, &why), ERROR_CORRUPT);
    assert_non_null(strstr(why.text, "lost or replaced"));
    node->consensus = consensus;
    node_stop(node);
    cluster_close(&cluster);
}

static bool is_attempted(void *data)
{
    return ((struct ask *)data)->proposal.attempts > 0;
}

static void test_lives__no_attempt_after_the_first_may_be_forgotten(void **state)
{
    struct cluster cluster;
    struct node *member;
    struct ask ask;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    member = follower_of(&cluster);
    for (uint64_t i = 1; i <= 2; i++) {
        ask_start(member, &ask, i, WAIT_MS);
        assert_true(cluster_wait(&cluster, is_attempted, &ask, WAIT_MS));
        /* The link is lost; the second time after very many other commands. */
        member->consensus->n_commands += i == 2 ? COMMANDS_REMEMBERED : 0;
        proposals_again(member->consensus);
        assert_true(cluster_wait(&cluster, ask_is_done, &ask, WAIT_MS));
        assert_int_equal(ask.status, i == 1 ? OK : ERROR_UNAVAILABLE);
    }
    assert_agreement(&cluster, 2);
    cluster_close(&cluster);
}

static void test_lives__a_new_leader_heeds_no_member_list_of_before_its_term(void **state)
{
    struct cluster cluster;
    struct consensus_status status;
    struct member members[2] = {0};
    struct node *leader;
    struct reason why;

    (void)state;
    cluster_open(&cluster);
    cluster_form(&cluster, 3);
    leader = leader_of(&cluster);
    /* The others have not applied that the third has joined. */
    for (size_t i = 0; i < 2; i++) {
        members[i].id = cluster.nodes[i].id;
        snprintf(members[i].address, sizeof members[i].address, "%s", cluster.nodes[i].address);
    }
    for (size_t i = 0; i < 3; i++) {
        consensus_want_members(cluster.nodes[i].consensus, members,
                               &cluster.nodes[i] != leader ? 2 : 0);
    }
    assert_int_equal(consensus_transfer(leader->consensus, 0, &why), OK);
    cluster_wait(&cluster, never_holds, NULL, 800);
    assert_ptr_not_equal(leader_of(&cluster), leader);
    consensus_status(leader_of(&cluster)->consensus, &status);
    assert_int_equal(status.n_members, 3);
    cluster_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives__an_answer_to_an_earlier_life_acknowledges_nothing),
        cmocka_unit_test(test_lives__an_answer_to_an_earlier_life_makes_no_read_current),
        cmocka_unit_test(test_lives__no_attempt_after_the_first_may_be_forgotten),
        cmocka_unit_test(test_lives__a_new_leader_heeds_no_member_list_of_before_its_term),
        cmocka_unit_test(test_lives__a_log_that_ends_before_the_machine_is_refused),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
