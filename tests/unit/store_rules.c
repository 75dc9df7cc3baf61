/* Write rules on every way in, and the ways that promotion/ has around them. */

#include "tests/lib/catalog_fixture.h"

#define TEST_RULES   ((enum command_kind)900)
#define TEST_PROMOTE ((enum command_kind)901)

/* body: [pipeline, [[pattern, stage, mode], ...]] */
static void rules_apply(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct bytes patterns[8], stages[8], pipeline;
    enum write_mode modes[8];
    size_t n, i;

    (void)outcome;
    unpack_array_of(body, 2);
    pipeline = unpack_string(body, 64);
    n = unpack_array(body);
    for (i = 0; i < n; i++) {
        unpack_array_of(body, 3);
        patterns[i] = unpack_string(body, 200);
        stages[i] = unpack_string(body, 64);
        modes[i] = (enum write_mode)unpack_uint(body);
    }
    assert_int_equal(unpack_end(body), OK);
    catalog_set_rules(context->txn, pipeline, patterns, stages, modes, n);
}

/* Takes "one" with its config and layer from dev/shop/web to prod/shop/web, tag v1. */
static void promote_apply(const struct command_context *context, struct unpacker *body,
                          struct outcome *outcome)
{
    struct command_context promotion = *context;
    struct digest digest = digest_of_text("one"), config = digest_of_text("config of one"),
                  layer = digest_of_text("layer of one"), foreign = digest_of_text("foreign");

    (void)outcome;
    unpack_skip(body);
    promotion.promotion = text_of("promotion-7");
    catalog_force_link(context->txn, text_of("prod/shop/web"), &config, context->time_ms);
    catalog_force_link(context->txn, text_of("prod/shop/web"), &layer, context->time_ms);
    catalog_force_link(context->txn, text_of("prod/shop/web"), &foreign, context->time_ms);
    catalog_force_manifest(context->txn, text_of("prod/shop/web"), &digest, &promotion,
                           text_of("dev/shop/web"));
    catalog_force_tag(context->txn, text_of("prod/shop/web"), text_of("v1"), &digest, &promotion);
}

static const struct command_row test_rows[] = {{TEST_RULES, "test.rules", rules_apply},
                                               {TEST_PROMOTE, "test.promote", promote_apply}};

struct rule {
    const char *pattern, *stage;
    enum write_mode mode;
};

static void set_rules(struct catalog_fixture *fixture, const char *pipeline,
                      const struct rule *rules, size_t n)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    size_t i;

    command_begin(&command, TEST_RULES, &id, text_of("admin"));
    pack_array(&command, 2);
    pack_text(&command, pipeline);
    pack_array(&command, n);
    for (i = 0; i < n; i++) {
        pack_array(&command, 3);
        pack_text(&command, rules[i].pattern);
        pack_text(&command, rules[i].stage);
        pack_uint(&command, rules[i].mode);
    }
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static const struct rule shop_rules[] = {{"dev/shop/*", "dev", WRITE_OPEN},
                                         {"prod/shop/*", "prod", WRITE_PROMOTION_ONLY}};

static void start(struct catalog_fixture *fixture)
{
    fixture_init(fixture);
    fixture_add_rows(fixture, test_rows, 2);
    catalog_close(fixture->catalog);
    fixture_open(fixture);
}

static void promote(struct catalog_fixture *fixture)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_begin(&command, TEST_PROMOTE, &id, text_of("manager"));
    pack_nil(&command);
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static enum write_mode mode_of(struct catalog_fixture *fixture, const char *repository)
{
    struct catalog_txn txn;
    struct write_rule rule;

    catalog_read(fixture->catalog, &txn);
    catalog_write_rule(&txn, text_of(repository), &rule);
    catalog_done(&txn);
    return rule.mode;
}

