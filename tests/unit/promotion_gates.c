#include "promotion/holds.h"
#include "promotion/statuses.h"
#include "tests/lib/promotion_fixture.h"

/* Gates that are decided from the replicated state alone: each passes and refuses for its reason.
 */

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

/* One gate between dev and prod: its members after id and type. */
static void guard(struct catalog_fixture *fixture, const char *type, const char *members)
{
    char document[2048];

    snprintf(document, sizeof document,
             "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"
             "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\","
             "\"from\":\"dev\",\"gates\":[{\"id\":\"g\",\"type\":\"%s\"%s%s}]}]}",
             type, members[0] != '\0' ? "," : "", members);
    assert_int_equal(shop_pipeline(fixture, "shop", document), OK);
}

/* Ask for dev/shop/web:tag in prod and try to commit: the code of the refusal, "" when it went. */
static const char *attempt(struct catalog_fixture *fixture, const char *id, const char *tag)
{
    static struct shop_result result;

    result = shop_create(fixture, id, "prod", "dev/shop/web", tag);
    assert_int_equal(result.status, OK);
    result = shop_commit(fixture, id);
    return result.code;
}

/* An image with one layer of this many bytes (nobody looks at its content here). */
static void push_sized(struct catalog_fixture *fixture, const char *name, const char *tag,
                       uint64_t size, const char *annotations)
{
    static const uint64_t holders[] = {1, 2};
    struct manifest_put put = fixture_put_of("dev/shop/web", name);
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct reference layer = {REFERENCE_LAYER, digest_of_text(name), size, false, ""};
    struct bytes tag_name = text_of(tag);

    layer.digest.raw[0] ^= 1;
    command_blob_commit(&command, &id, text_of("ci"), put.repository, &layer.digest, size, holders,
                        2);
    assert_int_equal(fixture_apply(fixture, &command), OK);
    put.references = &layer;
    put.n_references = 1;
    put.tags = &tag_name;
    put.n_tags = 1;
    put.annotations = text_of(annotations);
    assert_int_equal(fixture_put(fixture, &put), OK);
}

static void test_size__limits_image_layer_and_growth(void **state)
{
    struct catalog_fixture *fixture = *state;

    guard(fixture, "size", "\"maxImage\":\"2kB\",\"maxGrowthVsCurrent\":\"20%\"");
    push_sized(fixture, "one", "1.0", 1000, "");
    push_sized(fixture, "two", "2.0", 1100, "");
    push_sized(fixture, "big", "3.0", 5000, "");
    assert_string_equal(attempt(fixture, "A", "1.0"), "");
    assert_string_equal(attempt(fixture, "B", "2.0"), "");
    assert_string_equal(attempt(fixture, "C", "3.0"), "IMAGE_TOO_LARGE");
    /* The tag names 1,000 bytes in prod now. */
    push_sized(fixture, "fat", "1.0", 1500, "");
    assert_string_equal(attempt(fixture, "D", "1.0"), "IMAGE_GREW");
    guard(fixture, "size", "\"maxLayer\":\"1kB\"");
    assert_string_equal(attempt(fixture, "E", "3.0"), "LAYER_TOO_LARGE");
}

static void test_size__of_an_index_is_its_largest_image(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct manifest_put put = fixture_put_of("dev/shop/web", "index");
    struct bytes tag = text_of("4.0");
    struct reference children[2];

    guard(fixture, "size", "\"maxImage\":\"2kB\"");
    push_sized(fixture, "amd64", "a", 1500, "");
    push_sized(fixture, "arm64", "b", 1600, "");
    children[0] = (struct reference){REFERENCE_MANIFEST, digest_of_text("amd64"), 5, false, ""};
    children[1] = (struct reference){REFERENCE_MANIFEST, digest_of_text("arm64"), 5, false, ""};
    put.media_type = text_of(INDEX_TYPE);
    put.references = children;
    put.n_references = 2;
    put.tags = &tag;
    put.n_tags = 1;
    assert_int_equal(fixture_put(fixture, &put), OK);
    assert_string_equal(attempt(fixture, "A", "4.0"), "");
    guard(fixture, "size", "\"maxImage\":\"1600B\"");
    assert_string_equal(attempt(fixture, "B", "4.0"), "IMAGE_TOO_LARGE");
}

static void test_age__has_two_ends(void **state)
{
    struct catalog_fixture *fixture = *state;

    guard(fixture, "age", "\"minAge\":\"1h\",\"maxAge\":\"7d\"");
    push_sized(fixture, "one", "1.0", 10, "");
    assert_string_equal(attempt(fixture, "A", "1.0"), "IMAGE_TOO_YOUNG");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    fixture->time_ms += 7 * 24 * HOUR_MS;
    assert_string_equal(attempt(fixture, "B", "1.0"), "IMAGE_TOO_OLD");
}

