#include "node/routes.h"

#include "node/command_tables.h"
#include "node/join.h"
#include "node/router.h"
#include "node/routes_admin.h"
#include "node/routes_blobs.h"
#include "node/routes_controls.h"
#include "node/routes_drill.h"
#include "node/routes_history.h"
#include "node/routes_internal.h"
#include "node/routes_leader.h"
#include "node/routes_manifests.h"
#include "node/routes_members.h"
#include "node/routes_promotion.h"
#include "node/routes_room.h"
#include "node/routes_status.h"
#include "node/routes_storage.h"

/* A line each, so that an addition is one line. */
/* clang-format off */
#define CLIENT_ROUTES \
    routes_status, \
    routes_manifests, \
    routes_blobs, \
    routes_promotion, \
    routes_history, \
    routes_statuses, \
    routes_holds, \
    routes_users, \
    routes_join_tokens, \
    routes_leader, \
    routes_members, \
    routes_drill, \
    routes_storage, \
    routes_room, \
    routes_version, \
    routes_openapi
/* clang-format on */

const struct route *const routes_of_clients[] = {CLIENT_ROUTES, NULL};

const struct route *const routes_of_peers[] = {routes_internal, routes_join, CLIENT_ROUTES, NULL};
