#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"
#include "base/error.h"

#include <jansson.h>

/* JSON from outside: jansson behind limits that are checked before it allocates. */

#define JSON_DEPTH_MAX  32
#define JSON_TOKENS_MAX 100000

/* Parse text of at most limit bytes; duplicate keys, depth over 32, more than 100,000 tokens or
 * bytes after the value are refused. *out is the caller's (json_decref). ERROR_TOO_LARGE,
 * ERROR_INVALID. */
enum error json_parse(struct bytes text, size_t limit, json_t **out, struct reason *why) MUST_USE;

/* Append text as a JSON string with its quotes; control bytes are escaped, bytes that are not UTF-8
 * become U+FFFD. */
void json_escape(struct buffer *out, struct bytes text);

/* Append the value, compact, keys sorted: the same value always gives the same bytes. */
void json_write(struct buffer *out, const json_t *value);

/* Members of an object; a missing or differently typed one gives NULL, the fallback. */
const char *json_member_string(const json_t *object, const char *key);
/* As it was given, NULs included; empty for a missing one. Borrowed from object. */
struct bytes json_member_bytes(const json_t *object, const char *key);
int64_t json_member_int(const json_t *object, const char *key, int64_t fallback);

#endif
