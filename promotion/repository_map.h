#ifndef PROMOTION_REPOSITORY_MAP_H
#define PROMOTION_REPOSITORY_MAP_H

#include "base/bytes.h"
#include "base/error.h"

/* Which repositories a stage has, and how a name in one stage becomes a name in another: each stage
 * gives a pattern with at most one wildcard, '*' (one path component or a part of one) or '**' (any
 * number of them); what the wildcard stands for is carried over. "dev/shop-*" maps dev/shop/web
 * to prod/shop-web. */

enum wildcard { WILDCARD_NONE, WILDCARD_COMPONENT, WILDCARD_PATH };

struct repository_pattern {
    struct bytes text; /* Borrowed. */
    enum wildcard wildcard;
    struct bytes prefix, suffix; /* Around the wildcard. */
};

/* ERROR_INVALID with a sentence. */
enum error repository_pattern_parse(struct bytes text, struct repository_pattern *out,
                                    struct reason *why) MUST_USE;
/* Does name belong to it? What the wildcard stands for goes to *capture (borrowed from name). */
bool repository_pattern_match(const struct repository_pattern *pattern, struct bytes name,
                              struct bytes *capture);
/* Append the name in the stage of target for a name in the stage of source. ERROR_NOT_FOUND: name
 * is not of source; ERROR_INVALID: the result is no repository name. */
enum error repository_pattern_map(const struct repository_pattern *source,
                                  const struct repository_pattern *target, struct bytes name,
                                  struct buffer *out, struct reason *why) MUST_USE;
/* Is there a name that both match? */
bool repository_pattern_overlap(const struct repository_pattern *a,
                                const struct repository_pattern *b);

#endif
