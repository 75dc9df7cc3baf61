#include "base/password.h"
#include "tests/lib/test.h"

#include <stdio.h>

static void test_password__hash_depends_on_password_and_salt(void **state)
{
    const uint8_t salt[PASSWORD_SALT_SIZE] = "0123456789abcdef", other[PASSWORD_SALT_SIZE] = "x";
    uint8_t a[PASSWORD_HASH_SIZE], b[PASSWORD_HASH_SIZE];

    (void)state;
    assert_int_equal(password_hash(BYTES_LITERAL("secret"), salt, a), OK);
    assert_int_equal(password_hash(BYTES_LITERAL("secret"), salt, b), OK);
    assert_true(password_hash_equal(a, b));
    assert_int_equal(password_hash(BYTES_LITERAL("secreT"), salt, b), OK);
    assert_false(password_hash_equal(a, b));
    assert_int_equal(password_hash(BYTES_LITERAL("secret"), other, b), OK);
    assert_false(password_hash_equal(a, b));
}

static void test_password__input_is_bounded(void **state)
{
    static const uint8_t large[PASSWORD_SIZE_MAX + 1];
    const uint8_t salt[PASSWORD_SALT_SIZE] = "";
    uint8_t hash[PASSWORD_HASH_SIZE];

    (void)state;
    assert_int_equal(password_hash(BYTES_NONE, salt, hash), ERROR_INVALID);
    assert_int_equal(password_hash(bytes_of(large, sizeof large), salt, hash), ERROR_INVALID);
    assert_int_equal(password_hash(bytes_of(large, PASSWORD_SIZE_MAX), salt, hash), OK);
}

/* RFC 4231, test case 2, with its key padded to 32 bytes by zeros, which HMAC does itself. */
static void test_password_mac__known_answer(void **state)
{
    static const uint8_t key[32] = "Jefe";
    uint8_t mac[32];
    char text[9];

    (void)state;
    password_mac(key, BYTES_LITERAL("what do ya want for nothing?"), mac);
    snprintf(text, sizeof text, "%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3]);
    assert_string_equal(text, "5bdcc146");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password__hash_depends_on_password_and_salt),
        cmocka_unit_test(test_password__input_is_bounded),
        cmocka_unit_test(test_password_mac__known_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
