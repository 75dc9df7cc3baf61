#ifndef NODE_COPY_SEND_H
#define NODE_COPY_SEND_H

#include "base/digest.h"
#include "node/peers.h"

#include <uv.h>

/* One whole content to one member: PUT /internal/v1/blobs/{digest}, from memory or from this node's
 * own copy, read in the pool piece by piece as the member takes it. Embedded in its owner. */

struct worker;
struct copy_send;
/* OK: durable there. Otherwise why says what the member or the way to it answered. */
typedef void (*copy_send_cb)(struct copy_send *send, enum error status, const struct reason *why);

struct copy_send {
    void *data; /* The owner's. */
    /* Private. */
    struct worker *worker;
    struct peer_request request;
    copy_send_cb cb;
    int fd;
    uint64_t offset, size;
    uint8_t *piece;
    uv_fs_t read;
    bool is_reading, is_over;
    enum error status;
    struct reason why;
};

/* content.data NULL: from this node's copy. content is borrowed until the callback. */
void copy_send_start(struct copy_send *send, struct worker *worker, uint64_t member,
                     const struct digest *digest, struct bytes content, copy_send_cb cb);

#endif