static void test_rules__most_strict_wins_and_replace(void **state)
{
    static const struct rule wide[] = {{"**", "all", WRITE_OPEN}};
    struct catalog_fixture fixture;
    char hash[65];

    (void)state;
    start(&fixture);
    assert_int_equal(mode_of(&fixture, "prod/shop/web"), WRITE_OPEN);
    set_rules(&fixture, "shop", shop_rules, 2);
    set_rules(&fixture, "a-first-one", wide, 1);
    assert_int_equal(mode_of(&fixture, "prod/shop/web"), WRITE_PROMOTION_ONLY);
    assert_int_equal(mode_of(&fixture, "prod/shop/web/sub"), WRITE_OPEN);
    assert_int_equal(mode_of(&fixture, "dev/shop/web"), WRITE_OPEN);
    set_rules(&fixture, "shop", shop_rules, 1);
    assert_int_equal(mode_of(&fixture, "prod/shop/web"), WRITE_OPEN);
    set_rules(&fixture, "shop", NULL, 0);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

/* Every command of store/ that writes content, on a promotion-only repository. */
static void make_write(struct buffer *command, const struct command_id *id, size_t which)
{
    struct bytes prod = text_of("prod/shop/web"), dev = text_of("dev/shop/web");
    struct manifest_put put = fixture_put_of("prod/shop/web", "one");
    struct digest one = digest_of_text("one"), layer = digest_of_text("layer of one");
    struct bytes tag = text_of("v1");
    uint64_t holder = 1;

    switch (which) {
    case 0:
        command_manifest_put(command, id, text_of("ci"), &put);
        return;
    case 1:
        put.tags = &tag;
        put.n_tags = 1;
        put.allow_missing = true;
        command_manifest_put(command, id, text_of("ci"), &put);
        return;
    case 2:
        command_manifest_delete(command, id, text_of("ci"), prod, &one);
        return;
    case 3:
        command_tag_delete(command, id, text_of("ci"), prod, tag);
        return;
    case 4:
        command_blob_commit(command, id, text_of("ci"), prod, &layer, 12, &holder, 1);
        return;
    case 5:
        command_blob_mount(command, id, text_of("ci"), prod, dev, &layer);
        return;
    default:
        command_blob_unlink(command, id, text_of("ci"), prod, &layer);
        return;
    }
}

static void test_rules__no_way_into_a_promotion_only_repository(void **state)
{
    struct catalog_fixture fixture;
    struct catalog_txn txn;
    char hash[65];
    size_t which;

    (void)state;
    start(&fixture);
    (void)fixture_image(&fixture, "dev/shop/web", "one", "v1");
    set_rules(&fixture, "shop", shop_rules, 2);
    promote(&fixture);
    for (which = 0; which < 7; which++) {
        struct buffer command = fixture_command();
        struct command_id id = fixture_id(&fixture);

        make_write(&command, &id, which);
        assert_int_equal(fixture_apply(&fixture, &command), ERROR_PROMOTION_ONLY);
        assert_string_equal(fixture.result.why.text,
                            "repository prod/shop/web takes only promotions of pipeline shop "
                            "(stage prod): use 'caisson promote ... --to prod'");
    }
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(table_count(&txn, TABLE_TAGS), 2);
    catalog_done(&txn);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

static bool check_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    assert_true(bytes_equal_string(tag, "v1"));
    assert_true(bytes_equal_string(interval->from_promotion, "promotion-7"));
    assert_true(bytes_equal_string(interval->from_actor, "manager"));
    ++*(size_t *)data;
    return true;
}

static bool count_reference(void *data, const struct reference *reference)
{
    (void)reference;
    ++*(size_t *)data;
    return true;
}

static void test_force__promotes_and_is_idempotent(void **state)
{
    struct bytes prod = text_of("prod/shop/web");
    struct digest one = digest_of_text("one"), layer = digest_of_text("layer of one"),
                  foreign = digest_of_text("foreign");
    struct catalog_fixture fixture;
    struct manifest_record manifest;
    struct tag_record tag;
    struct catalog_txn txn;
    size_t intervals = 0, references = 0;
    char hash[65];

    (void)state;
    start(&fixture);
    (void)fixture_image(&fixture, "dev/shop/web", "one", "v1");
    set_rules(&fixture, "shop", shop_rules, 2);
    promote(&fixture);
    promote(&fixture);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_tag(&txn, prod, text_of("v1"), &tag), OK);
    assert_true(digest_equal(&tag.digest, &one));
    assert_int_equal(tag.index, 5);
    assert_int_equal(catalog_manifest(&txn, prod, &one, &manifest), OK);
    assert_true(manifest_references(&manifest, count_reference, &references));
    assert_int_equal(references, 2);
    assert_int_equal(catalog_link(&txn, prod, &layer), OK);
    assert_int_equal(catalog_link(&txn, prod, &foreign), ERROR_BLOB_UNKNOWN);
    catalog_tag_intervals(&txn, prod, BYTES_NONE, check_interval, &intervals);
    assert_int_equal(intervals, 1);
    catalog_done(&txn);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules__most_strict_wins_and_replace),
        cmocka_unit_test(test_rules__no_way_into_a_promotion_only_repository),
        cmocka_unit_test(test_force__promotes_and_is_idempotent),
    };

    return cmocka_run_group_tests_name("store/rules", tests, NULL, NULL);
}
