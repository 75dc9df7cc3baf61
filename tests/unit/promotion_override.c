#include "promotion/override.h"

#include "promotion/holds.h"
#include "tests/lib/promotion_fixture.h"

/* Break-glass: two people, for the gates that they name, for a while, for one plan. */

#define GLASS(override)                                                                            \
    "{\"groups\":{\"sre\":[\"alice\",\"bob\",\"carol\"]},\"stages\":["                             \
    "{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                              \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","  \
    "\"gates\":[{\"id\":\"soak\",\"type\":\"soak\",\"min\":\"10h\"},"                              \
    "{\"id\":\"size\",\"type\":\"size\",\"maxImage\":\"1B\"},"                                     \
    "{\"id\":\"e2e\",\"type\":\"status\",\"mandatory\":true,\"contexts\":[{\"name\":\"e2e\","      \
    "\"reporter\":\"ci\"}],\"mode\":\"warn\"}]" override "}]}"
#define BY_TWO ",\"override\":{\"group\":\"sre\",\"min\":2,\"ttl\":\"2h\"}"

static struct shop_result give(struct catalog_fixture *fixture, const char *actor, const char *name,
                               const char *gates, uint64_t ttl_ms)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion promotion = shop_load(fixture, name);
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_promotion_override(&command, &id, text_of(actor), shop_id(name, memory), text_of(gates),
                               text_of("INC-7"), ttl_ms, &promotion.plan_hash);
    promotion_release(&promotion);
    return shop_result_of(fixture, &command);
}

static void open_one(struct catalog_fixture *fixture, const char *name, const char *override)
{
    char document[2048];

    snprintf(document, sizeof document, GLASS("%s"), override);
    assert_int_equal(shop_pipeline(fixture, "shop", document), OK);
    (void)fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, name, "prod", "dev/shop/web", "1.0").status, OK);
}

static bool count_kind(void *data, const struct audit_record *record)
{
    size_t *counts = data;

    counts[0] += bytes_equal_string(record->kind, "override.given");
    counts[1] += bytes_equal_string(record->kind, "override.refused");
    counts[2] += bytes_equal_string(record->kind, "override.used");
    return true;
}

static void check_audit(struct catalog_fixture *fixture, size_t given, size_t refused, size_t used)
{
    size_t counts[3] = {0};
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    audit_list(&txn, 0, count_kind, counts);
    catalog_done(&txn);
    assert_int_equal(counts[0], given);
    assert_int_equal(counts[1], refused);
    assert_int_equal(counts[2], used);
}

static void test_override__two_people_pass_the_gates_that_they_name(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion promotion;

    open_one(fixture, "A", BY_TWO);
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
    assert_int_equal(give(fixture, "alice", "A", "soak,size", 0).status, OK);
    assert_int_equal(give(fixture, "alice", "A", "soak,size", 0).status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
    assert_int_equal(give(fixture, "bob", "A", "size", 0).status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "SOAK_TOO_SHORT");
    assert_int_equal(give(fixture, "carol", "A", "soak", 0).status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    promotion = shop_load(fixture, "A");
    assert_int_equal(promotion.state, PROMOTION_COMMITTED);
    assert_int_equal(promotion.n_overrides, 3);
    assert_non_null(memmem(promotion.gates.data, promotion.gates.size, "overridden by alice, carol",
                           strlen("overridden by alice, carol")));
    promotion_release(&promotion);
    check_audit(fixture, 4, 0, 2);
}

static void test_override__is_for_those_who_may_only(void **state)
{
    struct catalog_fixture *fixture = *state;

    open_one(fixture, "A", BY_TWO);
    assert_int_equal(give(fixture, "dave", "A", "soak", 0).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(give(fixture, "eve", "A", "soak", 0).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(give(fixture, "alice", "A", "e2e", 0).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(give(fixture, "alice", "A", "replicated", 0).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(give(fixture, "alice", "A", "tags", 0).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(give(fixture, "alice", "A", "", 0).error, ERROR_INVALID);
    check_audit(fixture, 0, 5, 0);
    /* Who lost the right since does not count. */
    assert_int_equal(give(fixture, "alice", "A", "soak,size", 0).status, OK);
    assert_int_equal(give(fixture, "bob", "A", "soak,size", 0).status, OK);
    shop_user(fixture, "bob", "prod/**", ACTION_PULL);
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
}

static void test_override__nobody_may_where_the_pipeline_does_not_say_who(void **state)
{
    struct catalog_fixture *fixture = *state;

    open_one(fixture, "A", "");
    assert_int_equal(give(fixture, "alice", "A", "soak", 0).status, ERROR_NOT_ELIGIBLE);
}

static void test_override__ends_with_its_time_and_with_the_plan(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = digest_of_text("web-1"), attached;

    open_one(fixture, "A", BY_TWO);
    assert_int_equal(give(fixture, "alice", "A", "soak,size", HOUR_MS / 2).status, OK);
    /* More than the stage allows is what it allows. */
    assert_int_equal(give(fixture, "bob", "A", "soak,size", 9 * HOUR_MS).status, OK);
    fixture->time_ms += HOUR_MS / 2;
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
    assert_int_equal(give(fixture, "alice", "A", "soak,size", 0).status, OK);
    fixture->time_ms += 3 * HOUR_MS / 2;
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
    assert_int_equal(give(fixture, "bob", "A", "soak,size", 0).status, OK);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "late", &image, &attached), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "CLOSURE_CHANGED");
    assert_string_equal(shop_commit(fixture, "A").code, "IMAGE_TOO_LARGE");
}

/* A freeze is not a gate. */
static void test_override__passes_no_freeze(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    char memory[PROMOTION_ID_SIZE + 1];
    struct hold hold = {.id = shop_id("H", memory),
                        .kind = HOLD_FREEZE,
                        .pipeline = text_of("shop"),
                        .reason = text_of("incident")};

    open_one(fixture, "A", BY_TWO);
    command_hold_put(&command, &id, text_of("admin"), &hold);
    assert_int_equal(fixture_apply(fixture, &command), OK);
    assert_int_equal(give(fixture, "alice", "A", "soak,size", 0).status, OK);
    assert_int_equal(give(fixture, "bob", "A", "soak,size", 0).status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "FROZEN");
}

static void test_override__a_document_that_lets_one_person_is_refused(void **state)
{
    static const char *const bad[] = {
        ",\"override\":{\"group\":\"sre\",\"min\":1}",
        ",\"override\":{\"min\":2}",
        ",\"override\":{\"group\":\"sre\"}",
        ",\"override\":{\"group\":\"nobody\"}",
        ",\"override\":{\"group\":\"sre\",\"min\":4}",
        ",\"override\":[]",
        ",\"override\":{\"group\":\"sre\",\"min\":2,\"ttl\":\"25h\"}",
        ",\"override\":{\"group\":\"sre\",\"min\":2,\"for\":\"1h\"}",
    };
    struct catalog_fixture *fixture = *state;
    char document[2048];
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(document, sizeof document, GLASS("%s"), bad[i]);
        assert_int_equal(shop_pipeline(fixture, "shop", document), ERROR_INVALID);
    }
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_override__two_people_pass_the_gates_that_they_name),
        SHOP_TEST(test_override__is_for_those_who_may_only),
        SHOP_TEST(test_override__nobody_may_where_the_pipeline_does_not_say_who),
        SHOP_TEST(test_override__ends_with_its_time_and_with_the_plan),
        SHOP_TEST(test_override__passes_no_freeze),
        SHOP_TEST(test_override__a_document_that_lets_one_person_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
