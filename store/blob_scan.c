#include "store/blob_scan.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/blob_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define SCAN_PIECE  (256u * 1024)
#define SCAN_ALIGN  4096u
#define CHECK_PIECE (128u * 1024)

/* --- all of it ------------------------------------------------------------------------------- */

struct blob_scan {
    struct blob_store *store;
    struct digest digest;
    int fd;
    uint64_t size, offset;
    struct hasher hasher;
    struct chunk_sums sums;
    uint8_t *piece; /* Aligned, as O_DIRECT wants it. */
};

/* A file system without O_DIRECT (EINVAL) is read as usual, after asking that pages be dropped. */
static void scan_past_cache(struct blob_scan *scan)
{
    int flags = fcntl(scan->fd, F_GETFL);

    if (flags < 0 || fcntl(scan->fd, F_SETFL, flags | O_DIRECT) != 0) {
        (void)posix_fadvise(scan->fd, 0, 0, POSIX_FADV_DONTNEED);
    }
}

enum error blob_scan_open(struct blob_store *store, const struct digest *digest, bool from_disk,
                          struct blob_scan **out, struct reason *why)
{
    uint64_t size = 0;
    int fd = -1;
    enum error rv = blob_open(store, digest, &fd, &size, why);
    struct blob_scan *scan;

    if (rv != OK) {
        return rv;
    }
    scan = memory_zero(sizeof *scan);
    scan->store = store;
    scan->digest = *digest;
    scan->fd = fd;
    scan->size = size;
    hasher_init(&scan->hasher, digest->algorithm);
    chunk_sums_init(&scan->sums);
    scan->piece = aligned_alloc(SCAN_ALIGN, SCAN_PIECE);
    CHECK(scan->piece != NULL);
    if (from_disk) {
        scan_past_cache(scan);
    }
    *out = scan;
    return OK;
}

void blob_scan_close(struct blob_scan *scan)
{
    close(scan->fd);
    hasher_release(&scan->hasher);
    chunk_sums_release(&scan->sums);
    free(scan->piece);
    free(scan);
}

/* The content is right: so are the sums that were counted with it. */
static void scan_mend_sums(struct blob_scan *scan)
{
    struct chunk_sums kept;

    if (scan->sums.size <= CHUNK_SIZE) {
        return;
    }
    chunk_sums_init(&kept);
    if (blob_sums_load(scan->store, &scan->digest, scan->sums.size, &kept) != OK ||
        !chunk_sums_equal(&kept, &scan->sums)) {
        blob_sums_save(scan->store, &scan->digest, &scan->sums);
    }
    chunk_sums_release(&kept);
}

static enum error scan_judge(struct blob_scan *scan, struct reason *why)
{
    struct digest actual;

    hasher_peek(&scan->hasher, &actual);
    if (!digest_equal(&actual, &scan->digest)) {
        return blob_damaged(scan->store, &scan->digest, scan->fd, why);
    }
    scan_mend_sums(scan);
    return OK;
}

/* One piece; fewer bytes than asked for only at the end. Past the cache a read must start and end
 * on a block, so it is not asked twice; where that is not possible after all, the cache has to do.
 */
static enum error scan_read(struct blob_scan *scan, size_t *n, struct reason *why)
{
    ssize_t got;

    do {
        got = pread(scan->fd, scan->piece, SCAN_PIECE, (off_t)scan->offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EINVAL) {
        int flags = fcntl(scan->fd, F_GETFL);

        (void)fcntl(scan->fd, F_SETFL, flags & ~O_DIRECT);
        got = pread(scan->fd, scan->piece, SCAN_PIECE, (off_t)scan->offset);
    }
    *n = got > 0 ? (size_t)got : 0;
    return got < 0 ? fail_errno(why, errno, "read a blob at %" PRIu64, scan->offset) : OK;
}

enum error blob_scan_step(struct blob_scan *scan, size_t bytes, size_t *n, bool *is_done,
                          struct reason *why)
{
    *n = 0;
    *is_done = false;
    while (*n < bytes && !*is_done) {
        struct reason cause = {""};
        size_t got;

        if (scan_read(scan, &got, &cause) != OK) {
            LOG_ERROR("a blob cannot be read: %s", cause.text);
            return blob_damaged(scan->store, &scan->digest, scan->fd, why);
        }
        hasher_update(&scan->hasher, bytes_of(scan->piece, got));
        chunk_sums_update(&scan->sums, bytes_of(scan->piece, got));
        scan->offset += got;
        *n += got;
        *is_done = got == 0 || scan->offset >= scan->size;
    }
    return *is_done ? scan_judge(scan, why) : OK;
}

enum error blob_verify(struct blob_store *store, const struct digest *digest, struct reason *why)
{
    struct blob_scan *scan;
    bool is_done = false;
    enum error rv = blob_scan_open(store, digest, false, &scan, why);

