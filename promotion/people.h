#ifndef PROMOTION_PEOPLE_H
#define PROMOTION_PEOPLE_H

#include "base/bytes.h"
#include "promotion/document.h"

/* "At least so many of these people", as a pipeline says it: {"group": "managers", "min": 2}, or
 * "users" with a list instead of the group; without both: anybody who may. */

struct people_rule {
    const char *group;   /* NULL: none given. */
    const json_t *users; /* Array of names, of the rule or of its group; NULL: anybody. */
    unsigned min;
};

/* The members of object that are its; min is 1 when it is not there. groups: of the pipeline, may
 * be NULL. ERROR_INVALID with a sentence that begins with place. */
enum error people_parse(const json_t *object, const char *place, const json_t *groups,
                        struct people_rule *out, struct reason *why) MUST_USE;
bool people_have(const struct people_rule *rule, struct bytes actor);
/* "group managers", "alice, bob", for sentences. */
void people_describe(const struct people_rule *rule, char *text, size_t size);

#endif
