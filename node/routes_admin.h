#ifndef NODE_ROUTES_ADMIN_H
#define NODE_ROUTES_ADMIN_H

#include "node/http.h"

/* Users and join tokens. Tables end with a row of zeros.
 *
 *   GET    /api/v1/users                    {"users": [{"name", "bindings": [...]}]}
 *   GET    /api/v1/users/{user}
 *   PUT    /api/v1/users/{user}             {"password", "bindings": [{"repositories": GLOB,
 *                                            "actions": ["pull", "push", "approve", "admin"]}]};
 *                                            what is left out stays as it is; 201 when new, else
 * 200 PUT    /api/v1/users/{user}/password    {"password"}: one's own, or an admin's doing; 204
 *   DELETE /api/v1/users/{user}             204
 *   POST   /api/v1/join-tokens              {"ttl_ms", "uses"}; 201 {"token", "expires"} */
extern const struct route routes_users[];
extern const struct route routes_join_tokens[];

#endif
