#include "promotion/idempotency.h"
#include "tests/lib/promotion_fixture.h"

/* From the push into dev to the tag in prod, and every way in which that must not happen. */

static void test_commit__moves_the_image_with_everything_attached(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    struct digest sbom, signature, tagged;
    struct shop_result result;

    assert_int_equal(shop_attach(fixture, "dev/shop/web", "sbom", &image, &sbom), OK);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "signature", &sbom, &signature), OK);
    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    result = shop_commit(fixture, "A");
    assert_string_equal(result.text, "");
    assert_int_equal(result.status, OK);
    assert_int_equal(shop_tag(fixture, "test/shop/web", "1.0", &tagged), OK);
    assert_true(digest_equal(&tagged, &image));
    assert_true(shop_has_manifest(fixture, "test/shop/web", &image));
    assert_true(shop_has_manifest(fixture, "test/shop/web", &sbom));
    assert_true(shop_has_manifest(fixture, "test/shop/web", &signature));
    assert_int_equal(shop_state(fixture, "A"), PROMOTION_COMMITTED);
}

static void promote_to_test(struct catalog_fixture *fixture, const char *id, const char *image,
                            const char *tag)
{
    (void)fixture_image(fixture, "dev/shop/web", image, tag);
    assert_int_equal(shop_create(fixture, id, "test", "dev/shop/web", tag).status, OK);
    assert_int_equal(shop_commit(fixture, id).status, OK);
}

