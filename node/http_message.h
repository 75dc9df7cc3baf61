#ifndef NODE_HTTP_MESSAGE_H
#define NODE_HTTP_MESSAGE_H

#include "base/bytes.h"
#include "node/http.h"

#include <llhttp.h>

/* One request on the wire: its head (request line and header fields up to the empty line), then its
 * body in pieces. A strict pass over the head comes before llhttp sees it, so that what two parsers
 * could read in two ways (bare LF, folded lines, space before a colon, control bytes, two lengths)
 * is refused. Pure: no socket, no clock. */

#define HTTP_QUERY_PARAMETERS_MAX 256
#define HTTP_TRAILERS_MAX         (8u * 1024)

struct http_field {
    struct bytes name, value;
};

struct http_message {
    uint8_t *head; /* All bytes below point in here or in decoded. */
    size_t head_size;
    uint8_t *decoded; /* Path and query, decoded. */
    struct http_field headers[HTTP_HEADER_COUNT_MAX];
    size_t n_headers;
    struct http_field *parameters;
    size_t n_parameters;
    enum http_method method; /* 0: one that no route has. */
    struct bytes method_text, target, path;
    int64_t content_length; /* -1: none. */
    bool is_chunked, is_http_1_0, keep_alive, expects_continue;
    /* Private: the body. */
    llhttp_t parser;
    uint64_t left;        /* Of a body with a length. */
    size_t framing_bytes; /* Chunk sizes and trailers since the last piece. */
    uint8_t last_framing_byte;
    struct bytes piece;
    bool is_complete;
    bool has_extension;
};

/* Where the head ends in what came so far: its size, 0 when more is needed. ERROR_TOO_LARGE with
 * *status 414 or 431 once it can only be over a limit; ERROR_INVALID for bytes that no head has. */
enum error http_message_find_head(struct bytes input, size_t *size, unsigned *status,
                                  struct reason *why) MUST_USE;
/* Read a whole head (copied). On an error *status is what to answer and nothing is kept. */
enum error http_message_open(struct http_message *message, struct bytes head, unsigned *status,
                             struct reason *why) MUST_USE;
void http_message_release(struct http_message *message);
/* The i-th header of that name in any case; NULL when there is none. */
const struct http_field *http_message_header(const struct http_message *message, const char *name,
                                             size_t i);

/* Take the next piece of the body out of in: *consumed bytes were used, piece (borrowed from in)
 * may be empty. message->is_complete turns true at its end. ERROR_INVALID: bad chunk framing. */
enum error http_message_body(struct http_message *message, struct bytes in, size_t *consumed,
                             struct bytes *piece, struct reason *why) MUST_USE;

/* Decode %XX once into out (at least in.size bytes). In a query '+' is a space. ERROR_INVALID: a
 * broken escape, one that gives a control byte or NUL, or (in a path) one that gives a slash. */
enum error percent_decode(struct bytes in, bool is_query, uint8_t *out, size_t *n) MUST_USE;

#endif
