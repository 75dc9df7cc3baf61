/* What is wrong on a disk is found: by the digest of the whole, and by the sums of its chunks
 * before a reader gets them. Every kind of damage, in content of every size class. */
#include "base/bytes.h"
#include "store/blob_scan.h"
#include "store/chunk_sums.h"
#include "tests/lib/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct test_directory directory;
    struct blob_store *store;
    uint8_t *content;
    size_t size;
    struct digest digest;
    char path[500];
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    test_directory_make(&fixture->directory);
    assert_int_equal(blob_store_open(fixture->directory.path, &fixture->store, NULL), OK);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    blob_store_close(fixture->store);
    test_directory_remove(&fixture->directory);
    free(fixture->content);
    free(fixture);
    return 0;
}

static void blob_make(struct fixture *fixture, size_t size)
{
    char hex[DIGEST_HEX_MAX];

    free(fixture->content);
    fixture->content = malloc(size + 1);
    assert_non_null(fixture->content);
    fixture->size = size;
    for (size_t i = 0; i < size; i++) {
        fixture->content[i] = (uint8_t)(i * 2654435761u >> 13 ^ i);
    }
    digest_of(DIGEST_SHA256, bytes_of(fixture->content, size), &fixture->digest);
    assert_int_equal(
        blob_save(fixture->store, &fixture->digest, bytes_of(fixture->content, size), NULL), OK);
    digest_format_hex(&fixture->digest, hex);
    snprintf(fixture->path, sizeof fixture->path, "%s/blobs/sha256/%.2s/%s",
             fixture->directory.path, hex, hex);
}

static const char *sums_path(struct fixture *fixture)
{
    static _Thread_local char path[520];

    snprintf(path, sizeof path, "%s.sums", fixture->path);
    return path;
}

/* Overwrite n bytes of a file at offset. */
static void file_write(const char *path, size_t offset, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, (off_t)offset), n);
    assert_int_equal(close(fd), 0);
}

