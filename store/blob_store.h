#ifndef STORE_BLOB_STORE_H
#define STORE_BLOB_STORE_H

#include "base/digest.h"
#include "base/error.h"

#include <uv.h>

/* Content on this node's disk: one file per digest, blobs/sha256/ab/<hex> (with <hex>.sums beside
 * it when it is large, store/chunk_sums.h), and uploads on their way to one, uploads/<uuid>. Commit
 * order: bytes into a staging file in the same file system, hashed as they are written; fdatasync;
 * digest compared; linked into place (never over what is there); directory synced, and each new
 * parent. Nothing is overwritten in place. A sync error ends its file for ever.
 *
 * Threads: a blob_store may be used from all; an upload by one thread at a time. Disk work runs in
 * libuv's pool; callbacks come on the loop that the call named, and never inside the call. */

struct blob_store;

/* Opens or makes the directories; uploads of an earlier run are swept. */
enum error blob_store_open(const char *directory, struct blob_store **out,
                           struct reason *why) MUST_USE;
void blob_store_close(struct blob_store *store);

struct blob_store_space {
    uint64_t free_bytes, total_bytes;
};

void blob_store_space(struct blob_store *store, struct blob_store_space *out);
/* Damaged copies that were moved to quarantine/ since the start. */
uint64_t blob_store_quarantined(struct blob_store *store);

/* --- reading (blocking calls: from pool threads, or for what is surely cached) ---------------- */

/* A descriptor of the blob (close() it) and its size. ERROR_NOT_FOUND, ERROR_IO. */
enum error blob_open(struct blob_store *store, const struct digest *digest, int *fd, uint64_t *size,
                     struct reason *why) MUST_USE;
bool blob_exists(struct blob_store *store, const struct digest *digest);
/* Read a small one whole and check it against its digest; ERROR_CORRUPT moves it to quarantine/. */
enum error blob_load(struct blob_store *store, const struct digest *digest, size_t limit,
                     struct buffer *out, struct reason *why) MUST_USE;
/* Re-hash the file. ERROR_CORRUPT moves it to quarantine/. In steps: store/blob_scan.h. */
enum error blob_verify(struct blob_store *store, const struct digest *digest,
                       struct reason *why) MUST_USE;
enum error blob_remove(struct blob_store *store, const struct digest *digest,
                       struct reason *why) MUST_USE;
/* Write a small one whole, in the commit order; blocking. */
enum error blob_save(struct blob_store *store, const struct digest *digest, struct bytes content,
                     struct reason *why) MUST_USE;

/* --- uploads ---------------------------------------------------------------------------------- */

struct upload;
typedef void (*upload_cb)(struct upload *upload, void *data, enum error status,
                          const struct reason *why);

/* A new staging file (created lazily in the pool). At most one operation at a time on an upload. */
struct upload *upload_create(struct blob_store *store);
/* Write at the end and hash; bytes are copied before it returns. An error spends the upload. */
void upload_append(struct upload *upload, uv_loop_t *loop, struct bytes bytes, upload_cb cb,
                   void *data);
/* Forget everything past offset (a body that was cut short). */
void upload_truncate(struct upload *upload, uv_loop_t *loop, uint64_t offset, upload_cb cb,
                     void *data);
/* The commit order, up to the synced directory: afterwards this node holds the blob. ERROR_DIGEST
 * when the content is another; the upload is then spent. An existing blob is verified, not trusted.
 */
void upload_commit(struct upload *upload, uv_loop_t *loop, const struct digest *expected,
                   upload_cb cb, void *data);
/* Drop the staging file (in the pool of loop; NULL: here and now). No operation may be under way.
 * The upload is gone afterwards. */
void upload_discard(struct upload *upload, uv_loop_t *loop);
uint64_t upload_size(const struct upload *upload);
/* Give back the memory that a following append would use: before a long wait. */
void upload_rest(struct upload *upload);

#endif
