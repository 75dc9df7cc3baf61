#include "base/clock.h"
#include "tests/lib/test.h"

/* Times as text: what is written can be read, what is no time is refused. */

static void test_clock__reads_what_it_writes(void **state)
{
    static const uint64_t times[] = {0, 1, 951782400000, 1795392000123, 4102444799999};
    char text[CLOCK_TEXT_MAX];
    uint64_t back;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof times / sizeof times[0]; i++) {
        clock_format(times[i], text);
        assert_int_equal(clock_parse(bytes_of_string(text), &back), OK);
        assert_int_equal(back, times[i]);
    }
    assert_int_equal(clock_parse(bytes_of_string("2024-02-29T23:59:59Z"), &back), OK);
    clock_format(back, text);
    assert_string_equal(text, "2024-02-29T23:59:59.000Z");
}

static void test_clock__refuses_what_is_no_time(void **state)
{
    static const char *const bad[] = {"",
                                      "2023-02-29T00:00:00Z",
                                      "2024-13-01T00:00:00Z",
                                      "2024-00-01T00:00:00Z",
                                      "2024-01-32T00:00:00Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:60:00Z",
                                      "2024-01-01T00:00:61Z",
                                      "1969-12-31T23:59:59Z",
                                      "2024-01-01 00:00:00Z",
                                      "2024-01-01T00:00:00+",
                                      "2024-01-01T00:00:00.12xZ",
                                      "2024-01-01T00:00:00+00:0",
                                      "+024-01-01T00:00:00Z"};
    uint64_t back;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(clock_parse(bytes_of_string(bad[i]), &back), ERROR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__reads_what_it_writes),
        cmocka_unit_test(test_clock__refuses_what_is_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