static void test_commit__waits_for_soak_and_two_other_people(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct shop_result result;
    struct digest tagged;

    promote_to_test(fixture, "A", "web-1", "1.0");
    assert_int_equal(
        shop_create_as(fixture, "alice", "B", "prod", "test/shop/web", "1.0", "").status, OK);
    result = shop_commit(fixture, "B");
    assert_int_equal(result.status, ERROR_GATE);
    assert_string_equal(result.code, "SOAK_TOO_SHORT");
    fixture->time_ms += HOUR_MS;
    result = shop_commit(fixture, "B");
    assert_string_equal(result.code, "APPROVALS_MISSING");
    assert_int_equal(shop_decide(fixture, "alice", "B", true).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(shop_decide(fixture, "dave", "B", true).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(shop_decide(fixture, "eve", "B", true).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(shop_decide(fixture, "anonymous", "B", true).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    result = shop_commit(fixture, "B");
    assert_string_equal(result.code, "APPROVALS_MISSING");
    assert_int_equal(shop_tag(fixture, "prod/shop/web", "1.0", &tagged), ERROR_REPOSITORY_UNKNOWN);
    assert_int_equal(shop_decide(fixture, "carol", "B", true).status, OK);
    result = shop_commit(fixture, "B");
    assert_string_equal(result.text, "");
    assert_int_equal(result.status, OK);
    assert_int_equal(shop_tag(fixture, "prod/shop/web", "1.0", &tagged), OK);
}

static void test_commit__approvals_expire(void **state)
{
    struct catalog_fixture *fixture = *state;

    promote_to_test(fixture, "A", "web-1", "1.0");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_create(fixture, "B", "prod", "test/shop/web", "1.0").status, OK);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    fixture->time_ms += 47 * HOUR_MS;
    assert_int_equal(shop_decide(fixture, "carol", "B", true).status, OK);
    fixture->time_ms += HOUR_MS;
    assert_string_equal(shop_commit(fixture, "B").code, "APPROVALS_MISSING");
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    assert_int_equal(shop_commit(fixture, "B").status, OK);
}

static void test_commit__an_approver_who_lost_the_right_does_not_count(void **state)
{
    struct catalog_fixture *fixture = *state;

    promote_to_test(fixture, "A", "web-1", "1.0");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_create(fixture, "B", "prod", "test/shop/web", "1.0").status, OK);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    assert_int_equal(shop_decide(fixture, "carol", "B", true).status, OK);
    shop_user(fixture, "carol", "prod/**", ACTION_PULL);
    assert_string_equal(shop_commit(fixture, "B").code, "APPROVALS_MISSING");
}

static void test_commit__a_rejection_ends_it(void **state)
{
    struct catalog_fixture *fixture = *state;

    promote_to_test(fixture, "A", "web-1", "1.0");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_create(fixture, "B", "prod", "test/shop/web", "1.0").status, OK);
    assert_int_equal(shop_decide(fixture, "eve", "B", false).status, ERROR_NOT_ELIGIBLE);
    assert_int_equal(shop_decide(fixture, "bob", "B", false).status, OK);
    assert_int_equal(shop_state(fixture, "B"), PROMOTION_REJECTED);
    assert_int_equal(shop_commit(fixture, "B").status, ERROR_CONFLICT);
    assert_int_equal(shop_decide(fixture, "carol", "B", true).error, ERROR_CONFLICT);
}

static void test_commit__is_done_once_however_often_it_is_repeated(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct shop_result result;
    struct promotion first, later;
    struct catalog_txn txn;
    uint64_t audits;

    (void)fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    assert_false(
        shop_create_as(fixture, "ci", "A", "test", "dev/shop/web", "1.0", "key-1").is_repeat);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    first = shop_load(fixture, "A");
    catalog_read(fixture->catalog, &txn);
    audits = table_count(&txn, TABLE_AUDIT);
    catalog_done(&txn);

    result = shop_create_as(fixture, "ci", "Z", "test", "dev/shop/web", "1.0", "key-1");
    assert_true(result.is_repeat);
    result = shop_commit(fixture, "A");
    assert_int_equal(result.status, OK);
    assert_true(result.is_repeat);
    later = shop_load(fixture, "A");
    assert_int_equal(later.stage_revision, 1);
    assert_int_equal(later.commit_index, first.commit_index);
    catalog_read(fixture->catalog, &txn);
    assert_int_equal(table_count(&txn, TABLE_AUDIT), audits);
    catalog_done(&txn);
    promotion_release(&first);
    promotion_release(&later);

    (void)fixture_image(fixture, "dev/shop/web", "web-2", "2.0");
    assert_int_equal(
        shop_create_as(fixture, "ci", "Y", "test", "dev/shop/web", "2.0", "key-1").error,
        ERROR_IDEMPOTENCY);
    /* Another person's key is another key. */
    assert_int_equal(
        shop_create_as(fixture, "eve", "X", "test", "dev/shop/web", "2.0", "key-1").status, OK);
}

/* The last keys are kept, whatever the clock does, and not all that ever were. */
static void test_idempotency__the_last_keys_are_kept(void **state)
{
    struct catalog_fixture *fixture = *state;
    char id[16], key[24];
    struct catalog_txn txn;
    uint64_t kept;
    unsigned i;

    (void)fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    for (i = 0; i <= IDEMPOTENCY_KEPT; i++) {
        snprintf(id, sizeof id, "A%u", i);
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(
            shop_create_as(fixture, "ci", id, "test", "dev/shop/web", "1.0", key).status, OK);
    }
    fixture->time_ms += 10000 * HOUR_MS;
    assert_true(
        shop_create_as(fixture, "ci", "B", "test", "dev/shop/web", "1.0", "key-1").is_repeat);
    assert_false(
        shop_create_as(fixture, "ci", "C", "test", "dev/shop/web", "1.0", "key-0").is_repeat);
    catalog_read(fixture->catalog, &txn);
    kept = table_count(&txn, TABLE_PROMOTION_KEYS);
    catalog_done(&txn);
    assert_int_equal(kept, 2 * IDEMPOTENCY_KEPT); /* Two records each. */
}

static void test_commit__of_two_for_one_tag_the_second_is_told(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest first, tagged;
    struct shop_result result;

    first = fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    (void)fixture_image(fixture, "dev/shop/web", "web-2", "1.0");
    assert_int_equal(shop_create(fixture, "B", "test", "dev/shop/web", "1.0").status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    result = shop_commit(fixture, "B");
    assert_int_equal(result.status, ERROR_CONFLICT);
    assert_string_equal(result.code, "TAG_MOVED");
    assert_int_equal(shop_state(fixture, "B"), PROMOTION_SUPERSEDED);
    assert_int_equal(shop_tag(fixture, "test/shop/web", "1.0", &tagged), OK);
    assert_true(digest_equal(&tagged, &first));
}

static void test_commit__a_late_referrer_is_planned_again_and_not_lost(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image = fixture_image(fixture, "dev/shop/web", "web-1", "1.0"), signature, tagged;
    struct shop_result result;

    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "late", &image, &signature), OK);
    result = shop_commit(fixture, "A");
    assert_int_equal(result.status, ERROR_CONFLICT);
    assert_string_equal(result.code, "CLOSURE_CHANGED");
    assert_int_equal(shop_tag(fixture, "test/shop/web", "1.0", &tagged), ERROR_REPOSITORY_UNKNOWN);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    assert_true(shop_has_manifest(fixture, "test/shop/web", &signature));
}

