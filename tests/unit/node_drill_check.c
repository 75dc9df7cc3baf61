/* Histories that a registry may show, and such that it must not. */
#include "node/drill_check.h"
#include "node/drill_search.h"
#include "tests/lib/test.h"

#include <stdlib.h>

struct line {
    enum drill_kind kind;
    uint64_t from, to;
    uint64_t value, expected;
    enum drill_outcome outcome;
    bool is_final;
};

static struct drill_check judge(const struct line *lines, size_t n)
{
    struct drill_history history;
    struct drill_check check;

    drill_history_init(&history);
    for (size_t i = 0; i < n; i++) {
        struct drill_operation operation = {.kind = lines[i].kind,
                                            .outcome = lines[i].outcome,
                                            .is_final = lines[i].is_final,
                                            .value = lines[i].value,
                                            .expected = lines[i].expected,
                                            .keys = lines[i].value,
                                            .from_us = lines[i].from,
                                            .to_us = lines[i].to};
        drill_history_add(&history, &operation);
    }
    drill_check(&history, &check);
    drill_history_release(&history);
    return check;
}

#define JUDGE(...)                                                                                 \
    judge((const struct line[]){__VA_ARGS__},                                                      \
          sizeof((const struct line[]){__VA_ARGS__}) / sizeof(struct line))
#define PUSHED(from, to, value)                                                                    \
    {                                                                                              \
        DRILL_PUSH, from, to, value, 0, DRILL_DONE, false                                          \
    }
#define UNANSWERED(from, to, value)                                                                \
    {                                                                                              \
        DRILL_PUSH, from, to, value, 0, DRILL_FAILED, false                                        \
    }
#define SWAPPED(from, to, expected, value)                                                         \
    {                                                                                              \
        DRILL_SWAP, from, to, value, expected, DRILL_DONE, false                                   \
    }
#define READ(from, to, value)                                                                      \
    {                                                                                              \
        DRILL_READ, from, to, value, 0, DRILL_DONE, false                                          \
    }
#define FINAL(from, to, value)                                                                     \
    {                                                                                              \
        DRILL_READ, from, to, value, 0, DRILL_DONE, true                                           \
    }

static void assert_passes(const struct drill_check *check)
{
    if (!drill_check_passed(check)) {
        fail_msg("%s", check->first);
    }
    assert_string_equal(check->first, "");
}

static void test_drill_check__what_is_in_order_passes(void **state)
{
    struct drill_check check;

    (void)state;
    check = JUDGE(READ(0, 1, 0), PUSHED(2, 4, 1), READ(5, 6, 1), PUSHED(7, 9, 2), FINAL(10, 11, 2));
    assert_passes(&check);
    /* Overlapping writes in either order, as long as all readers agree. */
    check = JUDGE(PUSHED(0, 10, 1), PUSHED(0, 10, 2), READ(11, 12, 1), READ(13, 14, 1));
    assert_passes(&check);
    check = JUDGE(PUSHED(0, 10, 1), PUSHED(0, 10, 2), READ(2, 3, 2), READ(4, 12, 1));
    assert_passes(&check);
    check = JUDGE(PUSHED(0, 1, 1), SWAPPED(2, 5, 1, 2), READ(3, 4, 2), READ(6, 7, 2));
    assert_passes(&check);
}

static void test_drill_check__what_had_no_answer_may_happen_late_or_never(void **state)
{
    struct drill_check check;

    (void)state;
    check = JUDGE(PUSHED(0, 1, 1), UNANSWERED(2, 5, 2), READ(6, 7, 1), READ(8, 9, 2));
    assert_passes(&check);
    check = JUDGE(PUSHED(0, 1, 1), UNANSWERED(2, 5, 2), READ(6, 7, 1), FINAL(8, 9, 1));
    assert_passes(&check);
    /* But once, and before what it was seen before. */
    check = JUDGE(PUSHED(0, 1, 1), UNANSWERED(2, 5, 2), READ(6, 7, 2), READ(8, 9, 1));
    assert_false(drill_check_passed(&check));
    assert_int_equal(check.broken, 1);
}

static void test_drill_check__a_stale_read_is_seen(void **state)
{
    struct drill_check check =
        JUDGE(PUSHED(0, 1, 1), PUSHED(2, 3, 2), READ(4, 5, 1), READ(6, 7, 2));

    (void)state;
    assert_false(drill_check_passed(&check));
    assert_int_equal(check.stale, 1);
    assert_int_equal(check.lost, 0);
    assert_int_equal(check.broken, 1);
    assert_non_null(strstr(check.first, "read of canary-0 at node 1"));
}

static void test_drill_check__a_lost_write_is_seen(void **state)
{
    struct drill_check check = JUDGE(PUSHED(0, 1, 1), PUSHED(2, 3, 2), FINAL(4, 5, 1));

    (void)state;
    assert_int_equal(check.lost, 1);
    assert_int_equal(check.stale, 0);
    check = JUDGE(PUSHED(0, 1, 1), FINAL(4, 5, DRILL_VALUE_ABSENT));
    assert_int_equal(check.lost, 1);
}

