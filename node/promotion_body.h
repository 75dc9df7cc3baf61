#ifndef NODE_PROMOTION_BODY_H
#define NODE_PROMOTION_BODY_H

#include "promotion/commands.h"

#include <jansson.h>

/* The body of POST /api/v1/promotions:
 *   {"pipeline": "shop", "to": "prod", "kind": "promote" or "rollback",
 *    "items": [{"repo": "test/shop/web", "digest": "sha256:..", "tags": ["1.4.2"],
 *               "channels": ["stable"]}],
 *    "expect": {"prod/shop/web:stable": "sha256:.." or null}, "reason": "CHG-1042",
 *    "dry_run": false, "wait": 30}
 * An item has "digest" or "tag"; without "tags" and "channels" the source's tag is set. The items
 * of a rollback are of the stage that it leads to. */

struct promotion_body {
    struct promotion_request request; /* Borrows from the document. */
    bool is_dry_run;
    uint64_t wait_ms;
    struct digest hash; /* Of what an idempotency key stands for: all but dry_run and wait. */
    /* Private. */
    json_t *document;
};

#define PROMOTION_WAIT_MAX_MS 60000

/* ERROR_INVALID with a sentence that names the place; ERROR_TOO_LARGE. Release it in any case. */
enum error promotion_body_parse(struct bytes json, struct promotion_body *out,
                                struct reason *why) MUST_USE;
void promotion_body_release(struct promotion_body *body);

#endif