static void test_commit__approvals_are_void_when_the_plan_changes(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest image, signature;

    promote_to_test(fixture, "A", "web-1", "1.0");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_create(fixture, "B", "prod", "test/shop/web", "1.0").status, OK);
    assert_int_equal(shop_decide(fixture, "alice", "B", true).status, OK);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    /* What is attached in dev afterwards comes by a promotion of its own. */
    assert_int_equal(shop_tag(fixture, "test/shop/web", "1.0", &image), OK);
    assert_int_equal(shop_attach(fixture, "dev/shop/web", "late", &image, &signature), OK);
    fixture->time_ms += 1;
    assert_int_equal(shop_create(fixture, "C", "test", "dev/shop/web", "1.0").status, OK);
    assert_int_equal(shop_commit(fixture, "C").status, OK);
    assert_string_equal(shop_commit(fixture, "B").code, "CLOSURE_CHANGED");
    assert_string_equal(shop_commit(fixture, "B").code, "APPROVALS_MISSING");
    assert_int_equal(shop_decide(fixture, "alice", "B", true).status, OK);
    assert_int_equal(shop_decide(fixture, "bob", "B", true).status, OK);
    assert_int_equal(shop_commit(fixture, "B").status, OK);
    assert_true(shop_has_manifest(fixture, "prod/shop/web", &signature));
}

static void test_commit__a_policy_change_voids_the_plan(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const char *const other =
        "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"
        "{\"name\":\"test\",\"repos\":\"test/shop/"
        "*\",\"write\":\"promotion-only\",\"from\":\"dev\","
        "\"gates\":[{\"id\":\"ok\",\"type\":\"approvals\",\"rules\":[{\"min\":1}]}]}]}";

    (void)fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    assert_int_equal(shop_pipeline(fixture, "shop", other), OK);
    assert_string_equal(shop_commit(fixture, "A").code, "POLICY_CHANGED");
    assert_string_equal(shop_commit(fixture, "A").code, "APPROVALS_MISSING");
}

static void test_commit__needs_two_copies_of_every_blob(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const uint64_t one[] = {1};
    struct manifest_put put = fixture_put_of("dev/shop/web", "lonely");
    struct bytes tag = text_of("1.0");
    struct buffer command = fixture_command();
    struct command_id id;

    put.holders = one;
    put.n_holders = 1;
    put.tags = &tag;
    put.n_tags = 1;
    buffer_release(&command);
    assert_int_equal(fixture_put(fixture, &put), OK);
    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "REPLICAS_MISSING");
    command = fixture_command();
    id = fixture_id(fixture);
    command_blob_holders(&command, &id, 2, &put.digest, 1, true);
    assert_int_equal(fixture_apply(fixture, &command), OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
}

/* Two gates of which one is enough, and a third that only warns. */
#define EITHER                                                                                     \
    "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                 \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","  \
    "\"gates\":[{\"id\":\"slow\",\"type\":\"soak\",\"min\":\"90d\",\"mode\":\"warn\"},"            \
    "{\"id\":\"either\",\"type\":\"any\",\"gates\":[{\"id\":\"soak\",\"type\":\"soak\",\"min\":"   \
    "\"1h\"},{\"id\":\"ok\",\"type\":\"approvals\",\"rules\":[{\"min\":1}]}]}]}]}"

