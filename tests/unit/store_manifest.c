/* manifest.put, manifest.delete and tag.delete, and what they keep in step: tags and their history,
 * referrers, reference counts. */

#include "tests/lib/catalog_fixture.h"

#define REPOSITORY "dev/shop/web"

static enum error delete_manifest(struct catalog_fixture *fixture, const char *repository,
                                  const struct digest *digest)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_manifest_delete(&command, &id, text_of("cleaner"), text_of(repository), digest);
    return fixture_apply(fixture, &command);
}

static enum error delete_tag(struct catalog_fixture *fixture, const char *repository,
                             const char *tag)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_tag_delete(&command, &id, text_of("cleaner"), text_of(repository), text_of(tag));
    return fixture_apply(fixture, &command);
}

static enum error unlink_blob(struct catalog_fixture *fixture, const char *repository,
                              const char *content)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct digest digest = digest_of_text(content);

    command_blob_unlink(&command, &id, text_of("cleaner"), text_of(repository), &digest);
    return fixture_apply(fixture, &command);
}

static enum error tag_digest(struct catalog_fixture *fixture, const char *repository,
                             const char *tag, struct digest *out)
{
    struct tag_record record;
    struct catalog_txn txn;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    error = catalog_tag(&txn, text_of(repository), text_of(tag), &record);
    *out = record.digest;
    catalog_done(&txn);
    return error;
}

static enum error manifest_there(struct catalog_fixture *fixture, const char *repository,
                                 const struct digest *digest)
{
    struct manifest_record record;
    struct catalog_txn txn;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    error = catalog_manifest(&txn, text_of(repository), digest, &record);
    catalog_done(&txn);
    return error;
}

static void end(struct catalog_fixture *fixture)
{
    char hash[65];

    fixture_hash(fixture, hash);
    fixture_release(fixture);
}

/* --- missing references ---------------------------------------------------------------------- */

static void test_put__missing_references_are_listed(void **state)
{
    struct catalog_fixture fixture;
    struct reference references[5] = {{REFERENCE_CONFIG, digest_of_text("there"), 5, false, ""},
                                      {REFERENCE_LAYER, digest_of_text("lost 1"), 6, false, ""},
                                      {REFERENCE_LAYER, digest_of_text("lost 2"), 6, false, ""},
                                      {REFERENCE_LAYER, digest_of_text("lost 1"), 6, false, ""},
                                      {REFERENCE_LAYER, digest_of_text("foreign"), 7, true, ""}};
    struct manifest_put put = fixture_put_of(REPOSITORY, "m");
    struct unpacker in;
    struct digest listed;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(fixture_blob(&fixture, REPOSITORY, "there"), OK);
    /* Content that another repository links does not count. */
    assert_int_equal(fixture_blob(&fixture, "dev/other", "lost 1"), OK);
    put.references = references;
    put.n_references = 5;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_MANIFEST_BLOB_UNKNOWN);
    unpack_start(&in, fixture.result.body);
    assert_int_equal(unpack_array(&in), 2);
    unpack_digest(&in, &listed);
    assert_true(digest_equal(&listed, &references[1].digest));
    unpack_digest(&in, &listed);
    assert_true(digest_equal(&listed, &references[2].digest));
    assert_int_equal(unpack_end(&in), OK);
    assert_int_equal(manifest_there(&fixture, REPOSITORY, &put.digest), ERROR_MANIFEST_UNKNOWN);

    put.allow_missing = true;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    assert_int_equal(manifest_there(&fixture, REPOSITORY, &put.digest), OK);
    end(&fixture);
}

static void test_put__index_children_are_manifests_of_the_repository(void **state)
{
    struct catalog_fixture fixture;
    struct reference reference = {.kind = REFERENCE_MANIFEST};
    struct manifest_put put = fixture_put_of(REPOSITORY, "index");

    (void)state;
    fixture_init(&fixture);
    reference.digest = fixture_image(&fixture, "dev/other", "one", NULL);
    put.media_type = text_of(INDEX_TYPE);
    put.references = &reference;
    put.n_references = 1;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_MANIFEST_BLOB_UNKNOWN);
    (void)fixture_image(&fixture, REPOSITORY, "one", NULL);
    assert_int_equal(fixture_put(&fixture, &put), OK);
    end(&fixture);
}

