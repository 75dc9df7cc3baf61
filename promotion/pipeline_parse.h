#ifndef PROMOTION_PIPELINE_PARSE_H
#define PROMOTION_PIPELINE_PARSE_H

#include "promotion/pipeline.h"

/* The parts of pipeline_parse(): gates have a file of their own, since every gate type adds to it.
 */

/* Refuse members of object that are not in allowed (NULL at the end): place says where. */
enum error document_check_members(const json_t *object, const char *place,
                                  const char *const *allowed, struct reason *why) MUST_USE;
/* A duration member. ERROR_NOT_FOUND (no sentence) when it is not there. */
enum error document_duration(const json_t *object, const char *place, const char *key, uint64_t *ms,
                             struct reason *why) MUST_USE;
/* One element of "gates". groups: the document's, may be NULL. */
enum error gate_parse(const json_t *object, const char *stage, const json_t *groups,
                      struct gate *out, struct reason *why) MUST_USE;
/* A list of 1 to RULE_USERS_MAX distinct user names. */
enum error document_users(const json_t *list, const char *place, struct reason *why) MUST_USE;

#endif
