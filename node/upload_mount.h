#ifndef NODE_UPLOAD_MOUNT_H
#define NODE_UPLOAD_MOUNT_H

#include "base/digest.h"
#include "node/http.h"

/* Cross-repository mount (OCI distribution specification, "Mounting a blob from another
 * repository"): link a blob that another repository holds, which the caller may pull from. from
 * empty: any such repository, among the first MOUNT_SEARCH_MAX. Whatever stands in the way gives
 * mounted NULL, and the caller opens a session: the answer tells nobody what exists elsewhere. */

#define MOUNT_SEARCH_MAX 1000

typedef void (*upload_mount_cb)(struct exchange *exchange, const struct digest *mounted);

void upload_mount(struct exchange *exchange, const struct digest *digest, struct bytes from,
                  upload_mount_cb cb);

#endif
