#ifndef NODE_ROUTES_LEADER_H
#define NODE_ROUTES_LEADER_H

#include "node/http.h"

/* Leadership by command. Ends with a row of zeros.
 *
 *   POST /api/v1/cluster/leader   {"member": NAME or ID}, or nothing: any voter that has caught up;
 *                                 202 {"from": ID, "to": ID or null}: begun. That it moved shows in
 *                                 GET /api/v1/cluster. 404: no such voter; 409: it leads already;
 *                                 503: no leader, or a handover is under way. */
extern const struct route routes_leader[];

#endif
