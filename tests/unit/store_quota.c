/* settings.put, quota.put, and what repositories use. */

#include "store/quota.h"
#include "store/settings.h"
#include "tests/lib/catalog_fixture.h"

static enum error set_quota(struct catalog_fixture *fixture, const char *glob, uint64_t max_bytes,
                            uint64_t max_tags)
{
    const struct quota quota = {.max_bytes = max_bytes, .max_tags = max_tags};
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_quota_put(&command, &id, text_of("admin"), text_of(glob), &quota);
    return fixture_apply(fixture, &command);
}

static struct quota quota_of(struct catalog_fixture *fixture, const char *glob)
{
    struct catalog_txn txn;
    struct quota quota;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(catalog_quota(&txn, text_of(glob), &quota), OK);
    catalog_done(&txn);
    return quota;
}

static struct usage usage_of(struct catalog_fixture *fixture, const char *repository)
{
    struct catalog_txn txn;
    struct usage usage;

    catalog_read(fixture->catalog, &txn);
    catalog_usage(&txn, text_of(repository), &usage);
    catalog_done(&txn);
    return usage;
}

static enum error unlink_blob(struct catalog_fixture *fixture, const char *repository,
                              const char *content)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct digest digest = digest_of_text(content);

    command_blob_unlink(&command, &id, text_of("ci"), text_of(repository), &digest);
    return fixture_apply(fixture, &command);
}

static void end(struct catalog_fixture *fixture)
{
    char hash[65];

    fixture_hash(fixture, hash);
    fixture_release(fixture);
}

static void test_quota__content_counts_once_in_a_repository(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), OK);
    assert_int_equal(set_quota(&fixture, "dev/**", 100, 10), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), OK);
    assert_int_equal(quota_of(&fixture, "dev/**").used.bytes, 10);
    assert_int_equal(fixture_blob(&fixture, "dev/b", "0123456789"), OK);
    assert_int_equal(fixture_blob(&fixture, "prod/b", "0123456789"), OK);
    assert_int_equal(quota_of(&fixture, "dev/**").used.bytes, 20);
    assert_int_equal(usage_of(&fixture, "dev/a").bytes, 10);
    end(&fixture);
}

static void test_quota__what_grows_past_it_is_refused_and_leaves_no_trace(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(set_quota(&fixture, "dev/**", 15, QUOTA_NONE), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "abcdef"), ERROR_DENIED);
    assert_non_null(strstr(fixture.result.why.text, "dev/** is 15 bytes"));
    assert_non_null(strstr(fixture.result.why.text, "16"));
    assert_int_equal(quota_of(&fixture, "dev/**").used.bytes, 10);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), OK); /* Counts nothing. */
    assert_int_equal(fixture_blob(&fixture, "dev/a", "abcde"), OK);
    assert_int_equal(fixture_blob(&fixture, "other/a", "abcdef"), OK);
    assert_int_equal(unlink_blob(&fixture, "dev/a", "abcde"), OK);
    assert_int_equal(quota_of(&fixture, "dev/**").used.bytes, 10);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "edcba"), OK);
    end(&fixture);
}

static void test_quota__the_narrowest_of_several_refuses(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(set_quota(&fixture, "**", 1000, QUOTA_NONE), OK);
    assert_int_equal(set_quota(&fixture, "dev/*", 5, QUOTA_NONE), OK);
    assert_int_equal(set_quota(&fixture, "zzz/**", 1, QUOTA_NONE), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), ERROR_DENIED);
    assert_int_equal(fixture_blob(&fixture, "dev/a/b", "0123456789"), OK);
    assert_int_equal(quota_of(&fixture, "**").used.bytes, 10);
    assert_int_equal(quota_of(&fixture, "dev/*").used.bytes, 0);
    end(&fixture);
}

static void test_quota__tags_are_counted_and_given_back(void **state)
{
    struct catalog_fixture fixture;
    struct buffer command;
    struct command_id id;
    struct digest image;
    struct usage before;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(set_quota(&fixture, "dev/a", QUOTA_NONE, 1), OK);
    image = fixture_image(&fixture, "dev/a", "one", "1.0");
    before = usage_of(&fixture, "dev/a");
    assert_int_equal(before.tags, 1);
    assert_int_equal(before.bytes,
                     strlen("one") + strlen("config of one") + strlen("layer of one"));
    {
        struct manifest_put put = fixture_put_of("dev/a", "one");
        struct bytes tags[] = {text_of("2.0")};

        put.tags = tags;
        put.n_tags = 1;
        assert_int_equal(fixture_put(&fixture, &put), ERROR_DENIED);
        assert_non_null(strstr(fixture.result.why.text, "1 tags"));
    }
    command = fixture_command();
    id = fixture_id(&fixture);
    command_manifest_delete(&command, &id, text_of("ci"), text_of("dev/a"), &image);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    assert_int_equal(usage_of(&fixture, "dev/a").tags, 0);
    assert_int_equal(usage_of(&fixture, "dev/a").bytes, before.bytes - strlen("one"));
    assert_int_equal(quota_of(&fixture, "dev/a").used.tags, 0);
    end(&fixture);
}

