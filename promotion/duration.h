#ifndef PROMOTION_DURATION_H
#define PROMOTION_DURATION_H

#include "base/bytes.h"
#include "base/error.h"

/* Lengths of time as people write them in a policy: "24h", "90s", "1h30m", "7d". Units d, h, m, s
 * and ms, each at most once, the larger first; more than nothing and at most ten years. */

#define DURATION_TEXT_MAX 48

/* ERROR_INVALID with a sentence that says what is understood; ERROR_RANGE over ten years. */
enum error duration_parse(struct bytes text, uint64_t *ms, struct reason *why) MUST_USE;
/* "31h12m", "4s": the two largest units that matter; "0s" for nothing. */
void duration_format(uint64_t ms, char text[DURATION_TEXT_MAX]);

#endif
