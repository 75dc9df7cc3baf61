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
    struct reference layer = {REFERENCE_LAYER, digest_of_text(name), size, false};
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
    children[0] = (struct reference){REFERENCE_MANIFEST, digest_of_text("amd64"), 5, false};
    children[1] = (struct reference){REFERENCE_MANIFEST, digest_of_text("arm64"), 5, false};
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
        SHOP_TEST(test_mode__warns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
