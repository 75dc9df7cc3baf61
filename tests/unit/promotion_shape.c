#include "base/clock.h"
#include "tests/lib/promotion_fixture.h"

/* Gates about what an image is made of, where it is, and when it may enter: shape, replicated,
 * window. */

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

/* One gate between dev and prod: its members after id and type. */
static enum error guard(struct catalog_fixture *fixture, const char *type, const char *members)
{
    char document[2048];

    snprintf(document, sizeof document,
             "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"
             "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\","
             "\"from\":\"dev\",\"gates\":[{\"id\":\"g\",\"type\":\"%s\",%s}]}]}",
             type, members);
    return shop_pipeline(fixture, "shop", document);
}

/* The code under which a promotion of dev/shop/web:tag is refused under this gate; "": none. */
static const char *judge(struct catalog_fixture *fixture, const char *type, const char *members,
                         const char *tag)
{
    static struct shop_result result;
    char name[16];

    snprintf(name, sizeof name, "%u", (unsigned)fixture->index);
    assert_int_equal(guard(fixture, type, members), OK);
    result = shop_create(fixture, name, "prod", "dev/shop/web", tag);
    assert_int_equal(result.status, OK);
    result = shop_commit(fixture, name);
    return result.code;
}

static void push(struct catalog_fixture *fixture, const char *tag, const char *type,
                 const struct reference *references, size_t n)
{
    struct manifest_put put = fixture_put_of("dev/shop/web", tag);
    struct bytes tag_name = text_of(tag);

    put.media_type = text_of(type);
    put.artifact_type = text_of("application/vnd.oci.image.config.v1+json");
    put.references = references;
    put.n_references = n;
    put.tags = &tag_name;
    put.n_tags = 1;
    assert_int_equal(fixture_put(fixture, &put), OK);
}

/* An index "multi" of the images "amd64" and "arm64", and what BuildKit adds, as "proof". */
static void push_index(struct catalog_fixture *fixture)
{
    struct reference children[] = {
        {REFERENCE_MANIFEST, digest_of_text("amd64"), 5, false, "linux/amd64"},
        {REFERENCE_MANIFEST, digest_of_text("arm64"), 5, false, "linux/arm64/v8"},
        {REFERENCE_MANIFEST, digest_of_text("proof"), 5, false, "unknown/unknown"}};

    push(fixture, "amd64", IMAGE_TYPE, NULL, 0);
    push(fixture, "arm64", IMAGE_TYPE, NULL, 0);
    push(fixture, "proof", IMAGE_TYPE, NULL, 0);
    push(fixture, "multi", INDEX_TYPE, children, 3);
}

static void test_shape__of_an_index(void **state)
{
    struct catalog_fixture *fixture = *state;

    push_index(fixture);
    assert_string_equal(judge(fixture, "shape",
                              "\"platforms\":{\"require\":[\"linux/arm64/v8\",\"linux/amd64\"],"
                              "\"exact\":true}",
                              "multi"),
                        "");
    assert_string_equal(
        judge(fixture, "shape", "\"platforms\":{\"require\":[\"linux/amd64\"]}", "multi"), "");
    assert_string_equal(judge(fixture, "shape",
                              "\"platforms\":{\"require\":[\"linux/amd64\"],\"exact\":true}",
                              "multi"),
                        "PLATFORM_DENIED");
    assert_string_equal(judge(fixture, "shape",
                              "\"platforms\":{\"require\":[\"linux/amd64\",\"linux/s390x\"]}",
                              "multi"),
                        "PLATFORM_MISSING");
    /* Of one image the platform is not known: it does not pass for want of knowledge. */
    assert_string_equal(
        judge(fixture, "shape", "\"platforms\":{\"require\":[\"linux/amd64\"]}", "amd64"),
        "PLATFORM_MISSING");
    assert_string_equal(judge(fixture, "shape", "\"topLevelOnly\":true", "amd64"), "NOT_TOP_LEVEL");
    assert_string_equal(judge(fixture, "shape", "\"topLevelOnly\":true", "multi"), "");
}

static void test_shape__types_and_layers(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct reference layers[] = {{REFERENCE_LAYER, digest_of_text("a"), 1, false, ""},
                                 {REFERENCE_LAYER, digest_of_text("foreign"), 1, true, ""}};

    assert_int_equal(fixture_blob(fixture, "dev/shop/web", "a"), OK);
    push(fixture, "one", IMAGE_TYPE, layers, 1);
    push(fixture, "two", IMAGE_TYPE, layers, 2);
    assert_string_equal(judge(fixture, "shape", "\"maxLayers\":1", "one"), "");
    assert_string_equal(judge(fixture, "shape", "\"maxLayers\":1", "two"), "TOO_MANY_LAYERS");
    assert_string_equal(judge(fixture, "shape", "\"noForeignLayers\":true", "one"), "");
    assert_string_equal(judge(fixture, "shape", "\"noForeignLayers\":true", "two"),
                        "FOREIGN_LAYER");
    assert_string_equal(judge(fixture, "shape", "\"mediaTypes\":[\"" IMAGE_TYPE "\"]", "one"), "");
    assert_string_equal(judge(fixture, "shape", "\"mediaTypes\":[\"" INDEX_TYPE "\"]", "one"),
                        "MEDIA_TYPE_DENIED");
    assert_string_equal(judge(fixture, "shape", "\"artifactTypes\":[\"application/wasm\"]", "one"),
                        "ARTIFACT_TYPE_DENIED");
}

