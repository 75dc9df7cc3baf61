/* The blob store's directories. All shards (blobs/<algorithm>/00 .. ff) are made and synced when it
 * is opened, so that a commit never has to make a parent: only its own shard needs a sync. Names
 * are made of verified hex alone and opened relative to a directory descriptor, without following
 * links.
 */
#include "store/blob_store.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "store/blob_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int blob_directory(const struct blob_store *store, const struct digest *digest)
{
    PRE(digest->algorithm == DIGEST_SHA256 || digest->algorithm == DIGEST_SHA512);
    return store->blobs[digest->algorithm];
}

void blob_path(const struct digest *digest, char path[BLOB_PATH_MAX])
{
    char hex[DIGEST_HEX_MAX];

    digest_format_hex(digest, hex);
    snprintf(path, BLOB_PATH_MAX, "%.2s/%s", hex, hex);
}

static enum error directory_open(const char *parent, const char *name, int *fd, struct reason *why)
{
    char path[PATH_MAX];
    enum error rv;

    if (snprintf(path, sizeof path, "%s/%s", parent, name) >= (int)sizeof path) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", parent, name);
    }
    rv = durable_make_directory(path, why);
    if (rv != OK) {
        return rv;
    }
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? fail_errno(why, errno, "open directory %s", path) : OK;
}

/* Synced even when all of them are there: the run that made them may have died before its sync. */
static enum error shards_make(int fd, struct reason *why)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[3];

        snprintf(name, sizeof name, "%02x", i);
        if (mkdirat(fd, name, 0700) != 0 && errno != EEXIST) {
            return fail_errno(why, errno, "make blob directory %s", name);
        }
    }
    FAILPOINT("shards.before_sync");
    return fsync(fd) == 0 ? OK : fail_errno(why, errno, "sync blob directory");
}

/* Nobody can go on with an upload of an earlier run: sessions live in memory. */
static enum error uploads_sweep(int uploads, struct reason *why)
{
    int fd = openat(uploads, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (directory == NULL) {
        enum error rv = fail_errno(why, errno, "read uploads/");

        if (fd >= 0) {
            close(fd);
        }
        return rv;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            unlinkat(uploads, entry->d_name, 0);
        }
    }
    closedir(directory);
    return OK;
}

static enum error store_open_all(struct blob_store *store, const char *directory,
                                 struct reason *why)
{
    static const char *const names[] = {
        [DIGEST_SHA256] = "blobs/sha256", [DIGEST_SHA512] = "blobs/sha512"};
    enum error rv = directory_open(directory, "", &store->root, why);

    for (unsigned i = DIGEST_SHA256; i <= DIGEST_SHA512 && rv == OK; i++) {
        rv = directory_open(directory, names[i], &store->blobs[i], why);
        if (rv == OK) {
            rv = shards_make(store->blobs[i], why);
        }
    }
    if (rv == OK) {
        rv = directory_open(directory, "uploads", &store->uploads, why);
    }
    if (rv == OK) {
        rv = directory_open(directory, "quarantine", &store->quarantine, why);
    }
    return rv == OK ? uploads_sweep(store->uploads, why) : rv;
}

enum error blob_store_open(const char *directory, struct blob_store **out, struct reason *why)
{
    struct blob_store *store = memory_zero(sizeof *store);
    enum error rv;

    store->root = store->uploads = store->quarantine = -1;
    store->blobs[0] = store->blobs[DIGEST_SHA256] = store->blobs[DIGEST_SHA512] = -1;
    CHECK(uv_mutex_init(&store->lock) == 0);
    rv = store_open_all(store, directory, why);
    if (rv != OK) {
        blob_store_close(store);
        return rv;
    }
    *out = store;
    return OK;
}

void blob_store_close(struct blob_store *store)
{
    const int fds[] = {store->root, store->uploads, store->quarantine, store->blobs[DIGEST_SHA256],
                       store->blobs[DIGEST_SHA512]};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    uv_mutex_destroy(&store->lock);
    free(store);
}

void blob_store_space(struct blob_store *store, struct blob_store_space *out)
{
    struct statvfs info;

    *out = (struct blob_store_space){0, 0};
    if (fstatvfs(store->root, &info) == 0) {
        out->free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
        out->total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
    }
}

uint64_t blob_store_quarantined(struct blob_store *store)
{
    return atomic_load(&store->quarantined);
}