static void test_any__one_of_its_gates_is_enough(void **state)
{
    struct catalog_fixture *fixture = *state;

    assert_int_equal(shop_pipeline(fixture, "shop", EITHER), OK);
    (void)fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, "A", "prod", "dev/shop/web", "1.0").status, OK);
    assert_string_equal(shop_commit(fixture, "A").code, "SOAK_TOO_SHORT");
    assert_int_equal(shop_decide(fixture, "alice", "A", true).status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);

    (void)fixture_image(fixture, "dev/shop/web", "web-2", "2.0");
    assert_int_equal(shop_create(fixture, "B", "prod", "dev/shop/web", "2.0").status, OK);
    assert_string_equal(shop_commit(fixture, "B").code, "SOAK_TOO_SHORT");
    fixture->time_ms += HOUR_MS;
    assert_int_equal(shop_commit(fixture, "B").status, OK);
}

/* Deleting and pushing again, or moving the tag away and back, starts the soak time anew. */
static void test_soak__is_continuous(void **state)
{
    struct catalog_fixture *fixture = *state;

    promote_to_test(fixture, "A", "web-1", "1.0");
    fixture->time_ms += HOUR_MS / 2;
    promote_to_test(fixture, "B", "web-2", "1.0");
    fixture->time_ms += HOUR_MS / 2;
    promote_to_test(fixture, "C", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, "D", "prod", "test/shop/web", "1.0").status, OK);
    assert_string_equal(shop_commit(fixture, "D").code, "SOAK_TOO_SHORT");
    fixture->time_ms += HOUR_MS - 1000;
    assert_string_equal(shop_commit(fixture, "D").code, "SOAK_TOO_SHORT");
    fixture->time_ms += 1000;
    assert_string_equal(shop_commit(fixture, "D").code, "APPROVALS_MISSING");
    promote_to_test(fixture, "E", "web-2", "1.0");
    assert_string_equal(shop_commit(fixture, "D").code, "SOAK_NOT_CURRENT");
}

static enum error apply_and_say(struct catalog_fixture *fixture, struct buffer *command)
{
    enum error error = fixture_apply(fixture, command);

    assert_non_null(strstr(fixture->result.why.text, "shop"));
    assert_non_null(strstr(fixture->result.why.text, "promot"));
    return error;
}

/* reference/promotion.md 4.4, at the level of the log: whatever a handler forgets. */
static void test_bypass__each_direct_write_is_refused(void **state)
{
    struct catalog_fixture *fixture = *state;
    const char *gated = "test/shop/web";
    struct digest image = fixture_image(fixture, "dev/shop/web", "web-1", "1.0");
    struct digest layer = digest_of_text("layer of web-1"), other;
    struct manifest_put put = fixture_put_of(gated, "web-2");
    struct reference child = {REFERENCE_MANIFEST, image, 5, false, ""};
    struct bytes tag = text_of("1.0");
    struct buffer command;
    struct command_id id;

    assert_int_equal(shop_create(fixture, "A", "test", "dev/shop/web", "1.0").status, OK);
    assert_int_equal(shop_commit(fixture, "A").status, OK);
    assert_int_equal(fixture_put(fixture, &put), ERROR_PROMOTION_ONLY); /* By digest. */
    put.tags = &tag;
    put.n_tags = 1;
    assert_int_equal(fixture_put(fixture, &put), ERROR_PROMOTION_ONLY); /* By tag. */
    put.digest = image;
    assert_int_equal(fixture_put(fixture, &put), ERROR_PROMOTION_ONLY); /* Of what is there. */
    put = fixture_put_of(gated, "index");
    put.media_type = text_of(INDEX_TYPE);
    put.references = &child;
    put.n_references = 1;
    assert_int_equal(fixture_put(fixture, &put), ERROR_PROMOTION_ONLY); /* Existing children. */
    assert_int_equal(shop_attach(fixture, gated, "signature", &image, &other),
                     ERROR_PROMOTION_ONLY);
    assert_int_equal(fixture_blob(fixture, gated, "a layer"), ERROR_PROMOTION_ONLY);

    command = fixture_command();
    id = fixture_id(fixture);
    command_blob_mount(&command, &id, text_of("ci"), text_of(gated), text_of("dev/shop/web"),
                       &layer);
    assert_int_equal(apply_and_say(fixture, &command), ERROR_PROMOTION_ONLY);
    command = fixture_command();
    id = fixture_id(fixture);
    command_tag_delete(&command, &id, text_of("ci"), text_of(gated), tag);
    assert_int_equal(apply_and_say(fixture, &command), ERROR_PROMOTION_ONLY);
    command = fixture_command();
    id = fixture_id(fixture);
    command_manifest_delete(&command, &id, text_of("ci"), text_of(gated), &image);
    assert_int_equal(apply_and_say(fixture, &command), ERROR_PROMOTION_ONLY);
    command = fixture_command();
    id = fixture_id(fixture);
    command_blob_unlink(&command, &id, text_of("ci"), text_of(gated), &layer);
    assert_int_equal(apply_and_say(fixture, &command), ERROR_PROMOTION_ONLY);
}

