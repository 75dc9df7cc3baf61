/* The guard on libraft's own in-memory cluster. Every case runs with and without it: the defects of
 * libraft 0.15.0 must show in the control, or the test has gone blind. */
#include "raft/guard.h"

#include "base/assert.h"

#include "tests/lib/lone_raft.h"

#include <raft/fixture.h>
#include <stdlib.h>
#include <string.h>

struct cluster {
    struct raft_fixture fixture;
    struct raft_fsm machines[SERVERS];
    struct guard guards[SERVERS];
    bool is_guarded;
};

static struct raft *server(struct cluster *cluster, unsigned i)
{
    return raft_fixture_get(&cluster->fixture, i);
}

static void cluster_open(struct cluster *cluster, bool is_guarded)
{
    struct raft_configuration configuration;

    memset(cluster, 0, sizeof *cluster);
    cluster->is_guarded = is_guarded;
    assert_int_equal(raft_fixture_initialize(&cluster->fixture), 0);
    for (unsigned i = 0; i < SERVERS; i++) {
        cluster->machines[i] = (struct raft_fsm){.version = 1,
                                                 .apply = machine_apply,
                                                 .snapshot = machine_snapshot,
                                                 .restore = machine_restore};
        assert_int_equal(raft_fixture_grow(&cluster->fixture, &cluster->machines[i]), 0);
        if (is_guarded) {
            guard_init(&cluster->guards[i], server(cluster, i)->io);
            server(cluster, i)->io = &cluster->guards[i].io;
        }
    }
    assert_int_equal(raft_fixture_configuration(&cluster->fixture, SERVERS, &configuration), 0);
    assert_int_equal(raft_fixture_bootstrap(&cluster->fixture, &configuration), 0);
    raft_configuration_close(&configuration);
}

static void cluster_close(struct cluster *cluster)
{
    raft_fixture_close(&cluster->fixture);
}

static struct raft_entry entry_of(raft_term term, char letter)
{
    struct raft_entry entry = {.term = term, .type = RAFT_COMMAND};

    entry.buf.len = 8;
    entry.buf.base = raft_malloc(8);
    memset(entry.buf.base, letter, 8);
    return entry;
}

/* --- Figure 8 -------------------------------------------------------------------------------- */

/* State (c) of Figure 8: server 0 holds an entry of term 2 that server 1 lacks, server 2 one of
 * term 3 at the same index; server 0 is elected again. If it commits index 2 by counting before an
 * entry of its own term is stored, server 2 may still overwrite it. True when it did. */
static bool figure_8_commits_old_term(bool is_guarded, unsigned disk_ms, unsigned network_ms)
{
    struct cluster cluster;
    struct raft_entry a = entry_of(2, 'A'), b = entry_of(3, 'B');
    bool is_violated = false;
    struct raft *leader;

    cluster_open(&cluster, is_guarded);
    raft_fixture_add_entry(&cluster.fixture, 0, &a);
    raft_fixture_add_entry(&cluster.fixture, 2, &b);
    for (unsigned i = 0; i < SERVERS; i++) {
        raft_fixture_set_term(&cluster.fixture, i, 3);
        raft_fixture_set_randomized_election_timeout(&cluster.fixture, i, 1000 + 450 * i);
    }
    assert_int_equal(raft_fixture_start(&cluster.fixture), 0);
    for (unsigned i = 0; i < SERVERS; i++) {
        raft_fixture_set_network_latency(&cluster.fixture, i, network_ms);
    }
    raft_fixture_set_disk_latency(&cluster.fixture, 0, disk_ms);
    for (unsigned i = 0; i < 2; i++) {
        raft_fixture_disconnect(&cluster.fixture, i, 2);
        raft_fixture_disconnect(&cluster.fixture, 2, i);
    }
    assert_true(raft_fixture_step_until_state_is(&cluster.fixture, 0, RAFT_LEADER, 8000));
    leader = server(&cluster, 0);
    for (unsigned ms = 0; ms < 3000 && !is_violated; ms++) {
        raft_fixture_step_until_elapsed(&cluster.fixture, 1);
        /* Old entries may be applied only when an entry of the term, which is index 3 or later, is
         * on a majority's disks: on the leader's own, too. */
        is_violated = leader->commit_index >= 2 && leader->last_stored < 3;
    }
    if (is_guarded) {
        assert_int_equal(leader->state, RAFT_LEADER);
        assert_true(leader->commit_index >= 3);
        assert_true(guard_is_ready(&cluster.guards[0]));
        assert_true(cluster.guards[0].counters.barriers == 1);
    }
    cluster_close(&cluster);
    return is_violated;
}

static void test_guard__figure_8_never_commits_an_old_term_by_counting(void **state)
{
    static const unsigned disks[] = {1, 10, 60, 200, 400, 800}, networks[] = {1, 15, 40};
    unsigned n_control = 0;

    (void)state;
    for (size_t d = 0; d < sizeof disks / sizeof *disks; d++) {
        for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
            n_control += figure_8_commits_old_term(false, disks[d], networks[n]);
            assert_false(figure_8_commits_old_term(true, disks[d], networks[n]));
        }
    }
    /* libraft alone must show what the guard is for (and from 400 ms on so does a barrier without
     * the gate: the others' results come before the leader's own disk). */
    assert_true(n_control >= 1);
    print_message("Figure 8: %u of 18 latency pairs violated without the guard, 0 with it\n",
                  n_control);
}

