#ifndef NODE_RELAY_H
#define NODE_RELAY_H

#include "base/bytes.h"
#include "node/uploads.h"

/* The bytes of one client request (a PATCH, or the body of a PUT or POST) sent on to the session's
 * targets while they arrive: PUT /internal/v1/uploads/{uuid}?offset=N, one request per target and
 * client request. A target that fails or is too slow for too long is dropped from the session (its
 * is_alive turns false): it gets its copy otherwise. At most RELAY_FULL bytes and one piece wait
 * for each. */

#define RELAY_FULL (1024u * 1024)
/* How long in all a target may hold up a request that could do without it. */
#define RELAY_STALL_MS 1000

struct relay;
struct worker;

/* Choose the targets of a new session: other live members, one less than the wanted copies. */
void relay_choose(struct worker *worker, struct session *session);

/* changed: relay_is_full() may answer otherwise now. NULL when no target is alive. The session is
 * the caller's until relay_finish() calls back or relay_abort(). */
struct relay *relay_start(struct worker *worker, struct session *session, uint64_t offset,
                          void (*changed)(void *data), void *data);
void relay_write(struct relay *relay, struct bytes piece);
bool relay_is_full(const struct relay *relay);
/* The body is complete: done comes once each target has all of it, or was dropped. The relay is
 * gone then. */
void relay_finish(struct relay *relay, void (*done)(void *data), void *data);
/* The body was cut short or the session is over: the targets take back what this request brought,
 * or (drop) are told to forget the upload later by its idle time. The relay is gone for the caller.
 */
void relay_abort(struct relay *relay);
/* Tell the targets to forget the upload; nobody waits for it. */
void relay_forget(struct worker *worker, const struct session *session);

#endif
