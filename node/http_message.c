#include "node/http_message.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/http_head.h"

#include <stdlib.h>
#include <strings.h>

/* Method, two spaces, version and CRLF around the target. */
#define REQUEST_LINE_MAX (HTTP_TARGET_MAX + 32)

/* --- finding the end of the head ---------------------------------------------------------------
 */

enum error http_message_find_head(struct bytes input, size_t *size, unsigned *status,
                                  struct reason *why)
{
    const uint8_t *line_end = memmem(input.data, input.size, "\r\n", 2);
    const uint8_t *end = memmem(input.data, input.size, "\r\n\r\n", 4);
    size_t line = line_end == NULL ? input.size : (size_t)(line_end - input.data);
    size_t all = end == NULL ? input.size : (size_t)(end - input.data) + 4;

    *size = 0;
    *status = 400;
    if (input.size > 0 && memchr(input.data, '\0', line) != NULL) {
        return fail(why, ERROR_INVALID, "the request line holds a NUL byte");
    }
    if (line > REQUEST_LINE_MAX) {
        *status = 414;
        return fail(why, ERROR_TOO_LARGE, "the request target is longer than %u bytes",
                    HTTP_TARGET_MAX);
    }
    if (all - line > HTTP_HEADERS_MAX) {
        *status = 431;
        return fail(why, ERROR_TOO_LARGE, "the headers are longer than %u bytes", HTTP_HEADERS_MAX);
    }
    if (end != NULL) {
        *size = all;
    } else if (memmem(input.data, input.size, "\n\n", 2) != NULL) {
        return fail(why, ERROR_INVALID, "a header line ends in LF without CR");
    }
    return OK;
}

/* --- llhttp ------------------------------------------------------------------------------------
 */

static struct http_message *message_of(llhttp_t *parser)
{
    return container_of(parser, struct http_message, parser);
}

/* The head is fed in one call, so that each part comes in one call too. */
static int url_cb(llhttp_t *parser, const char *at, size_t size)
{
    message_of(parser)->target = bytes_of(at, size);
    return 0;
}

static int header_field_cb(llhttp_t *parser, const char *at, size_t size)
{
    struct http_message *message = message_of(parser);

    if (message->head_size > 0) { /* The head was read: a trailer, which nobody looks at. */
        return 0;
    }
    if (message->n_headers == HTTP_HEADER_COUNT_MAX) {
        return -1;
    }
    message->headers[message->n_headers++] = (struct http_field){.name = bytes_of(at, size)};
    return 0;
}

