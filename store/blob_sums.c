/* The file of sums beside a large blob. It replaces what was there: unlike the blob it is derived,
 * and the newest count, made from verified content, is the best one. */
#include "base/assert.h"
#include "base/durable.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/blob_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void blob_sums_path(const struct digest *digest, char path[BLOB_SUMS_PATH_MAX])
{
    char blob[BLOB_PATH_MAX];

    blob_path(digest, blob);
    snprintf(path, BLOB_SUMS_PATH_MAX, "%s.sums", blob);
}

static enum error sums_write(struct blob_store *store, const struct digest *digest,
                             struct bytes content, struct reason *why)
{
    char name[STAGING_NAME_MAX], path[BLOB_SUMS_PATH_MAX];
    enum error rv;
    int fd;

    rv = staging_create(store, name, &fd, why);
    if (rv != OK) {
        return rv;
    }
    rv = durable_write_at(fd, content, 0, why);
    if (close(fd) != 0 && rv == OK) {
        rv = fail_errno(why, errno, "close the file of sums");
    }
    blob_sums_path(digest, path);
    if (rv == OK && renameat(store->uploads, name, blob_directory(store, digest), path) != 0) {
        rv = fail_errno(why, errno, "move the sums to %s", path);
    }
    if (rv != OK) {
        staging_remove(store, name);
    }
    return rv;
}

void blob_sums_save(struct blob_store *store, const struct digest *digest,
                    const struct chunk_sums *sums)
{
    struct buffer content;
    struct reason why;

    if (sums->size <= CHUNK_SIZE) {
        return;
    }
    chunk_sums_pack(sums, digest, &content);
    if (sums_write(store, digest, buffer_view(&content), &why) != OK) {
        LOG_WARN("no chunk sums were kept: %s", why.text);
    }
    buffer_release(&content);
}

enum error blob_sums_load(struct blob_store *store, const struct digest *digest, uint64_t size,
                          struct chunk_sums *out)
{
    size_t limit = chunk_sums_file_size(size), n;
    char path[BLOB_SUMS_PATH_MAX];
    uint8_t *content;
    enum error rv;
    int fd;

    blob_sums_path(digest, path);
    fd = openat(blob_directory(store, digest), path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return ERROR_NOT_FOUND;
    }
    content = memory_alloc(limit + 1);
    rv = durable_read_at(fd, content, limit + 1, 0, &n, NULL);
    close(fd);
    if (rv == OK) {
        rv = chunk_sums_unpack(bytes_of(content, n), digest, size, out);
    }
    free(content);
    return rv == OK ? OK : ERROR_CORRUPT;
}
