#include "base/json.h"
#include "node/oci_error.h"
#include "tests/lib/test.h"

static void
test_oci_error__every_error_has_a_status_and_the_codes_are_the_specification_s(void **state)
{
    static const char *const codes[] = {
        "BLOB_UNKNOWN",          "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID",    "MANIFEST_UNKNOWN",    "NAME_INVALID",
        "NAME_UNKNOWN",          "SIZE_INVALID",        "UNAUTHORIZED",        "DENIED",
        "UNSUPPORTED",           "TOOMANYREQUESTS"};
    unsigned error;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_non_null(oci_error_hint(codes[i]));
    }
    assert_null(oci_error_hint("UNAVAILABLE"));
    for (error = OK + 1; error < ERROR_N; error++) {
        struct oci_error oci = oci_error_of((enum error)error, true);

        assert_true(http_status_text(oci.status)[0] != '\0');
        assert_int_equal(oci.status, oci_error_of((enum error)error, false).status);
        for (i = 0; oci.status < 500 && i < sizeof codes / sizeof codes[0]; i++) {
            if (strcmp(codes[i], oci.code) == 0) {
                break;
            }
        }
        if (i == sizeof codes / sizeof codes[0]) {
            fail_msg("%s is not a code of the specification", oci.code);
        }
    }
    assert_int_equal(oci_error_of(ERROR_PROMOTION_ONLY, true).status, 403);
    assert_int_equal(oci_error_of(ERROR_UNAVAILABLE, true).status, 503);
    assert_string_equal(oci_error_of(ERROR_GATE, false).code, "GATE_FAILED");
}

static void test_oci_error__body(void **state)
{
    json_t *value = oci_error_body("DENIED", "no", json_pack("{s:i}", "a", 1));
    struct buffer out;

    (void)state;
    buffer_init(&out, 1000);
    json_write(&out, value);
    assert_string_equal(
        buffer_string(&out),
        "{\"errors\":[{\"code\":\"DENIED\",\"detail\":{\"a\":1},\"message\":\"no\"}]}");
    json_decref(value);
    value = oci_error_body("DENIED", "\xff", NULL);
    assert_non_null(value);
    json_decref(value);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_oci_error__every_error_has_a_status_and_the_codes_are_the_specification_s),
        cmocka_unit_test(test_oci_error__body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