static void test_quota__what_is_over_already_may_stay_and_shrink(void **state)
{
    struct catalog_fixture fixture;
    struct buffer command;
    struct command_id id;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "0123456789"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "9876543210"), OK);
    assert_int_equal(set_quota(&fixture, "dev/a", 5, 0), OK);
    assert_int_equal(quota_of(&fixture, "dev/a").used.bytes, 20);
    assert_int_equal(unlink_blob(&fixture, "dev/a", "0123456789"), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), ERROR_DENIED);
    command = fixture_command();
    id = fixture_id(&fixture);
    command_quota_delete(&command, &id, text_of("admin"), text_of("dev/a"));
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    assert_int_equal(fixture_blob(&fixture, "dev/a", "x"), OK);
    command = fixture_command();
    id = fixture_id(&fixture);
    command_quota_delete(&command, &id, text_of("admin"), text_of("dev/a"));
    assert_int_equal(fixture_apply(&fixture, &command), ERROR_NOT_FOUND);
    end(&fixture);
}

/* --- settings --------------------------------------------------------------------------------- */

static enum error set(struct catalog_fixture *fixture, const char *glob, unsigned copies,
                      unsigned quorum)
{
    const struct replication_setting setting = {copies, quorum};
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_settings_put(&command, &id, text_of("admin"), text_of(glob), &setting);
    return fixture_apply(fixture, &command);
}

static unsigned quorum_of(struct catalog_fixture *fixture, const char *repository)
{
    struct replication_setting setting;
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    catalog_setting(&txn, text_of(repository), &setting, NULL);
    catalog_done(&txn);
    return setting.write_quorum;
}

static void test_settings__the_longest_pattern_that_matches_holds(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(quorum_of(&fixture, "dev/a"), 2);
    assert_int_equal(set(&fixture, "dev/**", 3, 1), OK);
    assert_int_equal(set(&fixture, "dev/keep/**", 3, 2), OK);
    assert_int_equal(quorum_of(&fixture, ""), 2);
    assert_int_equal(quorum_of(&fixture, "prod/a"), 2);
    assert_int_equal(quorum_of(&fixture, "dev/a"), 1);
    assert_int_equal(quorum_of(&fixture, "dev/keep/a"), 2);
    assert_int_equal(set(&fixture, "dev/keep/**", 0, 0), OK);
    assert_int_equal(quorum_of(&fixture, "dev/keep/a"), 1);
    assert_int_equal(set(&fixture, "dev/keep/**", 0, 0), ERROR_NOT_FOUND);
    assert_int_equal(set(&fixture, "dev/**", 3, 2), OK);
    assert_int_equal(set(&fixture, "", 1, 1), OK);
    assert_int_equal(quorum_of(&fixture, "dev/a"), 1); /* Never more than there are copies. */
    end(&fixture);
}

static void test_settings__what_cannot_be_kept_is_refused(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(set(&fixture, "", 2, 3), ERROR_INVALID);
    assert_int_equal(set(&fixture, "", 10, 2), ERROR_INVALID);
    assert_int_equal(set(&fixture, "", 3, 0), ERROR_INVALID);
    assert_int_equal(set(&fixture, "dev/**", 2, 2), ERROR_INVALID);
    assert_non_null(strstr(fixture.result.why.text, "whole cluster"));
    assert_int_equal(set(&fixture, "", 3, 3), ERROR_INVALID);
    assert_non_null(strstr(fixture.result.why.text, "add nodes first"));
    end(&fixture);
}

static void test_settings__a_small_cluster_does_what_it_can(void **state)
{
    const struct replication_setting setting = {3, 2};

    (void)state;
    assert_int_equal(setting_for_members(setting, 1).copies, 1);
    assert_int_equal(setting_for_members(setting, 1).write_quorum, 1);
    assert_int_equal(setting_for_members(setting, 5).copies, 3);
    assert_int_equal(setting_for_members(setting, 5).write_quorum, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota__content_counts_once_in_a_repository),
        cmocka_unit_test(test_quota__what_grows_past_it_is_refused_and_leaves_no_trace),
        cmocka_unit_test(test_quota__the_narrowest_of_several_refuses),
        cmocka_unit_test(test_quota__tags_are_counted_and_given_back),
        cmocka_unit_test(test_quota__what_is_over_already_may_stay_and_shrink),
        cmocka_unit_test(test_settings__the_longest_pattern_that_matches_holds),
        cmocka_unit_test(test_settings__what_cannot_be_kept_is_refused),
        cmocka_unit_test(test_settings__a_small_cluster_does_what_it_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