static bool count_kind(void *data, const struct audit_record *record)
{
    size_t *counts = data;

    counts[0]++;
    assert_int_equal(record->number, counts[0]);
    assert_int_equal(record->previous.algorithm != 0, counts[0] > 1);
    counts[1] += bytes_equal_string(record->kind, "promotion.refused");
    counts[2] += bytes_equal_string(record->kind, "promotion.committed");
    counts[3] += bytes_equal_string(record->kind, "promotion.decision-refused");
    return true;
}

static void test_audit__each_decision_leaves_one_record(void **state)
{
    struct catalog_fixture *fixture = *state;
    size_t counts[4] = {0};
    struct catalog_txn txn;

    promote_to_test(fixture, "A", "web-1", "1.0");
    assert_int_equal(shop_create(fixture, "B", "prod", "test/shop/web", "1.0").status, OK);
    (void)shop_commit(fixture, "B");
    (void)shop_commit(fixture, "B"); /* The same refusal is no news. */
    assert_int_equal(shop_decide(fixture, "eve", "B", true).status, ERROR_NOT_ELIGIBLE);
    catalog_read(fixture->catalog, &txn);
    audit_list(&txn, 0, count_kind, counts);
    catalog_done(&txn);
    assert_int_equal(counts[0], 6); /* Policy, request, commit, request, refusal, decision. */
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 1);
    assert_int_equal(counts[3], 1);
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_commit__moves_the_image_with_everything_attached),
        SHOP_TEST(test_commit__waits_for_soak_and_two_other_people),
        SHOP_TEST(test_commit__approvals_expire),
        SHOP_TEST(test_commit__an_approver_who_lost_the_right_does_not_count),
        SHOP_TEST(test_commit__a_rejection_ends_it),
        SHOP_TEST(test_commit__is_done_once_however_often_it_is_repeated),
        SHOP_TEST(test_idempotency__the_last_keys_are_kept),
        SHOP_TEST(test_commit__of_two_for_one_tag_the_second_is_told),
        SHOP_TEST(test_commit__a_late_referrer_is_planned_again_and_not_lost),
        SHOP_TEST(test_commit__approvals_are_void_when_the_plan_changes),
        SHOP_TEST(test_commit__a_policy_change_voids_the_plan),
        SHOP_TEST(test_commit__needs_two_copies_of_every_blob),
        SHOP_TEST(test_any__one_of_its_gates_is_enough),
        SHOP_TEST(test_soak__is_continuous),
        SHOP_TEST(test_bypass__each_direct_write_is_refused),
        SHOP_TEST(test_audit__each_decision_leaves_one_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
