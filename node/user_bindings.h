#ifndef NODE_USER_BINDINGS_H
#define NODE_USER_BINDINGS_H

#include "base/bytes.h"

#include <jansson.h>

/* A user's bindings between their two forms: JSON, as the API has them,
 *   [{"repositories": "prod/shop/'*'", "actions": ["pull", "push"]}]
 * (without those quotes), and packed, as the catalog keeps them: [[glob, actions], ...]. */

#define BINDINGS_MAX 64

/* Append the packed form. ERROR_INVALID names what is wrong. */
enum error user_bindings_pack(const json_t *list, struct buffer *out, struct reason *why) MUST_USE;
/* The caller's (json_decref). */
json_t *user_bindings_json(struct bytes packed);
/* Letters, digits, '.', '_', '-' and up to 64 of them, a letter or digit first; not "anonymous". */
enum error user_name_check(struct bytes name, struct reason *why) MUST_USE;

#endif
