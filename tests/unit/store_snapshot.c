/* Determinism and snapshots: the same entries give the same hash and the same results, on every
 * catalog, however it came by its state. */

#include "tests/lib/catalog_fuzz.h"

/* A snapshot in memory. */
struct stream {
    struct buffer bytes;
    size_t at;
    size_t step; /* At most so many bytes at once. */
};

static enum error stream_sink(void *data, struct bytes piece)
{
    struct stream *stream = data;

    buffer_append(&stream->bytes, piece);
    return buffer_status(&stream->bytes);
}

static enum error stream_source(void *data, void *out, size_t size, size_t *n)
{
    struct stream *stream = data;
    struct bytes piece = bytes_slice(buffer_view(&stream->bytes), stream->at,
                                     size < stream->step ? size : stream->step);

    if (piece.size > 0) {
        memcpy(out, piece.data, piece.size);
    }
    stream->at += piece.size;
    *n = piece.size;
    return OK;
}

static uint64_t take_snapshot(struct catalog *catalog, struct stream *stream)
{
    struct reason why;
    uint64_t index;
    struct catalog_view *view = catalog_view_open(catalog, &index);

    *stream = (struct stream){.step = 7};
    buffer_init(&stream->bytes, (size_t)1 << 28);
    assert_int_equal(catalog_view_write(view, stream_sink, stream, &why), OK);
    catalog_view_close(view);
    return index;
}

static enum error restore(struct catalog *catalog, uint64_t index, struct stream *stream)
{
    struct reason why = {""};
    enum error error;

    stream->at = 0;
    error = catalog_restore(catalog, index, stream_source, stream, &why);
    if (error != OK) {
        assert_true(strlen(why.text) > 0);
    }
    return error;
}

/* --- random commands ------------------------------------------------------------------------- */

struct run {
    struct fuzz fuzz;
    struct buffer commands[FUZZ_ENTRY_MAX];
    size_t n;
    uint64_t index, time_ms;
};

static void run_init(struct run *run, uint64_t seed)
{
    size_t i;

    *run = (struct run){.index = 0};
    fuzz_init(&run->fuzz, seed);
    for (i = 0; i < FUZZ_ENTRY_MAX; i++) {
        buffer_init(&run->commands[i], (size_t)512 * 1024);
    }
}

static void run_release(struct run *run)
{
    size_t i;

    fuzz_release(&run->fuzz);
    for (i = 0; i < FUZZ_ENTRY_MAX; i++) {
        buffer_release(&run->commands[i]);
    }
}

/* The next entry; indexes have gaps, as barriers make them, and clocks jump. */
static void run_next(struct run *run)
{
    size_t i;

    run->index += 1 + fuzz_number(&run->fuzz, 2);
    run->time_ms = fuzz_number(&run->fuzz, 10) == 0 ? 3 : run->time_ms + 20;
    run->n = 1 + fuzz_number(&run->fuzz, FUZZ_ENTRY_MAX);
    for (i = 0; i < run->n; i++) {
        buffer_clear(&run->commands[i]);
        fuzz_next(&run->fuzz, &run->commands[i]);
    }
}

static void run_apply(const struct run *run, struct catalog *catalog, struct buffer *results)
{
    fuzz_apply(catalog, run->index, run->time_ms, run->commands, run->n, results);
}

static void assert_same(struct catalog_fixture *left, struct catalog_fixture *right)
{
    char left_hash[65], right_hash[65];

    fixture_hash(left, left_hash);
    fixture_hash(right, right_hash);
    assert_string_equal(left_hash, right_hash);
    assert_int_equal(catalog_applied_index(left->catalog), catalog_applied_index(right->catalog));
}

/* One thread: the thread sanitizer has nothing to find here, and takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define FUZZ_COMMANDS 4000
#else
#define FUZZ_COMMANDS 20000
#endif

/* One catalog sees everything. A second one does, and is stopped cleanly and opened now and then. A
 * third one is restored from the first one's snapshots all the time. */
static void test_fuzz__all_ways_lead_to_one_state(void **state)
{
    struct catalog_fixture all, stopped, restored;
    struct buffer results[3];
    struct stream stream;
    size_t i, entries = 0, commands = 0;
    struct run run;

    (void)state;
    fixture_init(&all);
    fixture_init(&stopped);
    fixture_init(&restored);
    run_init(&run, 20261123);
    for (i = 0; i < 3; i++) {
        buffer_init(&results[i], (size_t)1 << 24);
    }
    for (; commands < FUZZ_COMMANDS; commands += run.n) {
        run_next(&run);
        for (i = 0; i < 3; i++) {
            buffer_clear(&results[i]);
        }
        run_apply(&run, all.catalog, &results[0]);
        run_apply(&run, stopped.catalog, &results[1]);
        run_apply(&run, restored.catalog, &results[2]);
        assert_true(bytes_equal(buffer_view(&results[0]), buffer_view(&results[1])));
        assert_true(bytes_equal(buffer_view(&results[0]), buffer_view(&results[2])));
        entries++;
        if (entries % 500 == 0) {
            catalog_close(stopped.catalog);
            fixture_open(&stopped);
            assert_same(&all, &stopped);
        }
        if (entries % 1200 == 0) {
            uint64_t index = take_snapshot(all.catalog, &stream);

            assert_int_equal(index, run.index);
            assert_int_equal(restore(restored.catalog, index, &stream), OK);
            buffer_release(&stream.bytes);
            assert_same(&all, &restored);
        }
    }
    assert_same(&all, &stopped);
    assert_same(&all, &restored);
    run_release(&run);
    for (i = 0; i < 3; i++) {
        buffer_release(&results[i]);
    }
    fixture_release(&all);
    fixture_release(&stopped);
    fixture_release(&restored);
}

