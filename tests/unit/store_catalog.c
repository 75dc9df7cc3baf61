/* The catalog's life and its apply loop: exactly once, failures without a trace, time, reopening.
 */

#include "base/assert.h"
#include "tests/lib/catalog_fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

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

/* --- rows of the test's own ------------------------------------------------------------------ */

#define TEST_COUNT ((enum command_kind)900)
#define TEST_BREAK ((enum command_kind)901)
#define TEST_TIME  ((enum command_kind)902)

/* Adds one to a counter, answers with it. */
static void count_apply(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    uint64_t count = 1;
    struct buffer value;
    struct bytes old;

    unpack_skip(body);
    if (table_get(context->txn, TABLE_AUDIT, text_of("count"), &old) == OK) {
        struct unpacker in;

        unpack_start(&in, old);
        count += unpack_uint(&in);
    }
    buffer_init(&value, 16);
    pack_uint(&value, count);
    table_put(context->txn, TABLE_AUDIT, text_of("count"), buffer_view(&value));
    buffer_append(&outcome->body, buffer_view(&value));
    buffer_release(&value);
}

/* Writes, overwrites, deletes and only then fails. */
static void break_apply(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    enum error error;

    unpack_skip(body);
    table_put(context->txn, TABLE_AUDIT, text_of("new"), text_of("1"));
    table_put(context->txn, TABLE_AUDIT, text_of("new"), text_of("2"));
    table_put(context->txn, TABLE_AUDIT, text_of("count"), text_of("spoiled"));
    error = table_delete(context->txn, TABLE_AUDIT, text_of("count"));
    assert_int_equal(error, OK);
    error = table_delete(context->txn, TABLE_AUDIT, text_of("never was"));
    assert_int_equal(error, ERROR_NOT_FOUND);
    (void)outcome_fail(outcome, ERROR_GATE, "too late");
}

static void time_apply(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    unpack_skip(body);
    pack_uint(&outcome->body, context->time_ms);
}

static const struct command_row test_rows[] = {{TEST_COUNT, "test.count", count_apply},
                                               {TEST_BREAK, "test.break", break_apply},
                                               {TEST_TIME, "test.time", time_apply}};

static struct buffer simple_command(enum command_kind kind, const struct command_id *id)
{
    struct buffer command = fixture_command();

    command_begin(&command, kind, id, text_of("tester"));
    pack_nil(&command);
    return command;
}

static enum error run_simple(struct catalog_fixture *fixture, enum command_kind kind)
{
    struct command_id id = fixture_id(fixture);
    struct buffer command = simple_command(kind, &id);

    return fixture_apply(fixture, &command);
}

static uint64_t body_number(const struct catalog_fixture *fixture)
{
    struct unpacker in;
    uint64_t number;

    unpack_start(&in, fixture->result.body);
    number = unpack_uint(&in);
    assert_int_equal(unpack_end(&in), OK);
    return number;
}

/* A hash of all but what the loop itself keeps (index, time, stored results). */
static uint64_t audit_count(struct catalog_fixture *fixture)
{
    struct catalog_txn txn;
    struct unpacker in;
    struct bytes value;
    uint64_t count;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(table_count(&txn, TABLE_AUDIT), 1);
    assert_int_equal(table_get(&txn, TABLE_AUDIT, text_of("count"), &value), OK);
    unpack_start(&in, value);
    count = unpack_uint(&in);
    catalog_done(&txn);
    return count;
}

static void test_apply__repeated_id_applies_once(void **state)
{
    struct catalog_fixture fixture;
    struct command_id id = {{7}};
    struct buffer command, first;
    char before[65];

    (void)state;
    fixture_init(&fixture);
    fixture_add_rows(&fixture, test_rows, 3);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    assert_int_equal(run_simple(&fixture, TEST_COUNT), OK);
    command = simple_command(TEST_COUNT, &id);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    assert_int_equal(body_number(&fixture), 2);
    buffer_init(&first, 1024);
    buffer_append(&first, buffer_view(&fixture.result_bytes));
    fixture_hash(&fixture, before);

    command = simple_command(TEST_COUNT, &id);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    assert_true(bytes_equal(buffer_view(&first), buffer_view(&fixture.result_bytes)));
    assert_int_equal(fixture.result.index, 2);
    assert_int_equal(audit_count(&fixture), 2);
    buffer_release(&first);
    fixture_release(&fixture);
}

