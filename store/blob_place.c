/* The commit order's last steps, and small blobs written whole. A staging file becomes a blob by
 * one rename that never replaces; the blob counts as held only once its directory was synced. When
 * that sync fails the name is taken back: a later copy must not lean on a file whose entry may be
 * lost with the power. */
#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/random.h"
#include "store/blob_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum error staging_create(struct blob_store *store, char name[STAGING_NAME_MAX], int *fd,
                          struct reason *why)
{
    random_hex(name, (STAGING_NAME_MAX - 1) / 2);
    *fd =
        openat(store->uploads, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, BLOB_MODE);
    return *fd < 0 ? fail_errno(why, errno, "create uploads/%s", name) : OK;
}

void staging_remove(struct blob_store *store, const char *name)
{
    unlinkat(store->uploads, name, 0);
}

enum error staging_sync(int fd, struct reason *why)
{
    enum error rv = OK;

    FAILPOINT("blob.before_sync");
    if (FAILPOINT_FAILS("blob.sync") || fdatasync(fd) != 0) {
        rv = fail_errno(why, errno, "sync the upload's file");
    }
    FAILPOINT("blob.after_sync");
    if (close(fd) != 0 && rv == OK) {
        rv = fail_errno(why, errno, "close the upload's file");
    }
    return rv;
}

/* Without RENAME_NOREPLACE (some network file systems) a link does the same in two steps. */
static int rename_new(int from_directory, const char *from, int to_directory, const char *to)
{
    if (renameat2(from_directory, from, to_directory, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (linkat(from_directory, from, to_directory, to, 0) != 0) {
        return -1;
    }
    unlinkat(from_directory, from, 0);
    return 0;
}

enum error blob_shard_sync(int directory, const char *path, struct reason *why)
{
    const char shard[3] = {path[0], path[1], '\0'};
    int fd = openat(directory, shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum error rv = OK;

    if (fd < 0) {
        return fail_errno(why, errno, "open blob directory %s", shard);
    }
    FAILPOINT("blob.before_directory_sync");
    if (FAILPOINT_FAILS("blob.directory_sync") || fsync(fd) != 0) {
        rv = fail_errno(why, errno, "sync blob directory %s", shard);
    }
    FAILPOINT("blob.after_directory_sync");
    close(fd);
    return rv;
}

/* One try: OK, ERROR_EXISTS when the name is taken, or what went wrong. */
static enum error place_once(struct blob_store *store, const char *staging,
                             const struct digest *digest, const char *path, struct reason *why)
{
    int directory = blob_directory(store, digest);
    int rv, code;

    FAILPOINT("blob.before_rename");
    uv_mutex_lock(&store->lock);
    rv = rename_new(store->uploads, staging, directory, path);
    code = errno;
    uv_mutex_unlock(&store->lock);
    FAILPOINT("blob.after_rename");
    if (rv != 0) {
        return code == EEXIST ? ERROR_EXISTS
                              : fail_errno(why, code, "move the upload to blob %s", path + 3);
    }
    if (blob_shard_sync(directory, path, why) != OK) {
        unlinkat(directory, path, 0);
        return ERROR_IO;
    }
    return OK;
}

enum error blob_place(struct blob_store *store, const char *staging, const struct digest *digest,
                      struct reason *why)
{
    char path[BLOB_PATH_MAX];
    enum error rv = ERROR_EXISTS;

    blob_path(digest, path);
    for (int tries = 0; rv == ERROR_EXISTS && tries < 8; tries++) {
        rv = place_once(store, staging, digest, path, why);
        if (rv != ERROR_EXISTS) {
            break;
        }
        rv = blob_verify(store, digest, why);
        if (rv == OK) {
            /* Whoever placed it may not have come to the sync yet. */
            rv = blob_shard_sync(blob_directory(store, digest), path, why);
            break;
        }
        if (rv == ERROR_CORRUPT || rv == ERROR_NOT_FOUND) {
            rv = ERROR_EXISTS; /* The way is free now. */
        }
    }
    staging_remove(store, staging);
    return rv == ERROR_EXISTS
               ? fail(why, ERROR_IO, "blob %s keeps changing under its commit", path + 3)
               : rv;
}

enum error blob_save(struct blob_store *store, const struct digest *digest, struct bytes content,
                     struct reason *why)
{
    char name[STAGING_NAME_MAX];
    struct chunk_sums sums;
    struct digest actual;
    enum error rv;
    int fd;

    digest_of(digest->algorithm, content, &actual);
    if (!digest_equal(&actual, digest)) {
        return fail(why, ERROR_DIGEST, "the content does not match its digest");
    }
    rv = staging_create(store, name, &fd, why);
    if (rv != OK) {
        return rv;
    }
    rv = durable_write_at(fd, content, 0, why);
    if (rv != OK) {
        close(fd);
    } else {
        rv = staging_sync(fd, why);
    }
    if (rv != OK) {
        staging_remove(store, name);
        return rv;
    }
    chunk_sums_init(&sums);
    chunk_sums_update(&sums, content);
    blob_sums_save(store, digest, &sums);
    chunk_sums_release(&sums);
    return blob_place(store, name, digest, why);
}
