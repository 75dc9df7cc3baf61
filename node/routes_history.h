#ifndef NODE_ROUTES_HISTORY_H
#define NODE_ROUTES_HISTORY_H

#include "node/http.h"
#include "promotion/environment.h"

/* What history answers: the revisions of a stage, a lock file of what is in it, everything about a
 * digest, and the receipt of a promotion. The table ends with a row of zeros.
 *
 *   GET /api/v1/environments/{stage}/history  ?pipeline=&n=&before=: newest first
 *   GET /api/v1/environments/{stage}/lock     ?pipeline=&format=json, env, kustomize or helm&tag=
 *                                             &registry=, and revision, index, at as for the stage
 *   GET /api/v1/digests/{digest}              where it is and was, reports, holds, promotions
 *   GET /api/v1/promotions/{id}/receipt       a signed statement (DSSE) */
extern const struct route routes_history[];

/* --- shared by its files ---------------------------------------------------------------------- */

/* The pipeline of the query and the stage of the path, in a transaction; stage_view_close() them.
 * False: answered, and nothing is open. */
bool stage_view_open(struct exchange *exchange, struct catalog_txn *txn, struct pipeline **pipeline,
                     const struct stage **stage);
void stage_view_close(struct catalog_txn *txn, struct pipeline *pipeline);
/* The moment that the query names: now, unless it has revision, index or at. */
enum error environment_read_moment(struct exchange *exchange, struct catalog_txn *txn,
                                   const struct pipeline *pipeline, const struct stage *stage,
                                   struct environment_moment *out, struct reason *why) MUST_USE;

/* routes_lock.c, routes_digest.c, routes_receipt.c */
void lock_get(struct exchange *exchange);
void digest_get(struct exchange *exchange);
void receipt_get(struct exchange *exchange);

#endif