/* --- single parts ----------------------------------------------------------------------------- */

static void test_guard__success_says_at_most_what_the_leader_checked(void **state)
{
    struct lone lone;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 3, 8, 1);
    lone_stored(&lone);
    assert_int_equal(last_result(&lone)->last_log_index, 4);
    /* A new leader that only proved index 1 must not hear of the other three. */
    lone_receive(&lone, 3, 1, 1, 0, 8, 1);
    assert_int_equal(last_result(&lone)->rejected, 0);
    assert_int_equal(last_result(&lone)->last_log_index, 1);
    assert_int_equal(lone.guard.counters.clamped_acks, 1);
    lone_close(&lone);
}

static void test_guard__commit_counts_up_to_what_the_request_proved(void **state)
{
    struct lone lone;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 3, 8, 1);
    lone_stored(&lone);
    lone_receive(&lone, 3, 1, 1, 0, 8, 4);
    assert_int_equal(lone.raft.commit_index, 1);
    assert_int_equal(lone.guard.counters.clamped_commits, 1);
    lone_close(&lone);
}

static void test_guard__answer_of_an_older_term_is_not_sent(void **state)
{
    struct lone lone;
    size_t n;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 1, 8, 1);
    lone_receive(&lone, 3, 1, 1, 0, 8, 1);
    n = lone.recorder.n_sent;
    lone_stored(&lone);
    assert_int_equal(lone.recorder.n_sent, n);
    assert_int_equal(lone.guard.counters.suppressed, 1);
    lone_close(&lone);
}

static void test_guard__answers_wait_for_the_disk_after_a_truncation(void **state)
{
    struct lone lone;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 2, 8, 1); /* 2 and 3, on their way to the disk, */
    lone_receive(&lone, 3, 2, 2, 1, 8, 1); /* then 3 again, of another term. */
    lone_receive(&lone, 3, 2, 2, 0, 8, 1);
    /* Index 2 is known but not stored. */
    assert_int_equal(last_result(&lone)->last_log_index, 1);
    lone_stored(&lone);
    lone_receive(&lone, 3, 3, 3, 0, 8, 1);
    assert_int_equal(last_result(&lone)->last_log_index, 2);
    lone_stored(&lone);
    assert_int_equal(last_result(&lone)->last_log_index, 3);
    lone_close(&lone);
}

static void test_guard__entries_that_are_not_whole_words_are_dropped(void **state)
{
    struct lone lone;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 2, 12, 1);
    assert_int_equal(raft_last_index(&lone.raft), 1);
    assert_int_equal(lone.recorder.n_appends, 0);
    assert_int_equal(lone.guard.counters.dropped_entries, 1);
    lone_close(&lone);
}

static void test_guard__no_candidacy_while_the_disk_is_behind(void **state)
{
    struct lone lone;
    struct raft_message message;

    (void)state;
    lone_open(&lone);
    lone_receive(&lone, 2, 1, 1, 1, 8, 1);
    for (unsigned i = 0; i < 20; i++) {
        lone.recorder.now += 1000;
        lone.recorder.tick(&lone.recorder.io);
    }
    assert_int_equal(lone.raft.state, RAFT_FOLLOWER);
    memset(&message, 0, sizeof message);
    message.type = RAFT_IO_TIMEOUT_NOW;
    message.server_id = 2;
    message.server_address = "2";
    message.timeout_now.term = 2;
    message.timeout_now.last_log_index = 2;
    message.timeout_now.last_log_term = 2;
    lone.recorder.recv(&lone.recorder.io, &message);
    assert_int_equal(lone.raft.state, RAFT_FOLLOWER);
    assert_true(lone.guard.counters.postponed > 0);
    assert_int_equal(lone.guard.counters.dropped_votes, 1);
    /* It counts once the disk has caught up. */
    lone_stored(&lone);
    assert_int_equal(lone.raft.state, RAFT_CANDIDATE);
    lone_close(&lone);
}

/* Server 2 asks for a vote of term 2 with a log that ends at index and term. */
static bool is_vote_granted(struct lone *lone, raft_index index, raft_term term, bool pre_vote)
{
    struct raft_message message;
    const struct raft_message *answer;
    size_t n = lone->recorder.n_sent;

    memset(&message, 0, sizeof message);
    message.type = RAFT_IO_REQUEST_VOTE;
    message.server_id = 2;
    message.server_address = "2";
    message.request_vote.term = 2;
    message.request_vote.candidate_id = 2;
    message.request_vote.last_log_index = index;
    message.request_vote.last_log_term = term;
    message.request_vote.pre_vote = pre_vote;
    lone->recorder.recv(&lone->recorder.io, &message);
    assert_int_equal(lone->recorder.n_sent, n + 1);
    answer = &lone->recorder.sent[n];
    assert_int_equal(answer->type, RAFT_IO_REQUEST_VOTE_RESULT);
    return answer->request_vote_result.vote_granted;
}

