/* Results of failover drills in the replicated state: what is taken, what a gate makes of it. */
#include "promotion/drill.h"
#include "tests/lib/promotion_fixture.h"

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

static const uint8_t other_key[SIGNATURE_KEY_SIZE] = {7};

static void make_key(struct catalog_fixture *fixture, uint8_t private_key[SIGNATURE_KEY_SIZE])
{
    uint8_t public_key[SIGNATURE_KEY_SIZE];
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    signature_make_key(private_key, public_key);
    command_signing_key_put(&command, &id, text_of("node/1"),
                            bytes_of(private_key, SIGNATURE_KEY_SIZE),
                            bytes_of(public_key, SIGNATURE_KEY_SIZE));
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static enum error record(struct catalog_fixture *fixture, const char *name,
                         const uint8_t key[SIGNATURE_KEY_SIZE], const char *document)
{
    char memory[PROMOTION_ID_SIZE + 1];
    uint8_t signature[SIGNATURE_SIZE];
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    signature_sign(key, text_of(document), signature);
    command_drill_result(&command, &id, text_of("admin"), shop_id(name, memory), text_of(document),
                         bytes_of(signature, sizeof signature));
    return fixture_apply(fixture, &command);
}

#define RESULT(passed, lost, gap)                                                                  \
    "{\"lost\":" #lost ",\"not_linearizable\":0,\"passed\":" #passed ",\"stale\":0,\"steps\":["    \
    "{\"kind\":\"pause\",\"read_gap_ms\":5,\"write_gap_ms\":" #gap "},"                            \
    "{\"kind\":\"pause\",\"read_gap_ms\":50,\"write_gap_ms\":10}]}"

static void test_drill__the_first_key_stays_and_only_its_signatures_are_taken(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint8_t first[SIGNATURE_KEY_SIZE], second[SIGNATURE_KEY_SIZE];

    assert_int_equal(record(fixture, "a", other_key, RESULT(true, 0, 20)), ERROR_DENIED);
    make_key(fixture, first);
    make_key(fixture, second);
    assert_int_equal(record(fixture, "a", second, RESULT(true, 0, 20)), ERROR_DENIED);
    assert_int_equal(record(fixture, "a", first, RESULT(true, 0, 20)), OK);
    assert_int_equal(record(fixture, "a", first, RESULT(true, 0, 20)), ERROR_EXISTS);
}

static void test_drill__the_worst_of_a_kind_is_kept(void **state)
{
    struct catalog_fixture *fixture = *state;
    char memory[PROMOTION_ID_SIZE + 1];
    uint8_t key[SIGNATURE_KEY_SIZE];
    struct drill_record drill;
    struct signing_key public_key;
    struct catalog_txn txn;

    make_key(fixture, key);
    assert_int_equal(record(fixture, "a", key, RESULT(true, 0, 20)), OK);
    catalog_read(fixture->catalog, &txn);
    assert_int_equal(drill_find(&txn, shop_id("a", memory), &drill), OK);
    assert_true(drill.is_passed);
    assert_int_equal(drill.n_facts, 1);
    assert_int_equal(drill.facts[0].write_gap_ms, 20);
    assert_int_equal(drill.facts[0].read_gap_ms, 50);
    assert_int_equal(signing_key_find(&txn, &public_key), OK);
    assert_true(signature_is_valid(public_key.public_key, drill.document, drill.signature));
    assert_false(signature_is_valid(public_key.public_key,
                                    bytes_slice(drill.document, 1, drill.document.size),
                                    drill.signature));
    catalog_done(&txn);
}

static void test_drill__what_says_too_little_is_refused(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const char *const documents[] = {
        "{}",
        "[]",
        "x",
        "{\"passed\":true,\"steps\":[]}",
        "{\"passed\":true,\"lost\":0,\"stale\":0,\"not_linearizable\":0,\"steps\":[{}]}",
        "{\"passed\":true,\"lost\":-1,\"stale\":0,\"not_linearizable\":0,\"steps\":[{\"kind\":"
        "\"a\","
        "\"write_gap_ms\":1,\"read_gap_ms\":1}]}"};
    uint8_t key[SIGNATURE_KEY_SIZE];

    make_key(fixture, key);
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        assert_int_equal(record(fixture, "a", key, documents[i]), ERROR_INVALID);
    }
}

