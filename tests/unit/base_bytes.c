#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/pack.h"
#include "tests/lib/test.h"

#include <stdlib.h>

static void test_buffer__append_over_the_limit_is_remembered(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 8);
    buffer_append_string(&buffer, "12345678");
    assert_int_equal(buffer_status(&buffer), OK);
    buffer_append_byte(&buffer, '9');
    assert_int_equal(buffer_status(&buffer), ERROR_TOO_LARGE);
    assert_string_equal(buffer_string(&buffer), "12345678");
    buffer_clear(&buffer);
    buffer_print(&buffer, "%d-%s", 12, "ab");
    assert_string_equal(buffer_string(&buffer), "12-ab");
    buffer_release(&buffer);
}

static void test_bytes_to_uint__refuses_signs_and_overflow(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(bytes_to_uint(BYTES_LITERAL("18446744073709551615"), &value), OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(bytes_to_uint(BYTES_LITERAL("18446744073709551616"), &value), ERROR_RANGE);
    assert_int_equal(bytes_to_uint(BYTES_LITERAL("+5"), &value), ERROR_INVALID);
    assert_int_equal(bytes_to_uint(BYTES_LITERAL(""), &value), ERROR_INVALID);
}

/* Long ones are summed in three runs at once: the same as byte by byte. */
static void test_crc32c__of_long_bytes_is_that_of_their_bytes(void **state)
{
    static uint8_t data[20000];
    size_t i, offset, size;

    (void)state;
    for (i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * i * 31 + i / 7);
    }
    for (offset = 0; offset < 9; offset++) {
        for (size = 6100; size < sizeof data - offset; size += 1229) {
            uint32_t crc = 0;

            for (i = 0; i < size; i++) {
                crc = crc32c_extend(crc, bytes_of(data + offset + i, 1));
            }
            assert_int_equal(crc32c(bytes_of(data + offset, size)), crc);
        }
    }
}

static void test_crc32c__known_answer_and_extend(void **state)
{
    (void)state;
    assert_int_equal(crc32c(BYTES_LITERAL("123456789")), 0xe3069283);
    assert_int_equal(crc32c_extend(crc32c(BYTES_LITERAL("1234")), BYTES_LITERAL("56789")),
                     0xe3069283);
}

static void test_digest__parse_is_exact(void **state)
{
    static const char *const bad[] = {
        "",
        "sha256:",
        "sha256",
        ":ab",
        "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
    struct digest digest, parsed;
    char text[DIGEST_TEXT_MAX];

    (void)state;
    digest_of(DIGEST_SHA256, BYTES_LITERAL(""), &digest);
    digest_format(&digest, text);
    assert_string_equal(text,
                        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(digest_parse(bytes_of_string(text), &parsed), OK);
    assert_true(digest_equal(&digest, &parsed));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(digest_parse(bytes_of_string(bad[i]), &parsed), ERROR_INVALID);
    }
    assert_int_equal(digest_parse(BYTES_LITERAL("blake3:abcd"), &parsed), ERROR_UNSUPPORTED);
    digest_of(DIGEST_SHA512, BYTES_LITERAL("x"), &digest);
    digest_format(&digest, text);
    assert_int_equal(digest_parse(bytes_of_string(text), &parsed), OK);
    assert_true(digest_equal(&digest, &parsed));
}

static void test_pack__round_trip(void **state)
{
    struct buffer out;
    struct unpacker in;
    struct digest digest, back;

    (void)state;
    buffer_init(&out, 4096);
    digest_of(DIGEST_SHA256, BYTES_LITERAL("a"), &digest);
    pack_array(&out, 7);
    pack_uint(&out, 1u << 20);
    pack_bool(&out, true);
    pack_text(&out, "hello");
    pack_bin(&out, BYTES_LITERAL("\0\1"));
    pack_digest(&out, &digest);
    pack_nil(&out);
    pack_map(&out, 1);
    pack_text(&out, "k");
    pack_uint(&out, 1);
    assert_int_equal(buffer_status(&out), OK);
    unpack_start(&in, buffer_view(&out));
    unpack_array_of(&in, 7);
    assert_int_equal(unpack_uint(&in), 1u << 20);
    assert_true(unpack_bool(&in));
    assert_true(bytes_equal_string(unpack_string(&in, 5), "hello"));
    assert_int_equal(unpack_bin(&in, 2).size, 2);
    unpack_digest(&in, &back);
    assert_true(digest_equal(&digest, &back));
    assert_true(unpack_nil(&in));
    unpack_skip(&in);
    assert_int_equal(unpack_end(&in), OK);
    buffer_release(&out);
}

static void test_unpack__hostile_counts_are_refused(void **state)
{
    static const struct bytes hostile[] = {
        BYTES_LITERAL("\xdd\xff\xff\xff\xff"), BYTES_LITERAL("\xdf\x7f\xff\xff\xff"),
        BYTES_LITERAL("\xc6\xff\xff\xff\xff"), BYTES_LITERAL("\xdb\x00\x00"),
        BYTES_LITERAL("\xcb\0\0\0\0\0\0\0\0"), BYTES_LITERAL("")};
    uint8_t deep[64];
    struct unpacker in;

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        unpack_start(&in, hostile[i]);
        unpack_skip(&in);
        assert_int_equal(unpack_end(&in), ERROR_INVALID);
        assert_int_equal(unpack_array(&in), 0);
    }
    memset(deep, 0x91, sizeof deep);
    unpack_start(&in, bytes_of(deep, sizeof deep));
    unpack_skip(&in);
    assert_int_equal(unpack_status(&in), ERROR_INVALID);
}