static void test_replicated__counts_members(void **state)
{
    struct catalog_fixture *fixture = *state;

    push(fixture, "one", IMAGE_TYPE, NULL, 0);
    assert_string_equal(judge(fixture, "replicated", "\"nodes\":2", "one"), "");
    assert_string_equal(judge(fixture, "replicated", "\"nodes\":3", "one"), "REPLICAS_MISSING");
}

static const char *judge_at(struct catalog_fixture *fixture, const char *members, const char *time)
{
    assert_int_equal(clock_parse(text_of(time), &fixture->time_ms), OK);
    return judge(fixture, "window", members, "one");
}

static void test_window__weekly(void **state)
{
    static const char work[] =
        "\"allow\":[{\"days\":[\"mon\",\"fri\"],\"from\":\"09:00\",\"to\":\"17:00\"}],"
        "\"offset\":\"+01:00\"";
    static const char night[] =
        "\"allow\":[{\"days\":[\"sun\"],\"from\":\"22:00\",\"to\":\"02:00\"}"
        "]";
    struct catalog_fixture *fixture = *state;

    push(fixture, "one", IMAGE_TYPE, NULL, 0);
    /* 2026-11-23 is a Monday. */
    assert_string_equal(judge_at(fixture, work, "2026-11-23T07:59:00Z"), "WINDOW_CLOSED");
    assert_string_equal(judge_at(fixture, work, "2026-11-23T08:00:00Z"), "");
    assert_string_equal(judge_at(fixture, work, "2026-11-23T15:59:00Z"), "");
    assert_string_equal(judge_at(fixture, work, "2026-11-23T16:00:00Z"), "WINDOW_CLOSED");
    assert_string_equal(judge_at(fixture, work, "2026-11-24T10:00:00Z"), "WINDOW_CLOSED");
    /* Over midnight and over the end of the week. */
    assert_string_equal(judge_at(fixture, night, "2026-11-29T21:59:00Z"), "WINDOW_CLOSED");
    assert_string_equal(judge_at(fixture, night, "2026-11-29T22:00:00Z"), "");
    assert_string_equal(judge_at(fixture, night, "2026-11-30T01:59:00Z"), "");
    assert_string_equal(judge_at(fixture, night, "2026-11-30T02:00:00Z"), "WINDOW_CLOSED");
}

/* A freeze over the holidays wins over what is allowed; what waits then goes by itself. */
static void test_window__denied_once(void **state)
{
    static const char holidays[] = "\"allow\":[{\"from\":\"09:00\",\"to\":\"17:00\"}],\"deny\":[{"
                                   "\"since\":\"2026-12-24T00:00:00Z\","
                                   "\"until\":\"2026-12-27T12:00:00Z\"}]";
    static const char over[] = "\"allow\":[{\"since\":\"2026-01-01T00:00:00Z\","
                               "\"until\":\"2026-01-02T00:00:00Z\"}]";
    struct catalog_fixture *fixture = *state;
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;
    uint64_t opens;

    push(fixture, "one", IMAGE_TYPE, NULL, 0);
    assert_int_equal(guard(fixture, "window", holidays), OK);
    assert_int_equal(clock_parse(text_of("2026-12-25T10:00:00Z"), &fixture->time_ms), OK);
    assert_int_equal(clock_parse(text_of("2026-12-27T12:00:00Z"), &opens), OK);
    assert_int_equal(shop_create(fixture, "A", "prod", "dev/shop/web", "one").status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "WINDOW_CLOSED");
    promotion = shop_load(fixture, "A");
    catalog_read(fixture->catalog, &txn);
    evaluate_stored(&txn, &promotion, fixture->time_ms, &evaluation);
    catalog_done(&txn);
    promotion_release(&promotion);
    assert_int_equal(evaluation.verdict, VERDICT_WAITING);
    assert_int_equal(evaluation.gates[evaluation.n_gates - 1].ready_ms, opens);
    fixture->time_ms = opens;
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "");
    assert_string_equal(judge(fixture, "window", over, "one"), "WINDOW_CLOSED");
}

static void test_document__refuses_what_guards_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const struct {
        const char *type, *members;
    } bad[] = {
        {"shape", "\"mode\":\"enforce\""},
        {"shape", "\"platforms\":{\"exact\":true}"},
        {"shape", "\"maxLayers\":0"},
        {"shape", "\"mediaTypes\":[]"},
        {"replicated", "\"mode\":\"enforce\""},
        {"replicated", "\"nodes\":17"},
        {"window", "\"offset\":\"+01:00\""},
        {"window", "\"allow\":[]"},
        {"window", "\"allow\":[{}],\"offset\":\"Europe/Berlin\""},
        {"window", "\"allow\":[{\"days\":[\"monday\"]}]"},
        {"window", "\"allow\":[{\"from\":\"09:00\",\"to\":\"09:00\"}]"},
        {"window", "\"allow\":[{\"from\":\"24:01\"}]"},
        {"window", "\"allow\":[{\"from\":\"1:000\"}]"},
        {"window", "\"deny\":[{\"since\":\"2026-12-24T00:00:00Z\"}]"},
        {"window", "\"deny\":[\"always\"]"},
    };
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        print_message("%s %s\n", bad[i].type, bad[i].members);
        assert_int_equal(guard(fixture, bad[i].type, bad[i].members), ERROR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_shape__of_an_index),
        SHOP_TEST(test_shape__types_and_layers),
        SHOP_TEST(test_replicated__counts_members),
        SHOP_TEST(test_window__weekly),
        SHOP_TEST(test_window__denied_once),
        SHOP_TEST(test_document__refuses_what_guards_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
