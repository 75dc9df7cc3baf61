/* blob.commit, blob.mount, blob.holders, and who lacks what. */

#include "tests/lib/catalog_fixture.h"

static enum error set_holders(struct catalog_fixture *fixture, uint64_t node,
                              const struct digest *digests, size_t n, bool present)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_blob_holders(&command, &id, node, digests, n, present);
    return fixture_apply(fixture, &command);
}

static enum error add_member(struct catalog_fixture *fixture, uint64_t id, const char *name)
{
    struct member_record member = {.id = id,
                                   .name = text_of(name),
                                   .raft_address = text_of("127.0.0.1:1"),
                                   .data_address = text_of("127.0.0.1:2"),
                                   .client_address = text_of("127.0.0.1:3")};
    struct buffer command = fixture_command();
    struct command_id command_id = fixture_id(fixture);

    command_member_put(&command, &command_id, text_of("node/1"), &member, BYTES_LITERAL(""));
    return fixture_apply(fixture, &command);
}

static enum error mount(struct catalog_fixture *fixture, const char *repository, const char *from,
                        const char *content)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct digest digest = digest_of_text(content);

    command_blob_mount(&command, &id, text_of("ci"), text_of(repository), text_of(from), &digest);
    return fixture_apply(fixture, &command);
}

static bool count_blob(void *data, const struct digest *digest)
{
    (void)digest;
    ++*(size_t *)data;
    return true;
}

static size_t missing(struct catalog_fixture *fixture, uint64_t node)
{
    struct table_key cursor = {.size = 0};
    struct catalog_txn txn;
    size_t n = 0;

    catalog_read(fixture->catalog, &txn);
    catalog_blobs_missing(&txn, node, &cursor, count_blob, &n);
    catalog_done(&txn);
    return n;
}

static struct replication_count counts(struct catalog_fixture *fixture, unsigned copies)
{
    struct replication_count count;
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    catalog_count_replication(&txn, copies, &count);
    catalog_done(&txn);
    return count;
}

static void end(struct catalog_fixture *fixture)
{
    char hash[65];

    fixture_hash(fixture, hash);
    fixture_release(fixture);
}

static void test_blob__mount_needs_a_source(void **state)
{
    struct catalog_fixture fixture;
    struct digest digest = digest_of_text("x");
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), OK);
    assert_int_equal(mount(&fixture, "dev/b", "dev/c", "x"), ERROR_BLOB_UNKNOWN);
    assert_int_equal(mount(&fixture, "dev/b", "dev/a", "y"), ERROR_BLOB_UNKNOWN);
    assert_int_equal(mount(&fixture, "dev/b", "", "y"), ERROR_BLOB_UNKNOWN);
    assert_int_equal(mount(&fixture, "Dev", "dev/a", "x"), ERROR_INVALID);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_repository_exists(&txn, text_of("dev/b")), ERROR_REPOSITORY_UNKNOWN);
    catalog_done(&txn);
    assert_int_equal(mount(&fixture, "dev/b", "dev/a", "x"), OK);
    assert_int_equal(mount(&fixture, "dev/d", "", "x"), OK);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_link(&txn, text_of("dev/b"), &digest), OK);
    assert_int_equal(catalog_link(&txn, text_of("dev/d"), &digest), OK);
    catalog_done(&txn);
    end(&fixture);
}

static void test_blob__another_size_is_refused(void **state)
{
    struct catalog_fixture fixture;
    struct buffer command = fixture_command();
    struct digest digest = digest_of_text("x");
    struct command_id id;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), OK);
    id = fixture_id(&fixture);
    command_blob_commit(&command, &id, text_of("ci"), text_of("dev/b"), &digest, 2, NULL, 0);
    assert_int_equal(fixture_apply(&fixture, &command), ERROR_INVALID);
    end(&fixture);
}

static void test_holders__merge_and_index(void **state)
{
    struct catalog_fixture fixture;
    struct digest digests[] = {digest_of_text("x"), digest_of_text("y"), digest_of_text("none")};
    struct replication_count count;
    struct blob_record blob;
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(add_member(&fixture, 1, "node-1"), OK);
    assert_int_equal(add_member(&fixture, 2, "node-2"), OK);
    assert_int_equal(add_member(&fixture, 3, "node-3"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "y"), OK);
    assert_int_equal(missing(&fixture, 1), 0);
    assert_int_equal(missing(&fixture, 3), 2);
    count = counts(&fixture, 3);
    assert_int_equal(count.blobs, 2);
    assert_int_equal(count.under_replicated, 2);
    assert_int_equal(count.lost, 0);
    assert_int_equal(counts(&fixture, 2).under_replicated, 0);

    assert_int_equal(set_holders(&fixture, 3, digests, 3, true), OK);
    assert_int_equal(set_holders(&fixture, 3, digests, 3, true), OK);
    assert_int_equal(missing(&fixture, 3), 0);
    assert_int_equal(counts(&fixture, 3).under_replicated, 0);
    assert_int_equal(set_holders(&fixture, 1, digests, 1, false), OK);
    assert_int_equal(set_holders(&fixture, 2, digests, 1, false), OK);
    assert_int_equal(set_holders(&fixture, 3, digests, 1, false), OK);
    count = counts(&fixture, 3);
    assert_int_equal(count.under_replicated, 1);
    assert_int_equal(count.lost, 1);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_blob(&txn, &digests[1], &blob), OK);
    assert_int_equal(blob.n_holders, 3);
    assert_int_equal(blob.holders[0], 1);
    assert_int_equal(blob.holders[2], 3);
    assert_int_equal(catalog_blob(&txn, &digests[2], &blob), ERROR_BLOB_UNKNOWN);
    catalog_done(&txn);
    end(&fixture);
}

