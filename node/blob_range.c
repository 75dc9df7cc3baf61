/* The pure parts of serving blobs: byte ranges and entity tags. A Range that is not understood is
 * no Range (RFC 9110, 14.2): the whole content is answered. */
#include "base/bytes.h"
#include "node/blob_serve.h"

#include <strings.h>

/* first- or first-last; last is clamped. */
static enum error range_from(struct bytes first_text, struct bytes last_text, uint64_t size,
                             struct blob_range *out)
{
    uint64_t first, last = UINT64_MAX;

    if (bytes_to_uint(first_text, &first) != OK ||
        (last_text.size > 0 && bytes_to_uint(last_text, &last) != OK)) {
        return OK;
    }
    if (first >= size || last < first) {
        return ERROR_RANGE;
    }
    last = last < size ? last : size - 1;
    *out = (struct blob_range){first, last - first + 1, true};
    return OK;
}

/* -n: the last n bytes. */
static enum error range_suffix(struct bytes text, uint64_t size, struct blob_range *out)
{
    uint64_t n;

    if (bytes_to_uint(text, &n) != OK) {
        return OK;
    }
    if (n == 0 || size == 0) {
        return ERROR_RANGE;
    }
    n = n < size ? n : size;
    *out = (struct blob_range){size - n, n, true};
    return OK;
}

enum error blob_range_read(struct bytes header, uint64_t size, struct blob_range *out)
{
    struct bytes prefix = BYTES_LITERAL("bytes=");
    struct bytes text = bytes_slice(header, prefix.size, header.size);
    ptrdiff_t dash = bytes_find(text, '-');

    *out = (struct blob_range){0, size, false};
    /* Names of range units are case-insensitive (RFC 9110, 14.1). */
    if (header.size < prefix.size ||
        strncasecmp((const char *)header.data, "bytes=", prefix.size) != 0 || dash < 0 ||
        bytes_find(text, ',') >= 0) {
        return OK;
    }
    if (dash == 0) {
        return range_suffix(bytes_slice(text, 1, text.size), size, out);
    }
    return range_from(bytes_slice(text, 0, (size_t)dash),
                      bytes_slice(text, (size_t)dash + 1, text.size), size, out);
}

static struct bytes trim(struct bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = bytes_slice(text, 1, text.size);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

static bool is_quoted(struct bytes item)
{
    return item.size >= 2 && item.data[0] == '"' && item.data[item.size - 1] == '"';
}

bool etag_is_exactly(struct bytes header, const char *digest)
{
    struct bytes item = trim(header);

    return is_quoted(item) && bytes_equal_string(bytes_slice(item, 1, item.size - 2), digest);
}

static bool etag_is(struct bytes item, const char *digest)
{
    if (bytes_starts_with(item, BYTES_LITERAL("W/"))) {
        item = bytes_slice(item, 2, item.size);
    }
    if (is_quoted(item)) {
        item = bytes_slice(item, 1, item.size - 2);
    }
    return bytes_equal_string(item, "*") || bytes_equal_string(item, digest);
}

bool etag_list_names(struct bytes header, const char *digest)
{
    while (header.size > 0) {
        ptrdiff_t comma = bytes_find(header, ',');
        size_t end = comma < 0 ? header.size : (size_t)comma;

        if (etag_is(trim(bytes_slice(header, 0, end)), digest)) {
            return true;
        }
        header = bytes_slice(header, end + (comma >= 0), header.size);
    }
    return false;
}
