#include "promotion/stage_tags.h"
#include "tests/lib/promotion_fixture.h"

/* What tags may do: a version is one image for ever, a channel moves, others are refused. */

#define TAGGED(rules)                                                                              \
    "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                 \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","  \
    "\"gates\":[{\"id\":\"size\",\"type\":\"size\",\"maxImage\":\"1MB\"}]" rules "}]}"
#define VERSIONS ",\"tags\":{\"version\":\"semver\",\"channels\":[\"stable\",\"next\"]}"
#define CLOSED                                                                                     \
    "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                 \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","  \
    "\"gates\":[{\"id\":\"people\",\"type\":\"approvals\",\"rules\":[{\"min\":1}]}]%s}]}"

/* Promote what is under the tag in dev, to be tag in prod. */
static struct shop_result promote(struct catalog_fixture *fixture, const char *id,
                                  const char *source, const char *tag, bool is_rollback)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion_request_item item = {
        .source = text_of(is_rollback ? "prod/shop/web" : "dev/shop/web"),
        .tag = text_of(source),
        .tags = {text_of(tag)},
        .n_tags = 1};
    struct promotion_request request = {.pipeline = text_of("shop"),
                                        .to = text_of("prod"),
                                        .reason = text_of("CHG-1"),
                                        .is_rollback = is_rollback,
                                        .items = &item,
                                        .n_items = 1};
    struct digest hash = digest_of_text(id);
    struct buffer command = fixture_command();
    struct command_id command_id = fixture_id(fixture);

    command_promotion_create(&command, &command_id, text_of("ci"), shop_id(id, memory), &request,
                             text_of(""), &hash);
    return shop_result_of(fixture, &command);
}

static void use(struct catalog_fixture *fixture, const char *document)
{
    assert_int_equal(shop_pipeline(fixture, "shop", document), OK);
    (void)fixture_image(fixture, "dev/shop/web", "web-1", "one");
    (void)fixture_image(fixture, "dev/shop/web", "web-2", "two");
}

