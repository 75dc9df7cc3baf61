#ifndef PROMOTION_ATTACHMENT_H
#define PROMOTION_ATTACHMENT_H

#include "store/catalog.h"

/* Tags of the tag schemes (sha256-<hex>.sig and its like) name manifests that grow: each signature
 * is one more layer, each referrer one more entry of an index. When the target has such a tag
 * already, the one with more wins, and nothing that is attached is ever lost. */

enum attachment_step {
    ATTACHMENT_SET,      /* Absent in the target, or the source has all of it and more. */
    ATTACHMENT_KEEP,     /* Equal, or the target has all of the source's and more. */
    ATTACHMENT_CONFLICT, /* Each has what the other lacks. */
};

/* manifest: what the tag names in source. */
enum attachment_step attachment_decide(struct catalog_txn *txn, struct bytes source,
                                       struct bytes target, struct bytes tag,
                                       const struct digest *manifest);

#endif
