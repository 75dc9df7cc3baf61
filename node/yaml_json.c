#include "node/yaml_json.h"

#include "base/assert.h"
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

/* Event by event: no node is kept, so that an alias cannot blow anything up. */

struct conversion {
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned depth;
    enum error error;
    struct reason *why;
};

static bool next(struct conversion *in)
{
    yaml_event_delete(&in->event);
    if (!yaml_parser_parse(&in->parser, &in->event)) {
        in->error = fail(in->why, ERROR_INVALID, "line %zu: %s", in->parser.problem_mark.line + 1,
                         in->parser.problem != NULL ? in->parser.problem : "not YAML");
        memset(&in->event, 0, sizeof in->event);
        return false;
    }
    return true;
}

static bool pass(struct conversion *in, unsigned n)
{
    while (n > 0 && next(in)) {
        n--;
    }
    return n == 0;
}

static json_t *refuse(struct conversion *in, const char *text)
{
    in->error = fail(in->why, ERROR_INVALID, "line %zu: %s", in->event.start_mark.line + 1, text);
    return NULL;
}

static json_t *scalar(struct conversion *in)
{
    const char *text = (const char *)in->event.data.scalar.value;
    size_t size = in->event.data.scalar.length;
    json_t *value;
    char *end;

    if (in->event.data.scalar.anchor != NULL) {
        return refuse(in, "anchors are not understood here");
    }
    if (in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (size == 0 || strcmp(text, "null") == 0 || strcmp(text, "~") == 0) {
            return json_null();
        }
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
            return json_boolean(text[0] == 't');
        }
        if (strspn(text, "0123456789") == size && size < 16) {
            return json_integer(strtoll(text, &end, 10));
        }
    }
    value = json_stringn(text, size);
    return value != NULL ? value : refuse(in, "not UTF-8");
}

static json_t *value_of(struct conversion *in);

static json_t *sequence(struct conversion *in)
{
    json_t *list = json_array();

    while (next(in) && in->event.type != YAML_SEQUENCE_END_EVENT) {
        json_t *value = value_of(in);

        if (value == NULL) {
            break;
        }
        json_array_append_new(list, value);
    }
    if (in->error != OK) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static bool add_pair(struct conversion *in, json_t *object)
{
    json_t *key, *value;
    bool is_added = false;

    if (in->event.type != YAML_SCALAR_EVENT) {
        (void)refuse(in, "a key must be plain text");
        return false;
    }
    key = json_stringn((const char *)in->event.data.scalar.value, in->event.data.scalar.length);
    if (key == NULL || json_object_get(object, json_string_value(key)) != NULL) {
        (void)refuse(in, "this key is there twice, or is not UTF-8");
    } else if (next(in)) {
        value = value_of(in);
        is_added = value != NULL && json_object_set_new(object, json_string_value(key), value) == 0;
    }
    json_decref(key);
    return is_added;
}

static json_t *mapping(struct conversion *in)
{
    json_t *object = json_object();

    while (next(in) && in->event.type != YAML_MAPPING_END_EVENT) {
        if (!add_pair(in, object)) {
            break;
        }
    }
    if (in->error != OK) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* The value that the current event begins; NULL after an error. */
static json_t *value_of(struct conversion *in)
{
    json_t *value = NULL;

    if (++in->depth > JSON_DEPTH_MAX) {
        return refuse(in, "nested too deep");
    }
    switch (in->event.type) {
    case YAML_SCALAR_EVENT:
        value = scalar(in);
        break;
    case YAML_SEQUENCE_START_EVENT:
        value = in->event.data.sequence_start.anchor != NULL
                    ? refuse(in, "anchors are not understood here")
                    : sequence(in);
        break;
    case YAML_MAPPING_START_EVENT:
        value = in->event.data.mapping_start.anchor != NULL
                    ? refuse(in, "anchors are not understood here")
                    : mapping(in);
        break;
    default:
        value = refuse(in, "a value is missing here, or an alias is used");
        break;
    }
    in->depth--;
    ERGO(value == NULL, in->error != OK);
    return value;
}

enum error yaml_to_json(struct bytes text, json_t **out, struct reason *why)
{
    struct conversion in = {.error = OK, .why = why};

    *out = NULL;
    CHECK(yaml_parser_initialize(&in.parser) == 1);
    yaml_parser_set_input_string(&in.parser, text.data, text.size);
    /* Stream start, document start, the value, document end, stream end. */
    if (pass(&in, 2)) {
        if (in.event.type != YAML_DOCUMENT_START_EVENT) {
            in.error = fail(why, ERROR_INVALID, "the file is empty");
        } else if (next(&in)) {
            *out = value_of(&in);
        }
    }
    if (in.error == OK && pass(&in, 2) && in.event.type != YAML_STREAM_END_EVENT) {
        in.error = fail(why, ERROR_INVALID, "the file holds more than one document");
    }
    yaml_event_delete(&in.event);
    yaml_parser_delete(&in.parser);
    if (in.error != OK) {
        json_decref(*out);
        *out = NULL;
    }
    return in.error;
}
