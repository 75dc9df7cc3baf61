#ifndef NODE_ROUTES_DRILL_H
#define NODE_ROUTES_DRILL_H

#include "node/http.h"

/* Results of failover drills. Ends with a row of zeros.
 *
 *   GET  /api/v1/drills            {"drills": [...]}, newest first, without steps and time lines
 *   GET  /api/v1/drills/{id}       {"id", "recorded", "index", "actor", "signature": "valid" or
 *                                  "invalid", "key", "signed" (hex), "document" (the signed text),
 *                                  "report": the document as JSON}; id "latest": the newest
 *   POST /api/v1/drills            a report as `caisson drill` makes it (report.json); 201 {"id"}
 */
extern const struct route routes_drill[];

#endif
