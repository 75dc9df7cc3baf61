#ifndef NODE_CONSISTENCY_H
#define NODE_CONSISTENCY_H

#include "node/http.h"
#include "store/table.h"

/* How new a read is. By default a read of tags, lists and referrers sees all that was acknowledged
 * anywhere before it (a quorum confirmed the leader); "?consistency=stale" reads what this node has
 * and says so in X-Caisson-Consistency. X-Min-Raft-Index asks for at least that index, whichever
 * way. */

enum freshness {
    FRESH_LOCAL, /* What this node has, unless the client asks for a minimum. */
    FRESH_LATEST
};

/* Wait as the request wants it, then call cb (perhaps at once). When there is no quorum, or the
 * header is malformed, the exchange is answered and cb is not called. */
void catalog_freshen(struct exchange *exchange, enum freshness freshness,
                     void (*cb)(struct exchange *exchange));
/* X-Raft-Index of a write: where it was applied. */
void exchange_set_index(struct exchange *exchange, uint64_t index);
/* X-Raft-Index: of the view that answers. */
void catalog_set_index(struct exchange *exchange, struct catalog_txn *txn);

#endif