static void file_flip(const char *path, size_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    assert_int_equal(close(fd), 0);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static size_t quarantined(struct fixture *fixture)
{
    char path[300];
    size_t n = 0;
    DIR *directory;
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/quarantine", fixture->directory.path);
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    closedir(directory);
    return n;
}

/* Scan all of it in small steps. */
static enum error scan(struct fixture *fixture, bool from_disk)
{
    struct blob_scan *scan;
    bool is_done = false;
    size_t n, sum = 0;
    enum error rv = blob_scan_open(fixture->store, &fixture->digest, from_disk, &scan, NULL);

    if (rv != OK) {
        return rv;
    }
    while (rv == OK && !is_done) {
        rv = blob_scan_step(scan, 300000, &n, &is_done, NULL);
        sum += n;
    }
    blob_scan_close(scan);
    if (rv == OK) {
        assert_int_equal(sum, fixture->size);
    }
    return rv;
}

/* Read [offset, offset + length) as a server does: check first. */
static enum error check(struct fixture *fixture, size_t offset, size_t length)
{
    struct blob_check *check;
    uint64_t size;
    int fd;
    enum error rv = blob_open(fixture->store, &fixture->digest, &fd, &size, NULL);

    if (rv != OK) {
        return rv;
    }
    rv = blob_check_open(fixture->store, &fixture->digest, fd, size, &check, NULL);
    if (rv == OK) {
        rv = blob_check_range(check, offset, length, NULL);
        blob_check_close(check);
    }
    close(fd);
    return rv;
}

/* --- the sums themselves --------------------------------------------------------------------- */

static void test_chunk_sums__any_pieces_give_the_same_sums(void **state)
{
    size_t size = 2 * CHUNK_SIZE + 12345, at = 0, step = 1;
    uint8_t *content = calloc(1, size);
    struct chunk_sums one, other;

    (void)state;
    assert_non_null(content);
    chunk_sums_init(&one);
    chunk_sums_init(&other);
    chunk_sums_update(&one, bytes_of(content, size));
    while (at < size) {
        size_t n = step < size - at ? step : size - at;

        chunk_sums_update(&other, bytes_of(content + at, n));
        at += n;
        step = step * 3 % 700001 + 1;
    }
    assert_true(chunk_sums_equal(&one, &other));
    chunk_sums_release(&one);
    chunk_sums_release(&other);
    free(content);
}

static void test_chunk_sums__file_is_read_back_and_every_flip_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct chunk_sums sums, back;
    struct digest other;
    struct buffer file;

    blob_make(fixture, 3 * CHUNK_SIZE + 7);
    chunk_sums_init(&sums);
    chunk_sums_init(&back);
    chunk_sums_update(&sums, bytes_of(fixture->content, fixture->size));
    chunk_sums_pack(&sums, &fixture->digest, &file);
    assert_int_equal(chunk_sums_unpack(buffer_view(&file), &fixture->digest, fixture->size, &back),
                     OK);
    assert_true(chunk_sums_equal(&sums, &back));
    assert_int_equal(
        chunk_sums_unpack(buffer_view(&file), &fixture->digest, fixture->size + 1, &back),
        ERROR_CORRUPT);
    digest_of(DIGEST_SHA256, BYTES_LITERAL("other"), &other);
    assert_int_equal(chunk_sums_unpack(buffer_view(&file), &other, fixture->size, &back),
                     ERROR_CORRUPT);
    for (size_t i = 0; i < file.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            file.data[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(
                chunk_sums_unpack(buffer_view(&file), &fixture->digest, fixture->size, &back),
                ERROR_CORRUPT);
            file.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t n = 0; n < file.size; n++) {
        assert_int_equal(
            chunk_sums_unpack(bytes_of(file.data, n), &fixture->digest, fixture->size, &back),
            ERROR_CORRUPT);
    }
    buffer_release(&file);
    chunk_sums_release(&sums);
    chunk_sums_release(&back);
}

/* --- kept beside the blob -------------------------------------------------------------------- */

static void test_blob_check__sums_lie_beside_large_blobs_only(void **state)
{
    struct fixture *fixture = *state;

    blob_make(fixture, CHUNK_SIZE);
    assert_false(exists(sums_path(fixture)));
    blob_make(fixture, CHUNK_SIZE + 1);
    assert_true(exists(sums_path(fixture)));
    assert_int_equal(check(fixture, 0, fixture->size), OK);
    assert_int_equal(check(fixture, CHUNK_SIZE, 1), OK);
    assert_int_equal(blob_remove(fixture->store, &fixture->digest, NULL), OK);
    assert_false(exists(sums_path(fixture)));
}

static void test_blob_check__finds_damage_where_it_is_read(void **state)
{
    struct fixture *fixture = *state;

    blob_make(fixture, 5 * CHUNK_SIZE + 99);
    file_flip(fixture->path, 3 * CHUNK_SIZE + 5);
    assert_int_equal(check(fixture, 0, 3 * CHUNK_SIZE), OK);
    assert_int_equal(check(fixture, 4 * CHUNK_SIZE, CHUNK_SIZE + 99), OK);
    assert_int_equal(quarantined(fixture), 0);
    assert_int_equal(check(fixture, 3 * CHUNK_SIZE - 1, 2), ERROR_CORRUPT);
    assert_int_equal(quarantined(fixture), 1);
    assert_false(exists(fixture->path));
    assert_int_equal(blob_store_quarantined(fixture->store), 1);
}

static void test_blob_check__a_range_in_small_steps_meets_the_damage(void **state)
{
    struct fixture *fixture = *state;
    struct blob_check *checking;
    enum error rv = OK;
    uint64_t size, at = 0;
    int fd;

    blob_make(fixture, 4 * CHUNK_SIZE);
    assert_int_equal(blob_open(fixture->store, &fixture->digest, &fd, &size, NULL), OK);
    assert_int_equal(blob_check_open(fixture->store, &fixture->digest, fd, size, &checking, NULL),
                     OK);
    file_flip(fixture->path, 2 * CHUNK_SIZE + CHUNK_SIZE / 2);
    while (rv == OK && at < size) {
        rv = blob_check_range(checking, at, 65536, NULL);
        at += rv == OK ? 65536 : 0;
    }
    assert_int_equal(rv, ERROR_CORRUPT);
    assert_int_equal(at, 2 * CHUNK_SIZE);
    blob_check_close(checking);
    close(fd);
}

static void test_blob_check__missing_or_damaged_sums_are_made_again(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;

    blob_make(fixture, 2 * CHUNK_SIZE + 1);
    assert_int_equal(unlink(sums_path(fixture)), 0);
    assert_int_equal(check(fixture, 0, fixture->size), OK);
    assert_true(exists(sums_path(fixture)));
    file_flip(sums_path(fixture), 65);
    assert_int_equal(check(fixture, 0, fixture->size), OK);
    assert_int_equal(truncate(sums_path(fixture), 0), 0);
    assert_int_equal(check(fixture, 0, fixture->size), OK);
    assert_int_equal(stat(sums_path(fixture), &info), 0);
    assert_true(info.st_size > 0);
    assert_int_equal(quarantined(fixture), 0);
}

/* Sums that are sound in themselves but wrong: the digest decides, and they are mended. */
static void test_blob_check__wrong_sums_do_not_cost_a_good_blob(void **state)
{
    struct fixture *fixture = *state;
    struct chunk_sums sums;
    struct buffer file;

    blob_make(fixture, 2 * CHUNK_SIZE);
    fixture->content[5] ^= 1;
    chunk_sums_init(&sums);
    chunk_sums_update(&sums, bytes_of(fixture->content, fixture->size));
    chunk_sums_pack(&sums, &fixture->digest, &file);
    file_write(sums_path(fixture), 0, file.data, file.size);
    assert_int_equal(check(fixture, 0, 10), OK);
    assert_int_equal(quarantined(fixture), 0);
    assert_true(exists(fixture->path));
    buffer_release(&file);
    chunk_sums_release(&sums);
}

/* --- all of it ------------------------------------------------------------------------------- */

static void test_blob_scan__good_content_passes_and_mends_its_sums(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blob_make(fixture, sizes[i]);
        unlink(sums_path(fixture));
        assert_int_equal(scan(fixture, true), OK);
        assert_int_equal(exists(sums_path(fixture)), sizes[i] > CHUNK_SIZE);
        assert_int_equal(scan(fixture, false), OK);
    }
    assert_int_equal(quarantined(fixture), 0);
}

