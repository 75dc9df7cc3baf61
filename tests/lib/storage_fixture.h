#ifndef TESTS_LIB_STORAGE_FIXTURE_H
#define TESTS_LIB_STORAGE_FIXTURE_H

/* A raft/storage on a loop of its own in a temporary directory, with calls that wait. Entries carry
 * data that follows from their index, so that what comes back can be checked. */

#include "raft/storage.h"
#include "tests/lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXTURE_CLUSTER "0123456789abcdef0123456789abcdef"
#define FIXTURE_ID      7u

struct fixture {
    uv_loop_t loop;
    char root[64]; /* Removed at the end. */
    char directory[128];
    uint64_t segment_size;
    size_t entry_max;
    struct storage *storage;
    struct reason why;
    /* As loaded. */
    raft_term term;
    raft_id vote;
    struct raft_snapshot *snapshot;
    raft_index start;
    struct raft_entry *entries;
    size_t n;
    /* What the calls that wait look at. */
    unsigned done;
    bool is_closed, is_low;
    enum error status;
};

static inline void fixture_remove(const char *path)
{
    char command[400];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static inline void fixture_copy(const char *from, const char *to)
{
    char command[600];

    snprintf(command, sizeof command, "cp -a '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static inline void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    snprintf(f->root, sizeof f->root, "%s", "/tmp/caisson-raft-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->directory, sizeof f->directory, "%s/node", f->root);
    f->segment_size = 64 * 1024;
    f->entry_max = 4000;
}

static inline void fixture_low(void *data, bool is_low)
{
    ((struct fixture *)data)->is_low = is_low;
}

static inline void fixture_forget(struct fixture *f)
{
    void *batch = NULL;

    for (size_t i = 0; i < f->n; i++) {
        if (f->entries[i].batch != batch) {
            batch = f->entries[i].batch;
            raft_free(batch);
        }
    }
    raft_free(f->entries);
    if (f->snapshot != NULL) {
        raft_configuration_close(&f->snapshot->configuration);
        raft_free(f->snapshot->bufs[0].base);
        raft_free(f->snapshot->bufs);
        raft_free(f->snapshot);
    }
    f->entries = NULL;
    f->snapshot = NULL;
    f->n = 0;
}

static inline enum error fixture_open_only(struct fixture *f)
{
    struct storage_options options = {.loop = &f->loop,
                                      .directory = f->directory,
                                      .cluster = FIXTURE_CLUSTER,
                                      .id = FIXTURE_ID,
                                      .segment_size = f->segment_size,
                                      .entry_max = f->entry_max,
                                      .low_space = fixture_low,
                                      .data = f};

    f->why.text[0] = '\0';
    return storage_open(&options, &f->storage, &f->why);
}

static inline void fixture_load(struct fixture *f)
{
    fixture_forget(f);
    storage_load(f->storage, &f->term, &f->vote, &f->snapshot, &f->start, &f->entries, &f->n);
}

static inline enum error fixture_open(struct fixture *f)
{
    enum error rv = fixture_open_only(f);

    if (rv == OK) {
        fixture_load(f);
    }
    return rv;
}

static inline void fixture_closed(void *data)
{
    ((struct fixture *)data)->is_closed = true;
}

static inline void fixture_close(struct fixture *f)
{
    f->is_closed = false;
    storage_close(f->storage, fixture_closed, f);
    assert_false(f->is_closed);
    while (!f->is_closed) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    f->storage = NULL;
}

static inline void fixture_end(struct fixture *f)
{
    if (f->storage != NULL) {
        fixture_close(f);
    }
    fixture_forget(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    fixture_remove(f->root);
}

/* --- entries --------------------------------------------------------------------------------- */

/* Data of the entry of this index: of a length and content of its own. */
static inline size_t fixture_data(uint64_t index, uint64_t term, uint8_t out[4000])
{
    size_t size = 8 + (size_t)(index * 37 % 300);

    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(index * 7 + term * 31 + i);
    }
    return size;
}

struct fixture_append {
    struct raft_io_append req;
    struct fixture *fixture;
    unsigned n;
    struct raft_entry entries[64];
};

static inline void fixture_appended(struct raft_io_append *req, int status)
{
    struct fixture_append *append = req->data;

    assert_int_equal(status, 0);
    append->fixture->done++;
    for (unsigned i = 0; i < append->n; i++) {
        raft_free(append->entries[i].buf.base);
    }
    free(append);
}

/* Start to append n (up to 64) entries from index on; fixture->done counts the callbacks. */
static inline void fixture_start_append(struct fixture *f, uint64_t index, unsigned n,
                                        uint64_t term)
{
    struct fixture_append *append = calloc(1, sizeof *append);
    uint8_t data[4000];

    assert_non_null(append);
    append->fixture = f;
    append->req.data = append;
    append->n = n;
    for (unsigned i = 0; i < n; i++) {
        size_t size = fixture_data(index + i, term, data);

        append->entries[i] = (struct raft_entry){.term = term, .type = RAFT_COMMAND};
        append->entries[i].buf.base = raft_malloc(size);
        append->entries[i].buf.len = size;
        memcpy(append->entries[i].buf.base, data, size);
    }
    storage_append(f->storage, &append->req, append->entries, n, fixture_appended);
}

static inline void fixture_wait(struct fixture *f, unsigned done)
{
    while (f->done < done) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline void fixture_append(struct fixture *f, uint64_t index, unsigned n, uint64_t term)
{
    unsigned before = f->done;

    fixture_start_append(f, index, n, term);
    assert_int_equal(f->done, before);
    fixture_wait(f, before + 1);
}

/* Raise the term first, as libraft does, then append entries one by one: a batch each. */
static inline void fixture_fill(struct fixture *f, uint64_t index, unsigned n, uint64_t term)
{
    if (f->term < term) {
        storage_set_term(f->storage, term);
        f->term = term;
    }
    for (unsigned i = 0; i < n; i++) {
        fixture_append(f, index + i, 1, term);
    }
}

/* What was loaded is start..last, with the data that these indexes have in this term from from on.
 */
static inline void fixture_check(struct fixture *f, uint64_t start, uint64_t last, uint64_t from,
                                 uint64_t term)
{
    uint8_t data[4000];

    assert_int_equal(f->start, start);
    assert_int_equal(f->start + f->n - 1, last);
    for (uint64_t index = from; index <= last; index++) {
        const struct raft_entry *entry = &f->entries[index - start];
        size_t size = fixture_data(index, term, data);

        assert_int_equal(entry->term, term);
        assert_int_equal(entry->type, RAFT_COMMAND);
        assert_int_equal(entry->buf.len, size);
        assert_memory_equal(entry->buf.base, data, size);
    }
}

/* --- files ----------------------------------------------------------------------------------- */

/* Keep a copy of the node's directory as it is on disk now; put it back later. */
static inline void fixture_keep(struct fixture *f, const char *name)
{
    char copy[160];

    snprintf(copy, sizeof copy, "%s/%s", f->root, name);
    fixture_remove(copy);
    fixture_copy(f->directory, copy);
}

static inline void fixture_restore(struct fixture *f, const char *name)
{
    char copy[160];

    snprintf(copy, sizeof copy, "%s/%s", f->root, name);
    fixture_remove(f->directory);
    fixture_copy(copy, f->directory);
}

static inline void fixture_path(const struct fixture *f, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%s", f->directory, name);
}

static inline void fixture_xor(const struct fixture *f, const char *name, uint64_t offset,
                               uint8_t bits)
{
    char path[256];
    uint8_t byte;
    int fd;

    fixture_path(f, name, path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static inline void fixture_zero(const struct fixture *f, const char *name, uint64_t offset,
                                size_t size)
{
    static const uint8_t zeros[8192];
    char path[256];
    int fd;

    fixture_path(f, name, path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, zeros, size, (off_t)offset), size);
    close(fd);
}

static inline uint64_t fixture_size(const struct fixture *f, const char *name)
{
    char path[256];
    struct stat info;

    fixture_path(f, name, path);
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

#endif