/* --- the catalog's own laws, checked on a random state --------------------------------------- */

struct counted {
    uint64_t n, bytes;
};

static bool count_visit(void *data, struct bytes key, struct bytes value)
{
    struct counted *counted = data;
    struct unpacker in;

    (void)key;
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    counted->n += unpack_uint(&in);
    counted->bytes += unpack_uint(&in);
    assert_int_equal(unpack_end(&in), OK);
    return true;
}

static bool bytes_visit(void *data, const struct digest *digest, const struct blob_record *blob)
{
    (void)digest;
    *(uint64_t *)data += blob->size;
    return true;
}

static void test_fuzz__derived_tables_agree(void **state)
{
    struct counted counted = {0};
    struct replication_count count;
    struct catalog_fixture fixture;
    struct catalog_txn txn;
    uint64_t bytes = 0;
    struct run run;
    size_t i;

    (void)state;
    fixture_init(&fixture);
    run_init(&run, 7);
    for (i = 0; i < 3000; i++) {
        run_next(&run);
        run_apply(&run, fixture.catalog, NULL);
    }
    catalog_read(fixture.catalog, &txn);
    assert_true(table_count(&txn, TABLE_TAGS) > 3);
    assert_int_equal(table_count(&txn, TABLE_TAGS), table_count(&txn, TABLE_TAGS_BY_DIGEST));
    assert_int_equal(table_count(&txn, TABLE_BLOBS), table_count(&txn, TABLE_BLOBS_BY_HOLDERS));
    table_scan(&txn, TABLE_HOLDER_SETS, BYTES_NONE, count_visit, &counted);
    assert_int_equal(counted.n, table_count(&txn, TABLE_BLOBS));
    catalog_blobs(&txn, &(struct digest){0}, bytes_visit, &bytes);
    assert_int_equal(counted.bytes, bytes);
    catalog_count_replication(&txn, 3, &count);
    assert_int_equal(count.blobs, counted.n);
    catalog_done(&txn);
    run_release(&run);
    fixture_release(&fixture);
}

/* --- batching -------------------------------------------------------------------------------- */

struct collected {
    struct buffer bytes;
};

static bool collect_visit(void *data, struct bytes key, struct bytes value)
{
    struct collected *collected = data;

    buffer_append(&collected->bytes, key);
    buffer_append(&collected->bytes, value);
    return true;
}

/* How commands are grouped into entries shows in the indexes of records and nowhere else. */
static void test_fuzz__batching_changes_only_indexes(void **state)
{
    static const enum table tables[] = {
        TABLE_REPOSITORIES,         TABLE_LINKS,          TABLE_BLOBS,         TABLE_MANIFESTS,
        TABLE_REPOSITORY_MANIFESTS, TABLE_TAGS_BY_DIGEST, TABLE_REFERRERS,     TABLE_USERS,
        TABLE_REFERENCE_COUNTS,     TABLE_HOLDER_SETS,    TABLE_COMMAND_ORDER, TABLE_JOIN_TOKENS};
    struct catalog_fixture one, many;
    struct collected left, right;
    struct catalog_txn txn;
    struct run run;
    size_t i, k;

    (void)state;
    fixture_init(&one);
    fixture_init(&many);
    run_init(&run, 99);
    for (i = 0; i < 1000; i++) {
        run_next(&run);
        fuzz_apply(many.catalog, i + 1, 1, run.commands, run.n, NULL);
        for (k = 0; k < run.n; k++) {
            fuzz_apply(one.catalog, ++one.index, 1, &run.commands[k], 1, NULL);
        }
    }
    for (i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        buffer_init(&left.bytes, (size_t)1 << 28);
        buffer_init(&right.bytes, (size_t)1 << 28);
        catalog_read(one.catalog, &txn);
        table_scan(&txn, tables[i], BYTES_NONE, collect_visit, &left);
        catalog_done(&txn);
        catalog_read(many.catalog, &txn);
        table_scan(&txn, tables[i], BYTES_NONE, collect_visit, &right);
        catalog_done(&txn);
        assert_true(bytes_equal(buffer_view(&left.bytes), buffer_view(&right.bytes)));
        buffer_release(&left.bytes);
        buffer_release(&right.bytes);
    }
    run_release(&run);
    fixture_release(&one);
    fixture_release(&many);
}