static void test_apply__repetition_in_one_entry(void **state)
{
    struct catalog_fixture fixture;
    struct command_id id = {{9}};
    struct buffer command, results[3];
    struct bytes views[3];
    struct catalog_entry entry = {.index = 1, .term = 1, .time_ms = 1, .commands = views, .n = 3};
    size_t i;

    (void)state;
    fixture_init(&fixture);
    fixture_add_rows(&fixture, test_rows, 3);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    command = simple_command(TEST_COUNT, &id);
    for (i = 0; i < 3; i++) {
        views[i] = buffer_view(&command);
        buffer_init(&results[i], 1024);
    }
    catalog_apply(fixture.catalog, &entry, results);
    assert_true(bytes_equal(buffer_view(&results[0]), buffer_view(&results[1])));
    assert_true(bytes_equal(buffer_view(&results[0]), buffer_view(&results[2])));
    assert_int_equal(audit_count(&fixture), 1);
    for (i = 0; i < 3; i++) {
        buffer_release(&results[i]);
    }
    buffer_release(&command);
    fixture_release(&fixture);
}

static void test_apply__failure_leaves_no_change(void **state)
{
    struct catalog_fixture fixture;
    char hash[65];

    (void)state;
    fixture_init(&fixture);
    fixture_add_rows(&fixture, test_rows, 3);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    assert_int_equal(run_simple(&fixture, TEST_COUNT), OK);
    assert_int_equal(run_simple(&fixture, TEST_BREAK), ERROR_GATE);
    assert_string_equal(fixture.result.why.text, "too late");
    assert_int_equal(audit_count(&fixture), 1);
    fixture_hash(&fixture, hash);
    assert_int_equal(run_simple(&fixture, TEST_COUNT), OK);
    assert_int_equal(audit_count(&fixture), 2);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

static void test_apply__time_never_runs_backwards(void **state)
{
    struct catalog_fixture fixture;
    uint64_t first;

    (void)state;
    fixture_init(&fixture);
    fixture_add_rows(&fixture, test_rows, 3);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    fixture.time_ms = 5000;
    assert_int_equal(run_simple(&fixture, TEST_TIME), OK);
    first = body_number(&fixture);
    assert_int_equal(first, 5010);
    fixture.time_ms = 100; /* A leader whose clock is behind. */
    assert_int_equal(run_simple(&fixture, TEST_TIME), OK);
    assert_int_equal(body_number(&fixture), first + 1);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    assert_int_equal(run_simple(&fixture, TEST_TIME), OK);
    assert_int_equal(body_number(&fixture), first + 2);
    fixture_release(&fixture);
}

static void test_apply__garbage_is_refused(void **state)
{
    static const char *const garbage[] = {
        "",           "\xc0", "\x95\x01", "\xdd\xff\xff\xff\xff", "\x95\x01\x14\xc4\x02xx\xa1y\xc0",
        "not msgpack"};
    struct catalog_fixture fixture;
    struct command_id id = {{1}};
    struct buffer command;
    char hash[65];
    size_t i;

    (void)state;
    fixture_init(&fixture);
    for (i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        command = fixture_command();
        buffer_append_string(&command, garbage[i]);
        assert_int_equal(fixture_apply(&fixture, &command), ERROR_INVALID);
    }
    /* A sound envelope around a wrong body, for every kind. */
    for (i = 0; i < catalog_commands_n; i++) {
        id.bytes[1] = (uint8_t)i;
        command = fixture_command();
        command_begin(&command, catalog_commands[i].kind, &id, text_of("x"));
        pack_array(&command, 2);
        pack_text(&command, "what");
        pack_uint(&command, 7);
        assert_int_equal(fixture_apply(&fixture, &command), ERROR_INVALID);
    }
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
}

/* Exit code of a child that applies the command. */
static int apply_in_child(struct catalog_fixture *fixture, struct buffer *command)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        fixture_apply(fixture, command);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    buffer_release(command);
    return WEXITSTATUS(status);
}

static void test_apply__unknown_kind_or_version_stops(void **state)
{
    struct catalog_fixture fixture;
    struct command_id id = {{1}};
    struct buffer command;

    (void)state;
    fixture_init(&fixture);
    command = simple_command((enum command_kind)999, &id);
    assert_int_equal(apply_in_child(&fixture, &command), EXIT_FAIL_STOP);
    command = simple_command(COMMAND_TAG_DELETE, &id);
    command.data[1] = COMMAND_VERSION + 1;
    assert_int_equal(apply_in_child(&fixture, &command), EXIT_FAIL_STOP);
    fixture_release(&fixture);
}