static void test_drill_check__time_does_not_run_backwards_between_nodes(void **state)
{
    /* Two nodes, one push that overlaps both reads: the second reader must not see less. No simple
     * rule sees this one, only the search does. */
    struct drill_check check =
        JUDGE(PUSHED(0, 1, 1), PUSHED(2, 20, 2), READ(3, 4, 2), READ(5, 6, 1));

    (void)state;
    assert_int_equal(check.stale, 0);
    assert_int_equal(check.broken, 1);
    assert_false(drill_check_passed(&check));
}

static void test_drill_check__two_swaps_cannot_both_win(void **state)
{
    struct drill_check check = JUDGE(PUSHED(0, 1, 1), SWAPPED(2, 8, 1, 2), SWAPPED(3, 9, 1, 3));

    (void)state;
    assert_int_equal(check.broken, 1);
    check = JUDGE(PUSHED(0, 1, 1), SWAPPED(2, 8, 1, 2), SWAPPED(3, 9, 2, 3));
    assert_passes(&check);
}

static void test_drill_check__a_value_that_nobody_wrote_is_seen(void **state)
{
    struct drill_check check = JUDGE(PUSHED(0, 1, 1), READ(2, 3, 7));

    (void)state;
    assert_int_equal(check.broken, 1);
}

static void test_drill_check__a_list_must_have_what_was_acknowledged(void **state)
{
    struct drill_check check = JUDGE({DRILL_LIST, 0, 1, 0, 0, DRILL_DONE, false}, PUSHED(0, 3, 1),
                                     {DRILL_LIST, 2, 5, 0, 0, DRILL_DONE, false},
                                     {DRILL_LIST, 4, 5, 1, 0, DRILL_DONE, false});

    (void)state;
    assert_passes(&check);
    check = JUDGE(PUSHED(0, 3, 1), {DRILL_LIST, 4, 5, 0, 0, DRILL_DONE, false});
    assert_int_equal(check.stale, 1);
    check = JUDGE(PUSHED(0, 3, 1), {DRILL_LIST, 4, 5, 0, 0, DRILL_DONE, true});
    assert_int_equal(check.lost, 1);
}

/* A register that is simulated, clients that overlap: it passes; the same with one read changed to
 * what was there two writes before does not. */
static void make_history(struct drill_history *history, unsigned seed, size_t n)
{
    uint64_t value = DRILL_VALUE_ABSENT, now = 100, state = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        struct drill_operation operation = {.outcome = DRILL_DONE};

        state = state * 6364136223846793005u + 1442695040888963407u;
        now += 1 + (state >> 60);
        operation.from_us = now - (state >> 33) % 60;
        operation.to_us = now + (state >> 45) % 60;
        operation.kind = (state >> 20) % 3 == 0 ? DRILL_PUSH : DRILL_READ;
        if (operation.kind == DRILL_PUSH) {
            value = i + 1;
            if ((state >> 25) % 8 == 0) {
                operation.outcome = DRILL_FAILED;
            }
        }
        operation.value = value;
        drill_history_add(history, &operation);
    }
}

static void test_drill_check__long_histories_are_judged(void **state)
{
    unsigned caught = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct drill_history history;
        struct drill_check check;

        drill_history_init(&history);
        make_history(&history, seed, 1500);
        drill_check(&history, &check);
        assert_passes(&check);
        for (size_t i = history.n; i-- > 0;) {
            if (history.operations[i].kind == DRILL_READ &&
                history.operations[i].outcome == DRILL_DONE) {
                history.operations[i].value = history.operations[i / 2].value;
                break;
            }
        }
        drill_check(&history, &check);
        caught += !drill_check_passed(&check);
        drill_history_release(&history);
    }
    assert_int_equal(caught, 20);
}

static void test_drill_search__too_many_states_are_not_a_pass(void **state)
{
    struct drill_operation operations[21];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        operations[i] = (struct drill_operation){
            .kind = DRILL_PUSH, .from_us = i, .to_us = 1000, .value = i + 1};
    }
    operations[20] =
        (struct drill_operation){.kind = DRILL_READ, .from_us = 2000, .to_us = 2001, .value = 99};
    assert_int_equal(drill_search(operations, 21, 1000), DRILL_ORDER_UNDECIDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drill_check__what_is_in_order_passes),
        cmocka_unit_test(test_drill_check__what_had_no_answer_may_happen_late_or_never),
        cmocka_unit_test(test_drill_check__a_stale_read_is_seen),
        cmocka_unit_test(test_drill_check__a_lost_write_is_seen),
        cmocka_unit_test(test_drill_check__time_does_not_run_backwards_between_nodes),
        cmocka_unit_test(test_drill_check__two_swaps_cannot_both_win),
        cmocka_unit_test(test_drill_check__a_value_that_nobody_wrote_is_seen),
        cmocka_unit_test(test_drill_check__a_list_must_have_what_was_acknowledged),
        cmocka_unit_test(test_drill_check__long_histories_are_judged),
        cmocka_unit_test(test_drill_search__too_many_states_are_not_a_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
