#include "base/durable.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum error durable_write_at(int descriptor, struct bytes content, uint64_t offset,
                            struct reason *why)
{
    while (content.size > 0) {
        ssize_t n = pwrite(descriptor, content.data, content.size, (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(why, errno, "write of %zu bytes at %llu", content.size,
                              (unsigned long long)offset);
        }
        content = bytes_slice(content, (size_t)n, content.size);
        offset += (uint64_t)n;
    }
    return OK;
}

enum error durable_read_at(int descriptor, void *out, size_t size, uint64_t offset, size_t *n,
                           struct reason *why)
{
    *n = 0;
    while (*n < size) {
        ssize_t got = pread(descriptor, (uint8_t *)out + *n, size - *n, (off_t)(offset + *n));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_errno(why, errno, "read of %zu bytes at %llu", size,
                              (unsigned long long)offset);
        }
        if (got == 0) {
            break;
        }
        *n += (size_t)got;
    }
    return OK;
}

enum error durable_sync_directory(const char *path, struct reason *why)
{
    enum error rv = OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return fail_errno(why, errno, "open directory %s", path);
    }
    FAILPOINT("directory.before_sync");
    if (FAILPOINT_FAILS("directory.sync") || fsync(fd) != 0) {
        rv = fail_errno(why, errno, "sync directory %s", path);
    }
    FAILPOINT("directory.after_sync");
    close(fd);
    return rv;
}

static enum error write_synced(const char *path, mode_t mode, struct bytes content,
                               struct reason *why)
{
    enum error rv;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd < 0) {
        return fail_errno(why, errno, "create %s", path);
    }
    rv = durable_write_at(fd, content, 0, why);
    FAILPOINT("durable.before_sync");
    if (rv == OK && (FAILPOINT_FAILS("durable.sync") || fdatasync(fd) != 0)) {
        rv = fail_errno(why, errno, "sync %s", path);
    }
    if (close(fd) != 0 && rv == OK) {
        rv = fail_errno(why, errno, "close %s", path);
    }
    return rv;
}

enum error durable_write(const char *directory, const char *name, mode_t mode, struct bytes content,
                         struct reason *why)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    enum error rv;

    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path ||
        snprintf(temporary, sizeof temporary, "%s/.%s.%016llx", directory, name,
                 (unsigned long long)random_u64()) >= (int)sizeof temporary) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", directory, name);
    }
    rv = write_synced(temporary, mode, content, why);
    FAILPOINT("durable.before_rename");
    if (rv == OK && (FAILPOINT_FAILS("durable.rename") || rename(temporary, path) != 0)) {
        rv = fail_errno(why, errno, "rename %s to %s", temporary, path);
    }
    if (rv != OK) {
        unlink(temporary);
        return rv;
    }
    FAILPOINT("durable.after_rename");
    return durable_sync_directory(directory, why);
}

static enum error read_all(int fd, const char *path, size_t limit, struct buffer *out,
                           struct reason *why)
{
    uint8_t chunk[65536];
    uint64_t offset = 0;
    size_t n;

    do {
        enum error rv = durable_read_at(fd, chunk, sizeof chunk, offset, &n, why);

        if (rv != OK) {
            reason_prefix(why, "%s", path);
            return rv;
        }
        buffer_append(out, bytes_of(chunk, n));
        offset += n;
    } while (n == sizeof chunk && buffer_status(out) == OK);
    if (buffer_status(out) != OK) {
        return fail(why, ERROR_TOO_LARGE, "%s is larger than %zu bytes", path, limit);
    }
    return OK;
}

enum error durable_read(const char *directory, const char *name, size_t limit, struct buffer *out,
                        struct reason *why)
{
    char path[PATH_MAX];
    enum error rv;
    int fd;

    buffer_init(out, limit);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", directory, name);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(why, errno, "open %s", path);
    }
    rv = read_all(fd, path, limit, out, why);
    close(fd);
    return rv;
}

enum error durable_make_directory(const char *path, struct reason *why)
{
    char parent[PATH_MAX];
    struct stat info;
    char *slash;
    enum error rv;

    if (stat(path, &info) == 0) {
        return S_ISDIR(info.st_mode) ? OK : fail(why, ERROR_EXISTS, "%s is not a directory", path);
    }
    if (snprintf(parent, sizeof parent, "%s", path) >= (int)sizeof parent) {
        return fail(why, ERROR_INVALID, "path %s is too long", path);
    }
    slash = strrchr(parent, '/');
    if (slash == parent || slash == NULL) {
        snprintf(parent, sizeof parent, "%s", slash == NULL ? "." : "/");
    } else {
        *slash = '\0';
    }
    rv = durable_make_directory(parent, why);
    if (rv != OK) {
        return rv;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail_errno(why, errno, "make directory %s", path);
    }
    FAILPOINT("directory.after_make");
    return durable_sync_directory(parent, why);
}

enum error durable_lock(const char *directory, int *descriptor, struct reason *why)
{
    char path[PATH_MAX];

    *descriptor = -1;
    if (snprintf(path, sizeof path, "%s/lock", directory) >= (int)sizeof path) {
        return fail(why, ERROR_INVALID, "path %s/lock is too long", directory);
    }
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*descriptor < 0) {
        return fail_errno(why, errno, "open %s", path);
    }
    if (flock(*descriptor, LOCK_EX | LOCK_NB) != 0) {
        enum error rv =
            errno == EWOULDBLOCK
                ? fail(why, ERROR_BUSY, "another process runs on %s; stop it first", directory)
                : fail_errno(why, errno, "lock %s", path);

        close(*descriptor);
        *descriptor = -1;
        return rv;
    }
    return OK;
}
