#include "promotion/environment.h"
#include "tests/lib/promotion_fixture.h"

/* Going back to what a stage had, and what it had when. */

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

#define SOAKED(rollback)                                                                           \
    "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                 \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","  \
    "\"gates\":[{\"id\":\"soak\",\"type\":\"soak\",\"min\":\"1h\"},"                               \
    "{\"id\":\"size\",\"type\":\"size\",\"maxImage\":\"1MB\"}]" rollback "}]}"

static struct digest promote(struct catalog_fixture *fixture, const char *id, const char *name)
{
    struct digest digest = fixture_image(fixture, "dev/shop/web", name, "stable");

    assert_int_equal(shop_create(fixture, id, "prod", "dev/shop/web", "stable").status, OK);
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_commit(fixture, id).status, OK);
    return digest;
}

static struct shop_result ask(struct catalog_fixture *fixture, const char *name,
                              const char *repository, const struct digest *digest)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion_request_item item = {
        .source = text_of(repository), .root = *digest, .tags = {text_of("stable")}, .n_tags = 1};
    struct promotion_request request = {.pipeline = text_of("shop"),
                                        .to = text_of("prod"),
                                        .reason = text_of("1042"),
                                        .is_rollback = true,
                                        .items = &item,
                                        .n_items = 1};
    struct digest hash = digest_of_text(name);
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_promotion_create(&command, &id, text_of("ci"), shop_id(name, memory), &request,
                             text_of(""), &hash);
    return shop_result_of(fixture, &command);
}

static bool keep_digest(void *data, struct bytes repository, struct bytes tag,
                        const struct tag_interval *interval)
{
    assert_true(bytes_equal_string(repository, "prod/shop/web"));
    assert_true(bytes_equal_string(tag, "stable"));
    assert_int_equal(((struct digest *)data)->algorithm, 0);
    *(struct digest *)data = interval->digest;
    return true;
}

/* What prod had under its tag; algorithm 0: nothing. */
static struct digest prod_at(struct catalog_fixture *fixture, struct environment_moment moment)
{
    struct digest digest = {0};
    struct pipeline *pipeline;
    struct catalog_txn txn;
    struct reason why;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(policy_load(&txn, text_of("shop"), &pipeline, &why), OK);
    environment_walk(&txn, pipeline_stage(pipeline, text_of("prod")), &moment, keep_digest,
                     &digest);
    pipeline_release(pipeline);
    catalog_done(&txn);
    return digest;
}

static enum error revision_moment(struct catalog_fixture *fixture, uint64_t revision,
                                  struct environment_moment *out)
{
    struct pipeline *pipeline;
    struct catalog_txn txn;
    struct reason why;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(policy_load(&txn, text_of("shop"), &pipeline, &why), OK);
    error = environment_of_revision(&txn, pipeline, pipeline_stage(pipeline, text_of("prod")),
                                    revision, out, &why);
    pipeline_release(pipeline);
    catalog_done(&txn);
    return error;
}

static void test_rollback__goes_back_at_once(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest one, two, now;
    struct promotion promotion;

    assert_int_equal(shop_pipeline(fixture, "shop", SOAKED("")), OK);
    one = promote(fixture, "A", "web-1");
    two = promote(fixture, "B", "web-2");
    assert_int_equal(shop_tag(fixture, "prod/shop/web", "stable", &now), OK);
    assert_true(digest_equal(&now, &two));
    assert_int_equal(ask(fixture, "R", "prod/shop/web", &one).status, OK);
    assert_int_equal(shop_commit(fixture, "R").status, OK);
    assert_int_equal(shop_tag(fixture, "prod/shop/web", "stable", &now), OK);
    assert_true(digest_equal(&now, &one));
    promotion = shop_load(fixture, "R");
    assert_true(promotion_is_rollback(&promotion));
    assert_int_equal(promotion.stage_revision, 3);
    promotion_release(&promotion);
}

static void test_rollback__only_to_what_was_promoted_there(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest never, one;

    assert_int_equal(shop_pipeline(fixture, "shop", SOAKED("")), OK);
    one = promote(fixture, "A", "web-1");
    never = fixture_image(fixture, "dev/shop/web", "web-2", "new");
    assert_int_equal(ask(fixture, "R1", "prod/shop/web", &never).error, ERROR_INVALID);
    assert_int_equal(ask(fixture, "R2", "dev/shop/web", &one).error, ERROR_INVALID);
    assert_int_equal(ask(fixture, "R3", "prod/shop/api", &one).error, ERROR_INVALID);
}

static void test_rollback__asks_the_gates_that_the_stage_lists(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest one;

    assert_int_equal(shop_pipeline(fixture, "shop", SOAKED(",\"rollback\":{\"gates\":[\"soak\"]}")),
                     OK);
    one = promote(fixture, "A", "web-1");
    (void)promote(fixture, "B", "web-2");
    assert_int_equal(ask(fixture, "R", "prod/shop/web", &one).status, OK);
    assert_string_equal(shop_commit(fixture, "R").code, "SOAK_NOT_CURRENT");
    assert_int_equal(shop_pipeline(fixture, "shop", SOAKED(",\"rollback\":{\"gates\":[\"x\"]}")),
                     ERROR_INVALID);
}

static void test_environment__knows_every_moment(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct environment_moment moment = {.is_now = true};
    struct digest one, two, found;
    uint64_t before = fixture->time_ms, between;

    assert_int_equal(shop_pipeline(fixture, "shop", SOAKED("")), OK);
    one = promote(fixture, "A", "web-1");
    between = fixture->time_ms;
    two = promote(fixture, "B", "web-2");

    found = prod_at(fixture, moment);
    assert_true(digest_equal(&found, &two));
    found = prod_at(fixture, (struct environment_moment){.time_ms = between});
    assert_true(digest_equal(&found, &one));
    found = prod_at(fixture, (struct environment_moment){.time_ms = before});
    assert_int_equal(found.algorithm, 0);
    assert_int_equal(revision_moment(fixture, 1, &moment), OK);
    found = prod_at(fixture, moment);
    assert_true(digest_equal(&found, &one));
    assert_int_equal(revision_moment(fixture, 2, &moment), OK);
    found = prod_at(fixture, moment);
    assert_true(digest_equal(&found, &two));
    assert_int_equal(revision_moment(fixture, 0, &moment), ERROR_NOT_FOUND);
    assert_int_equal(revision_moment(fixture, 3, &moment), ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_rollback__goes_back_at_once),
        SHOP_TEST(test_rollback__only_to_what_was_promoted_there),
        SHOP_TEST(test_rollback__asks_the_gates_that_the_stage_lists),
        SHOP_TEST(test_environment__knows_every_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