static int header_value_cb(llhttp_t *parser, const char *at, size_t size)
{
    struct http_message *message = message_of(parser);
    struct bytes value = bytes_of(at, size);

    if (message->head_size > 0) {
        return 0;
    }
    while (value.size > 0 &&
           (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) {
        value.size--;
    }
    CHECK(message->n_headers > 0);
    message->headers[message->n_headers - 1].value = value;
    return 0;
}

static int headers_complete_cb(llhttp_t *parser)
{
    parser->upgrade = 0; /* h2c and the like are ignored: the answer is HTTP/1.1. */
    return HPE_PAUSED;
}

static int body_cb(llhttp_t *parser, const char *at, size_t size)
{
    message_of(parser)->piece = bytes_of(at, size);
    return HPE_PAUSED;
}

static int chunk_extension_cb(llhttp_t *parser, const char *at, size_t size)
{
    (void)at;
    message_of(parser)->has_extension = message_of(parser)->has_extension || size > 0;
    return size > 0 ? HPE_USER : 0;
}

static int message_complete_cb(llhttp_t *parser)
{
    message_of(parser)->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = url_cb,
    .on_header_field = header_field_cb,
    .on_header_value = header_value_cb,
    .on_headers_complete = headers_complete_cb,
    .on_body = body_cb,
    .on_chunk_extension_name = chunk_extension_cb,
    .on_message_complete = message_complete_cb,
};

/* --- what the head means -----------------------------------------------------------------------
 */

const struct http_field *http_message_header(const struct http_message *message, const char *name,
                                             size_t i)
{
    size_t size = strlen(name), j;

    for (j = 0; j < message->n_headers; j++) {
        const struct http_field *header = &message->headers[j];

        if (header->name.size == size &&
            strncasecmp((const char *)header->name.data, name, size) == 0 && i-- == 0) {
            return header;
        }
    }
    return NULL;
}

static bool equals_ignoring_case(struct bytes a, const char *text)
{
    return a.size == strlen(text) && strncasecmp((const char *)a.data, text, a.size) == 0;
}

static enum error read_length(struct http_message *message, struct reason *why)
{
    const struct http_field *length = http_message_header(message, "Content-Length", 0);
    const struct http_field *coding = http_message_header(message, "Transfer-Encoding", 0);
    uint64_t value;

    message->content_length = -1;
    if (length != NULL && coding != NULL) {
        return fail(why, ERROR_INVALID, "Content-Length and Transfer-Encoding together");
    }
    if (coding != NULL) {
        if (http_message_header(message, "Transfer-Encoding", 1) != NULL ||
            !equals_ignoring_case(coding->value, "chunked") || message->is_http_1_0) {
            return fail(why, ERROR_INVALID,
                        "the only transfer coding is chunked, once, and with HTTP/1.1");
        }
        message->is_chunked = true;
        return OK;
    }
    if (length != NULL) {
        if (http_message_header(message, "Content-Length", 1) != NULL ||
            bytes_to_uint(length->value, &value) != OK || value > INT64_MAX) {
            return fail(why, ERROR_INVALID, "Content-Length must be one decimal number");
        }
        message->content_length = (int64_t)value;
        message->left = value;
    }
    message->is_complete = message->left == 0;
    return OK;
}

static enum error read_expect(struct http_message *message, unsigned *status, struct reason *why)
{
    const struct http_field *expect = http_message_header(message, "Expect", 0);

    if (expect == NULL || message->is_http_1_0) {
        return OK;
    }
    if (!equals_ignoring_case(expect->value, "100-continue") ||
        http_message_header(message, "Expect", 1) != NULL) {
        *status = 417;
        return fail(why, ERROR_UNSUPPORTED, "the only expectation that is met is 100-continue");
    }
    message->expects_continue = !message->is_complete;
    return OK;
}

/* Cut "http://host" off an absolute target; host must be the Host header's. */
static enum error read_host(struct http_message *message, struct bytes *path_and_query,
                            struct reason *why)
{
    const struct http_field *host = http_message_header(message, "Host", 0);
    struct bytes target = message->target, authority;
    ptrdiff_t slash;

    if ((host == NULL && !message->is_http_1_0) ||
        http_message_header(message, "Host", 1) != NULL) {
        return fail(why, ERROR_INVALID, "there must be exactly one Host header");
    }
    *path_and_query = target;
    if (target.size > 0 && target.data[0] == '/') {
        return OK;
    }
    slash = bytes_find(target, ':');
    if (host == NULL || slash < 0 ||
        !(equals_ignoring_case(bytes_slice(target, 0, (size_t)slash), "http") ||
          equals_ignoring_case(bytes_slice(target, 0, (size_t)slash), "https")) ||
        !bytes_starts_with(bytes_slice(target, (size_t)slash, target.size), BYTES_LITERAL("://"))) {
        return fail(why, ERROR_INVALID, "the request target must start with a slash");
    }
    authority = bytes_slice(target, (size_t)slash + 3, target.size);
    slash = bytes_find(authority, '/');
    *path_and_query =
        bytes_slice(authority, slash < 0 ? authority.size : (size_t)slash, target.size);
    authority = bytes_slice(authority, 0, slash < 0 ? authority.size : (size_t)slash);
    if (slash < 0 || authority.size != host->value.size ||
        strncasecmp((const char *)authority.data, (const char *)host->value.data, authority.size) !=
            0) {
        return fail(why, ERROR_INVALID, "the target names another host than the Host header");
    }
    return OK;
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

enum error percent_decode(struct bytes in, bool is_query, uint8_t *out, size_t *n)
{
    size_t i;

    *n = 0;
    for (i = 0; i < in.size; i++) {
        int c = in.data[i];

        if (c == '%') {
            int high = i + 2 < in.size ? hex_value(in.data[i + 1]) : -1;
            int low = i + 2 < in.size ? hex_value(in.data[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return ERROR_INVALID;
            }
            c = high * 16 + low;
            if (c == '/' && !is_query) {
                return ERROR_INVALID;
            }
            i += 2;
        } else if (c == '+' && is_query) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f) {
            return ERROR_INVALID;
        }
        out[(*n)++] = (uint8_t)c;
    }
    return OK;
}

static bool path_is_plain(struct bytes path)
{
    struct bytes rest = bytes_slice(path, 1, path.size);

    while (rest.size > 0) {
        ptrdiff_t slash = bytes_find(rest, '/');
        struct bytes part = bytes_slice(rest, 0, slash < 0 ? rest.size : (size_t)slash);

        if (part.size == 0 || bytes_equal_string(part, ".") || bytes_equal_string(part, "..")) {
            return false;
        }
        rest = bytes_slice(rest, part.size + 1, rest.size);
    }
    return true;
}

/* "a=b&c" into parameters; decoded bytes go to *out and move it on. */
static enum error read_query(struct http_message *message, struct bytes query, uint8_t *out)
{
    message->parameters = memory_alloc(HTTP_QUERY_PARAMETERS_MAX * sizeof *message->parameters);
    while (query.size > 0) {
        ptrdiff_t end = bytes_find(query, '&');
        struct bytes pair = bytes_slice(query, 0, end < 0 ? query.size : (size_t)end);
        ptrdiff_t equals = bytes_find(pair, '=');
        struct http_field *field = &message->parameters[message->n_parameters];
        struct bytes raw[2] = {
            bytes_slice(pair, 0, equals < 0 ? pair.size : (size_t)equals),
            bytes_slice(pair, equals < 0 ? pair.size : (size_t)equals + 1, pair.size)};
        struct bytes *into[2] = {&field->name, &field->value};
        size_t i, n;

        query = bytes_slice(query, pair.size + 1, query.size);
        if (pair.size == 0) {
            continue;
        }
        if (message->n_parameters++ == HTTP_QUERY_PARAMETERS_MAX) {
            return ERROR_TOO_LARGE;
        }
        for (i = 0; i < 2; i++) {
            if (percent_decode(raw[i], true, out, &n) != OK) {
                return ERROR_INVALID;
            }
            *into[i] = bytes_of(out, n);
            out += n;
        }
    }
    return OK;
}

static enum error read_target(struct http_message *message, unsigned *status, struct reason *why)
{
    struct bytes raw, path, query = BYTES_NONE;
    enum error rv = read_host(message, &raw, why);
    ptrdiff_t mark;
    size_t n;

    if (rv != OK) {
        return rv;
    }
    if (message->target.size > HTTP_TARGET_MAX) {
        *status = 414;
        return fail(why, ERROR_TOO_LARGE, "the request target is longer than %u bytes",
                    HTTP_TARGET_MAX);
    }
    mark = bytes_find(raw, '?');
    path = bytes_slice(raw, 0, mark < 0 ? raw.size : (size_t)mark);
    if (mark >= 0) {
        query = bytes_slice(raw, (size_t)mark + 1, raw.size);
    }
    message->decoded = memory_alloc(raw.size + 1);
    if (percent_decode(path, false, message->decoded, &n) != OK ||
        !path_is_plain(bytes_of(message->decoded, n))) {
        return fail(why, ERROR_INVALID,
                    "the path holds an empty or dotted component, a control byte, %%2F, or a "
                    "broken escape");
    }
    message->path = bytes_of(message->decoded, n);
    if (query.size > 0 && read_query(message, query, message->decoded + n) != OK) {
        return fail(why, ERROR_INVALID,
                    "the query holds a broken escape, a control byte, or over %d parameters",
                    HTTP_QUERY_PARAMETERS_MAX);
    }
    return OK;
}

static enum http_method method_of(struct bytes text)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    unsigned i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (bytes_equal_string(text, names[i])) {
            return (enum http_method)(1u << i);
        }
    }
    return (enum http_method)0;
}

