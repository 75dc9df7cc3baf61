#include "promotion/policy_change.h"
#include "tests/lib/promotion_fixture.h"

/* A pipeline that wants two people for its own changes. */

#define OWNED(prod, people)                                                                        \
    "{\"groups\":{\"owners\":[" people "]},"                                                       \
    "\"changes\":{\"group\":\"owners\",\"min\":2,\"expire\":\"24h\"},\"stages\":["                 \
    "{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                              \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/" prod "\",\"write\":\"promotion-only\","            \
    "\"from\":\"dev\"}]}"
#define OWNERS "\"alice\",\"bob\",\"carol\""

static struct policy_result put(struct catalog_fixture *fixture, const char *actor,
                                const char *document)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct policy_result result = {0};
    struct digest any = {0};

    command_pipeline_put(&command, &id, text_of(actor), text_of("shop"), text_of(document), &any);
    assert_int_equal(fixture_apply(fixture, &command), OK);
    assert_int_equal(policy_result_read(fixture->result.body, &result), OK);
    return result;
}

static enum error decide(struct catalog_fixture *fixture, const char *actor,
                         const struct digest *revision, bool is_approval)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_pipeline_decide(&command, &id, text_of(actor), text_of("shop"), revision, is_approval);
    return fixture_apply(fixture, &command);
}

static struct digest in_force(struct catalog_fixture *fixture)
{
    struct policy_record record;
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(policy_find(&txn, text_of("shop"), &record), OK);
    catalog_done(&txn);
    return record.revision;
}

static bool is_in_force(struct catalog_fixture *fixture, const struct policy_result *result)
{
    struct digest now = in_force(fixture);

    return digest_equal(&now, &result->revision);
}

static void test_change__waits_for_the_people_of_the_document_in_force(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct policy_result owned = put(fixture, "admin", OWNED("*", OWNERS)), result;

    assert_true(is_in_force(fixture, &owned));
    /* It names other people; those of now decide. */
    result = put(fixture, "admin", OWNED("*", "\"dave\",\"eve\""));
    assert_int_equal(result.given, 0);
    assert_int_equal(result.wanted, 2);
    assert_int_equal(decide(fixture, "dave", &result.revision, true), ERROR_NOT_ELIGIBLE);
    assert_int_equal(decide(fixture, "admin", &result.revision, true), ERROR_NOT_ELIGIBLE);
    assert_int_equal(decide(fixture, "alice", &result.revision, true), OK);
    assert_int_equal(decide(fixture, "alice", &result.revision, true), OK);
    assert_true(is_in_force(fixture, &owned));
    assert_int_equal(decide(fixture, "bob", &owned.revision, true), ERROR_CONFLICT);
    assert_int_equal(decide(fixture, "bob", &result.revision, true), OK);
    assert_true(is_in_force(fixture, &result));
    assert_int_equal(decide(fixture, "carol", &result.revision, true), ERROR_NOT_FOUND);
}

static void test_change__to_put_the_same_document_is_to_agree(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct policy_result owned = put(fixture, "admin", OWNED("*", OWNERS)), result;

    result = put(fixture, "alice", OWNED("x-*", OWNERS));
    assert_int_equal(result.given, 1);
    assert_true(is_in_force(fixture, &owned));
    /* Another document takes its place, and begins anew. */
    result = put(fixture, "bob", OWNED("y-*", OWNERS));
    assert_int_equal(result.given, 1);
    result = put(fixture, "carol", OWNED("y-*", OWNERS));
    assert_int_equal(result.wanted, 0);
    assert_true(is_in_force(fixture, &result));
}

static void test_change__ends_by_time_by_a_no_and_by_its_author(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct policy_result owned = put(fixture, "admin", OWNED("*", OWNERS)), result;

    result = put(fixture, "alice", OWNED("x-*", OWNERS));
    fixture->time_ms += 24 * HOUR_MS;
    assert_int_equal(decide(fixture, "bob", &result.revision, true), ERROR_NOT_FOUND);
    result = put(fixture, "alice", OWNED("x-*", OWNERS));
    assert_int_equal(result.given, 1);
    assert_int_equal(decide(fixture, "carol", &result.revision, false), OK);
    assert_int_equal(decide(fixture, "bob", &result.revision, true), ERROR_NOT_FOUND);
    result = put(fixture, "admin", OWNED("x-*", OWNERS));
    assert_int_equal(decide(fixture, "dave", &result.revision, false), ERROR_NOT_ELIGIBLE);
    assert_int_equal(decide(fixture, "admin", &result.revision, false), OK);
    assert_true(is_in_force(fixture, &owned));
    /* The write rules are those of the document in force. */
    (void)put(fixture, "alice", OWNED("x-*", OWNERS));
    assert_int_equal(shop_create(fixture, "A", "prod", "dev/shop/web", "1.0").error,
                     ERROR_MANIFEST_UNKNOWN);
}

static void test_change__a_document_without_people_is_refused(void **state)
{
    static const char *const bad[] = {"{\"min\":2}",
                                      "{\"group\":\"owners\"}",
                                      "{\"users\":[]}",
                                      "{\"users\":[\"a\"],\"min\":2}",
                                      "[]",
                                      "{\"users\":[\"a\"],\"mini\":1}"};
    struct catalog_fixture *fixture = *state;
    char document[512];
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(document, sizeof document,
                 "{\"changes\":%s,\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\","
                 "\"write\":\"open\"}]}",
                 bad[i]);
        assert_int_equal(shop_pipeline(fixture, "shop", document), ERROR_INVALID);
    }
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_change__waits_for_the_people_of_the_document_in_force),
        SHOP_TEST(test_change__to_put_the_same_document_is_to_agree),
        SHOP_TEST(test_change__ends_by_time_by_a_no_and_by_its_author),
        SHOP_TEST(test_change__a_document_without_people_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