static void test_tags__a_version_is_set_once(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct shop_result result;

    use(fixture, TAGGED(VERSIONS));
    assert_int_equal(promote(fixture, "A", "one", "1.0.0", false).status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    result = promote(fixture, "B", "two", "1.0.0", false);
    assert_int_equal(result.error, ERROR_CONFLICT);
    assert_non_null(strstr(result.text, "is a version"));
    /* The same image again is no other. */
    assert_int_equal(promote(fixture, "C", "one", "1.0.0", false).status, OK);
    assert_int_equal(shop_commit(fixture, "C").status, OK);
    assert_int_equal(promote(fixture, "D", "two", "1.0.1", false).status, OK);
    assert_int_equal(shop_commit(fixture, "D").status, OK);
    assert_int_equal(promote(fixture, "E", "1.0.1", "1.0.0", true).error, ERROR_CONFLICT);
}

static void test_tags__a_channel_moves_and_others_are_refused(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest tagged, second = digest_of_text("web-2");

    use(fixture, TAGGED(VERSIONS));
    assert_int_equal(promote(fixture, "A", "one", "stable", false).status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    assert_int_equal(promote(fixture, "B", "two", "stable", false).status, OK);
    assert_int_equal(promote(fixture, "C", "one", "stable", false).status, OK);
    assert_int_equal(shop_commit(fixture, "B").status, OK);
    assert_string_equal(shop_commit(fixture, "C").code, "TAG_MOVED");
    assert_int_equal(shop_tag(fixture, "prod/shop/web", "stable", &tagged), OK);
    assert_true(digest_equal(&tagged, &second));
    assert_int_equal(promote(fixture, "D", "one", "latest", false).error, ERROR_INVALID);
    assert_int_equal(promote(fixture, "E", "one", "1.0", false).error, ERROR_INVALID);
}

/* The rules of the document in force at the commit count, not those of the plan's time. */
static void test_tags__are_asked_again_at_the_commit(void **state)
{
    struct catalog_fixture *fixture = *state;

    use(fixture, TAGGED(""));
    assert_int_equal(promote(fixture, "A", "one", "latest", false).status, OK);
    assert_int_equal(promote(fixture, "B", "one", "2.0.0", false).status, OK);
    assert_int_equal(shop_pipeline(fixture, "shop", TAGGED(VERSIONS)), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "POLICY_CHANGED");
    assert_string_equal(shop_commit(fixture, "A").code, "TAG_NOT_ALLOWED");
    assert_string_equal(shop_commit(fixture, "B").code, "POLICY_CHANGED");
    assert_int_equal(shop_commit(fixture, "B").status, OK);
}

static void test_tags__versions_by_a_pattern(void **state)
{
    static const struct {
        const char *pattern, *tag;
        bool matches;
    } cases[] = {
        {"v#.#", "v1.22", true},    {"v#.#", "v1.", false},  {"v#.#", "v1.2.3", false},
        {"v#.#*", "v1.2-rc", true}, {"*-#", "a-b-12", true}, {"*-#", "a-b-", false},
        {"*", "anything", true},    {"r#", "r", false},      {"*a*b", "xaxxb", true},
        {"*a*b", "xaxxbx", false},  {"#", "0123", true},     {"*#*#", "1a2", true},
    };
    struct catalog_fixture *fixture = *state;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char document[1024], rules[128], id[24];

        snprintf(rules, sizeof rules, ",\"tags\":{\"version\":\"%s\"}", cases[i].pattern);
        snprintf(document, sizeof document, TAGGED("%s"), rules);
        use(fixture, document);
        snprintf(id, sizeof id, "P%02zu", i);
        if ((promote(fixture, id, "one", cases[i].tag, false).error == OK) != cases[i].matches) {
            fail_msg("case %zu: %s, %s", i, cases[i].pattern, cases[i].tag);
        }
    }
}

static void test_supersede__ends_those_that_wait_or_refuses_the_new_one(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion ended;
    char document[1024];

    snprintf(document, sizeof document, CLOSED, ",\"supersede\":\"supersede-pending\"");
    use(fixture, document);
    assert_int_equal(promote(fixture, "A", "one", "stable", false).status, OK);
    assert_int_equal(promote(fixture, "B", "one", "other", false).status, OK);
    assert_int_equal(promote(fixture, "C", "two", "stable", false).status, OK);
    assert_int_equal(shop_state(fixture, "B"), PROMOTION_OPEN);
    assert_int_equal(shop_state(fixture, "C"), PROMOTION_OPEN);
    ended = shop_load(fixture, "A");
    assert_int_equal(ended.state, PROMOTION_SUPERSEDED);
    assert_true(bytes_equal_string(ended.code, "SUPERSEDED"));
    promotion_release(&ended);
    assert_int_equal(shop_decide(fixture, "bob", "A", true).error, ERROR_CONFLICT);
    /* A request that is refused ends nobody. */
    assert_int_equal(promote(fixture, "C", "one", "stable", false).error, ERROR_EXISTS);
    assert_int_equal(shop_state(fixture, "C"), PROMOTION_OPEN);
    snprintf(document, sizeof document, CLOSED, ",\"supersede\":\"fail\"");
    assert_int_equal(shop_pipeline(fixture, "shop", document), OK);
    assert_int_equal(promote(fixture, "D", "one", "stable", false).error, ERROR_CONFLICT);
    assert_int_equal(promote(fixture, "E", "one", "third", false).status, OK);
    assert_int_equal(shop_state(fixture, "C"), PROMOTION_OPEN);
}

static void test_tags__a_rule_that_is_not_understood_is_refused(void **state)
{
    static const char *const bad[] = {
        ",\"tags\":{}",
        ",\"tags\":[]",
        ",\"tags\":{\"version\":\"\"}",
        ",\"tags\":{\"version\":\"^[0-9]+$\"}",
        ",\"tags\":{\"channels\":[]}",
        ",\"tags\":{\"channels\":[\"a b\"]}",
        ",\"tags\":{\"channels\":[\"a\",\"a\"]}",
        ",\"tags\":{\"chanels\":[\"a\"]}",
        ",\"supersede\":\"queue\"",
        ",\"supersede\":true",
    };
    struct catalog_fixture *fixture = *state;
    char document[1024];
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(document, sizeof document, TAGGED("%s"), bad[i]);
        if (shop_pipeline(fixture, "shop", document) != ERROR_INVALID) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(shop_pipeline(fixture, "shop",
                                   "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\","
                                   "\"write\":\"open\",\"tags\":{\"version\":\"semver\"}}]}"),
                     ERROR_INVALID);
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_tags__a_version_is_set_once),
        SHOP_TEST(test_tags__a_channel_moves_and_others_are_refused),
        SHOP_TEST(test_tags__are_asked_again_at_the_commit),
        SHOP_TEST(test_tags__versions_by_a_pattern),
        SHOP_TEST(test_supersede__ends_those_that_wait_or_refuses_the_new_one),
        SHOP_TEST(test_tags__a_rule_that_is_not_understood_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
