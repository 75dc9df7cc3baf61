#include "tests/lib/promotion_fixture.h"

/* What belongs to an image, under friendly and hostile graphs; and that apply is deterministic. */

static enum error find(struct catalog_fixture *fixture, const struct digest *root,
                       struct closure *out, struct reason *why)
{
    struct catalog_txn txn;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    error = closure_find(&txn, text_of("dev/shop/web"), root, out, why);
    catalog_done(&txn);
    return error;
}

/* What the digest is in the closure; 0: it is not in it. */
static unsigned roles_of(const struct closure *closure, const struct digest *digest)
{
    size_t i;

    for (i = 0; i < closure->n; i++) {
        if (digest_equal(&closure->entries[i].digest, digest)) {
            return closure->entries[i].roles;
        }
    }
    return 0;
}

/* An index of n children; tag NULL: none. */
static struct digest put_index(struct catalog_fixture *fixture, const char *name,
                               const struct digest *children, size_t n, const char *tag)
{
    struct manifest_put put = fixture_put_of("dev/shop/web", name);
    struct reference references[8];
    struct bytes tags[1];
    size_t i;

    for (i = 0; i < n; i++) {
        references[i] = (struct reference){REFERENCE_MANIFEST, children[i], 5, false, ""};
    }
    put.media_type = text_of(INDEX_TYPE);
    put.references = references;
    put.n_references = n;
    if (tag != NULL) {
        tags[0] = text_of(tag);
        put.tags = tags;
        put.n_tags = 1;
    }
    assert_int_equal(fixture_put(fixture, &put), OK);
    return put.digest;
}

static void test_closure__finds_children_referrers_and_attachments(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest children[2], index, sbom, of_child, signature;
    char hex[DIGEST_HEX_MAX], tag[DIGEST_HEX_MAX + 16];
    struct closure closure;
    struct digest layer = digest_of_text("layer of arm");

    children[0] = fixture_image(fixture, "dev/shop/web", "amd", NULL);
    children[1] = fixture_image(fixture, "dev/shop/web", "arm", NULL);
    index = put_index(fixture, "index", children, 2, "1.0");
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "sbom", &index, &sbom), OK);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "child sbom", &children[1], &of_child),
                     OK);
    digest_format_hex(&children[0], hex);
    snprintf(tag, sizeof tag, "sha256-%s.sig", hex);
    signature = fixture_image(fixture, "dev/shop/web", "signature", tag);

    assert_int_equal(find(fixture, &index, &closure, NULL), OK);
    /* Index, two images of three, two referrers, a signature of three. */
    assert_int_equal(closure.n, 1 + 6 + 2 + 3);
    assert_int_equal(closure.n_tags, 1);
    assert_string_equal(closure.tags[0].name, tag);
    assert_int_equal(roles_of(&closure, &of_child), CLOSURE_MANIFEST | CLOSURE_REFERRER);
    assert_int_equal(roles_of(&closure, &signature), CLOSURE_MANIFEST | CLOSURE_ATTACHMENT);
    assert_int_equal(roles_of(&closure, &layer), CLOSURE_LAYER);
    closure_release(&closure);
}

/* Hash cycles cannot be made, but the fallback tag of an image may name anything: itself too. */
static void test_closure__a_circle_of_attachments_ends(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = fixture_image(fixture, "dev/shop/web", "image", NULL);
    char hex[DIGEST_HEX_MAX], tag[DIGEST_HEX_MAX + 16];
    struct closure closure;

    digest_format_hex(&image, hex);
    snprintf(tag, sizeof tag, "sha256-%s", hex);
    (void)put_index(fixture, "around", &image, 1, tag);
    assert_int_equal(find(fixture, &image, &closure, NULL), OK);
    assert_int_equal(closure.n, 4);
    closure_release(&closure);
}

static void test_closure__depth_is_bounded(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest root = fixture_image(fixture, "dev/shop/web", "root", "1.0"), last = root;
    struct reason why = {""};
    struct closure closure;
    char name[32];
    int i;

    for (i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "signature %d", i);
        assert_int_equal(shop_attach(fixture, "dev/shop/web", name, &last, &last), OK);
    }
    assert_int_equal(find(fixture, &root, &closure, &why), OK);
    closure_release(&closure);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "one more", &last, &last), OK);
    assert_int_equal(find(fixture, &root, &closure, &why), ERROR_TOO_LARGE);
    assert_non_null(strstr(why.text, "8 steps"));
}

/* The same digest as a blob first and as a manifest later must still be followed. */
static void test_closure__a_manifest_in_a_blobs_clothes_is_followed(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = fixture_image(fixture, "dev/shop/web", "image", NULL), sbom;
    struct manifest_put put = fixture_put_of("dev/shop/web", "index");
    struct reference references[2] = {{REFERENCE_LAYER, image, 5, false, ""},
                                      {REFERENCE_MANIFEST, image, 5, false, ""}};
    struct closure closure;

    assert_int_equal(shop_attach(fixture, "dev/shop/web", "sbom", &image, &sbom), OK);
    assert_int_equal(fixture_blob(fixture, "dev/shop/web", "image"), OK);
    put.media_type = text_of(INDEX_TYPE);
    put.references = references;
    put.n_references = 2;
    assert_int_equal(fixture_put(fixture, &put), OK);
    assert_int_equal(find(fixture, &put.digest, &closure, NULL), OK);
    assert_int_equal(roles_of(&closure, &image), CLOSURE_MANIFEST | CLOSURE_CHILD | CLOSURE_LAYER);
    assert_int_not_equal(roles_of(&closure, &sbom), 0);
    closure_release(&closure);
}