static void test_json__limits_and_escapes(void **state)
{
    struct reason why;
    struct buffer out;
    char deep[101];
    json_t *value;

    (void)state;
    memset(deep, '[', 100);
    deep[100] = '\0';
    assert_int_equal(json_parse(bytes_of_string(deep), 1000, &value, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "deeper"));
    assert_int_equal(json_parse(BYTES_LITERAL("{\"a\":1,\"a\":2}"), 1000, &value, &why),
                     ERROR_INVALID);
    assert_int_equal(json_parse(BYTES_LITERAL("{} x"), 1000, &value, &why), ERROR_INVALID);
    assert_int_equal(json_parse(BYTES_LITERAL("{}"), 1, &value, &why), ERROR_TOO_LARGE);
    assert_int_equal(json_parse(BYTES_LITERAL("{\"b\":[1,2],\"a\":\"x\"}"), 1000, &value, &why),
                     OK);
    buffer_init(&out, 1000);
    json_write(&out, value);
    assert_string_equal(buffer_string(&out), "{\"a\":\"x\",\"b\":[1,2]}");
    json_decref(value);
    buffer_clear(&out);
    json_escape(&out, BYTES_LITERAL("a\"\\\n\x1b\xff\xc3\xa9"));
    assert_string_equal(buffer_string(&out), "\"a\\\"\\\\\\u000a\\u001b\\ufffd\xc3\xa9\"");
    buffer_release(&out);
}

static void test_hasher__many_pieces_one_after_the_other(void **state)
{
    static const char *const pieces[] = {"", "abc", "a longer piece than the others", "abc"};
    struct digest expected, found;
    struct hasher hasher;
    size_t i;

    (void)state;
    hasher_init(&hasher, DIGEST_SHA256);
    hasher_update(&hasher, BYTES_LITERAL("what came before does not count"));
    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        hasher_digest(&hasher, bytes_of_string(pieces[i]), &found);
        digest_of(DIGEST_SHA256, bytes_of_string(pieces[i]), &expected);
        assert_true(digest_equal(&expected, &found));
    }
    hasher_release(&hasher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer__append_over_the_limit_is_remembered),
        cmocka_unit_test(test_bytes_to_uint__refuses_signs_and_overflow),
        cmocka_unit_test(test_crc32c__known_answer_and_extend),
        cmocka_unit_test(test_crc32c__of_long_bytes_is_that_of_their_bytes),
        cmocka_unit_test(test_digest__parse_is_exact),
        cmocka_unit_test(test_hasher__many_pieces_one_after_the_other),
        cmocka_unit_test(test_pack__round_trip),
        cmocka_unit_test(test_unpack__hostile_counts_are_refused),
        cmocka_unit_test(test_json__limits_and_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
