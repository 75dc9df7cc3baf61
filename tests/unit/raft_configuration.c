/* A change of members that a new leader cuts out of the log again, on one libraft under the guard.
 */
#include "tests/lib/lone_raft.h"

/* Server 2 leads term and sends an entry with n voters after index previous of previous_term. */
static void receive_voters(struct lone *lone, raft_term term, raft_index previous,
                           raft_term previous_term, unsigned n)
{
    struct raft_message message;
    struct raft_append_entries *request = &message.append_entries;

    memset(&message, 0, sizeof message);
    message.type = RAFT_IO_APPEND_ENTRIES;
    message.server_id = 2;
    message.server_address = "2";
    request->term = term;
    request->prev_log_index = previous;
    request->prev_log_term = previous_term;
    request->n_entries = 1;
    request->entries = raft_calloc(1, sizeof *request->entries);
    request->entries[0] = voters_entry(term, n, false);
    lone->recorder.recv(&lone->recorder.io, &message);
}

static void assert_voters(const struct lone *lone, unsigned n, raft_index index,
                          raft_index uncommitted)
{
    const struct raft *raft = &lone->raft;

    assert_int_equal(raft->configuration.n, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(raft->configuration.servers[i].id, i + 1);
        assert_int_equal(raft->configuration.servers[i].role, RAFT_VOTER);
    }
    assert_int_equal(raft->configuration_index, index);
    assert_int_equal(raft->configuration_uncommitted_index, uncommitted);
}

static void test_configuration__a_change_that_was_cut_is_gone(void **state)
{
    struct lone lone;

    (void)state;
    lone_open(&lone);
    receive_voters(&lone, 2, 1, 1, SERVERS + 1);
    lone_stored(&lone);
    assert_voters(&lone, SERVERS + 1, 1, 2);
    lone_receive(&lone, 3, 1, 1, 1, 8, 1);
    assert_voters(&lone, SERVERS, 1, 0);
    lone_close(&lone);
}

static void test_configuration__a_change_that_was_cut_after_a_restart_is_gone(void **state)
{
    struct lone lone;

    (void)state;
    lone_open_with(&lone, false, 1);
    assert_int_equal(lone.raft.configuration.n, SERVERS + 1);
    lone_receive(&lone, 3, 1, 1, 1, 8, 1);
    assert_voters(&lone, SERVERS, 1, 0);
    lone_close(&lone);

    lone_open_with(&lone, true, 1);
    assert_int_equal(lone.raft.configuration.n, SERVERS + 1);
    lone_receive(&lone, 3, 9, 1, 1, 8, 9);
    assert_voters(&lone, SERVERS, 1, 0);
    lone_close(&lone);
}

static void test_configuration__a_change_that_was_cut_behind_a_snapshot_is_gone(void **state)
{
    struct lone lone;

    (void)state;
    lone_open_with(&lone, true, 0);
    receive_voters(&lone, 2, 9, 1, SERVERS + 1);
    lone_stored(&lone);
    assert_voters(&lone, SERVERS + 1, 1, 10);
    /* Of an older leader: nothing is cut. */
    lone_receive(&lone, 1, 9, 1, 1, 8, 9);
    assert_voters(&lone, SERVERS + 1, 1, 10);
    /* libraft reads through NULL here without the guard. */
    lone_receive(&lone, 3, 9, 1, 1, 8, 9);
    assert_voters(&lone, SERVERS, 1, 0);
    lone_close(&lone);
}

static void test_configuration__a_change_that_is_committed_stays(void **state)
{
    struct lone lone;

    (void)state;
    lone_open_with(&lone, true, 1);
    lone_receive(&lone, 3, 10, 1, 1, 8, 10);
    lone_stored(&lone);
    assert_voters(&lone, SERVERS + 1, 10, 0);
    lone_receive(&lone, 4, 10, 1, 1, 8, 10);
    assert_voters(&lone, SERVERS + 1, 10, 0);
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration__a_change_that_was_cut_is_gone),
        cmocka_unit_test(test_configuration__a_change_that_was_cut_after_a_restart_is_gone),
        cmocka_unit_test(test_configuration__a_change_that_was_cut_behind_a_snapshot_is_gone),
        cmocka_unit_test(test_configuration__a_change_that_is_committed_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