/* The entry that makes it a voter may be what its vote is needed for. */
static void test_guard__a_learner_votes_when_it_is_asked(void **state)
{
    struct lone lone;

    (void)state;
    lone_open_as(&lone, false, 0, true);
    assert_false(is_vote_granted(&lone, 0, 0, false)); /* An older log than its own. */
    assert_true(is_vote_granted(&lone, 2, 1, true));
    assert_true(is_vote_granted(&lone, 2, 1, false));
    assert_int_equal(lone.raft.voted_for, 2);
    assert_int_equal(lone.raft.configuration.servers[0].role, RAFT_STANDBY);
    lone_close(&lone);
}

/* A leader whose own snapshot is older sends from before ours: 0.15 refuses that for ever. */
static void test_guard__a_request_from_before_the_snapshot_begins_after_it(void **state)
{
    struct lone lone;

    (void)state;
    lone_open_with(&lone, true, 0);        /* A snapshot up to index 9. */
    lone_receive(&lone, 2, 3, 1, 8, 8, 9); /* 4 to 11. */
    lone_stored(&lone);
    assert_int_equal(last_result(&lone)->rejected, 0);
    assert_int_equal(last_result(&lone)->last_log_index, 11);
    assert_int_equal(lone.guard.counters.skipped, 1);
    lone_receive(&lone, 2, 3, 1, 4, 8, 9); /* 4 to 7: all of it is in the snapshot. */
    assert_int_equal(last_result(&lone)->rejected, 0);
    assert_int_equal(raft_last_index(&lone.raft), 11);
    lone_close(&lone);
}

/* The other voter has the newer term, this one the newer log: it takes the term over, or both
 * refuse each other's pre-votes for ever. */
static void test_guard__a_refused_pre_vote_teaches_the_newer_term(void **state)
{
    struct raft_message message;
    struct lone lone;

    (void)state;
    lone_open(&lone);
    for (unsigned i = 0; i < 20 && lone.raft.state != RAFT_CANDIDATE; i++) {
        lone.recorder.now += 1000;
        lone.recorder.tick(&lone.recorder.io);
    }
    assert_int_equal(lone.raft.state, RAFT_CANDIDATE);
    assert_int_equal(lone.raft.current_term, 1);
    memset(&message, 0, sizeof message);
    message.type = RAFT_IO_REQUEST_VOTE_RESULT;
    message.server_id = 2;
    message.server_address = "2";
    message.request_vote_result.term = 7;
    message.request_vote_result.pre_vote = raft_tribool_true;
    lone.recorder.recv(&lone.recorder.io, &message);
    assert_int_equal(lone.raft.current_term, 7);
    assert_int_equal(lone.raft.voted_for, 0);
    assert_int_equal(lone.guard.counters.terms_learnt, 1);
    lone_close(&lone);
}

static void count_cb(struct raft_io_send *request, int status)
{
    assert_int_not_equal(status, 0);
    ++*(unsigned *)request->data;
}

static void test_guard__failed_send_is_a_lost_message(void **state)
{
    struct lone lone;
    struct raft_message message = {.type = RAFT_IO_REQUEST_VOTE_RESULT, .server_id = 2};
    unsigned n_called = 0;
    struct raft_io_send request = {.data = &n_called};

    (void)state;
    lone_open(&lone);
    lone.recorder.refuses = true;
    lone_receive(&lone, 2, 1, 1, 0, 8, 1);
    lone_receive(&lone, 2, 9, 1, 0, 8, 1); /* To be rejected: the double free of 0.15. */
    lone_receive(&lone, 2, 1, 1, 1, 8, 1);
    lone_stored(&lone);
    assert_int_equal(lone.guard.counters.lost_sends, 3);
    assert_int_equal(lone.raft.state, RAFT_FOLLOWER);
    /* libraft is told through the callback, later, and never by the call. */
    assert_int_equal(lone.guard.io.send(&lone.guard.io, &request, &message, count_cb), 0);
    assert_int_equal(n_called, 0);
    lone.recorder.tick(&lone.recorder.io);
    assert_int_equal(n_called, 1);
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard__figure_8_never_commits_an_old_term_by_counting),
        cmocka_unit_test(test_guard__success_says_at_most_what_the_leader_checked),
        cmocka_unit_test(test_guard__commit_counts_up_to_what_the_request_proved),
        cmocka_unit_test(test_guard__answer_of_an_older_term_is_not_sent),
        cmocka_unit_test(test_guard__answers_wait_for_the_disk_after_a_truncation),
        cmocka_unit_test(test_guard__entries_that_are_not_whole_words_are_dropped),
        cmocka_unit_test(test_guard__no_candidacy_while_the_disk_is_behind),
        cmocka_unit_test(test_guard__a_request_from_before_the_snapshot_begins_after_it),
        cmocka_unit_test(test_guard__a_refused_pre_vote_teaches_the_newer_term),
        cmocka_unit_test(test_guard__a_learner_votes_when_it_is_asked),
        cmocka_unit_test(test_guard__failed_send_is_a_lost_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
