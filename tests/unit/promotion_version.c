#include "promotion/byte_size.h"
#include "promotion/version.h"
#include "tests/lib/test.h"

#include <stdio.h>

/* Versions and amounts as people write them. */

static void test_version__orders_as_semver_says(void **state)
{
    /* Section 11 of semver.org, and what its neighbours get wrong. */
    static const char *const order[] = {
        "0.9.10",       "1.0.0-1",       "1.0.0-2",          "1.0.0-10",
        "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",       "1.0.0",
        "1.0.1",        "1.10.0",        "v2.0.0",           "10.0.0"};
    size_t n = sizeof order / sizeof order[0], i, k;

    (void)state;
    for (i = 0; i < n; i++) {
        for (k = 0; k < n; k++) {
            struct version a, b;

            assert_true(version_parse(VERSION_SEMVER, bytes_of_string(order[i]), &a));
            assert_true(version_parse(VERSION_SEMVER, bytes_of_string(order[k]), &b));
            assert_true(i < k ? version_compare(&a, &b) < 0 : version_compare(&a, &b) >= 0);
            assert_int_equal(version_compare(&a, &b) == 0, i == k);
        }
    }
}

static void test_version__build_metadata_does_not_count(void **state)
{
    struct version a, b;

    (void)state;
    assert_true(version_parse(VERSION_SEMVER, bytes_of_string("1.0.0+17"), &a));
    assert_true(version_parse(VERSION_SEMVER, bytes_of_string("1.0.0+abc.2"), &b));
    assert_int_equal(version_compare(&a, &b), 0);
}

static void test_version__refuses_what_is_none(void **state)
{
    static const char *const bad[] = {
        "",       "stable",  "1",    "1.2",    "1.2.3.4", "1.2.3-", "1.2.3-a..b",
        "1.2.3+", "1.2.3_4", "1..2", ".1.2.3", "1.2.x",   "1.2.3 ", "99999999999999999999.0.0"};
    struct version version;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(version_parse(VERSION_SEMVER, bytes_of_string(bad[i]), &version));
    }
    assert_true(version_parse(VERSION_NUMBERS, bytes_of_string("2026.11.23"), &version));
    assert_false(version_parse(VERSION_NUMBERS, bytes_of_string("2026.11.23-1"), &version));
    assert_false(version_parse(VERSION_NUMBERS, bytes_of_string("1.2.3.4.5.6.7"), &version));
}

static void test_byte_size__reads_and_writes(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {
        {"0", 0}, {"873B", 873}, {"2kB", 2000}, {"2KiB", 2048}, {"3GiB", (uint64_t)3 << 30}};
    static const char *const bad[] = {"", "GiB", "1.5GiB", "-1", "1 GiB", "1gib", "9999999999TiB"};
    char text[BYTE_SIZE_TEXT_MAX];
    struct reason why;
    uint64_t size;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(byte_size_parse(bytes_of_string(good[i].text), &size, &why), OK);
        assert_int_equal(size, good[i].size);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(byte_size_parse(bytes_of_string(bad[i]), &size, &why), OK);
    }
    byte_size_format(873, text);
    assert_string_equal(text, "873 B");
    byte_size_format((uint64_t)3 << 29, text);
    assert_string_equal(text, "1.5 GiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version__orders_as_semver_says),
        cmocka_unit_test(test_version__build_metadata_does_not_count),
        cmocka_unit_test(test_version__refuses_what_is_none),
        cmocka_unit_test(test_byte_size__reads_and_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
