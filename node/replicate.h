#ifndef NODE_REPLICATE_H
#define NODE_REPLICATE_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "store/settings.h"

/* Small content (manifests, at most REPLICATE_SIZE_MAX bytes) onto as many nodes as an
 * acknowledgement needs: saved and synced here and on other live members at the same time. Done
 * when this node and write_quorum - 1 others have it; members that are done later are told to
 * node/repair.h, which adds them to the log. */

struct worker;

#define REPLICATE_SIZE_MAX (4u * 1024 * 1024)
#define REPLICATE_HOLDERS  16

struct replicate;
/* OK: holders have it durably, propose them. ERROR_UNAVAILABLE (why names how many copies there
 * are), ERROR_FULL, ERROR_IO, ERROR_DIGEST. */
typedef void (*replicate_cb)(struct replicate *request, enum error status,
                             const struct reason *why);

struct replicate {
    void *data; /* The owner's. */
    uint64_t holders[REPLICATE_HOLDERS];
    size_t n_holders;
    /* Private. */
    replicate_cb cb;
};

/* content is copied. When as many members as an acknowledgement needs hold it already, this one
 * among them, nothing is sent; the copy here is read and checked against its digest all the same,
 * so that pushing again repairs it. The callback comes on the worker's loop, never inside the call.
 */
void replicate_start(struct worker *worker, struct replicate *request, struct bytes repository,
                     const struct digest *digest, struct bytes content, replicate_cb cb);

/* What holds for content of a repository now (empty: for the cluster), cut to the members of now;
 * at least one of each. */
struct replication_setting replication_now(struct worker *worker, struct bytes repository);

#endif