static enum error parse_head(struct http_message *message, struct bytes head, unsigned *status,
                             struct reason *why)
{
    enum error rv = http_head_check(head, status, why);
    llhttp_errno_t parsed;

    if (rv != OK) {
        return rv;
    }
    llhttp_init(&message->parser, HTTP_REQUEST, &settings);
    message->head = memory_copy(head.data, head.size);
    parsed = llhttp_execute(&message->parser, (const char *)message->head, head.size);
    if (parsed != HPE_PAUSED ||
        llhttp_get_error_pos(&message->parser) != (const char *)message->head + head.size) {
        const char *text = llhttp_get_error_reason(&message->parser);

        return fail(why, ERROR_INVALID, "the request is not HTTP/1.1: %s",
                    parsed == HPE_OK || parsed == HPE_PAUSED || text == NULL ? "its head has no end"
                                                                             : text);
    }
    message->head_size = head.size;
    message->method_text = bytes_slice(bytes_of(message->head, head.size), 0,
                                       (size_t)bytes_find(bytes_of(message->head, head.size), ' '));
    message->method = method_of(message->method_text);
    message->is_http_1_0 = message->parser.http_minor == 0;
    message->keep_alive = llhttp_should_keep_alive(&message->parser);
    rv = read_length(message, why);
    if (rv == OK) {
        rv = read_target(message, status, why);
    }
    return rv == OK ? read_expect(message, status, why) : rv;
}

