#ifndef PROMOTION_IDEMPOTENCY_H
#define PROMOTION_IDEMPOTENCY_H

#include "promotion/promotion.h"

/* Idempotency keys: the same key of the same user is the same promotion, however often and through
 * whichever node it is sent, for a day of log time. Then it is forgotten, so that the state does
 * not grow with every request that ever was. */

#define IDEMPOTENCY_KEPT_MS ((uint64_t)24 * 3600 * 1000)

/* request_hash: of the request that used it. ERROR_NOT_FOUND: nobody did within the last day. id is
 * borrowed. */
enum error idempotency_find(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                            uint64_t now_ms, struct bytes *id,
                            struct digest *request_hash) MUST_USE;
/* In apply. Also forgets a few that are old: never fewer than come in. */
void idempotency_save(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                      uint64_t now_ms, struct bytes id, const struct digest *request_hash);

#endif