static void test_apply__old_results_are_let_go(void **state)
{
    enum { N = 1000, ENTRIES = 67 }; /* Somewhat more than 65,536 commands. */
    struct catalog_fixture fixture;
    struct buffer *commands = memory_zero(N * sizeof *commands);
    struct buffer *results = memory_zero(N * sizeof *results);
    struct bytes *views = memory_zero(N * sizeof *views);
    struct catalog_entry entry = {.term = 1, .time_ms = 1, .commands = views, .n = N};
    struct catalog_txn txn;
    char hash[65];
    size_t i;

    (void)state;
    fixture_init(&fixture);
    fixture_add_rows(&fixture, test_rows, 3);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    for (entry.index = 1; entry.index <= ENTRIES; entry.index++) {
        for (i = 0; i < N; i++) {
            struct command_id id = fixture_id(&fixture);

            commands[i] = simple_command(TEST_COUNT, &id);
            views[i] = buffer_view(&commands[i]);
            buffer_init(&results[i], 1024);
        }
        catalog_apply(fixture.catalog, &entry, results);
        for (i = 0; i < N; i++) {
            buffer_release(&commands[i]);
            buffer_release(&results[i]);
        }
    }
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(table_count(&txn, TABLE_COMMANDS), 65536);
    assert_int_equal(table_count(&txn, TABLE_COMMAND_ORDER), 65536);
    catalog_done(&txn);
    assert_int_equal(audit_count(&fixture), N * ENTRIES);
    fixture_hash(&fixture, hash);
    fixture_release(&fixture);
    free(commands);
    free(results);
    free(views);
}

/* --- opening --------------------------------------------------------------------------------- */

static void test_open__after_a_clean_stop(void **state)
{
    struct catalog_fixture fixture;
    char before[65], after[65];

    (void)state;
    fixture_init(&fixture);
    fixture_image(&fixture, "dev/a", "one", "v1");
    fixture_hash(&fixture, before);
    catalog_close(fixture.catalog);
    fixture_open(&fixture);
    assert_int_equal(catalog_applied_index(fixture.catalog), 3);
    fixture_hash(&fixture, after);
    assert_string_equal(before, after);
    fixture_release(&fixture);
}

static void test_open__after_anything_else_is_empty(void **state)
{
    struct catalog_fixture fixture;
    struct catalog_txn txn;
    char path[128];

    (void)state;
    fixture_init(&fixture);
    fixture_image(&fixture, "dev/a", "one", "v1");
    catalog_close(fixture.catalog);
    snprintf(path, sizeof path, "%s/clean", fixture.directory);
    assert_int_equal(unlink(path), 0);
    fixture_open(&fixture);
    assert_int_equal(catalog_applied_index(fixture.catalog), 0);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(table_count(&txn, TABLE_TAGS), 0);
    catalog_done(&txn);
    fixture_release(&fixture);
}

/* The marker is gone while the catalog is open: a crash at any moment is an unclean stop. */
static void test_open__marker_is_gone_while_open(void **state)
{
    struct catalog_fixture fixture;
    char path[128];

    (void)state;
    fixture_init(&fixture);
    snprintf(path, sizeof path, "%s/clean", fixture.directory);
    assert_int_not_equal(access(path, F_OK), 0);
    catalog_close(fixture.catalog);
    assert_int_equal(access(path, F_OK), 0);
    fixture_open(&fixture);
    assert_int_not_equal(access(path, F_OK), 0);
    fixture_release(&fixture);
}

static void test_open__wrong_marker_or_damage_rebuilds(void **state)
{
    struct catalog_fixture fixture;
    char path[128];
    FILE *file;

    (void)state;
    fixture_init(&fixture);
    fixture_image(&fixture, "dev/a", "one", "v1");
    catalog_close(fixture.catalog);
    snprintf(path, sizeof path, "%s/clean", fixture.directory);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "caisson catalog 1 catalog-0.mdb 4 00\n");
    fclose(file);
    fixture_open(&fixture);
    assert_int_equal(catalog_applied_index(fixture.catalog), 0);
    catalog_close(fixture.catalog);

    snprintf(path, sizeof path, "%s/catalog-0.mdb", fixture.directory);
    assert_int_equal(truncate(path, 100), 0);
    fixture_open(&fixture);
    assert_int_equal(catalog_applied_index(fixture.catalog), 0);
    fixture.index = 0;
    fixture_image(&fixture, "dev/a", "one", "v1");
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_catalog__image_is_read_back),
        cmocka_unit_test(test_apply__repeated_id_applies_once),
        cmocka_unit_test(test_apply__repetition_in_one_entry),
        cmocka_unit_test(test_apply__failure_leaves_no_change),
        cmocka_unit_test(test_apply__time_never_runs_backwards),
        cmocka_unit_test(test_apply__garbage_is_refused),
        cmocka_unit_test(test_apply__unknown_kind_or_version_stops),
        cmocka_unit_test(test_apply__old_results_are_let_go),
        cmocka_unit_test(test_open__after_a_clean_stop),
        cmocka_unit_test(test_open__after_anything_else_is_empty),
        cmocka_unit_test(test_open__marker_is_gone_while_open),
        cmocka_unit_test(test_open__wrong_marker_or_damage_rebuilds),
    };

    return cmocka_run_group_tests_name("store/catalog", tests, NULL, NULL);
}