static void test_version__must_be_later(void **state)
{
    struct catalog_fixture *fixture = *state;

    guard(fixture, "version", "");
    push_sized(fixture, "one", "1.9.0", 10, "");
    push_sized(fixture, "two", "1.10.0", 20, "");
    push_sized(fixture, "pre", "1.10.0-rc.1", 30, "");
    push_sized(fixture, "none", "stable", 40, "");
    assert_string_equal(attempt(fixture, "A", "1.9.0"), "");
    assert_string_equal(attempt(fixture, "B", "1.10.0"), "");
    assert_string_equal(attempt(fixture, "C", "1.10.0"), ""); /* The same again. */
    assert_string_equal(attempt(fixture, "D", "1.10.0-rc.1"), "VERSION_NOT_LATER");
    assert_string_equal(attempt(fixture, "E", "stable"), "VERSION_MISSING");
    push_sized(fixture, "other", "1.10.0", 50, "");
    assert_string_equal(attempt(fixture, "F", "1.10.0"), "VERSION_NOT_LATER");
}

static void test_annotations__are_required_and_denied(void **state)
{
    struct catalog_fixture *fixture = *state;

    guard(fixture, "annotations",
          "\"require\":{\"team\":\"*\",\"ci\":\"https://ci.example/*/run\"},"
          "\"deny\":{\"debug\":\"t*\"}");
    push_sized(fixture, "none", "1", 10, "");
    push_sized(fixture, "other", "2", 11, "{\"team\":\"a\",\"ci\":\"https://ci.example/run\"}");
    push_sized(fixture, "good", "3", 12, "{\"team\":\"a\",\"ci\":\"https://ci.example/x/run\"}");
    push_sized(fixture, "debug", "4", 13,
               "{\"team\":\"a\",\"ci\":\"https://ci.example/y/run\",\"debug\":\"true\"}");
    assert_string_equal(attempt(fixture, "A", "1"), "ANNOTATION_MISSING");
    assert_string_equal(attempt(fixture, "B", "2"), "ANNOTATION_MISSING");
    assert_string_equal(attempt(fixture, "C", "3"), "");
    assert_string_equal(attempt(fixture, "D", "4"), "ANNOTATION_DENIED");
}

static enum error report(struct catalog_fixture *fixture, const char *reporter,
                         const struct digest *digest, const char *context, enum status_state state,
                         uint64_t ttl_ms)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_status_put(&command, &id, text_of(reporter), digest, text_of(context), state,
                       text_of("https://ci.example/1"), text_of(""), ttl_ms);
    return fixture_apply(fixture, &command);
}

static void test_status__believes_who_is_named(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = digest_of_text("one");

    guard(fixture, "status",
          "\"contexts\":[{\"name\":\"e2e\",\"reporter\":\"ci\",\"maxAge\":\"1h\"}]");
    push_sized(fixture, "one", "1.0", 10, "");
    assert_string_equal(attempt(fixture, "A", "1.0"), "STATUS_MISSING");
    assert_int_equal(report(fixture, "mallory", &image, "e2e", STATUS_SUCCESS, 0), OK);
    assert_int_equal(report(fixture, "ci", &image, "unit", STATUS_SUCCESS, 0), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "STATUS_MISSING");
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_PENDING, 0), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "STATUS_PENDING");
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_SUCCESS, 0), OK);
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_FAILURE, 0), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "STATUS_FAILED");
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_SUCCESS, HOUR_MS / 2), OK);
    fixture->time_ms += HOUR_MS / 2;
    assert_string_equal(shop_commit(fixture, "A").code, "STATUS_OUTDATED");
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_SUCCESS, 0), OK);
    fixture->time_ms += HOUR_MS + 1;
    assert_string_equal(shop_commit(fixture, "A").code, "STATUS_OUTDATED");
    assert_int_equal(report(fixture, "ci", &image, "e2e", STATUS_SUCCESS, 0), OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
}

static void test_status__is_about_what_is_there(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest nothing = digest_of_text("nothing");
    struct digest image;
    char context[32];
    int i;

    assert_int_equal(report(fixture, "ci", &nothing, "e2e", STATUS_SUCCESS, 0),
                     ERROR_MANIFEST_UNKNOWN);
    push_sized(fixture, "one", "1.0", 10, "");
    image = digest_of_text("one");
    for (i = 0; i < STATUSES_PER_DIGEST_MAX; i++) {
        snprintf(context, sizeof context, "check %d", i);
        assert_int_equal(report(fixture, "ci", &image, context, STATUS_SUCCESS, 0), OK);
    }
    assert_int_equal(report(fixture, "ci", &image, "one more", STATUS_SUCCESS, 0), ERROR_TOO_LARGE);
    assert_int_equal(report(fixture, "ci", &image, context, STATUS_FAILURE, 0), OK);
}

