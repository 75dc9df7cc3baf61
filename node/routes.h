#ifndef NODE_ROUTES_H
#define NODE_ROUTES_H

#include "node/http.h"

/* Every route, by who may reach it. Lists of tables with NULL at the end. */

/* What clients reach. */
extern const struct route *const routes_of_clients[];
/* What peers reach: they may forward any client's request, so it is a superset. */
extern const struct route *const routes_of_peers[];

/* The one table that has no header of its own. */
extern const struct route routes_openapi[];

#endif