static bool count_drills(void *data, const struct drill_record *drill)
{
    (void)drill;
    (*(size_t *)data)++;
    return true;
}

static void test_drill__the_newest_hundred_are_kept(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint8_t key[SIGNATURE_KEY_SIZE];
    struct catalog_txn txn;
    char memory[PROMOTION_ID_SIZE + 1], name[16];
    struct drill_record drill;
    size_t n = 0;

    make_key(fixture, key);
    for (unsigned i = 0; i < DRILLS_KEPT + 5; i++) {
        snprintf(name, sizeof name, "%04u", i);
        assert_int_equal(record(fixture, name, key, RESULT(true, 0, 20)), OK);
    }
    catalog_read(fixture->catalog, &txn);
    drill_list(&txn, count_drills, &n);
    assert_int_equal(n, DRILLS_KEPT);
    assert_int_equal(drill_find(&txn, shop_id("0004", memory), &drill), ERROR_NOT_FOUND);
    assert_int_equal(drill_find(&txn, shop_id("0005", memory), &drill), OK);
    catalog_done(&txn);
}

static void guard(struct catalog_fixture *fixture)
{
    static const char document[] =
        "{\"stages\":[{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"
        "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":"
        "\"dev\",\"gates\":[{\"id\":\"g\",\"type\":\"drill\",\"kinds\":[\"pause\"],\"maxAge\":"
        "\"2h\",\"maxWriteGap\":\"100ms\"}]}]}";

    assert_int_equal(shop_pipeline(fixture, "shop", document), OK);
}

static const char *attempt(struct catalog_fixture *fixture, const char *id)
{
    static struct shop_result result;

    result = shop_create(fixture, id, "prod", "dev/shop/web", "1.0");
    assert_int_equal(result.status, OK);
    result = shop_commit(fixture, id);
    return result.code;
}

static void test_gate_drill__wants_one_that_is_fresh_passed_and_quick(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint8_t key[SIGNATURE_KEY_SIZE];
    struct manifest_put put = fixture_put_of("dev/shop/web", "image");
    struct bytes tag = text_of("1.0");

    put.tags = &tag;
    put.n_tags = 1;
    assert_int_equal(fixture_put(fixture, &put), OK);
    guard(fixture);
    make_key(fixture, key);
    assert_string_equal(attempt(fixture, "1"), "DRILL_MISSING");
    assert_int_equal(record(fixture, "a", key, RESULT(true, 0, 200)), OK);
    assert_string_equal(attempt(fixture, "2"), "DRILL_TOO_SLOW");
    assert_int_equal(record(fixture, "b", key, RESULT(true, 0, 90)), OK);
    fixture->time_ms += 2 * HOUR_MS + 1;
    assert_string_equal(attempt(fixture, "3"), "DRILL_TOO_OLD");
    /* Its word that it passed does not count when it lost something. */
    assert_int_equal(record(fixture, "c", key, RESULT(true, 1, 90)), OK);
    assert_string_equal(attempt(fixture, "4"), "DRILL_FAILED");
    /* The newest decides, also by an id that sorts before. */
    assert_int_equal(record(fixture, "B", key, RESULT(true, 0, 90)), OK);
    assert_string_equal(attempt(fixture, "5"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_drill__the_first_key_stays_and_only_its_signatures_are_taken),
        SHOP_TEST(test_drill__the_worst_of_a_kind_is_kept),
        SHOP_TEST(test_drill__what_says_too_little_is_refused),
        SHOP_TEST(test_drill__the_newest_hundred_are_kept),
        SHOP_TEST(test_gate_drill__wants_one_that_is_fresh_passed_and_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
