#ifndef NODE_ROUTES_STORAGE_H
#define NODE_ROUTES_STORAGE_H

#include "node/http.h"

/* What an administrator asks about content. The table ends with a row of zeros.
 *
 *   GET  /api/v1/scrub            of the node that is asked: the pass under way, the one before it,
 *                                 what was found
 *   POST /api/v1/scrub            {"bytes_per_second"}: begin a pass here now; 202
 *   GET  /api/v1/blobs/{digest}   size, state, who holds it and who should, where it is used */
extern const struct route routes_storage[];

#endif
