#ifndef NODE_PULL_RULE_H
#define NODE_PULL_RULE_H

#include "store/catalog.h"

/* What may not be read by anybody: content that is quarantined with the mode block-pull, and
 * manifests that refer to such content. As new as this node's catalog. */

/* manifest: the record when it is one, NULL for a blob. ERROR_DENIED with a sentence. */
enum error pull_rule_check(struct catalog_txn *txn, const struct digest *digest,
                           const struct manifest_record *manifest, struct reason *why) MUST_USE;

#endif