/* --- snapshots ------------------------------------------------------------------------------- */

static void test_snapshot__is_of_its_moment_and_restores_twice(void **state)
{
    struct catalog_fixture from, into;
    struct reason why;
    struct stream stream = {.step = 1000};
    struct catalog_view *view;
    char before[65], after[65];
    uint64_t index;

    (void)state;
    fixture_init(&from);
    fixture_init(&into);
    (void)fixture_image(&from, "dev/a", "one", "v1");
    fixture_hash(&from, before);
    view = catalog_view_open(from.catalog, &index);
    (void)fixture_image(&from, "dev/a", "two", "v1");
    buffer_init(&stream.bytes, (size_t)1 << 28);
    assert_int_equal(catalog_view_write(view, stream_sink, &stream, &why), OK);
    catalog_view_close(view);
    assert_int_equal(index, 3);

    (void)fixture_image(&into, "dev/other", "three", "v3"); /* To be forgotten. */
    assert_int_equal(restore(into.catalog, index, &stream), OK);
    fixture_hash(&into, after);
    assert_string_equal(before, after);
    assert_int_equal(restore(into.catalog, index + 4, &stream), OK); /* Barriers followed it. */
    assert_int_equal(catalog_applied_index(into.catalog), index + 4);
    fixture_hash(&into, after);
    assert_string_equal(before, after);
    assert_int_equal(restore(into.catalog, index - 1, &stream), ERROR_CORRUPT);
    buffer_release(&stream.bytes);
    catalog_close(into.catalog);
    fixture_open(&into);
    fixture_hash(&into, after);
    assert_string_equal(before, after);
    fixture_release(&from);
    fixture_release(&into);
}

/* Every byte flipped, every length cut: refused with the old state in place, or harmless. */
static void test_snapshot__damage_is_refused(void **state)
{
    struct catalog_fixture from, into;
    struct stream stream, bad;
    char before[65], after[65];
    uint64_t index;
    size_t i;

    (void)state;
    fixture_init(&from);
    fixture_init(&into);
    (void)fixture_image(&from, "dev/a", "one", "v1");
    (void)fixture_image(&into, "dev/b", "two", "v2");
    fixture_hash(&into, before);
    index = take_snapshot(from.catalog, &stream);
    bad.step = 4096;
    for (i = 0; i < stream.bytes.size; i += 37) {
        buffer_init(&bad.bytes, (size_t)1 << 28);
        buffer_append(&bad.bytes, buffer_view(&stream.bytes));
        bad.bytes.data[i] ^= 0x41;
        assert_int_not_equal(restore(into.catalog, index, &bad), OK);
        bad.bytes.data[i] ^= 0x41;
        bad.bytes.size = i;
        assert_int_not_equal(restore(into.catalog, index, &bad), OK);
        buffer_release(&bad.bytes);
    }
    buffer_init(&bad.bytes, (size_t)1 << 28);
    buffer_append(&bad.bytes, buffer_view(&stream.bytes));
    buffer_append_byte(&bad.bytes, 0);
    assert_int_not_equal(restore(into.catalog, index, &bad), OK);
    buffer_release(&bad.bytes);
    fixture_hash(&into, after);
    assert_string_equal(before, after);
    assert_int_equal(restore(into.catalog, index, &stream), OK);
    buffer_release(&stream.bytes);
    fixture_release(&from);
    fixture_release(&into);
}

static enum error broken_sink(void *data, struct bytes piece)
{
    (void)piece;
    return ++*(size_t *)data > 10 ? ERROR_FULL : OK;
}

static void test_snapshot__failing_sink_is_told(void **state)
{
    struct catalog_fixture fixture;
    struct catalog_view *view;
    struct reason why = {""};
    uint64_t index;
    size_t n = 0;

    (void)state;
    fixture_init(&fixture);
    (void)fixture_image(&fixture, "dev/a", "one", "v1");
    view = catalog_view_open(fixture.catalog, &index);
    assert_int_equal(catalog_view_write(view, broken_sink, &n, &why), ERROR_FULL);
    assert_int_equal(n, 11);
    catalog_view_close(view);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fuzz__all_ways_lead_to_one_state),
        cmocka_unit_test(test_fuzz__derived_tables_agree),
        cmocka_unit_test(test_fuzz__batching_changes_only_indexes),
        cmocka_unit_test(test_snapshot__is_of_its_moment_and_restores_twice),
        cmocka_unit_test(test_snapshot__damage_is_refused),
        cmocka_unit_test(test_snapshot__failing_sink_is_told),
    };

    return cmocka_run_group_tests_name("store/snapshot", tests, NULL, NULL);
}
