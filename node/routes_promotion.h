#ifndef NODE_ROUTES_PROMOTION_H
#define NODE_ROUTES_PROMOTION_H

#include "node/http.h"
#include "promotion/view.h"

/* Promotions and pipelines under /api/v1 (docs of the bodies: node/promotion_body.h,
 * promotion/pipeline.h, promotion/view.h). The table ends with a row of zeros.
 *
 *   GET  /api/v1/pipelines                      {"pipelines": [...]}
 *   GET  /api/v1/pipelines/{name}               the document, its revision as ETag; ?number=N: an
 *                                               earlier one
 *   PUT  /api/v1/pipelines/{name}               If-Match; ?dry_run=1 only checks; 200
 *   GET  /api/v1/pipelines/{name}/revisions     ?n=&before=: newest first
 *   GET  /api/v1/pipelines/{name}/change        a change that waits for people
 *   POST /api/v1/pipelines/{name}/change        {"decision": "approve" or "reject", "revision"}
 *   POST /api/v1/promotions                     Idempotency-Key; 200 committed, 202 open, 412 a
 * gate says no, 409 TAG_MOVED GET  /api/v1/promotions ?pipeline=&state=&n=&last= GET
 * /api/v1/promotions/{id}                ?wait=SECONDS until it is closed; ?watch=1: events GET
 * /api/v1/promotions/{id}/explain        only the gates, with a summary POST
 * /api/v1/promotions/{id}/approvals      {"decision": "approve" or "reject", "comment",
 *                                               "plan_hash"}
 *   POST /api/v1/promotions/{id}/overrides      {"gates": [id, ...], "reason", "ttl", "plan_hash"}
 *   POST /api/v1/promotions/{id}/cancel         {"reason"}
 *   GET  /api/v1/environments/{stage}           ?pipeline=: what is in a stage now, or was:
 *                                               ?revision=N, ?index=N, ?at=2026-11-23T18:00:00Z
 *   GET  /api/v1/diff                           ?pipeline=&from=&to=: tags of two stages side by
 *                                               side
 *   GET  /api/v1/audit/entries                  ?after=&n=&pipeline=&promotion=&kind= */
extern const struct route routes_promotion[];

/* --- shared by its files --------------------------------------------------------------------- */

/* Call answer on the worker's loop once the local catalog is as new as this request. */
void promotion_read_then(struct exchange *exchange, void (*answer)(struct exchange *exchange));
/* May the caller see it: pull on one of its repositories. */
bool promotion_is_visible(const struct exchange *exchange, const struct promotion *promotion);
/* A numeric query parameter; false after answering 400. */
bool promotion_query_uint(struct exchange *exchange, const char *key, uint64_t fallback,
                          uint64_t max, uint64_t *out);

/* routes_promotion_write.c */
void promotion_post(struct exchange *exchange);
void promotion_get(struct exchange *exchange);
/* routes_promotion_decide.c */
void promotion_post_approval(struct exchange *exchange);
void promotion_post_override(struct exchange *exchange);
void promotion_post_cancel(struct exchange *exchange);
/* routes_follow.c */
void promotion_follow(struct exchange *exchange);
/* routes_pipeline.c */
void pipeline_put(struct exchange *exchange);
void pipeline_get(struct exchange *exchange);
void pipeline_get_all(struct exchange *exchange);
void pipeline_get_revisions(struct exchange *exchange);
/* routes_policy_change.c */
void policy_change_get(struct exchange *exchange);
void policy_change_post(struct exchange *exchange);
/* routes_environment.c */
void environment_get(struct exchange *exchange);

#endif
