#ifndef STORE_BLOB_INTERNAL_H
#define STORE_BLOB_INTERNAL_H

#include "store/blob_store.h"
#include "store/chunk_sums.h"

#include <stdatomic.h>

/* What the files of the blob store share: directory descriptors, names, and the last steps of the
 * commit order. Not for other users. */

#define BLOB_PATH_MAX    (3 + DIGEST_HEX_MAX) /* "ab/<hex>". */
#define STAGING_NAME_MAX 33                   /* 32 hex digits. */
#define BLOB_MODE        0600

struct blob_store {
    int root, uploads, quarantine;
    int blobs[DIGEST_SHA512 + 1]; /* blobs/<algorithm>, by enum digest_algorithm. */
    atomic_uint_fast64_t quarantined;
    uv_mutex_t lock; /* Held over each rename, so that a check and its move are one. */
};

int blob_directory(const struct blob_store *store, const struct digest *digest);
void blob_path(const struct digest *digest, char path[BLOB_PATH_MAX]);

/* A new staging file in uploads/ for writing. */
enum error staging_create(struct blob_store *store, char name[STAGING_NAME_MAX], int *fd,
                          struct reason *why) MUST_USE;
void staging_remove(struct blob_store *store, const char *name);
/* Sync and close: after OK its bytes are on the disk. The descriptor is closed either way, so that
 * a failed sync is never asked again. */
enum error staging_sync(int fd, struct reason *why) MUST_USE;
/* Move a synced staging file whose content was checked to the blob's name, and sync the directory.
 * What is there already is verified: good, it stays and the staging file goes; bad, it is moved to
 * quarantine/. The staging file is gone afterwards, whatever the outcome. */
enum error blob_place(struct blob_store *store, const char *staging, const struct digest *digest,
                      struct reason *why) MUST_USE;

/* Make the names in the shard of path ("ab/...") durable. */
enum error blob_shard_sync(int directory, const char *path, struct reason *why);
/* Hash an open file to its end, and count its sums anew (NULL: do not). */
enum error blob_hash_file(int fd, enum digest_algorithm algorithm, struct digest *out,
                          struct chunk_sums *sums, struct reason *why) MUST_USE;
/* Take the file that fd has open out of the way; nothing happens when another took its name. */
enum error blob_quarantine(struct blob_store *store, const struct digest *digest, int fd,
                           struct reason *why) MUST_USE;
/* The same, and ERROR_CORRUPT with a sentence when that went well. */
enum error blob_damaged(struct blob_store *store, const struct digest *digest, int fd,
                        struct reason *why) MUST_USE;

/* --- the file of sums (blob_sums.c) ----------------------------------------------------------- */

#define BLOB_SUMS_PATH_MAX (BLOB_PATH_MAX + 5) /* "ab/<hex>.sums". */

void blob_sums_path(const struct digest *digest, char path[BLOB_SUMS_PATH_MAX]);
/* Derived data: no sync of its own, because a file that a power cut emptied says so and is counted
 * again. Before blob_place(), whose directory sync then covers both names; nothing for blobs of one
 * chunk. A failure is logged, and costs a re-hash later. */
void blob_sums_save(struct blob_store *store, const struct digest *digest,
                    const struct chunk_sums *sums);
/* ERROR_NOT_FOUND; ERROR_CORRUPT: not the sums of this digest and size, or damaged. */
enum error blob_sums_load(struct blob_store *store, const struct digest *digest, uint64_t size,
                          struct chunk_sums *out) MUST_USE;

#endif