    if (rv != OK) {
        return rv;
    }
    while (rv == OK && !is_done) {
        size_t n;

        rv = blob_scan_step(scan, 16 * SCAN_PIECE, &n, &is_done, why);
    }
    blob_scan_close(scan);
    return rv;
}

/* --- parts of it ----------------------------------------------------------------------------- */

struct blob_check {
    struct blob_store *store;
    struct digest digest;
    int fd;
    uint64_t size;
    struct chunk_sums sums;
    uint8_t *piece; /* While a range is checked. */
};

/* Missing or damaged sums are counted again, with the digest as the judge. The name is verified,
 * which may by now be another file than the open one (replaced after damage): then the sums, which
 * belong to the digest, judge the open one as well. */
static enum error check_load(struct blob_check *check, struct reason *why)
{
    enum error rv = blob_sums_load(check->store, &check->digest, check->size, &check->sums);

    if (rv != OK) {
        rv = blob_verify(check->store, &check->digest, why);
        if (rv == OK) {
            rv = blob_sums_load(check->store, &check->digest, check->size, &check->sums);
            rv = rv == OK ? OK
                          : fail(why, ERROR_IO,
                                 "the chunk sums of a blob cannot be kept: is the "
                                 "disk full?");
        }
    }
    return rv;
}

enum error blob_check_open(struct blob_store *store, const struct digest *digest, int fd,
                           uint64_t size, struct blob_check **out, struct reason *why)
{
    struct blob_check *check = memory_zero(sizeof *check);
    enum error rv;

    check->store = store;
    check->digest = *digest;
    check->fd = fd;
    check->size = size;
    chunk_sums_init(&check->sums);
    rv = check_load(check, why);
    if (rv != OK) {
        blob_check_close(check);
        return rv;
    }
    *out = check;
    return OK;
}

void blob_check_close(struct blob_check *check)
{
    chunk_sums_release(&check->sums);
    free(check);
}

static enum error chunk_check(struct blob_check *check, uint64_t number, struct reason *why)
{
    uint64_t offset = number * CHUNK_SIZE;
    uint64_t end = check->size - offset < CHUNK_SIZE ? check->size : offset + CHUNK_SIZE;
    uint32_t crc = 0;

    while (offset < end) {
        size_t size = end - offset < CHECK_PIECE ? (size_t)(end - offset) : CHECK_PIECE, n;
        enum error rv = durable_read_at(check->fd, check->piece, size, offset, &n, why);

        if (rv != OK || n < size) {
            return fail(why, ERROR_CORRUPT, "a piece of the blob cannot be read");
        }
        crc = crc32c_extend(crc, bytes_of(check->piece, n));
        offset += n;
    }
    return chunk_sums_has(&check->sums, (size_t)number, crc)
               ? OK
               : fail(why, ERROR_CORRUPT, "chunk %" PRIu64 " does not match its sum", number);
}

/* Damaged content or damaged sums? Only the digest knows. */
static enum error chunk_dispute(struct blob_check *check, uint64_t number, struct reason *why)
{
    enum error rv = blob_verify(check->store, &check->digest, why);

    if (rv == OK) {
        rv = check_load(check, why);
    }
    return rv == OK ? chunk_check(check, number, why) : rv;
}

enum error blob_check_range(struct blob_check *check, uint64_t offset, uint64_t length,
                            struct reason *why)
{
    enum error rv = OK;

    PRE(length > 0 && length <= check->size && offset <= check->size - length);
    check->piece = memory_alloc(CHECK_PIECE);
    for (uint64_t number = offset / CHUNK_SIZE; rv == OK && number * CHUNK_SIZE < offset + length;
         number++) {
        rv = chunk_check(check, number, why);
        if (rv == ERROR_CORRUPT) {
            rv = chunk_dispute(check, number, why);
        }
    }
    free(check->piece);
    check->piece = NULL;
    return rv;
}
