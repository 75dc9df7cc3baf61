#ifndef NODE_PROXY_H
#define NODE_PROXY_H

#include "node/http.h"

/* Hand a client's upload request to the node that owns the session: same target and body, streamed
 * with back-pressure, in the name of the same actor; its (small) answer comes back as it is. The
 * owner's answer is read whole, at most PROXY_ANSWER_MAX bytes. */

#define PROXY_ANSWER_MAX (64u * 1024)

void proxy_to_owner(struct exchange *exchange, uint64_t owner);

#endif