/* --- conditions ------------------------------------------------------------------------------ */

static void test_put__conditions(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_put put = fixture_put_of(REPOSITORY, "second");
    struct bytes tags[2] = {text_of("v1"), text_of("v2")};
    struct digest first, at;

    (void)state;
    fixture_init(&fixture);
    first = fixture_image(&fixture, REPOSITORY, "first", "v1");
    put.tags = tags;
    put.n_tags = 1;
    put.condition = 1;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_CONFLICT);
    assert_int_equal(manifest_there(&fixture, REPOSITORY, &put.digest), ERROR_MANIFEST_UNKNOWN);
    put.condition = 2;
    put.expected = put.digest;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_CONFLICT);
    put.expected = first;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    assert_int_equal(tag_digest(&fixture, REPOSITORY, "v1", &at), OK);
    assert_true(digest_equal(&at, &put.digest));
    assert_int_equal(fixture_put(&fixture, &put), ERROR_CONFLICT);

    put.n_tags = 2;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_INVALID);
    tags[0] = text_of("fresh");
    put.n_tags = 1;
    assert_int_equal(fixture_put(&fixture, &put), ERROR_CONFLICT); /* If-Match of nothing. */
    put.condition = 1;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    end(&fixture);
}

/* --- tags and their history ------------------------------------------------------------------ */

struct interval_list {
    struct tag_interval items[16];
    char actors[16][2][32];
    size_t n;
};

static bool collect_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct interval_list *list = data;

    assert_true(tag.size > 0 && list->n < 16);
    list->items[list->n] = *interval;
    snprintf(list->actors[list->n][0], 32, BYTES_FMT, BYTES_ARG(interval->from_actor));
    snprintf(list->actors[list->n][1], 32, BYTES_FMT, BYTES_ARG(interval->to_actor));
    list->n++;
    return true;
}

static struct interval_list intervals_of(struct catalog_fixture *fixture, const char *tag)
{
    struct interval_list list = {.n = 0};
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    catalog_tag_intervals(&txn, text_of(REPOSITORY), text_of(tag), collect_interval, &list);
    catalog_done(&txn);
    return list;
}

