/* The catalog's life and its apply loop: exactly once, failures without a trace, time, reopening.
 */

#include "tests/lib/catalog_fixture.h"

static void test_catalog__image_is_read_back(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_record manifest;
    struct tag_record tag;
    struct blob_record blob;
    struct catalog_txn txn;
    struct digest digest;
    char hash[65];

    (void)state;
    fixture_init(&fixture);
    digest = fixture_image(&fixture, "dev/shop/web", "one", "v1");
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_txn_index(&txn), 3);
    assert_int_equal(catalog_repository_exists(&txn, text_of("dev/shop/web")), OK);
    assert_int_equal(catalog_tag(&txn, text_of("dev/shop/web"), text_of("v1"), &tag), OK);
    assert_true(digest_equal(&tag.digest, &digest));
    assert_int_equal(tag.index, 3);
    assert_true(bytes_equal_string(tag.actor, "ci"));
    assert_int_equal(catalog_manifest(&txn, text_of("dev/shop/web"), &digest, &manifest), OK);
    assert_true(bytes_equal_string(manifest.media_type, IMAGE_TYPE));
    assert_int_equal(manifest.size, 3);
    assert_int_equal(manifest.since_ms, tag.time_ms);
    assert_int_equal(catalog_blob(&txn, &digest, &blob), OK);
    assert_int_equal(blob.n_holders, 2);
    assert_int_equal(blob.generation, 1);
    assert_int_equal(catalog_tag(&txn, text_of("dev/shop/web"), text_of("v2"), &tag),
                     ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(catalog_tag(&txn, text_of("dev/other"), text_of("v1"), &tag),
                     ERROR_REPOSITORY_UNKNOWN);
    catalog_done(&txn);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalog__image_is_read_back),
    };

    return cmocka_run_group_tests_name("store/catalog", tests, NULL, NULL);
}
