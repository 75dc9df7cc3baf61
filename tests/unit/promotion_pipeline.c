#include "promotion/duration.h"
#include "promotion/pipeline.h"
#include "tests/lib/test.h"

#include <stdio.h>

/* The policy document: what is understood, and a sentence for what is not. */

#define DEV  "{\"name\":\"dev\",\"repos\":\"dev/*\",\"write\":\"open\"}"
#define PROD "{\"name\":\"prod\",\"repos\":\"prod/*\",\"write\":\"promotion-only\",\"from\":\"dev\""

static void test_pipeline__refuses_with_the_place(void **state)
{
    static const struct {
        const char *stages, *sentence;
    } cases[] = {
        {"", "stages must be a list"},
        {DEV ",{\"name\":\"x\"}", "stage x: repos is missing"},
        {DEV "," PROD ",\"tag\":{}}", "unknown field \"tag\"; allowed here: name, repos"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"horoscope\"}]}",
         "unknown type \"horoscope\"; allowed here: age, annotations, any"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"soak\"}]}", "min is missing"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"soak\",\"min\":\"1 day\"}]}",
         "not a duration"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"soak\",\"min\":24}]}", "must be text"},
        {DEV "," PROD
             ",\"gates\":[{\"id\":\"s\",\"type\":\"soak\",\"min\":\"1h\",\"mood\":\"x\"}]}",
         "unknown field \"mood\"; allowed here: id, type, mode, mandatory, min, basis"},
        {DEV "," PROD
             ",\"gates\":[{\"id\":\"s\",\"type\":\"soak\",\"min\":\"1h\",\"mode\":\"x\"}]}",
         "mode must be one of: enforce, warn, dry-run"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"any\",\"gates\":[]}]}",
         "gates must be a list of 2 to"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"s\",\"type\":\"any\",\"gates\":["
             "{\"id\":\"a\",\"type\":\"soak\",\"min\":\"1h\"},"
             "{\"id\":\"b\",\"type\":\"soak\",\"min\":\"1h\",\"mode\":\"warn\"}]}]}",
         "stage prod, gate s, gate b: a gate of an any-gate"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"a\",\"type\":\"approvals\",\"rules\":[]}]}",
         "rules must be a list"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"a\",\"type\":\"approvals\",\"rules\":[{\"min\":0}]}]}",
         "min must be a number"},
        {DEV "," PROD
             ",\"gates\":[{\"id\":\"a\",\"type\":\"approvals\",\"rules\":[{\"group\":\"g\"}]}]}",
         "group \"g\" is not defined"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"a\",\"type\":\"approvals\",\"rules\":[{\"users\":"
             "[\"a\"],\"min\":2}]}]}",
         "wants 2 approvals, but names only 1"},
        {DEV "," PROD ",\"gates\":[{\"id\":\"a\",\"type\":\"soak\",\"min\":\"1s\"},"
             "{\"id\":\"a\",\"type\":\"soak\",\"min\":\"1s\"}]}",
         "two gates with the id a"},
        {DEV "," DEV, "two stages with the name dev"},
        {DEV ",{\"name\":\"x\",\"repos\":\"dev/a\",\"write\":\"open\"}", "overlap"},
        {DEV ",{\"name\":\"x\",\"repos\":\"x/*\",\"write\":\"promotion-only\"}",
         "nothing leads to"},
        {DEV ",{\"name\":\"x\",\"repos\":\"x/**\",\"write\":\"open\",\"from\":\"dev\"}",
         "the same wildcard"},
        {DEV ",{\"name\":\"x\",\"repos\":\"x/*\",\"write\":\"open\",\"from\":\"nowhere\"}",
         "from must name a stage of it: dev, x"},
        {DEV ",{\"name\":\"x\",\"repos\":\"x/*\",\"write\":\"frozen\"}", "open or promotion-only"},
        {DEV ",{\"name\":\"x\",\"repos\":\"x/*\",\"write\":\"open\",\"from\":\"dev\",\"gates\":"
             "[{\"id\":\"s\",\"type\":\"soak\",\"min\":\"1s\"}]}",
         "a push walks around them"},
        {"{\"name\":\"a\",\"repos\":\"a/*\",\"write\":\"open\",\"from\":\"b\"},"
         "{\"name\":\"b\",\"repos\":\"b/*\",\"write\":\"open\",\"from\":\"a\"}",
         "comes from itself"},
        {"{\"name\":\"a\",\"repos\":\"a/*/*\",\"write\":\"open\"}", "at most one"},
        {"{\"name\":\"a\",\"repos\":\"A/*\",\"write\":\"open\"}", "is not understood"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pipeline *pipeline = NULL;
        struct reason why = {""};
        char text[4096];

        snprintf(text, sizeof text, "{\"pipeline\":\"shop\",\"stages\":[%s]}", cases[i].stages);
        assert_int_not_equal(pipeline_parse(bytes_of_string(text), BYTES_NONE, &pipeline, &why),
                             OK);
        if (strstr(why.text, cases[i].sentence) == NULL) {
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, why.text, cases[i].sentence);
        }
    }
}

