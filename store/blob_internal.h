#ifndef STORE_BLOB_INTERNAL_H
#define STORE_BLOB_INTERNAL_H

#include "store/blob_store.h"

/* What the files of the blob store share: directory descriptors, names, and the last steps of the
 * commit order. Not for other users. */

#define BLOB_PATH_MAX    (3 + DIGEST_HEX_MAX) /* "ab/<hex>". */
#define STAGING_NAME_MAX 33                   /* 32 hex digits. */
#define BLOB_MODE        0600

struct blob_store {
    int root, uploads, quarantine;
    int blobs[DIGEST_SHA512 + 1]; /* blobs/<algorithm>, by enum digest_algorithm. */
    uv_mutex_t lock;              /* Held over each rename, so that a check and its move are one. */
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

/* Hash size bytes of an open file. */
enum error blob_hash_file(int fd, enum digest_algorithm algorithm, struct digest *out,
                          struct reason *why) MUST_USE;
/* Take the file that fd has open out of the way; nothing happens when another took its name. */
enum error blob_quarantine(struct blob_store *store, const struct digest *digest, int fd,
                           struct reason *why) MUST_USE;

#endif
