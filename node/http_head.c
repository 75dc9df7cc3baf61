#include "node/http_head.h"

#include "base/assert.h"
#include "node/http.h"

static bool is_token(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_text(struct bytes text)
{
    size_t i;

    for (i = 0; i < text.size; i++) {
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum error check_request_line(struct bytes line, struct reason *why)
{
    ptrdiff_t first = bytes_find(line, ' ');
    struct bytes rest, version;
    ptrdiff_t second;
    size_t i;

    if (first <= 0 || !is_text(line)) {
        return fail(why, ERROR_INVALID, "the request line is malformed");
    }
    rest = bytes_slice(line, (size_t)first + 1, line.size);
    second = bytes_find(rest, ' ');
    version = bytes_slice(rest, second < 0 ? rest.size : (size_t)second + 1, rest.size);
    if (second <= 0 ||
        !(bytes_equal_string(version, "HTTP/1.1") || bytes_equal_string(version, "HTTP/1.0"))) {
        return fail(why, ERROR_INVALID,
                    "the request line must be METHOD target HTTP/1.1, with single spaces");
    }
    for (i = 0; i < (size_t)second; i++) {
        if (rest.data[i] <= 0x20 || rest.data[i] >= 0x7f || rest.data[i] == '#') {
            return fail(why, ERROR_INVALID,
                        "the request target holds a byte that must be percent-encoded");
        }
    }
    return OK;
}

static enum error check_header_line(struct bytes line, struct reason *why)
{
    ptrdiff_t colon = bytes_find(line, ':');
    ptrdiff_t i;

    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return fail(why, ERROR_INVALID, "folded header lines are not accepted");
    }
    if (colon <= 0) {
        return fail(why, ERROR_INVALID, "a header line has no name or no colon");
    }
    for (i = 0; i < colon; i++) {
        if (!is_token(line.data[i])) {
            return fail(why, ERROR_INVALID, "a header name holds a space or another odd byte");
        }
    }
    if (!is_text(bytes_slice(line, (size_t)colon, line.size))) {
        return fail(why, ERROR_INVALID, "a header value holds a control byte");
    }
    return OK;
}

enum error http_head_check(struct bytes head, unsigned *status, struct reason *why)
{
    struct bytes rest = head;
    size_t n = 0;

    for (;;) {
        const uint8_t *end = memmem(rest.data, rest.size, "\r\n", 2);
        struct bytes line;
        enum error rv;

        PRE(end != NULL);
        line = bytes_of(rest.data, (size_t)(end - rest.data));
        if (line.size == 0) {
            return OK;
        }
        rv = n == 0 ? check_request_line(line, why) : check_header_line(line, why);
        if (rv != OK) {
            return rv;
        }
        if (n++ > HTTP_HEADER_COUNT_MAX) {
            *status = 431;
            return fail(why, ERROR_TOO_LARGE, "there are more than %d headers",
                        HTTP_HEADER_COUNT_MAX);
        }
        rest = bytes_slice(rest, line.size + 2, rest.size);
    }
}
