#ifndef NODE_COPIES_H
#define NODE_COPIES_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "node/replicate.h"

/* Getting durable copies of one content: here, and on as many other members as an acknowledgement
 * needs, at the same time. Members that have the bytes already (node/relay.h) are asked to commit;
 * when too few of them do, the whole content is sent to others. A job is its own owner: it calls
 * back once and lives on until the last member has answered; copies that come late are told to
 * node/repair.h. */

struct upload;
struct worker;

struct copies_options {
    struct digest digest;
    struct bytes repository; /* Whose settings hold. */
    /* Where the bytes are, one of: an upload, committed here first (it is the caller's again at the
     * callback); content, copied and saved here; neither: this node holds the blob already. */
    struct upload *upload;
    struct bytes content;
    /* Members that have all bytes in their upload of this id. */
    const char *uuid;
    const uint64_t *staged;
    size_t n_staged;
};

/* status as in node/replicate.h; holders are durable also when it is an error. */
typedef void (*copies_cb)(void *data, enum error status, const uint64_t *holders, size_t n_holders,
                          const struct reason *why);

void copies_start(struct worker *worker, const struct copies_options *options, copies_cb cb,
                  void *data);

#endif
