#ifndef PROMOTION_CLOSURE_H
#define PROMOTION_CLOSURE_H

#include "store/catalog.h"

/* The closure of a manifest in a repository: everything that must move with it, found from the
 * replicated facts alone, so that any node finds the same at the same index.
 *
 * From the root: the children of an index, configs, layers, and for every manifest on the way its
 * referrers and what the tag schemes attach to it (sha256-<hex>, sha256-<hex>.sig, .att, .sbom),
 * again with all that belongs to those. Foreign layers that nobody pushed are left out. The result
 * does not depend on the order of the search: entries are sorted by digest and carry the union of
 * the roles in which they were met. */

#define CLOSURE_DIGESTS_MAX 5000
#define CLOSURE_DEPTH_MAX   8

enum closure_role {
    CLOSURE_MANIFEST = 1, /* Held as a manifest; else a blob. */
    CLOSURE_CHILD = 2,    /* Named by an index. */
    CLOSURE_CONFIG = 4,
    CLOSURE_LAYER = 8,
    CLOSURE_REFERRER = 16,
    CLOSURE_ATTACHMENT = 32, /* By a tag of the tag schemes. */
};

struct closure_entry {
    struct digest digest;
    uint64_t size;
    unsigned roles;
};

/* A tag of the tag schemes that goes along. */
struct closure_tag {
    char name[TAG_MAX_SIZE + 1];
    struct digest digest;
};

struct closure {
    struct closure_entry *entries; /* By digest. */
    size_t n;
    struct closure_tag *tags; /* By name. */
    size_t n_tags;
    uint64_t bytes;     /* Sum of the sizes. */
    struct digest hash; /* Over entries and tags: equal closures, equal hash. */
    /* Private. */
    size_t capacity, tags_capacity;
    size_t *slots; /* Open-addressed index from digest to entry, while it is built. */
};

/* ERROR_MANIFEST_UNKNOWN: the repository does not hold root. ERROR_MANIFEST_BLOB_UNKNOWN: something
 * that belongs to it is not in the repository (the sentence names it). ERROR_TOO_LARGE: over the
 * limits. Release with closure_release() only after OK. */
enum error closure_find(struct catalog_txn *txn, struct bytes repository, const struct digest *root,
                        struct closure *out, struct reason *why) MUST_USE;
void closure_release(struct closure *closure);

#endif
