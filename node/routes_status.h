#ifndef NODE_ROUTES_STATUS_H
#define NODE_ROUTES_STATUS_H

#include "node/http.h"

/* /healthz, /readyz, /metrics and /api/v1/cluster. */
extern const struct route routes_status[];

#endif
