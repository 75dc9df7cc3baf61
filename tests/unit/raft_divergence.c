/* Hashes of states: told, compared, and who stops. A member of three by hand, no cluster. */
#include "base/assert.h"
#include "base/memory.h"
#include "raft/core.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    struct consensus *consensus;
    struct raft_server servers[3];
    uint64_t index, hash; /* Of the machine. */
} member;

static uint64_t machine_applied_index(void *data)
{
    (void)data;
    return member.index;
}

static void format(uint64_t hash, char text[65])
{
    snprintf(text, 65, "%064llx", (unsigned long long)hash);
}

static void machine_state_hash(void *data, char text[65])
{
    (void)data;
    format(member.hash, text);
}

static int setup(void **state)
{
    (void)state;
    member.consensus = memory_zero(sizeof *member.consensus);
    member.consensus->id = 1;
    member.consensus->machine =
        (struct machine){.applied_index = machine_applied_index, .state_hash = machine_state_hash};
    for (unsigned i = 0; i < 3; i++) {
        member.servers[i] = (struct raft_server){.id = i + 1, .role = RAFT_VOTER};
        member.consensus->gossip.members[i].id = i + 1;
    }
    member.consensus->raft.configuration =
        (struct raft_configuration){.servers = member.servers, .n = 3};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(member.consensus);
    return 0;
}

static void apply(uint64_t index, uint64_t hash)
{
    member.index = index;
    member.hash = hash;
    divergence_applied(member.consensus, index);
}

/* The member with this id tells one point. */
static void tell(uint64_t id, uint64_t index, uint64_t hash)
{
    struct told_points *told = &member.consensus->gossip.members[id - 1].told;

    told->points[0].index = index;
    format(hash, told->points[0].hash);
    divergence_check(member.consensus);
}

/* Exit code of a process of its own in which the third member tells that too. */
static int code_after(uint64_t index, uint64_t hash)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        tell(3, index, hash);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_divergence__equal_states_are_nothing_to_tell(void **state)
{
    (void)state;
    apply(DIVERGENCE_INTERVAL, 7);
    tell(2, DIVERGENCE_INTERVAL, 7);
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 7), 0);
    assert_int_equal(divergence_count(member.consensus), 0);
    tell(2, DIVERGENCE_INTERVAL - 1, 8); /* Of which this one knows nothing. */
    assert_int_equal(divergence_count(member.consensus), 0);
}

static void test_divergence__one_against_one_goes_on(void **state)
{
    (void)state;
    apply(DIVERGENCE_INTERVAL, 7);
    tell(2, DIVERGENCE_INTERVAL, 8);
    assert_int_equal(divergence_count(member.consensus), 1);
    /* The third is with us, or with nobody. */
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 7), 0);
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 9), 0);
    /* Then it says the same, and what it was before is over. */
    apply((uint64_t)2 * DIVERGENCE_INTERVAL, 10);
    tell(2, (uint64_t)2 * DIVERGENCE_INTERVAL, 10);
    assert_int_equal(divergence_count(member.consensus), 0);
    tell(2, DIVERGENCE_INTERVAL, 8);
    assert_int_equal(divergence_count(member.consensus), 0);
}

static void test_divergence__a_majority_against_it_stops_the_member(void **state)
{
    (void)state;
    apply(DIVERGENCE_INTERVAL, 7);
    tell(2, DIVERGENCE_INTERVAL, 8);
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 8), EXIT_FAIL_STOP);
    /* A learner's word does not count. */
    member.servers[2].role = RAFT_STANDBY;
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 8), 0);
}

static void test_divergence__a_new_state_has_no_past(void **state)
{
    (void)state;
    apply(DIVERGENCE_INTERVAL, 7);
    divergence_forget(member.consensus);
    tell(2, DIVERGENCE_INTERVAL, 8);
    assert_int_equal(code_after(DIVERGENCE_INTERVAL, 8), 0);
}

static void test_divergence__points_travel(void **state)
{
    struct told_points told = {.differs_at = 0};
    struct buffer bytes;
    struct unpacker in;
    char hash[STATE_HASH_SIZE];

    (void)state;
    for (uint64_t i = 1; i <= STATE_POINTS_OWN + 2; i++) {
        apply(i * DIVERGENCE_INTERVAL, i);
    }
    member.index++; /* Between two of them: told all the same. */
    member.hash = 99;
    buffer_init(&bytes, 4096);
    divergence_pack(member.consensus, &bytes);
    unpack_start(&in, buffer_view(&bytes));
    assert_true(divergence_unpack(&in, &told));
    assert_int_equal(unpack_end(&in), OK);
    format(99, hash);
    assert_int_equal(told.points[0].index, member.index);
    assert_string_equal(told.points[0].hash, hash);
    format(STATE_POINTS_OWN + 2, hash);
    assert_int_equal(told.points[1].index, member.index - 1);
    assert_string_equal(told.points[1].hash, hash);
    /* Cut anywhere it is refused. */
    for (size_t size = 0; size < bytes.size; size++) {
        unpack_start(&in, bytes_slice(buffer_view(&bytes), 0, size));
        assert_false(divergence_unpack(&in, &told) && unpack_status(&in) == OK);
    }
    buffer_release(&bytes);
}

static void test_divergence__what_is_no_point_is_refused(void **state)
{
    struct told_points told;
    struct buffer bytes;
    struct unpacker in;

    (void)state;
    for (size_t n = 1; n <= 2 * STATE_POINTS_TOLD + 2; n++) {
        bool is_well_formed = n % 2 == 0 && n <= 2 * STATE_POINTS_TOLD;

        buffer_init(&bytes, 4096);
        pack_array(&bytes, n);
        for (size_t i = 0; i < n; i++) {
            if (i % 2 == 0) {
                pack_uint(&bytes, i + 1);
            } else {
                pack_text(&bytes, is_well_formed ? "short" : "");
            }
        }
        unpack_start(&in, buffer_view(&bytes));
        assert_false(divergence_unpack(&in, &told));
        buffer_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_divergence__equal_states_are_nothing_to_tell, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_divergence__one_against_one_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence__a_majority_against_it_stops_the_member,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence__a_new_state_has_no_past, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence__points_travel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence__what_is_no_point_is_refused, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