static enum error hold(struct catalog_fixture *fixture, const char *name, struct hold *hold)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    hold->id = shop_id(name, memory);
    hold->reason = text_of("incident 7");
    command_hold_put(&command, &id, text_of("admin"), hold);
    return fixture_apply(fixture, &command);
}

static enum error lift(struct catalog_fixture *fixture, const char *name)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_hold_lift(&command, &id, text_of("admin"), shop_id(name, memory), text_of("over"));
    return fixture_apply(fixture, &command);
}

static void test_hold__freezes_what_it_covers(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct hold other = {.kind = HOLD_FREEZE, .stage = text_of("test")};
    struct hold elsewhere = {.kind = HOLD_FREEZE, .repositories = text_of("prod/other/**")};
    struct hold stage = {
        .kind = HOLD_FREEZE, .pipeline = text_of("shop"), .stage = text_of("prod")};
    struct hold whole = {.kind = HOLD_FREEZE};

    guard(fixture, "size", "\"maxImage\":\"1MB\"");
    push_sized(fixture, "one", "1.0", 10, "");
    assert_int_equal(hold(fixture, "H1", &other), OK);
    assert_int_equal(hold(fixture, "H2", &elsewhere), OK);
    assert_int_equal(hold(fixture, "H3", &stage), OK);
    assert_int_equal(hold(fixture, "H3", &stage), ERROR_EXISTS);
    assert_string_equal(attempt(fixture, "A", "1.0"), "FROZEN");
    assert_int_equal(lift(fixture, "H3"), OK);
    assert_int_equal(lift(fixture, "H3"), ERROR_NOT_FOUND);
    whole.until_ms = fixture->time_ms + HOUR_MS;
    assert_int_equal(hold(fixture, "H4", &whole), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "FROZEN");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_commit(fixture, "A").status, OK);
}

static void test_hold__quarantines_whatever_contains_a_digest(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct hold bad = {
        .kind = HOLD_QUARANTINE, .digest = digest_of_text("one"), .blocks_pull = true};
    struct digest image = digest_of_text("one");
    struct manifest_record manifest;
    struct hold found;
    struct catalog_txn txn;

    guard(fixture, "size", "\"maxImage\":\"1MB\"");
    push_sized(fixture, "one", "1.0", 10, "");
    bad.digest.raw[0] ^= 1; /* Its layer. */
    assert_int_equal(hold(fixture, "H1", &bad), OK);
    assert_string_equal(attempt(fixture, "A", "1.0"), "QUARANTINED");
    catalog_read(fixture->catalog, &txn);
    assert_false(hold_allows_pull(&txn, &bad.digest, NULL, fixture->time_ms, &found));
    assert_int_equal(catalog_manifest(&txn, text_of("dev/shop/web"), &image, &manifest), OK);
    assert_false(hold_allows_pull(&txn, &image, &manifest, fixture->time_ms, &found));
    bad.digest.raw[0] ^= 1;
    assert_true(hold_allows_pull(&txn, &bad.digest, NULL, fixture->time_ms, &found));
    catalog_done(&txn);
    assert_int_equal(lift(fixture, "H1"), OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
}

/* A gate that only warns lets pass, and says so. */
static void test_mode__warns(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;

    guard(fixture, "size", "\"maxImage\":\"1kB\",\"mode\":\"warn\"");
    push_sized(fixture, "one", "1.0", 5000, "");
    assert_int_equal(shop_create(fixture, "A", "prod", "dev/shop/web", "1.0").status, OK);
    promotion = shop_load(fixture, "A");
    catalog_read(fixture->catalog, &txn);
    evaluate_stored(&txn, &promotion, fixture->time_ms, &evaluation);
    catalog_done(&txn);
    promotion_release(&promotion);
    assert_int_equal(evaluation.verdict, VERDICT_READY);
    assert_int_equal(evaluation.gates[evaluation.n_gates - 1].result, GATE_WARN);
    assert_string_equal(evaluation.gates[evaluation.n_gates - 1].code, "IMAGE_TOO_LARGE");
    assert_int_equal(shop_commit(fixture, "A").status, OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_size__limits_image_layer_and_growth),
        SHOP_TEST(test_size__of_an_index_is_its_largest_image),
        SHOP_TEST(test_age__has_two_ends),
        SHOP_TEST(test_version__must_be_later),
        SHOP_TEST(test_annotations__are_required_and_denied),
        SHOP_TEST(test_status__believes_who_is_named),
        SHOP_TEST(test_status__is_about_what_is_there),
        SHOP_TEST(test_hold__freezes_what_it_covers),
        SHOP_TEST(test_hold__quarantines_whatever_contains_a_digest),
        SHOP_TEST(test_mode__warns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
