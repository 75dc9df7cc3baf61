#include "raft/log_load.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Zeros are written rather than only allocated: ext4 and xfs mark allocated blocks as unwritten,
 * and the sync of an append would then have to commit the change of that mark (measured: p50 189 us
 * against 137 us). */

#define ZERO_CHUNK (1u << 20)

static bool is_full(int errnum)
{
    return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG;
}

static enum error fill(int fd, uint64_t size, const char *path, struct reason *why)
{
    uint8_t *zeros = memory_zero(ZERO_CHUNK);
    enum error rv = OK;

    /* Not every file system can allocate ahead; the zeros below do it there. */
    if (fallocate(fd, 0, 0, (off_t)size) != 0 && is_full(errno)) {
        rv = fail(why, ERROR_FULL, "no space for the %llu bytes of %s: make room",
                  (unsigned long long)size, path);
    }
    for (uint64_t offset = 0; offset < size && rv == OK; offset += ZERO_CHUNK) {
        uint64_t n = size - offset < ZERO_CHUNK ? size - offset : ZERO_CHUNK;
        ssize_t written;

        do {
            written = pwrite(fd, zeros, (size_t)n, (off_t)offset);
        } while (written < 0 && errno == EINTR);
        if (written < 0 && !is_full(errno)) {
            rv = fail_errno(why, errno, "write %s", path);
        } else if (written != (ssize_t)n) {
            rv = fail(why, ERROR_FULL, "no space for the %llu bytes of %s: make room",
                      (unsigned long long)size, path);
        } else if (FAILPOINT_FAILS("segment.prepare_sync") || fdatasync(fd) != 0) {
            rv = fail_errno(why, errno, "sync %s", path);
        }
    }
    free(zeros);
    return rv;
}

enum error segment_prepare(const char *directory, uint64_t number, uint64_t file_size, int *fd,
                           struct reason *why)
{
    char path[PATH_MAX], name[SEGMENT_NAME_MAX];
    enum error rv;

    PRE(file_size % SEGMENT_PAGE == 0);
    segment_name("spare", number, name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", directory, name);
    }
    unlink(path);
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0) {
        enum error kind = is_full(errno) ? ERROR_FULL : ERROR_IO;

        return fail(why, kind, "create %s: error %d", path, errno);
    }
    FAILPOINT("segment.before_prepare");
    rv = fill(*fd, file_size, path, why);
    FAILPOINT("segment.after_prepare");
    if (rv != OK) {
        close(*fd);
        *fd = -1;
        unlink(path);
    }
    return rv;
}

enum error segment_activate(const char *directory, int fd, const struct segment_header *header,
                            struct reason *why)
{
    char from[PATH_MAX], to[PATH_MAX], spare[SEGMENT_NAME_MAX], segment[SEGMENT_NAME_MAX];
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    enum error rv;

    segment_name("spare", header->number, spare);
    segment_name("segment", header->number, segment);
    if (snprintf(from, sizeof from, "%s/%s", directory, spare) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%s", directory, segment) >= (int)sizeof to) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", directory, segment);
    }
    segment_header_encode(header, bytes);
    rv = durable_write_at(fd, bytes_of(bytes, sizeof bytes), 0, why);
    if (rv != OK) {
        return rv;
    }
    FAILPOINT("segment.before_header_sync");
    if (FAILPOINT_FAILS("segment.header_sync") || fdatasync(fd) != 0) {
        return fail_errno(why, errno, "sync %s", from);
    }
    FAILPOINT("segment.before_rename");
    if (rename(from, to) != 0) {
        return fail_errno(why, errno, "rename %s to %s", from, to);
    }
    FAILPOINT("segment.after_rename");
    return durable_sync_directory(directory, why);
}
