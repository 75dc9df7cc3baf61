#ifndef NODE_MANIFEST_LOAD_H
#define NODE_MANIFEST_LOAD_H

#include "base/digest.h"
#include "node/peers.h"
#include "store/catalog.h"

#include <uv.h>

/* The bytes of a manifest: from the worker's cache, this node's disk, or a peer that holds them.
 * Whatever the way, they are checked against their digest. Which content a caller may see was
 * decided before. */

#define MANIFEST_CACHE_BYTES (16u * 1024 * 1024)

struct manifest_cache; /* Of one worker, least recently used first out. */

struct manifest_cache *manifest_cache_open(void);
void manifest_cache_close(struct manifest_cache *cache);

struct worker;
struct manifest_load;
/* content is borrowed for the call. ERROR_UNAVAILABLE: no holder could be reached. */
typedef void (*manifest_load_cb)(struct manifest_load *load, enum error status,
                                 struct bytes content);

struct manifest_load {
    void *data; /* The owner's. */
    /* Private. */
    struct worker *worker;
    struct digest digest;
    struct buffer content;
    enum error status;
    uv_work_t work;
    struct peer_request request;
    uint64_t holders[HOLDERS_MAX];
    size_t n_holders, next_holder;
    manifest_load_cb cb;
};

/* The callback may come inside the call (a hit in the cache). */
void manifest_load_start(struct worker *worker, struct manifest_load *load,
                         const struct digest *digest, manifest_load_cb cb);

#endif
