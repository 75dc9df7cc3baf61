/* The grammar of names and tags, and globs against a slow matcher that is plainly right. */

#include "store/catalog.h"
#include "tests/lib/test.h"

static void test_name__grammar(void **state)
{
    static const char *const good[] = {
        "a",        "a/b",   "a.b",          "a_b",           "a__b",           "a-b",
        "a---b/c9", "0/1/2", "dev/shop/web", "blobs/uploads", "a.b_c__d-e--f/g"};
    static const char *const bad[] = {"",   "/",    "/a",    "a/",        "a//b", "A",      "a.",
                                      ".a", "a..b", "a___b", "a._b",      "a b",  "a/B",    "-a",
                                      "a-", "a_",   "_a",    "a\xc3\xa9", "a:b",  "a/../b", "a.-b"};
    uint8_t longest[NAME_MAX_SIZE + 1];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(repository_name_is_valid(bytes_of_string(good[i])));
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (repository_name_is_valid(bytes_of_string(bad[i]))) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    assert_false(repository_name_is_valid(bytes_of("a\0b", 3)));
    memset(longest, 'a', sizeof longest);
    assert_true(repository_name_is_valid(bytes_of(longest, NAME_MAX_SIZE)));
    assert_false(repository_name_is_valid(bytes_of(longest, NAME_MAX_SIZE + 1)));
}

static void test_tag__grammar(void **state)
{
    static const char *const good[] = {
        "a", "A", "_", "1.2.3_build", "latest-", "a..b", "sha256-0123456789abcdef.sig"};
    static const char *const bad[] = {"", ".a", "-a", "a/b", "a:b", "a b", "a+b", "a\n"};
    uint8_t longest[TAG_MAX_SIZE + 1];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(tag_is_valid(bytes_of_string(good[i])));
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tag_is_valid(bytes_of_string(bad[i])));
    }
    memset(longest, 'a', sizeof longest);
    assert_true(tag_is_valid(bytes_of(longest, TAG_MAX_SIZE)));
    assert_false(tag_is_valid(bytes_of(longest, TAG_MAX_SIZE + 1)));
}

static void test_glob__examples(void **state)
{
    static const struct {
        const char *glob, *name;
        bool matches;
    } cases[] = {{"prod/shop/*", "prod/shop/web", true},
                 {"prod/shop/*", "prod/shop/web/api", false},
                 {"prod/shop/*", "prod/shop", false},
                 {"prod/**", "prod/shop/web", true},
                 {"prod/**", "prod", false},
                 {"**", "a/b/c", true},
                 {"**", "", true},
                 {"*", "", true},
                 {"*", "a/b", false},
                 {"", "", true},
                 {"", "a", false},
                 {"*/web", "shop/web", true},
                 {"*/web", "a/shop/web", false},
                 {"**/web", "a/shop/web", true},
                 {"a*b*c", "aXbYbZc", true},
                 {"**a*b", "xa/ab", true},
                 {"dev/*-api/v*", "dev/pay-api/v2", true},
                 {"dev.x", "devax", false}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (repository_glob_match(bytes_of_string(cases[i].glob), bytes_of_string(cases[i].name)) !=
            cases[i].matches) {
            fail_msg("%s against %s", cases[i].glob, cases[i].name);
        }
    }
}

/* By the definition: every way to let a star swallow something is tried. */
static bool slow_match(const char *glob, const char *name)
{
    bool is_deep = glob[0] == '*' && glob[1] == '*';

    if (glob[0] == '\0') {
        return name[0] == '\0';
    }
    if (glob[0] != '*') {
        return glob[0] == name[0] && slow_match(glob + 1, name + 1);
    }
    if (slow_match(glob + (is_deep ? 2 : 1), name)) {
        return true;
    }
    return name[0] != '\0' && (is_deep || name[0] != '/') && slow_match(glob, name + 1);
}

static void test_glob__agrees_with_the_definition(void **state)
{
    static const char letters[] = "ab/**";
    uint64_t seed = 42;
    unsigned matched = 0, round;

    (void)state;
    for (round = 0; round < 200000; round++) {
        char glob[10], name[10];
        size_t glob_size, name_size, i;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        glob_size = (seed >> 33) % sizeof glob;
        name_size = (seed >> 40) % sizeof name;
        for (i = 0; i < glob_size; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            glob[i] = letters[(seed >> 33) % 5];
        }
        glob[glob_size] = '\0';
        for (i = 0; i < name_size; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            name[i] = letters[(seed >> 33) % 3];
        }
        name[name_size] = '\0';
        if (slow_match(glob, name) !=
            repository_glob_match(bytes_of_string(glob), bytes_of_string(name))) {
            fail_msg("%s against %s", glob, name);
        }
        matched += slow_match(glob, name) ? 1 : 0;
    }
    assert_true(matched > 1000);
}

static void test_glob__hostile_pattern_is_fast(void **state)
{
    uint8_t glob[200], name[200];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof glob; i++) {
        glob[i] = i % 2 == 0 ? '*' : 'a';
    }
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 'b';
    assert_false(repository_glob_match(bytes_of(glob, sizeof glob), bytes_of(name, sizeof name)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name__grammar),
        cmocka_unit_test(test_tag__grammar),
        cmocka_unit_test(test_glob__examples),
        cmocka_unit_test(test_glob__agrees_with_the_definition),
        cmocka_unit_test(test_glob__hostile_pattern_is_fast),
    };

    return cmocka_run_group_tests_name("store/name", tests, NULL, NULL);
}
