#include "base/json.h"

#include "base/assert.h"

/* Depth and an upper bound of the number of values, by one pass over the bytes outside of strings.
 */
static enum error json_scan(struct bytes text, struct reason *why)
{
    size_t depth = 0, tokens = 0, i;
    bool in_string = false;

    for (i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        switch (c) {
        case '"':
            in_string = true;
            break;
        case '{':
        case '[':
            tokens++;
            if (++depth > JSON_DEPTH_MAX) {
                return fail(why, ERROR_INVALID, "JSON is nested deeper than %d levels",
                            JSON_DEPTH_MAX);
            }
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
            tokens++;
            break;
        default:
            break;
        }
    }
    if (tokens > JSON_TOKENS_MAX) {
        return fail(why, ERROR_TOO_LARGE, "JSON has more than %d values", JSON_TOKENS_MAX);
    }
    return OK;
}

enum error json_parse(struct bytes text, size_t limit, json_t **out, struct reason *why)
{
    json_error_t error;
    enum error rv;

    *out = NULL;
    if (text.size > limit) {
        return fail(why, ERROR_TOO_LARGE, "JSON of %zu bytes is over the limit of %zu", text.size,
                    limit);
    }
    if (text.size == 0) {
        return fail(why, ERROR_INVALID, "JSON is expected here, and there is nothing");
    }
    rv = json_scan(text, why);
    if (rv != OK) {
        return rv;
    }
    *out = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL) {
        return fail(why, ERROR_INVALID, "not valid JSON: %s at line %d, column %d", error.text,
                    error.line, error.column);
    }
    return OK;
}

/* Length of the UTF-8 sequence at the start of text, 0 when it is not one. */
static size_t utf8_length(struct bytes text)
{
    uint8_t c = text.data[0];
    size_t n = c < 0x80                  ? 1
               : (c >= 0xc2 && c < 0xe0) ? 2
               : (c & 0xf0) == 0xe0      ? 3
               : (c >= 0xf0 && c < 0xf5) ? 4
                                         : 0;
    size_t i;

    if (n == 0 || n > text.size) {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((c == 0xe0 && text.data[1] < 0xa0) || (c == 0xed && text.data[1] > 0x9f) ||
        (c == 0xf0 && text.data[1] < 0x90) || (c == 0xf4 && text.data[1] > 0x8f)) {
        return 0;
    }
    return n;
}

void json_escape(struct buffer *out, struct bytes text)
{
    size_t i = 0;

    buffer_append_byte(out, '"');
    while (i < text.size) {
        uint8_t c = text.data[i];
        size_t n = utf8_length(bytes_slice(text, i, text.size));

        if (n == 0) {
            buffer_append_string(out, "\\ufffd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            buffer_append_byte(out, '\\');
            buffer_append_byte(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            buffer_print(out, "\\u%04x", c);
        } else {
            buffer_append(out, bytes_slice(text, i, n));
        }
        i += n;
    }
    buffer_append_byte(out, '"');
}

static int json_write_chunk(const char *data, size_t size, void *out)
{
    buffer_append(out, bytes_of(data, size));
    return 0;
}

void json_write(struct buffer *out, const json_t *value)
{
    PRE(value != NULL);
    CHECK(json_dump_callback(value, json_write_chunk, out,
                             JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) == 0);
}

const char *json_member_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

struct bytes json_member_bytes(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? bytes_of(json_string_value(value), json_string_length(value))
                                 : BYTES_NONE;
}

int64_t json_member_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}