enum damage { DAMAGE_BIT, DAMAGE_ZEROS, DAMAGE_CUT, DAMAGE_LONGER, DAMAGE_SWAP, DAMAGE_N };

static void blob_damage(struct fixture *fixture, enum damage damage)
{
    static const uint8_t zeros[4096];
    size_t at = fixture->size / 2;

    switch (damage) {
    case DAMAGE_BIT:
        file_flip(fixture->path, at);
        return;
    case DAMAGE_ZEROS:
        file_write(fixture->path, at, zeros, fixture->size - at < 4096 ? fixture->size - at : 4096);
        return;
    case DAMAGE_CUT:
        assert_int_equal(truncate(fixture->path, (off_t)at), 0);
        return;
    case DAMAGE_LONGER:
        assert_int_equal(truncate(fixture->path, (off_t)fixture->size + 1), 0);
        return;
    case DAMAGE_SWAP: /* Another good file of this size under this name, sums and all. */
        fixture->content[0] ^= 1;
        file_write(fixture->path, 0, fixture->content, fixture->size);
        fixture->content[0] ^= 1;
        return;
    case DAMAGE_N:
        break;
    }
    fail_msg("no such damage");
}

static void test_blob_scan__every_damage_is_found_in_every_size(void **state)
{
    static const size_t sizes[] = {3, 5000, 700000, 3 * CHUNK_SIZE + 11};
    struct fixture *fixture = *state;
    size_t expected = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int damage = 0; damage < 2 * DAMAGE_N; damage++) {
            blob_make(fixture, sizes[i]);
            blob_damage(fixture, (enum damage)(damage / 2));
            assert_int_equal(scan(fixture, damage % 2 == 1), ERROR_CORRUPT);
            assert_int_equal(quarantined(fixture), ++expected);
            assert_int_equal(scan(fixture, true), ERROR_NOT_FOUND);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        T(test_chunk_sums__any_pieces_give_the_same_sums),
        T(test_chunk_sums__file_is_read_back_and_every_flip_is_found),
        T(test_blob_check__sums_lie_beside_large_blobs_only),
        T(test_blob_check__finds_damage_where_it_is_read),
        T(test_blob_check__a_range_in_small_steps_meets_the_damage),
        T(test_blob_check__missing_or_damaged_sums_are_made_again),
        T(test_blob_check__wrong_sums_do_not_cost_a_good_blob),
        T(test_blob_scan__good_content_passes_and_mends_its_sums),
        T(test_blob_scan__every_damage_is_found_in_every_size),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
