/* Which part of a blob a request asks for, and whether the client has it already. */
#include "node/blob_serve.h"
#include "tests/lib/test.h"

#define SIZE   1000u
#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct blob_range read_ok(const char *header, uint64_t size)
{
    struct blob_range range;

    if (blob_range_read(bytes_of_string(header), size, &range) != OK) {
        fail_msg("'%s' is refused", header);
    }
    return range;
}

static void assert_part(const char *header, uint64_t first, uint64_t length)
{
    struct blob_range range = read_ok(header, SIZE);

    if (!range.is_partial || range.first != first || range.length != length) {
        fail_msg("'%s' is %lu bytes from %lu", header, (unsigned long)range.length,
                 (unsigned long)range.first);
    }
}

static void test_range__one_part(void **state)
{
    (void)state;
    assert_part("bytes=0-0", 0, 1);
    assert_part("bytes=0-999", 0, SIZE);
    assert_part("Bytes=500-", 500, 500); /* RFC 9110, 14.1. */
    assert_part("bytes=500-", 500, 500);
    assert_part("bytes=999-", 999, 1);
    assert_part("bytes=-1", 999, 1);
    assert_part("bytes=-5000", 0, SIZE);
    /* A client that goes on after a break asks for one more than there is. */
    assert_part("bytes=400-1000", 400, 600);
    assert_part("bytes=400-18446744073709551615", 400, 600);
}

static void test_range__what_cannot_be_had(void **state)
{
    static const char *const headers[] = {"bytes=1000-", "bytes=5000-10000", "bytes=500-0",
                                          "bytes=-0"};
    struct blob_range range;

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_int_equal(blob_range_read(bytes_of_string(headers[i]), SIZE, &range), ERROR_RANGE);
    }
    assert_int_equal(blob_range_read(BYTES_LITERAL("bytes=0-"), 0, &range), ERROR_RANGE);
    assert_int_equal(blob_range_read(BYTES_LITERAL("bytes=-1"), 0, &range), ERROR_RANGE);
}

static void test_range__what_is_no_range_gives_all(void **state)
{
    static const char *const headers[] = {
        "",
        "bytes=",
        "bytes",
        "bytes=9",
        "bytes=x-9",
        "bytes=0-x",
        "bytes=--1",
        "lines=0-9",
        "bytes=+1-+5",
        "bytes=0-99,200-",
        "bytes=-",
        "0-9",
        "bytes=99999999999999999999-",
    };

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct blob_range range = read_ok(headers[i], SIZE);

        assert_false(range.is_partial);
        assert_int_equal(range.first, 0);
        assert_int_equal(range.length, SIZE);
    }
}

static void test_etag__if_none_match_names_it_in_any_form(void **state)
{
    static const char *const named[] = {("\"" DIGEST "\""),        DIGEST,
                                        ("W/\"" DIGEST "\""),      "*",
                                        ("\"x\", \"" DIGEST "\""), (" \"" DIGEST "\" ,\"x\"")};
    static const char *const others[] = {"",           "\"x\"", ("\"" DIGEST "x\""),
                                         ("x" DIGEST), ",",     "\"\""};

    (void)state;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        assert_true(etag_list_names(bytes_of_string(named[i]), DIGEST));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(etag_list_names(bytes_of_string(others[i]), DIGEST));
    }
}

/* RFC 9110, 13.1.5: parts of two contents must never be put together. */
static void test_etag__if_range_is_one_strong_tag(void **state)
{
    static const char *const others[] = {
        "",
        "*",
        "\"*\"",
        DIGEST,
        ("W/\"" DIGEST "\""),
        ("w/\"" DIGEST "\""),
        ("\"" DIGEST "\", \"x\""),
        ("\"x\", \"" DIGEST "\""),
        ("\"" DIGEST "\",\"" DIGEST "\""),
        ("\"" DIGEST),
        "\"",
        "\"\"",
        "Tue, 24 Nov 2026 00:00:00 GMT",
    };

    (void)state;
    assert_true(etag_is_exactly(BYTES_LITERAL("\"" DIGEST "\""), DIGEST));
    assert_true(etag_is_exactly(BYTES_LITERAL(" \"" DIGEST "\"\t"), DIGEST));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(etag_is_exactly(bytes_of_string(others[i]), DIGEST));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range__one_part),
        cmocka_unit_test(test_range__what_cannot_be_had),
        cmocka_unit_test(test_range__what_is_no_range_gives_all),
        cmocka_unit_test(test_etag__if_none_match_names_it_in_any_form),
        cmocka_unit_test(test_etag__if_range_is_one_strong_tag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
