#ifndef NODE_ROUTER_H
#define NODE_ROUTER_H

#include "node/http.h"

/* Finds the route of a decoded path. Components to the left of {name} are matched from the left,
 * those to its right from the right, so that repository names may hold "blobs", "manifests" and
 * the like as components. Among several patterns the one with the most literal components wins. A
 * pattern that ends in a slash also matches without it. GET answers HEAD as well. */

#define ROUTE_PARAMETERS_MAX 4

struct route_match {
    const struct route *route;
    struct bytes keys[ROUTE_PARAMETERS_MAX];
    struct bytes values[ROUTE_PARAMETERS_MAX];
    size_t n;
    struct bytes repository; /* What {name} matched; checked against the grammar. */
    unsigned allowed;        /* Methods of the path, for Allow. */
};

/* path: decoded, starts with a slash, no empty component but the last. ERROR_NOT_FOUND;
 * ERROR_UNSUPPORTED: the path is known, the method is not (allowed is set); ERROR_INVALID: the
 * repository name is not in the grammar. */
enum error router_match(const struct route *const *tables, enum http_method method,
                        struct bytes path, struct route_match *out) MUST_USE;

/* A row is complete: methods, a pattern that starts with a slash, an access class, a handler. */
bool route_is_sound(const struct route *route);
/* Every row of every table is. A listener does not open with one that is not. */
bool router_is_sound(const struct route *const *tables);

/* "GET, HEAD, PUT" for Allow. */
void router_allow(unsigned methods, char text[48]);

#endif
