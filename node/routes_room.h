#ifndef NODE_ROUTES_ROOM_H
#define NODE_ROUTES_ROOM_H

#include "node/http.h"

/* How many copies there are of content, and how much room repositories may take. Patterns of
 * repositories stand in the query, as they hold slashes. Tables end with a row of zeros.
 *
 *   GET    /api/v1/settings   {"copies", "write_quorum", "members", "notice", "repositories":
 *                             [{"repositories": GLOB, "copies", "write_quorum"}]}
 *   PUT    /api/v1/settings   {"copies", "write_quorum", "repositories": GLOB}; what is left out
 *                             stays, without "repositories" it is the cluster's own; 200
 *   DELETE /api/v1/settings   ?repositories=GLOB: back to the cluster's; 204
 *   GET    /api/v1/quotas     {"quotas": [{"repositories": GLOB, "max_bytes", "max_tags", "bytes",
 *                             "tags"}]}; max_*: null when unbounded
 *   PUT    /api/v1/quotas     {"repositories": GLOB, "max_bytes", "max_tags"}: what is left out is
 *                             unbounded; 200
 *   DELETE /api/v1/quotas     ?repositories=GLOB; 204 */
extern const struct route routes_room[];

#endif
