#ifndef PROMOTION_STAGE_TAGS_H
#define PROMOTION_STAGE_TAGS_H

#include "promotion/pipeline.h"
#include "promotion/promotion.h"

/* Which tags promotions may set in a stage:
 *
 *   "tags": {"version": "semver", "channels": ["stable"]}
 *
 * A version names one image, once and for ever: "semver", "numbers" (promotion/version.h), or a
 * pattern in which '#' is a run of digits and '*' any text. A channel is moved from image to image,
 * each time only from what the plan says that it names (every promotion's tags are compared before
 * they are set). A tag that is neither is refused. Without "tags" a stage takes any.
 *
 *   "supersede": "supersede-pending" or "fail"
 *
 * What becomes of promotions that wait to set a tag when another one asks for the same: they end,
 * or the new one is refused. Without it all of them wait, and the first that commits wins.
 * Rollbacks neither are ended nor refused by it. */

/* The members of a stage; NULL is fine. ERROR_INVALID with a sentence. */
enum error stage_tags_parse(const json_t *tags, struct stage *out, struct reason *why) MUST_USE;
enum error stage_supersede_parse(const json_t *value, struct stage *out,
                                 struct reason *why) MUST_USE;

/* May a promotion that was planned set its tags? ERROR_INVALID (*code "TAG_NOT_ALLOWED"), or
 * ERROR_CONFLICT ("VERSION_TAKEN") when a version was another image at any time; with a sentence.
 */
enum error stage_tags_check(struct catalog_txn *txn, const struct stage *stage,
                            const struct promotion *promotion, const char **code,
                            struct reason *why) MUST_USE;

/* In apply, before a new promotion that was planned is saved: do what the stage's rule says about
 * the others. ERROR_CONFLICT with a sentence: the rule is "fail", and there is one. */
enum error stage_supersede(const struct command_context *context, const struct stage *stage,
                           const struct promotion *promotion, struct reason *why) MUST_USE;

#endif
