#ifndef PROMOTION_IDEMPOTENCY_H
#define PROMOTION_IDEMPOTENCY_H

#include "promotion/promotion.h"

/* Idempotency keys: the same key of the same user is the same promotion, however often and through
 * whichever node it is sent. The last ones are kept, so that the state does not grow with every
 * request that ever was: by their number, not by time, since a leader's clock may jump. */

#define IDEMPOTENCY_KEPT 10000u

/* request_hash: of the request that used it. ERROR_NOT_FOUND. id is borrowed. */
enum error idempotency_find(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                            struct bytes *id, struct digest *request_hash) MUST_USE;
/* In apply, of a key that idempotency_find() does not find: keep it, with the entry's index, and
 * forget the oldest ones that are too many. */
void idempotency_save(struct catalog_txn *txn, struct bytes actor, struct bytes key, uint64_t index,
                      struct bytes id, const struct digest *request_hash);

#endif