enum error http_message_open(struct http_message *message, struct bytes head, unsigned *status,
                             struct reason *why)
{
    enum error rv;

    PRE(bytes_ends_with(head, BYTES_LITERAL("\r\n\r\n")));
    *message = (struct http_message){.content_length = -1};
    *status = 400;
    rv = parse_head(message, head, status, why);
    if (rv != OK) {
        http_message_release(message);
    }
    return rv;
}

void http_message_release(struct http_message *message)
{
    free(message->head);
    free(message->decoded);
    free(message->parameters);
    *message = (struct http_message){.content_length = -1};
}

/* --- the body ----------------------------------------------------------------------------------
 */

/* llhttp takes a bare LF for the end of the trailers, where another parser reads on. The last byte
 * is kept from call to call: a CR and its LF may come apart. */
static bool has_bare_lf(struct http_message *message, struct bytes framing)
{
    size_t i;

    for (i = 0; i < framing.size; i++) {
        if (framing.data[i] == '\n' && message->last_framing_byte != '\r') {
            return true;
        }
        message->last_framing_byte = framing.data[i];
    }
    return false;
}

/* Is all that llhttp consumed around the piece framing with whole line ends? */
static bool framing_is_strict(struct http_message *message, struct bytes consumed)
{
    struct bytes piece = message->piece;
    size_t before;

    if (piece.size == 0) {
        return !has_bare_lf(message, consumed);
    }
    before = (size_t)(piece.data - consumed.data);
    if (has_bare_lf(message, bytes_slice(consumed, 0, before))) {
        return false;
    }
    message->last_framing_byte = 0; /* A CR in front of the data is not that of a later LF. */
    return !has_bare_lf(message, bytes_slice(consumed, before + piece.size, consumed.size));
}

static enum error chunked_body(struct http_message *message, struct bytes in, size_t *consumed,
                               struct bytes *piece, struct reason *why)
{
    llhttp_errno_t parsed;

    if (llhttp_get_errno(&message->parser) == HPE_PAUSED) {
        llhttp_resume(&message->parser);
    }
    message->piece = BYTES_NONE;
    parsed = llhttp_execute(&message->parser, (const char *)in.data, in.size);
    if (parsed == HPE_OK) {
        *consumed = in.size;
    } else if (parsed == HPE_PAUSED) {
        *consumed = (size_t)(llhttp_get_error_pos(&message->parser) - (const char *)in.data);
    } else {
        return fail(why, ERROR_INVALID,
                    message->has_extension ? "chunk extensions are not accepted"
                                           : "the chunked body is malformed");
    }
    CHECK(*consumed <= in.size);
    if (!framing_is_strict(message, bytes_slice(in, 0, *consumed))) {
        return fail(why, ERROR_INVALID, "a line of the chunked body ends in LF without CR");
    }
    message->framing_bytes = message->piece.size > 0 ? 0 : message->framing_bytes + *consumed;
    if (message->framing_bytes > HTTP_TRAILERS_MAX) {
        return fail(why, ERROR_INVALID, "the trailers are longer than %u bytes", HTTP_TRAILERS_MAX);
    }
    *piece = message->piece;
    return OK;
}

enum error http_message_body(struct http_message *message, struct bytes in, size_t *consumed,
                             struct bytes *piece, struct reason *why)
{
    PRE(!message->is_complete && in.size > 0);
    if (message->is_chunked) {
        return chunked_body(message, in, consumed, piece, why);
    }
    *consumed = in.size < message->left ? in.size : (size_t)message->left;
    *piece = bytes_slice(in, 0, *consumed);
    message->left -= *consumed;
    message->is_complete = message->left == 0;
    return OK;
}
