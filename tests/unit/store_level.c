/* Feature levels: what members announce, when a new kind may be used, and who may not run. */

#include "store/level.h"
#include "tests/lib/catalog_fixture.h"

#define NEXT_KIND  ((enum command_kind)99)
#define NEXT_LEVEL 7u

static void apply_next(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    uint64_t number = unpack_uint(body);
    struct buffer value;

    (void)outcome;
    buffer_init(&value, 16);
    pack_uint(&value, number);
    table_put(context->txn, TABLE_META, BYTES_LITERAL("next"), buffer_view(&value));
    buffer_release(&value);
}

static const struct command_row next_rows[] = {{NEXT_KIND, "test.next", apply_next, NEXT_LEVEL}};

static enum error announce(struct catalog_fixture *fixture, uint64_t member, unsigned level,
                           const char *version)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_member_announce(&command, &id, text_of("node/x"), member, level, text_of(version));
    return fixture_apply(fixture, &command);
}

static struct buffer next_command(struct catalog_fixture *fixture)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_begin(&command, NEXT_KIND, &id, text_of("test"));
    pack_uint(&command, 1);
    return command;
}

static void add_member(struct catalog_fixture *fixture, uint64_t id, const char *name)
{
    struct buffer command = fixture_command();
    struct command_id command_id = fixture_id(fixture);
    struct member_record member = {.id = id,
                                   .name = text_of(name),
                                   .raft_address = text_of("127.0.0.1:1"),
                                   .data_address = text_of("127.0.0.1:2"),
                                   .client_address = text_of("127.0.0.1:3")};

    command_member_put(&command, &command_id, text_of("node/x"), &member, BYTES_NONE);
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static void remove_member(struct catalog_fixture *fixture, uint64_t id)
{
    struct buffer command = fixture_command();
    struct command_id command_id = fixture_id(fixture);

    command_member_remove(&command, &command_id, text_of("admin"), id);
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static unsigned level_now(struct catalog_fixture *fixture)
{
    struct catalog_txn txn;
    unsigned level;

    catalog_read(fixture->catalog, &txn);
    level = catalog_level(&txn);
    catalog_done(&txn);
    return level;
}

/* A catalog of the next version with three members. */
static void begin(struct catalog_fixture *fixture)
{
    fixture_init(fixture);
    catalog_close(fixture->catalog);
    fixture_add_rows(fixture, next_rows, 1);
    fixture_open(fixture);
    add_member(fixture, 1, "node-1");
    add_member(fixture, 2, "node-2");
    add_member(fixture, 3, "node-3");
}

static void end(struct catalog_fixture *fixture)
{
    char hash[65];

    fixture_hash(fixture, hash);
    fixture_release(fixture);
}

static enum error may_propose(struct catalog_fixture *fixture, struct reason *why)
{
    struct buffer command = next_command(fixture);
    enum error error = catalog_may_propose(fixture->catalog, buffer_view(&command), why);

    buffer_release(&command);
    return error;
}

static void test_level__is_the_lowest_that_all_announced(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    begin(&fixture);
    assert_int_equal(level_now(&fixture), LEVEL_FIRST);
    assert_int_equal(announce(&fixture, 1, 7, "2.0"), OK);
    assert_int_equal(announce(&fixture, 2, 9, "3.0"), OK);
    assert_int_equal(level_now(&fixture), LEVEL_FIRST); /* The third has not said anything. */
    assert_int_equal(announce(&fixture, 3, 3, "1.0"), OK);
    assert_int_equal(level_now(&fixture), 3);
    assert_int_equal(announce(&fixture, 3, 8, "2.5"), OK);
    assert_int_equal(level_now(&fixture), 7);
    /* Never down: neither by a downgrade nor by a member that joins. */
    assert_int_equal(announce(&fixture, 3, 6, "1.9"), ERROR_UNSUPPORTED);
    add_member(&fixture, 4, "node-4");
    assert_int_equal(level_now(&fixture), 7);
    assert_int_equal(announce(&fixture, 4, 0, "0"), ERROR_INVALID);
    assert_int_equal(announce(&fixture, 4, 8, ""), ERROR_INVALID);
    assert_int_equal(announce(&fixture, 99, 8, "2.5"), ERROR_NOT_FOUND);
    end(&fixture);
}

static void test_level__a_member_that_held_it_down_may_leave(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    begin(&fixture);
    assert_int_equal(announce(&fixture, 1, 5, "2.0"), OK);
    assert_int_equal(announce(&fixture, 2, 5, "2.0"), OK);
    remove_member(&fixture, 3);
    assert_int_equal(level_now(&fixture), 5);
    end(&fixture);
}

static void test_level__holds_a_new_kind_back_until_all_know_it(void **state)
{
    struct catalog_fixture fixture;
    struct reason why = {""};
    struct buffer command;

    (void)state;
    begin(&fixture);
    assert_int_equal(announce(&fixture, 1, 7, "2.0"), OK);
    assert_int_equal(announce(&fixture, 2, 7, "2.0"), OK);
    assert_int_equal(may_propose(&fixture, &why), ERROR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "node-3 has not announced"));
    assert_int_equal(announce(&fixture, 3, 1, "1.0"), OK);
    assert_int_equal(may_propose(&fixture, &why), ERROR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "node-3 runs version 1.0"));
    /* Even if somebody proposed it. */
    command = next_command(&fixture);
    assert_int_equal(fixture_apply(&fixture, &command), ERROR_UNSUPPORTED);
    assert_int_equal(announce(&fixture, 3, 7, "2.0"), OK);
    assert_int_equal(may_propose(&fixture, &why), OK);
    command = next_command(&fixture);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    end(&fixture);
}

/* The same directory under a program that does not know the level. */
static void test_level__an_older_program_does_not_open_the_catalog(void **state)
{
    struct catalog_fixture fixture;
    struct reason why = {""};

    (void)state;
    begin(&fixture);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(announce(&fixture, id, 7, "2.0"), OK);
    }
    catalog_close(fixture.catalog);
    assert_int_equal(
        catalog_open(fixture.directory, fixture.rows, fixture.n_rows - 1, &fixture.catalog, &why),
        ERROR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "runs 2.0 (level 7): install that version"));
    /* And nothing was lost by trying. */
    fixture_open(&fixture);
    assert_int_equal(level_now(&fixture), 7);
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level__is_the_lowest_that_all_announced),
        cmocka_unit_test(test_level__a_member_that_held_it_down_may_leave),
        cmocka_unit_test(test_level__holds_a_new_kind_back_until_all_know_it),
        cmocka_unit_test(test_level__an_older_program_does_not_open_the_catalog),
    };

    return cmocka_run_group_tests_name("store/level", tests, NULL, NULL);
}
