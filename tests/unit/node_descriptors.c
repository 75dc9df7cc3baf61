#include "node/descriptors.h"
#include "tests/lib/test.h"

#include <sys/resource.h>

/* Whatever the limit, connections with a file each leave room for the node's own files. */
static void test_descriptors__leave_room_for_the_log(void **state)
{
    static const size_t limits[] = {1024, 4096, 65536, 1u << 20};
    unsigned n;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (n = 1; n <= 8; n++) {
            const struct connection_limits each = connection_limits_of(limits[i], n);

            assert_true((each.clients + each.peers) * 2 * n + each.uploads + 256 <= limits[i]);
            assert_true(each.clients >= each.peers && each.peers >= 8);
        }
    }
    assert_int_equal(connection_limits_of(64, 1).clients, 8);
}

static void test_descriptors__the_limit_is_raised(void **state)
{
    struct rlimit before, after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    before.rlim_cur = before.rlim_max < 512 ? before.rlim_max : 512;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    descriptors_raise();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_true(after.rlim_cur == before.rlim_max || after.rlim_cur >= 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors__leave_room_for_the_log),
        cmocka_unit_test(test_descriptors__the_limit_is_raised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