/* A node that comes back with an empty disk has a new id under its old name. */
static void test_holders__replaced_member_does_not_count(void **state)
{
    struct catalog_fixture fixture;
    struct digest digest = digest_of_text("x");
    uint64_t live[HOLDERS_MAX];
    struct blob_record blob;
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(add_member(&fixture, 1, "node-1"), OK);
    assert_int_equal(add_member(&fixture, 2, "node-2"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), OK);
    assert_int_equal(counts(&fixture, 2).under_replicated, 0);
    assert_int_equal(add_member(&fixture, 9, "node-2"), OK);
    assert_int_equal(counts(&fixture, 2).under_replicated, 1);
    assert_int_equal(missing(&fixture, 9), 1);
    assert_int_equal(add_member(&fixture, 2, "node-4"), ERROR_EXISTS);
    assert_int_equal(set_holders(&fixture, 2, &digest, 1, true), ERROR_DENIED);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_blob(&txn, &digest, &blob), OK);
    assert_int_equal(blob.n_holders, 2);
    assert_int_equal(catalog_live_holders(&txn, &blob, live), 1);
    assert_int_equal(live[0], 1);
    assert_false(catalog_holder_is_live(&txn, 2));
    catalog_done(&txn);

    assert_int_equal(set_holders(&fixture, 9, &digest, 1, true), OK);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_blob(&txn, &digest, &blob), OK);
    assert_int_equal(blob.n_holders, 2);
    assert_int_equal(blob.holders[1], 9);
    catalog_done(&txn);
    assert_int_equal(counts(&fixture, 3).under_replicated, 0);
    end(&fixture);
}

struct stop_after {
    size_t left, seen;
};

static bool visit_some(void *data, const struct digest *digest)
{
    struct stop_after *stop = data;

    (void)digest;
    stop->seen++;
    return --stop->left > 0;
}

static void test_missing__goes_on_where_it_stopped(void **state)
{
    struct catalog_fixture fixture;
    struct table_key cursor = {.size = 0};
    struct stop_after stop = {0, 0};
    struct catalog_txn txn;
    size_t i, before;

    (void)state;
    fixture_init(&fixture);
    for (i = 0; i < 50; i++) {
        char content[16];
        struct digest digest;

        snprintf(content, sizeof content, "%zu", i);
        digest = digest_of_text(content);
        assert_int_equal(fixture_blob(&fixture, "dev/a", content), OK);
        assert_int_equal(set_holders(&fixture, 3 + i % 4, &digest, 1, true), OK);
    }
    assert_int_equal(missing(&fixture, 3), 37);
    catalog_read(fixture.catalog, &txn);
    do {
        before = stop.seen;
        stop.left = 5;
        catalog_blobs_missing(&txn, 3, &cursor, visit_some, &stop);
    } while (stop.seen > before);
    catalog_done(&txn);
    assert_int_equal(stop.seen, 37);
    end(&fixture);
}

/* What a node lacks is counted in blobs and bytes, without a look at each of them; content that
 * nobody holds any more is lost, not lacking. */
static void test_holders__lacking_blobs_and_bytes(void **state)
{
    struct catalog_fixture fixture;
    struct digest digests[2];
    struct lack_count lack;
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(add_member(&fixture, 1, "node-1"), OK);
    assert_int_equal(add_member(&fixture, 2, "node-2"), OK);
    assert_int_equal(add_member(&fixture, 3, "node-3"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "12345"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "1234567"), OK);
    digests[0] = digest_of_text("12345");
    digests[1] = digest_of_text("1234567");
    catalog_read(fixture.catalog, &txn);
    catalog_count_lacking(&txn, 3, 3, &lack);
    assert_int_equal(lack.blobs, 2);
    assert_int_equal(lack.bytes, 12);
    catalog_count_lacking(&txn, 3, 2, &lack);
    assert_int_equal(lack.blobs, 0);
    catalog_count_lacking(&txn, 1, 3, &lack);
    assert_int_equal(lack.blobs, 0);
    catalog_done(&txn);
    assert_int_equal(set_holders(&fixture, 3, digests, 1, true), OK);
    assert_int_equal(set_holders(&fixture, 1, digests, 2, false), OK);
    assert_int_equal(set_holders(&fixture, 2, digests, 2, false), OK);
    catalog_read(fixture.catalog, &txn);
    catalog_count_lacking(&txn, 1, 3, &lack);
    assert_int_equal(lack.blobs, 1);
    assert_int_equal(lack.bytes, 5);
    catalog_done(&txn);
    assert_int_equal(counts(&fixture, 2).lost, 1);
    assert_int_equal(counts(&fixture, 2).bytes, 12);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blob__mount_needs_a_source),
        cmocka_unit_test(test_blob__another_size_is_refused),
        cmocka_unit_test(test_holders__merge_and_index),
        cmocka_unit_test(test_holders__replaced_member_does_not_count),
        cmocka_unit_test(test_missing__goes_on_where_it_stopped),
        cmocka_unit_test(test_holders__lacking_blobs_and_bytes),
    };

    return cmocka_run_group_tests_name("store/holders", tests, NULL, NULL);
}