static void test_closure__size_is_bounded(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest root = fixture_image(fixture, "dev/shop/web", "root", "1.0"), other;
    struct reason why = {""};
    struct closure closure;
    char name[32];
    int i;

    for (i = 0; i < CLOSURE_DIGESTS_MAX; i++) {
        snprintf(name, sizeof name, "referrer %d", i);
        assert_int_equal(shop_attach(fixture, "dev/shop/web", name, &root, &other), OK);
    }
    assert_int_equal(find(fixture, &root, &closure, &why), ERROR_TOO_LARGE);
    assert_non_null(strstr(why.text, "split"));
}

/* A sequence of commands that only depends on the seed. */
static void run_sequence(struct catalog_fixture *fixture, unsigned seed, char hash[65])
{
    static const char *const people[] = {"alice", "bob", "carol", "dave", "eve"};
    char id[8], image[16];
    struct digest digest, out;
    unsigned next = seed;
    int i;

    for (i = 0; i < 120; i++) {
        unsigned dice;

        next = next * 1103515245u + 12345u;
        dice = (next >> 16) & 0xff;
        snprintf(id, sizeof id, "%c", 'A' + (int)(dice % 7));
        snprintf(image, sizeof image, "image-%u", dice % 5);
        fixture->time_ms += (uint64_t)(dice % 9) * HOUR_MS / 4;
        switch ((next >> 24) % 8) {
        case 0:
            (void)fixture_image(fixture, "dev/shop/web", image, dice % 2 == 0 ? "1.0" : "2.0");
            break;
        case 1:
            snprintf(id, sizeof id, "%c%d", 'A' + (int)(dice % 7), i % 10);
            (void)shop_create(fixture, "A", "test", "dev/shop/web", "1.0");
            (void)shop_create(fixture, id, "test", "dev/shop/web", dice % 2 == 0 ? "1.0" : "2.0");
            break;
        case 2:
            (void)shop_create(fixture, id, "prod", "test/shop/web", "1.0");
            break;
        case 3:
            if (shop_tag(fixture, "dev/shop/web", "1.0", &digest) == OK) {
                (void)shop_attach(fixture, "dev/shop/web", image, &digest, &out);
            }
            break;
        case 4: {
            char memory[PROMOTION_ID_SIZE + 1];
            struct promotion promotion;
            struct catalog_txn txn;
            bool is_there;

            catalog_read(fixture->catalog, &txn);
            is_there = promotion_load(&txn, shop_id(id, memory), &promotion) == OK;
            catalog_done(&txn);
            if (is_there) {
                promotion_release(&promotion);
                (void)shop_decide(fixture, people[dice % 5], id, dice % 11 != 0);
            }
            break;
        }
        default:
            (void)shop_commit(fixture, id);
            break;
        }
    }
    fixture_hash(fixture, hash);
}

static void test_apply__is_deterministic(void **state)
{
    char first[65], second[65];
    unsigned seed;

    (void)state;
    for (seed = 1; seed <= 8; seed++) {
        struct catalog_fixture a, b;

        shop_open(&a);
        shop_open(&b);
        run_sequence(&a, seed, first);
        run_sequence(&b, seed, second);
        assert_string_equal(first, second);
        fixture_release(&a);
        fixture_release(&b);
    }
}

static void test_plan__hash_does_not_depend_on_the_order(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion_request_item items[2] = {
        {.source = text_of("dev/shop/web"), .tag = text_of("1.0")},
        {.source = text_of("dev/shop/api"), .tag = text_of("2.0")}};
    struct promotion_request request = {.pipeline = text_of("shop"),
                                        .to = text_of("test"),
                                        .reason = text_of(""),
                                        .items = items,
                                        .n_items = 2};
    struct promotion promotion;
    struct pipeline *pipeline;
    struct catalog_txn txn;
    struct digest hashes[3];
    int i;

    (void)fixture_image(fixture, "dev/shop/web", "web", "1.0");
    (void)fixture_image(fixture, "dev/shop/api", "api", "2.0");
    for (i = 0; i < 3; i++) {
        catalog_read(fixture->catalog, &txn);
        promotion_init(&promotion, 2, 0);
        assert_int_equal(policy_load(&txn, request.pipeline, &pipeline, NULL), OK);
        assert_int_equal(plan_make(&txn, pipeline, &request, &promotion, NULL), OK);
        hashes[i] = promotion.plan_hash;
        promotion_release(&promotion);
        pipeline_release(pipeline);
        catalog_done(&txn);
        if (i == 0) {
            struct promotion_request_item first = items[0];

            items[0] = items[1];
            items[1] = first;
        } else {
            (void)fixture_image(fixture, "dev/shop/web", "web-2", "1.0");
        }
    }
    assert_true(digest_equal(&hashes[0], &hashes[1]));
    assert_false(digest_equal(&hashes[0], &hashes[2]));
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_closure__finds_children_referrers_and_attachments),
        SHOP_TEST(test_closure__a_circle_of_attachments_ends),
        SHOP_TEST(test_closure__depth_is_bounded),
        SHOP_TEST(test_closure__a_manifest_in_a_blobs_clothes_is_followed),
        SHOP_TEST(test_closure__size_is_bounded),
        SHOP_TEST(test_plan__hash_does_not_depend_on_the_order),
        cmocka_unit_test(test_apply__is_deterministic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
