#ifndef NODE_ROUTES_INTERNAL_H
#define NODE_ROUTES_INTERNAL_H

#include "node/http.h"

/* /internal/v1/...: content between nodes, on the internal listener only. Ends with a row of zeros.
 *
 *   GET, HEAD /internal/v1/blobs/{digest}                 a local copy (Range); 404 when there is
 * none PUT       /internal/v1/blobs/{digest}                 a whole blob; 201: durable here PUT
 * /internal/v1/uploads/{id}?offset=N          bytes of an upload from N on; 202 POST
 * /internal/v1/uploads/{id}/commit?digest=D   201: durable here DELETE    /internal/v1/uploads/{id}
 * 204 */
extern const struct route routes_internal[];

#endif
