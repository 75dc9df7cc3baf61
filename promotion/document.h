#ifndef PROMOTION_DOCUMENT_H
#define PROMOTION_DOCUMENT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Reading the members of a policy document strictly: what is missing, of the wrong type or not
 * known is refused with its place ("stage prod, gate soak"), since a setting that is not understood
 * must not look as if it guarded something. All answer ERROR_INVALID with a sentence. */

#define DOCUMENT_NAMES_MAX 64

/* Refuse members of object that are in neither list (each ends with NULL; others may be NULL). */
enum error document_check_members(const json_t *object, const char *place,
                                  const char *const *allowed, const char *const *others,
                                  struct reason *why) MUST_USE;
/* A duration member. ERROR_NOT_FOUND (no sentence) when it is not there. */
enum error document_duration(const json_t *object, const char *place, const char *key, uint64_t *ms,
                             struct reason *why) MUST_USE;
/* true or false; *value is left alone when it is not there. */
enum error document_bool(const json_t *object, const char *place, const char *key, bool *value,
                         struct reason *why) MUST_USE;
/* A whole number from min to max; *value is left alone when it is not there. */
enum error document_number(const json_t *object, const char *place, const char *key, uint64_t min,
                           uint64_t max, uint64_t *value, struct reason *why) MUST_USE;
/* A text that is not empty; *value is left alone when it is not there. Borrowed from object. */
enum error document_string(const json_t *object, const char *place, const char *key,
                           const char **value, struct reason *why) MUST_USE;
/* One of the names of a list that ends with NULL: its number. *choice is left alone when it is not
 * there. */
enum error document_choice(const json_t *object, const char *place, const char *key,
                           const char *const *names, size_t *choice, struct reason *why) MUST_USE;
/* Is it a list of 1 to DOCUMENT_NAMES_MAX distinct texts? what: what they are, "user names". */
enum error document_names(const json_t *list, const char *place, const char *what,
                          struct reason *why) MUST_USE;

#endif
