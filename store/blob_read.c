/* Reading, checking and removing blobs. A file that does not hash to its name is never handed out:
 * it is moved to quarantine/, where an operator can look at it, and the blob counts as missing. */
#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "store/blob_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_PIECE (256u * 1024)

enum error blob_open(struct blob_store *store, const struct digest *digest, int *fd, uint64_t *size,
                     struct reason *why)
{
    char path[BLOB_PATH_MAX];
    struct stat info;

    blob_path(digest, path);
    *fd = openat(blob_directory(store, digest), path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0 && errno == ENOENT) {
        return fail(why, ERROR_NOT_FOUND, "blob %s is not on this node", path + 3);
    }
    if (*fd < 0) {
        return fail_errno(why, errno, "open blob %s", path + 3);
    }
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(*fd);
        *fd = -1;
        return fail(why, ERROR_IO, "blob %s is not a readable file", path + 3);
    }
    *size = (uint64_t)info.st_size;
    return OK;
}

bool blob_exists(struct blob_store *store, const struct digest *digest)
{
    char path[BLOB_PATH_MAX];

    blob_path(digest, path);
    return faccessat(blob_directory(store, digest), path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

enum error blob_hash_file(int fd, enum digest_algorithm algorithm, struct digest *out,
                          struct chunk_sums *sums, struct reason *why)
{
    uint8_t *piece = memory_alloc(READ_PIECE);
    struct hasher hasher;
    uint64_t offset = 0;
    enum error rv;
    size_t n;

    hasher_init(&hasher, algorithm);
    if (sums != NULL) {
        chunk_sums_clear(sums);
    }
    do {
        rv = durable_read_at(fd, piece, READ_PIECE, offset, &n, why);
        hasher_update(&hasher, bytes_of(piece, n));
        if (sums != NULL) {
            chunk_sums_update(sums, bytes_of(piece, n));
        }
        offset += n;
    } while (rv == OK && n == READ_PIECE);
    hasher_peek(&hasher, out);
    hasher_release(&hasher);
    free(piece);
    return rv;
}

enum error blob_quarantine(struct blob_store *store, const struct digest *digest, int fd,
                           struct reason *why)
{
    char path[BLOB_PATH_MAX], name[DIGEST_HEX_MAX + 20];
    int directory = blob_directory(store, digest);
    struct stat opened, named;
    enum error rv = OK;
    bool is_moved = false;

    blob_path(digest, path);
    snprintf(name, sizeof name, "%s.%016llx", path + 3, (unsigned long long)random_u64());
    uv_mutex_lock(&store->lock);
    if (fstat(fd, &opened) == 0 && fstatat(directory, path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        opened.st_ino == named.st_ino) {
        FAILPOINT("quarantine.before_rename");
        if (renameat(directory, path, store->quarantine, name) != 0) {
            rv = fail_errno(why, errno, "move damaged blob %s to quarantine/", path + 3);
        } else {
            FAILPOINT("quarantine.after_rename");
            is_moved = true;
        }
    }
    uv_mutex_unlock(&store->lock);
    if (is_moved) {
        LOG_ERROR("blob %s is damaged: moved to quarantine/%s", path + 3, name);
        atomic_fetch_add(&store->quarantined, 1);
        /* A sync that fails brings the damaged name back after a power cut: found again then. */
        (void)fsync(store->quarantine);
        (void)blob_shard_sync(directory, path, NULL);
    }
    return rv;
}

enum error blob_damaged(struct blob_store *store, const struct digest *digest, int fd,
                        struct reason *why)
{
    char text[DIGEST_TEXT_MAX];
    enum error rv = blob_quarantine(store, digest, fd, why);

    digest_format(digest, text);
    return rv == OK ? fail(why, ERROR_CORRUPT,
                           "the copy of %s on this node does not match its digest; it was moved to "
                           "quarantine/",
                           text)
                    : rv;
}

static enum error load_checked(struct blob_store *store, const struct digest *digest, int fd,
                               size_t size, struct buffer *out, struct reason *why)
{
    uint8_t *content = memory_alloc(size + 1);
    struct digest actual;
    enum error rv;
    size_t n;

    rv = durable_read_at(fd, content, size, 0, &n, why);
    if (rv == OK) {
        digest_of(digest->algorithm, bytes_of(content, n), &actual);
        rv = digest_equal(&actual, digest) ? OK : blob_damaged(store, digest, fd, why);
    } else {
        rv = blob_damaged(store, digest, fd, why);
    }
    if (rv == OK) {
        buffer_append(out, bytes_of(content, n));
    }
    free(content);
    return rv;
}

enum error blob_load(struct blob_store *store, const struct digest *digest, size_t limit,
                     struct buffer *out, struct reason *why)
{
    uint64_t size = 0;
    enum error rv;
    int fd = -1;

    buffer_init(out, limit);
    rv = blob_open(store, digest, &fd, &size, why);
    if (rv != OK) {
        return rv;
    }
    if (size > limit) {
        rv = fail(why, ERROR_TOO_LARGE, "blob has %llu bytes, over the limit of %zu",
                  (unsigned long long)size, limit);
    } else {
        rv = load_checked(store, digest, fd, (size_t)size, out, why);
    }
    close(fd);
    return rv;
}

enum error blob_remove(struct blob_store *store, const struct digest *digest, struct reason *why)
{
    char path[BLOB_PATH_MAX], sums[BLOB_SUMS_PATH_MAX];
    int directory = blob_directory(store, digest);
    enum error rv;

    blob_path(digest, path);
    blob_sums_path(digest, sums);
    uv_mutex_lock(&store->lock);
    if (unlinkat(directory, path, 0) == 0) {
        unlinkat(directory, sums, 0);
        rv = OK;
    } else if (errno == ENOENT) {
        rv = fail(why, ERROR_NOT_FOUND, "blob %s is not on this node", path + 3);
    } else {
        rv = fail_errno(why, errno, "remove blob %s", path + 3);
    }
    uv_mutex_unlock(&store->lock);
    return rv;
}
