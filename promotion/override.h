#ifndef PROMOTION_OVERRIDE_H
#define PROMOTION_OVERRIDE_H

#include "promotion/gates.h"
#include "store/command.h"

/* Break-glass: at least two people of the stage's "override" let a promotion pass gates that they
 * name, for a while and for one plan only. What a gate says stays on record, with who passed it by.
 * Gates marked "mandatory" are never passed, and neither is what no gate decides: tags that moved,
 * copies that are missing, freezes and quarantines. */

#define OVERRIDES_MAX       64
#define OVERRIDE_TTL_MAX_MS ((uint64_t)24 * 3600 * 1000)

/* One person's word. */
struct override {
    struct bytes actor, reason;
    struct bytes gates; /* Ids joined by commas, as given. */
    struct digest plan_hash;
    uint64_t time_ms, until_ms;
};

/* {"group" or "users", "min": 2 or more, "ttl": at most "24h", default "1h"} of a stage; NULL is
 * fine: nobody may. ERROR_INVALID with a sentence. */
enum error override_parse(const json_t *object, const json_t *groups, struct stage *out,
                          struct reason *why) MUST_USE;
/* Turn an outcome that does not pass into GATE_OVERRIDDEN where enough people said so. */
void override_decide(struct catalog_txn *txn, const struct stage *stage, const struct gate *gate,
                     const struct promotion *promotion, uint64_t now_ms, struct gate_outcome *out);

/* gates: ids joined by commas. ttl_ms 0: as long as the stage allows. The result is a
 * promotion_result; not eligible: ERROR_NOT_ELIGIBLE. */
void command_promotion_override(struct buffer *out, const struct command_id *id, struct bytes actor,
                                struct bytes promotion, struct bytes gates, struct bytes reason,
                                uint64_t ttl_ms, const struct digest *plan_hash);

#endif
