/* An upload: a staging file that grows, hashed with SHA-256 as it does, and is committed or
 * dropped. One operation at a time, each one a piece of work in libuv's pool; the state below
 * belongs to the pool thread while one is under way, to the caller otherwise. After any error the
 * upload is spent: only discard is left.
 *
 *   create -> (append | truncate)* -> commit -> discard */
#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "store/blob_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Ask the kernel to start writing early, so that the final sync has little left to do. */
#define WRITE_BEHIND (8u * 1024 * 1024)

enum upload_operation { UPLOAD_APPEND, UPLOAD_TRUNCATE, UPLOAD_COMMIT, UPLOAD_DISCARD };

struct upload {
    struct blob_store *store;
    char name[STAGING_NAME_MAX];
    int fd; /* -1: none yet, or not any more. */
    bool is_spent;
    uint64_t size, written_behind;
    struct hasher hasher;
    struct chunk_sums sums;
    bool hash_is_stale; /* Bytes were taken back: the file is read again at commit. */
    /* The operation under way. */
    uv_work_t work;
    bool is_busy;
    enum upload_operation operation;
    uint8_t *piece;
    size_t piece_size, piece_capacity;
    uint64_t offset;
    struct digest expected;
    enum error status;
    struct reason why;
    upload_cb cb;
    void *data;
};

struct upload *upload_create(struct blob_store *store)
{
    struct upload *upload = memory_zero(sizeof *upload);

    upload->store = store;
    upload->fd = -1;
    hasher_init(&upload->hasher, DIGEST_SHA256);
    chunk_sums_init(&upload->sums);
    return upload;
}

uint64_t upload_size(const struct upload *upload)
{
    return upload->size;
}

void upload_rest(struct upload *upload)
{
    PRE(!upload->is_busy);
    free(upload->piece);
    upload->piece = NULL;
    upload->piece_size = upload->piece_capacity = 0;
}

static enum error upload_file(struct upload *upload, struct reason *why)
{
    return upload->fd >= 0 ? OK : staging_create(upload->store, upload->name, &upload->fd, why);
}

static enum error append_work(struct upload *upload, struct reason *why)
{
    struct bytes piece = bytes_of(upload->piece, upload->piece_size);
    enum error rv = upload_file(upload, why);

    if (rv == OK) {
        FAILPOINT("upload.before_write");
        rv = durable_write_at(upload->fd, piece, upload->size, why);
        FAILPOINT("upload.after_write");
    }
    if (rv != OK) {
        return rv;
    }
    if (!upload->hash_is_stale) {
        hasher_update(&upload->hasher, piece);
        chunk_sums_update(&upload->sums, piece);
    }
    upload->size += piece.size;
    if (upload->size - upload->written_behind >= WRITE_BEHIND) {
        (void)sync_file_range(upload->fd, (off_t)upload->written_behind,
                              (off_t)(upload->size - upload->written_behind),
                              SYNC_FILE_RANGE_WRITE);
        upload->written_behind = upload->size;
    }
    return OK;
}

/* A staging file is nobody's yet: cutting it takes nothing from anyone. */
static enum error truncate_work(struct upload *upload, struct reason *why)
{
    if (upload->offset == upload->size) {
        return OK;
    }
    if (ftruncate(upload->fd, (off_t)upload->offset) != 0) {
        return fail_errno(why, errno, "take back the end of the upload");
    }
    upload->size = upload->offset;
    if (upload->written_behind > upload->size) {
        upload->written_behind = upload->size;
    }
    upload->hash_is_stale = true;
    return OK;
}

static enum error upload_digest(struct upload *upload, struct digest *out, struct reason *why)
{
    if (upload->expected.algorithm == DIGEST_SHA256 && !upload->hash_is_stale) {
        hasher_peek(&upload->hasher, out);
        return OK;
    }
    return blob_hash_file(upload->fd, upload->expected.algorithm, out, &upload->sums, why);
}

static enum error commit_work(struct upload *upload, struct reason *why)
{
    char actual_text[DIGEST_TEXT_MAX], expected_text[DIGEST_TEXT_MAX];
    struct digest actual;
    enum error rv = upload_file(upload, why);
    int fd;

