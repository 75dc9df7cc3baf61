#ifndef PROMOTION_VIEW_H
#define PROMOTION_VIEW_H

#include "promotion/evaluate.h"
#include "promotion/policy.h"

/* Documents of the API, from records. The caller owns what is returned. */

/* Text that may not be UTF-8: null then. */
json_t *view_text(struct bytes text);
json_t *view_time(uint64_t ms);
json_t *view_digest(const struct digest *digest); /* null for none. */

/* A promotion with its gates; evaluation NULL: without. */
json_t *view_promotion(const struct promotion *promotion, const struct evaluation *evaluation);
/* Only the gates: [{"id","type","result","code","detail","fix","ready_at"}]. */
json_t *view_gates(const struct evaluation *evaluation);
/* A sentence for a person: where it stands, and what to do next. */
void view_summary(const struct promotion *promotion, const struct evaluation *evaluation,
                  struct reason *out);
/* The name of its state: of the verdict while it is open. */
const char *view_state(const struct promotion *promotion, const struct evaluation *evaluation);

#endif