static void test_pipeline__revision_is_of_the_meaning(void **state)
{
    static const char *const a = "{\"pipeline\":\"shop\",\"stages\":[" DEV "]}";
    static const char *const b =
        " { \"stages\": [ {\"write\":\"open\", \"repos\":\"dev/*\",\"name\":\"dev\"} ] }";
    struct pipeline *first, *second;

    (void)state;
    assert_int_equal(pipeline_parse(bytes_of_string(a), BYTES_NONE, &first, NULL), OK);
    assert_int_equal(pipeline_parse(bytes_of_string(b), BYTES_LITERAL("shop"), &second, NULL), OK);
    assert_true(digest_equal(&first->revision, &second->revision));
    pipeline_release(second);
    assert_int_equal(pipeline_parse(bytes_of_string(a), BYTES_LITERAL("other"), &second, NULL),
                     ERROR_INVALID);
    pipeline_release(first);
}

static void test_duration__units_and_limits(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"24h", 86400000}, {"90s", 90000}, {"1h30m", 5400000},
                {"7d", 604800000}, {"250ms", 250}, {"1d1h1m1s1ms", 90061001}};
    static const char *const bad[] = {"",     "0s",   "h",         "1",    "1 h",   "-1h",
                                      "1m1h", "1h1h", "99999999d", "1e3s", "4000d", "1hour"};
    char text[DURATION_TEXT_MAX];
    uint64_t ms;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(duration_parse(bytes_of_string(good[i].text), &ms, NULL), OK);
        assert_int_equal(ms, good[i].ms);
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(duration_parse(bytes_of_string(bad[i]), &ms, NULL), OK);
    }
    duration_format(31 * 3600000 + 12 * 60000, text);
    assert_string_equal(text, "1d7h");
    duration_format(4000, text);
    assert_string_equal(text, "4s");
    duration_format(0, text);
    assert_string_equal(text, "0s");
}

static void test_pattern__overlap_is_exact(void **state)
{
    static const struct {
        const char *a, *b;
        bool overlap;
    } cases[] = {{"dev/*", "dev/web", true},     {"dev/*", "dev/shop/*", false},
                 {"dev/**", "dev/shop/*", true}, {"dev/*-a", "dev/b-*", true},
                 {"dev/*a", "dev/*b", false},    {"a/*", "b/*", false},
                 {"a/**/z", "a/b/*", true},      {"a/web", "a/web", true},
                 {"*/shop", "dev/*", true}};
    struct repository_pattern a, b;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(repository_pattern_parse(bytes_of_string(cases[i].a), &a, NULL), OK);
        assert_int_equal(repository_pattern_parse(bytes_of_string(cases[i].b), &b, NULL), OK);
        assert_int_equal(repository_pattern_overlap(&a, &b), cases[i].overlap);
        assert_int_equal(repository_pattern_overlap(&b, &a), cases[i].overlap);
    }
}

static void test_pattern__maps_what_the_wildcard_stands_for(void **state)
{
    struct repository_pattern from, to;
    struct buffer out;

    (void)state;
    buffer_init(&out, 200);
    assert_int_equal(repository_pattern_parse(BYTES_LITERAL("dev/shop/**"), &from, NULL), OK);
    assert_int_equal(repository_pattern_parse(BYTES_LITERAL("prod/**-live"), &to, NULL), OK);
    assert_int_equal(repository_pattern_map(&from, &to, BYTES_LITERAL("dev/shop/a/b"), &out, NULL),
                     OK);
    assert_string_equal(buffer_string(&out), "prod/a/b-live");
    buffer_clear(&out);
    assert_int_equal(repository_pattern_map(&from, &to, BYTES_LITERAL("dev/shop/"), &out, NULL),
                     ERROR_NOT_FOUND);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline__refuses_with_the_place),
        cmocka_unit_test(test_pipeline__revision_is_of_the_meaning),
        cmocka_unit_test(test_duration__units_and_limits),
        cmocka_unit_test(test_pattern__overlap_is_exact),
        cmocka_unit_test(test_pattern__maps_what_the_wildcard_stands_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