    if (rv == OK) {
        rv = upload_digest(upload, &actual, why);
    }
    if (rv != OK) {
        return rv;
    }
    if (!digest_equal(&actual, &upload->expected)) {
        digest_format(&actual, actual_text);
        digest_format(&upload->expected, expected_text);
        return fail(why, ERROR_DIGEST, "the %llu uploaded bytes have digest %s, not %s",
                    (unsigned long long)upload->size, actual_text, expected_text);
    }
    fd = upload->fd;
    upload->fd = -1;
    rv = staging_sync(fd, why);
    if (rv != OK) {
        staging_remove(upload->store, upload->name);
        return rv;
    }
    blob_sums_save(upload->store, &upload->expected, &upload->sums);
    return blob_place(upload->store, upload->name, &upload->expected, why);
}

static void upload_work(uv_work_t *work)
{
    struct upload *upload = container_of(work, struct upload, work);

    upload->why.text[0] = '\0';
    switch (upload->operation) {
    case UPLOAD_APPEND:
        upload->status = append_work(upload, &upload->why);
        return;
    case UPLOAD_TRUNCATE:
        upload->status = truncate_work(upload, &upload->why);
        return;
    case UPLOAD_COMMIT:
        upload->status = commit_work(upload, &upload->why);
        return;
    case UPLOAD_DISCARD:
        break;
    }
    IMPOSSIBLE("discard has work of its own");
}

static void upload_work_cb(uv_work_t *work, int status)
{
    struct upload *upload = container_of(work, struct upload, work);
    upload_cb cb = upload->cb;

    CHECK(status == 0);
    upload->is_busy = false;
    upload->is_spent = upload->status != OK || upload->operation == UPLOAD_COMMIT;
    cb(upload, upload->data, upload->status, &upload->why);
}

static void upload_start(struct upload *upload, uv_loop_t *loop, enum upload_operation operation,
                         upload_cb cb, void *data)
{
    PRE(!upload->is_busy);
    PRE(!upload->is_spent);
    upload->is_busy = true;
    upload->operation = operation;
    upload->cb = cb;
    upload->data = data;
    CHECK(uv_queue_work(loop, &upload->work, upload_work, upload_work_cb) == 0);
}

void upload_append(struct upload *upload, uv_loop_t *loop, struct bytes bytes, upload_cb cb,
                   void *data)
{
    PRE(bytes.size > 0);
    if (bytes.size > upload->piece_capacity) {
        upload->piece = memory_resize(upload->piece, bytes.size);
        upload->piece_capacity = bytes.size;
    }
    memcpy(upload->piece, bytes.data, bytes.size);
    upload->piece_size = bytes.size;
    upload_start(upload, loop, UPLOAD_APPEND, cb, data);
}

void upload_truncate(struct upload *upload, uv_loop_t *loop, uint64_t offset, upload_cb cb,
                     void *data)
{
    PRE(offset <= upload->size);
    upload->offset = offset;
    upload_start(upload, loop, UPLOAD_TRUNCATE, cb, data);
}

void upload_commit(struct upload *upload, uv_loop_t *loop, const struct digest *expected,
                   upload_cb cb, void *data)
{
    PRE(expected->algorithm == DIGEST_SHA256 || expected->algorithm == DIGEST_SHA512);
    upload->expected = *expected;
    upload_start(upload, loop, UPLOAD_COMMIT, cb, data);
}

static void discard_work(uv_work_t *work)
{
    struct upload *upload = container_of(work, struct upload, work);

    if (upload->fd >= 0) {
        FAILPOINT("upload.before_remove");
        close(upload->fd);
        staging_remove(upload->store, upload->name);
    }
}

static void discard_work_cb(uv_work_t *work, int status)
{
    struct upload *upload = container_of(work, struct upload, work);

    (void)status;
    hasher_release(&upload->hasher);
    chunk_sums_release(&upload->sums);
    free(upload->piece);
    free(upload);
}

void upload_discard(struct upload *upload, uv_loop_t *loop)
{
    PRE(!upload->is_busy);
    upload->is_busy = true;
    upload->operation = UPLOAD_DISCARD;
    if (loop != NULL) {
        CHECK(uv_queue_work(loop, &upload->work, discard_work, discard_work_cb) == 0);
        return;
    }
    discard_work(&upload->work);
    discard_work_cb(&upload->work, 0);
}
