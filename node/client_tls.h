#ifndef NODE_CLIENT_TLS_H
#define NODE_CLIENT_TLS_H

#include "base/tls.h"
#include "node/config.h"

#include <uv.h>

/* The certificate that clients are shown: read at the start, and again on SIGHUP, so that it can be
 * renewed without a stop. New connections get the new one, open ones live on with theirs. */

/* *out NULL when the configuration has none. */
enum error client_tls_open(const struct config *config, struct tls_context **out,
                           struct reason *why) MUST_USE;

struct client_tls_reload {
    /* Private. */
    uv_work_t work;
    const struct config *config;
    struct tls_context *context, *fresh;
    struct reason why;
    bool is_under_way, is_wanted;
};

/* Read the files again, in the pool, and use them from then on; files that are no good are told in
 * the log, and what was used before stays. context NULL: plain HTTP, which is said. Called during a
 * reload, it is done once more after it. reload is zeroed before the first call. */
void client_tls_reload(struct client_tls_reload *reload, uv_loop_t *loop,
                       const struct config *config, struct tls_context *context);

#endif
