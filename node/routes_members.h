#ifndef NODE_ROUTES_MEMBERS_H
#define NODE_ROUTES_MEMBERS_H

#include "node/http.h"

/* DELETE /api/v1/cluster/members/{member}[?lose_data=true]: take a member (by name or id) out of
 * the cluster, for good. 202; the log's own membership follows within seconds. 409 with the reason
 * when what remains would have no quorum, or when content would be lost. Ends with a row of zeros.
 */
extern const struct route routes_members[];

#endif
