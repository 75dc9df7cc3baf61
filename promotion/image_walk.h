#ifndef PROMOTION_IMAGE_WALK_H
#define PROMOTION_IMAGE_WALK_H

#include "store/catalog.h"

/* The manifests that make up an image: its root and, when that is an index, the children, down to
 * the images. Without what was attached to it (see promotion/closure.h for all that moves). */

struct image_manifest {
    const struct digest *digest;
    const struct manifest_record *record;
    bool is_index; /* It names other manifests. */
    bool is_root;
    uint64_t bytes;       /* Of the manifest, its config and its layers. */
    uint64_t layer_bytes; /* Of the largest layer. */
    size_t layers;
    bool has_external; /* A foreign layer that nobody has to push. */
};

typedef void (*image_visit)(void *data, const struct image_manifest *manifest);

/* The root first, each manifest once for each way that leads to it, at most 4 levels and 1,000
 * manifests deep. False: something of it is not there, or there is more than that. */
bool image_walk(struct catalog_txn *txn, struct bytes repository, const struct digest *root,
                image_visit visit, void *data);

#endif
