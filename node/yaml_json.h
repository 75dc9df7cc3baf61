#ifndef NODE_YAML_JSON_H
#define NODE_YAML_JSON_H

#include "base/bytes.h"

#include <jansson.h>

/* One YAML document as JSON, for policy files. Plain scalars become null, true, false and integers
 * where they read so, everything else is text; duplicate keys, anchors and more than one document
 * are refused. JSON is YAML, so that a JSON file goes through unchanged. *out is the caller's. */
enum error yaml_to_json(struct bytes text, json_t **out, struct reason *why) MUST_USE;

#endif
