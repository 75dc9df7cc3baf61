#ifndef NODE_REPAIR_FETCH_H
#define NODE_REPAIR_FETCH_H

#include "base/digest.h"
#include "node/peers.h"
#include "store/blob_store.h"
#include "store/catalog.h"

/* One missing content, fetched from its holders in turn into an upload of its own, verified and
 * committed. Embedded in its owner. */

struct worker;
struct repair_fetch;
typedef void (*repair_fetch_cb)(struct repair_fetch *fetch, enum error status, uint64_t bytes);

struct repair_fetch {
    void *data; /* The owner's. */
    struct digest digest;
    uint64_t received; /* Bytes of the transfer under way. */
    /* Private. */
    struct worker *worker;
    uint64_t holders[HOLDERS_MAX];
    size_t n, next;
    struct peer_request request;
    struct upload *upload;
    struct buffer pending;
    bool is_canceled, is_asking, is_appending, is_paused, has_ended;
    enum error status;
    repair_fetch_cb cb;
};

/* holders: other members that have it. The callback never runs inside the call. Content that is
 * here already is verified and counts as fetched. */
void repair_fetch_start(struct repair_fetch *fetch, struct worker *worker,
                        const struct digest *digest, const uint64_t *holders, size_t n,
                        repair_fetch_cb cb);
/* Ask nobody any more; the callback still comes. */
void repair_fetch_cancel(struct repair_fetch *fetch);

#endif
