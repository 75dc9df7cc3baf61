#ifndef NODE_ROUTES_BLOBS_H
#define NODE_ROUTES_BLOBS_H

#include "node/http.h"

/* /v2/{name}/blobs/...: OCI distribution specification, pull, push and mount of blobs; served by
 * the clients' listener and, for forwarded uploads, by the internal one. Ends with a row of zeros.
 */
extern const struct route routes_blobs[];

/* Handlers of the upload routes (node/routes_uploads.c). */
void upload_post_handler(struct exchange *exchange);
void upload_patch_handler(struct exchange *exchange);
void upload_put_handler(struct exchange *exchange);
void upload_get_handler(struct exchange *exchange);
void upload_delete_handler(struct exchange *exchange);

#endif
