/* Readers on two threads while a third one applies and restores: each view is whole. */

#include "tests/lib/catalog_fuzz.h"

#include <pthread.h>
#include <stdatomic.h>

struct shared {
    struct catalog *catalog;
    atomic_bool is_over;
    atomic_uint views, wrong;
};

static bool ignore_name(void *data, struct bytes name)
{
    (void)data;
    return name.size > 0;
}

static void *read_views(void *data)
{
    struct shared *shared = data;
    uint64_t last = 0;

    while (!atomic_load(&shared->is_over)) {
        struct catalog_txn txn;
        char kept[65], counted[65];
        uint64_t index;

        catalog_read(shared->catalog, &txn);
        index = catalog_txn_index(&txn);
        catalog_txn_hash(&txn, kept);
        catalog_txn_count_hash(&txn, counted);
        catalog_tags(&txn, text_of("dev/a"), BYTES_NONE, ignore_name, NULL);
        catalog_done(&txn);
        if (strcmp(kept, counted) != 0 || index < last) {
            atomic_fetch_add(&shared->wrong, 1);
        }
        last = index;
        atomic_fetch_add(&shared->views, 1);
    }
    return NULL;
}

struct pipe_buffer {
    struct buffer bytes;
    size_t at;
};

static enum error pipe_sink(void *data, struct bytes piece)
{
    struct pipe_buffer *pipe = data;

    buffer_append(&pipe->bytes, piece);
    return OK;
}

static enum error pipe_source(void *data, void *out, size_t size, size_t *n)
{
    struct pipe_buffer *pipe = data;
    struct bytes piece = bytes_slice(buffer_view(&pipe->bytes), pipe->at, size);

    if (piece.size > 0) {
        memcpy(out, piece.data, piece.size);
    }
    pipe->at += piece.size;
    *n = piece.size;
    return OK;
}

static void restore_itself(struct catalog *catalog)
{
    struct pipe_buffer pipe = {.at = 0};
    struct reason why;
    uint64_t index;
    struct catalog_view *view = catalog_view_open(catalog, &index);

    buffer_init(&pipe.bytes, (size_t)1 << 28);
    assert_int_equal(catalog_view_write(view, pipe_sink, &pipe, &why), OK);
    catalog_view_close(view);
    assert_int_equal(catalog_restore(catalog, index, pipe_source, &pipe, &why), OK);
    buffer_release(&pipe.bytes);
}

static void test_readers__see_whole_states(void **state)
{
    struct shared shared;
    struct catalog_fixture fixture;
    pthread_t readers[2];
    struct fuzz fuzz;
    uint64_t index;
    size_t i;

    (void)state;
    fixture_init(&fixture);
    fuzz_init(&fuzz, 5);
    shared.catalog = fixture.catalog;
    atomic_init(&shared.is_over, false);
    atomic_init(&shared.views, 0);
    atomic_init(&shared.wrong, 0);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_views, &shared), 0);
    }
    /* At least 1,500 entries, and until the readers have seen something of it. */
    for (index = 1; index <= 1500 || atomic_load(&shared.views) < 20; index++) {
        struct buffer command = fixture_command();

        fuzz_next(&fuzz, &command);
        fuzz_apply(fixture.catalog, index, index, &command, 1, NULL);
        buffer_release(&command);
        if (index % 250 == 0) {
            restore_itself(fixture.catalog);
        }
    }
    atomic_store(&shared.is_over, true);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&shared.wrong), 0);
    fuzz_release(&fuzz);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers__see_whole_states),
    };

    return cmocka_run_group_tests_name("store/readers", tests, NULL, NULL);
}