static void test_tag__history_is_kept(void **state)
{
    struct catalog_fixture fixture;
    struct digest first, second;
    struct interval_list list;

    (void)state;
    fixture_init(&fixture);
    first = fixture_image(&fixture, REPOSITORY, "first", "v1");
    (void)fixture_image(&fixture, REPOSITORY, "first", "v1"); /* The same again: no change. */
    second = fixture_image(&fixture, REPOSITORY, "second", "v1");
    (void)fixture_image(&fixture, REPOSITORY, "second", "v10"); /* Not v1's. */
    list = intervals_of(&fixture, "v1");
    assert_int_equal(list.n, 2);
    assert_true(digest_equal(&list.items[0].digest, &first));
    assert_int_equal(list.items[0].from_index, 3);
    assert_int_equal(list.items[0].to_index, 9);
    assert_int_equal(list.items[0].to_ms, list.items[1].from_ms);
    assert_true(digest_equal(&list.items[1].digest, &second));
    assert_int_equal(list.items[1].to_index, 0);

    assert_int_equal(delete_tag(&fixture, REPOSITORY, "v1"), OK);
    assert_int_equal(delete_tag(&fixture, REPOSITORY, "v1"), ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(manifest_there(&fixture, REPOSITORY, &second), OK);
    (void)fixture_image(&fixture, REPOSITORY, "first", "v1");
    list = intervals_of(&fixture, "v1");
    assert_int_equal(list.n, 3);
    assert_true(list.items[1].to_index > 0);
    assert_string_equal(list.actors[1][0], "ci");
    assert_string_equal(list.actors[1][1], "cleaner");
    assert_int_equal(intervals_of(&fixture, "").n, 4);
    end(&fixture);
}

struct name_list {
    char text[256];
};

static bool collect_name(void *data, struct bytes name)
{
    struct name_list *list = data;
    size_t size = strlen(list->text);

    snprintf(list->text + size, sizeof list->text - size, BYTES_FMT " ", BYTES_ARG(name));
    return true;
}

static void assert_tags(struct catalog_fixture *fixture, const char *last, const char *expected)
{
    struct name_list list = {""};
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    catalog_tags(&txn, text_of(REPOSITORY), text_of(last), collect_name, &list);
    catalog_done(&txn);
    assert_string_equal(list.text, expected);
}

static void test_tag__many_by_one_put_and_listed_in_order(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_put put = fixture_put_of(REPOSITORY, "m");
    struct bytes tags[4] = {text_of("b"), text_of("a.1"), text_of("B"), text_of("b")};
    struct name_list repositories = {""};
    char long_last[400];
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    put.tags = tags;
    put.n_tags = 4;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    (void)fixture_image(&fixture, "dev/shop/web2", "n", "zz");
    (void)fixture_image(&fixture, "dev/shop", "n", "0");
    assert_tags(&fixture, "", "B a.1 b ");
    assert_tags(&fixture, "B", "a.1 b ");
    assert_tags(&fixture, "a", "a.1 b ");
    assert_tags(&fixture, "b", "");
    memset(long_last, 'a', sizeof long_last - 1);
    long_last[sizeof long_last - 1] = '\0';
    assert_tags(&fixture, long_last, "b ");
    tags[0] = text_of("no/tag");
    assert_int_equal(fixture_put(&fixture, &put), ERROR_INVALID);

    catalog_read(fixture.catalog, &txn);
    catalog_repositories(&txn, BYTES_NONE, collect_name, &repositories);
    assert_string_equal(repositories.text, "dev/shop dev/shop/web dev/shop/web2 ");
    repositories.text[0] = '\0';
    catalog_repositories(&txn, text_of("dev/shop/web"), collect_name, &repositories);
    assert_string_equal(repositories.text, "dev/shop/web2 ");
    catalog_done(&txn);
    end(&fixture);
}

/* --- deleting -------------------------------------------------------------------------------- */

static void test_delete__manifest_goes_with_all_its_tags(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_put put = fixture_put_of(REPOSITORY, "one");
    struct bytes tags[] = {text_of("v1"), text_of("v2"), text_of("v3")};
    struct digest digest, at;

    (void)state;
    fixture_init(&fixture);
    put.tags = tags;
    put.n_tags = 3;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    (void)fixture_image(&fixture, REPOSITORY, "two", "v2");
    (void)fixture_image(&fixture, "dev/copy", "one", "v1");
    digest = put.digest;
    assert_int_equal(delete_manifest(&fixture, REPOSITORY, &digest), OK);
    assert_int_equal(tag_digest(&fixture, REPOSITORY, "v1", &at), ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(tag_digest(&fixture, REPOSITORY, "v2", &at), OK);
    assert_int_equal(tag_digest(&fixture, REPOSITORY, "v3", &at), ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(manifest_there(&fixture, REPOSITORY, &digest), ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(manifest_there(&fixture, "dev/copy", &digest), OK);
    assert_int_equal(delete_manifest(&fixture, REPOSITORY, &digest), ERROR_MANIFEST_UNKNOWN);
    assert_int_equal(delete_manifest(&fixture, "dev/never", &digest), ERROR_REPOSITORY_UNKNOWN);
    end(&fixture);
}

static void test_delete__blob_of_a_live_manifest_stays(void **state)
{
    struct catalog_fixture fixture;
    struct digest one, layer = digest_of_text("layer of one");
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    one = fixture_image(&fixture, REPOSITORY, "one", NULL);
    assert_int_equal(unlink_blob(&fixture, REPOSITORY, "layer of one"), ERROR_DENIED);
    assert_int_equal(unlink_blob(&fixture, REPOSITORY, "never"), ERROR_BLOB_UNKNOWN);
    assert_int_equal(unlink_blob(&fixture, "dev/never", "never"), ERROR_REPOSITORY_UNKNOWN);
    assert_int_equal(delete_manifest(&fixture, REPOSITORY, &one), OK);
    assert_int_equal(unlink_blob(&fixture, REPOSITORY, "layer of one"), OK);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_link(&txn, text_of(REPOSITORY), &layer), ERROR_BLOB_UNKNOWN);
    assert_int_equal(table_count(&txn, TABLE_REFERENCE_COUNTS), 0);
    assert_int_equal(catalog_repository_exists(&txn, text_of(REPOSITORY)), OK);
    catalog_done(&txn);
    end(&fixture);
}

/* --- referrers and facts --------------------------------------------------------------------- */

static bool count_referrer(void *data, const struct digest *digest,
                           const struct manifest_record *manifest)
{
    (void)digest;
    assert_true(bytes_equal_string(manifest->artifact_type, "application/x.sbom"));
    ++*(size_t *)data;
    return true;
}

static size_t referrers(struct catalog_fixture *fixture, const struct digest *subject)
{
    struct catalog_txn txn;
    size_t n = 0;

    catalog_read(fixture->catalog, &txn);
    catalog_referrers(&txn, text_of(REPOSITORY), subject, count_referrer, &n);
    catalog_done(&txn);
    return n;
}

static void test_referrers__before_and_after_their_subject(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_put put = fixture_put_of(REPOSITORY, "sbom 1");
    struct digest first;

    (void)state;
    fixture_init(&fixture);
    put.subject = digest_of_text("one");
    put.artifact_type = text_of("application/x.sbom");
    first = put.digest;
    assert_int_equal(referrers(&fixture, &put.subject), 0);
    assert_int_equal(fixture_put(&fixture, &put), OK);
    assert_int_equal(fixture_put(&fixture, &put), OK);
    (void)fixture_image(&fixture, REPOSITORY, "one", "v1");
    put.digest = digest_of_text("sbom 2");
    assert_int_equal(fixture_put(&fixture, &put), OK);
    assert_int_equal(referrers(&fixture, &put.subject), 2);
    assert_int_equal(delete_manifest(&fixture, REPOSITORY, &first), OK);
    assert_int_equal(referrers(&fixture, &put.subject), 1);
    end(&fixture);
}

static bool count_any(void *data, const struct reference *reference)
{
    (void)reference;
    ++*(size_t *)data;
    return true;
}

/* The same bytes as an index in one repository must not become one in another. */
static void test_facts__of_another_media_type_stay_where_they_are(void **state)
{
    struct catalog_fixture fixture;
    struct manifest_put put = fixture_put_of("evil/repo", "one");
    struct manifest_record record;
    struct catalog_txn txn;
    struct digest digest;
    size_t n = 0;

    (void)state;
    fixture_init(&fixture);
    put.media_type = text_of(INDEX_TYPE);
    assert_int_equal(fixture_put(&fixture, &put), OK);
    digest = fixture_image(&fixture, REPOSITORY, "one", "v1");
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_manifest(&txn, text_of(REPOSITORY), &digest, &record), OK);
    assert_true(bytes_equal_string(record.media_type, IMAGE_TYPE));
    assert_true(manifest_references(&record, count_any, &n));
    assert_int_equal(n, 2);
    catalog_done(&txn);
    /* And put again under the other type, it is what it was put as last. */
    (void)fixture_image(&fixture, "evil/repo", "one", "v1");
    put.references = NULL;
    assert_int_equal(fixture_put(&fixture, &put), OK);
    assert_int_equal(unlink_blob(&fixture, "evil/repo", "layer of one"), OK);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put__missing_references_are_listed),
        cmocka_unit_test(test_put__index_children_are_manifests_of_the_repository),
        cmocka_unit_test(test_put__conditions),
        cmocka_unit_test(test_tag__history_is_kept),
        cmocka_unit_test(test_tag__many_by_one_put_and_listed_in_order),
        cmocka_unit_test(test_delete__manifest_goes_with_all_its_tags),
        cmocka_unit_test(test_delete__blob_of_a_live_manifest_stays),
        cmocka_unit_test(test_referrers__before_and_after_their_subject),
        cmocka_unit_test(test_facts__of_another_media_type_stay_where_they_are),
    };

    return cmocka_run_group_tests_name("store/manifest", tests, NULL, NULL);
}
