#ifndef NODE_ROUTES_CONTROLS_H
#define NODE_ROUTES_CONTROLS_H

#include "node/http.h"

/* What steers promotions beside their gates. Tables end with a row of zeros.
 *
 *   POST   /api/v1/statuses          {"digest", "context", "state": "pending" | "success" |
 *                                    "failure" | "error", "url", "description", "ttl": "24h"}; the
 *                                    caller is the reporter; 201
 *   GET    /api/v1/statuses          ?digest=: {"digest", "statuses": [...]}
 *   POST   /api/v1/holds             {"pipeline", "stage", "repositories": GLOB, "reason", "until":
 *                                    "2026-12-24T00:00:00Z" or "for": "4h"}; 201 {"id"}
 *   POST   /api/v1/quarantines       {"digest", "mode": "block-promotion" | "block-pull", "reason",
 *                                    "until" or "for"}; 201 {"id"}
 *   GET    /api/v1/holds             {"holds": [...]}, of both kinds
 *   DELETE /api/v1/holds/{id}        ?reason=: lifted, of either kind; 204 */
extern const struct route routes_statuses[];
extern const struct route routes_holds[];

#endif
