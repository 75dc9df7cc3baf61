#ifndef NODE_HTTP_H
#define NODE_HTTP_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/stream.h"

#include <jansson.h>

/* The HTTP/1.1 server as handlers see it. One exchange is one request and its response, on the loop
 * of one worker. A handler is called once the header is complete and access was granted; it then
 * asks for the body (whole or streamed) and answers, now or later.
 *
 * Life: an exchange that a handler waits for something with (the log, the disk, a peer) is held
 * (exchange_hold) and released afterwards; when the client goes away meanwhile, exchange_is_gone()
 * turns true, answers are dropped silently, and it is freed with the last release. Do not hold it
 * across exchange_read_body(): when the body does not come, the callback does not either. A body
 * that is streamed always ends with the sink's end, unless the handler answered before. */

struct exchange;
struct worker;

enum http_method {
    HTTP_GET_ = 1,
    HTTP_HEAD_ = 2,
    HTTP_POST_ = 4,
    HTTP_PUT_ = 8,
    HTTP_PATCH_ = 16,
    HTTP_DELETE_ = 32
};

#define HTTP_TARGET_MAX       (16u * 1024)
#define HTTP_HEADERS_MAX      (32u * 1024)
#define HTTP_HEADER_COUNT_MAX 100
#define MANIFEST_SIZE_MAX     (4u * 1024 * 1024)
#define API_BODY_MAX          (256u * 1024)

/* Who may call a route. Every row names one (there is no default: 0 does not build). */
enum access {
    ACCESS_PUBLIC = 1, /* Liveness and the like; no login. */
    ACCESS_LOGIN,      /* Anyone who is logged in (or anonymous under --open). */
    ACCESS_PULL,       /* On the route's repository. */
    ACCESS_PUSH,
    ACCESS_APPROVE, /* Checked by the handler against the promotion's repositories. */
    ACCESS_ADMIN,
    ACCESS_PEER, /* The internal listener, with a node's certificate. */
    ACCESS_JOIN, /* The internal listener, with a join token in the body. */
};

/* A row of a route table; use it for every row: access 0 does not compile. */
#define ROUTE(methods, pattern, class, handler)                                                    \
    {                                                                                              \
        (methods), (pattern), (enum access)((class) + 0 * (int)sizeof(char[(class) ? 1 : -1])),    \
            (handler)                                                                              \
    }

/* Path patterns: literal components, {name} a repository name (one or more components, matched from
 * the right), {x} any one component. */
struct route {
    unsigned methods; /* enum http_method, or-ed. */
    const char *pattern;
    enum access access;
    void (*handler)(struct exchange *exchange);
};

/* --- the request -------------------------------------------------------------------------------
 */

struct worker *exchange_worker(struct exchange *exchange);
enum http_method exchange_method(const struct exchange *exchange);
/* Decoded path ("/v2/a/b/blobs/sha256:.."), and the target as it came. */
struct bytes exchange_path(const struct exchange *exchange);
struct bytes exchange_target(const struct exchange *exchange);
/* What {key} of the route matched; empty when the pattern has none. */
struct bytes exchange_parameter(const struct exchange *exchange, const char *key);
/* The i-th value of a query parameter, decoded. False when there is none. */
bool exchange_query(const struct exchange *exchange, const char *key, size_t i,
                    struct bytes *value);
/* First header of that name (any case); empty when absent. */
struct bytes exchange_header(const struct exchange *exchange, const char *name);
/* -1: none given (chunked, or no body). */
int64_t exchange_content_length(const struct exchange *exchange);
bool exchange_has_body(const struct exchange *exchange);
/* The caller's name: a user, "anonymous", or "node/<id>". On a forwarded request, the original's.
 */
struct bytes exchange_actor(const struct exchange *exchange);
/* May the caller do action (store/catalog.h) on the repository? */
bool exchange_may(const struct exchange *exchange, unsigned action, struct bytes repository);
/* On the internal listener: came from a peer, do not forward again. */
bool exchange_is_internal(const struct exchange *exchange);
/* In logs and answers as X-Request-Id, and kept across nodes: the caller's (letters, digits, ".",
 * "_",
 * "-"), or 16 hex digits. */
#define REQUEST_ID_MAX 64
const char *exchange_request_id(const struct exchange *exchange);

/* --- the body ----------------------------------------------------------------------------------
 */

/* The whole body, at most limit bytes (413 otherwise, and cb is not called), then cb. */
typedef void (*exchange_body_cb)(struct exchange *exchange, struct bytes body);
void exchange_read_body(struct exchange *exchange, size_t limit, exchange_body_cb cb);

/* The body in pieces. piece: borrowed for the call; pause when more would pile up. end: complete
 * (OK), or cut short (ERROR_PEER). Starts with this call. */
struct exchange_sink {
    void (*piece)(struct exchange *exchange, struct bytes piece);
    void (*end)(struct exchange *exchange, enum error status);
};
void exchange_stream_body(struct exchange *exchange, const struct exchange_sink *sink);
void exchange_pause_body(struct exchange *exchange);
void exchange_resume_body(struct exchange *exchange);

/* --- the response ------------------------------------------------------------------------------
 */

/* Headers first, then one of the answers. A value with control bytes is left out (and logged). */
void exchange_set_header(struct exchange *exchange, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whole answers. Content-Length and the usual headers are added; HEAD sends no body. */
void exchange_answer(struct exchange *exchange, unsigned status, const char *content_type,
                     struct bytes body);
void exchange_answer_json(struct exchange *exchange, unsigned status, json_t *value_taken);
/* {"errors":[{code,message,detail}]} with the status that belongs to the code (node/oci_error.h).
 */
void exchange_fail(struct exchange *exchange, enum error error, const struct reason *why);
void exchange_fail_as(struct exchange *exchange, unsigned status, const char *code,
                      json_t *detail_taken, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* An answer in pieces: start (length -1: chunked), write while exchange_queued() is small, end. */
void exchange_start(struct exchange *exchange, unsigned status, const char *content_type,
                    int64_t length);
void exchange_write(struct exchange *exchange, struct bytes piece);
size_t exchange_queued(const struct exchange *exchange);
/* Called once when the queue has run empty (soon when it is already), or the exchange is gone;
 * never inside this call. */
void exchange_on_drained(struct exchange *exchange, void (*cb)(struct exchange *exchange));
void exchange_end(struct exchange *exchange);

/* A check of a file's bytes before they leave (I-5).
 *
 * run() is called in libuv's pool, for ranges that begin and end at multiples of chunk_size (a
 * power of two, at least 4 KiB), about 1 MiB each; the last one may reach past the end of the file
 * and past what is asked for: clamp it to the file. No byte of a range leaves before run() said OK
 * for all of it, and it is called again when the range left the page cache meanwhile. It has to
 * read the range (which also brings it into the page cache). Calls for one file do not overlap, and
 * one is at most one range ahead of what the client takes. Anything but OK cuts the connection
 * there, before the last byte of the answer, with why in the log. release() is called once, on the
 * worker's loop, when no call will follow, whether the file was sent, cut, or the client is gone;
 * run() may leave in data what it found, for release() to act on. */
struct file_check {
    void *data;
    size_t chunk_size;
    enum error (*run)(void *data, int fd, uint64_t offset, uint64_t length, struct reason *why);
    void (*release)(void *data);
};

/* After start: the rest of the body from a file; the descriptor is taken. check: NULL for none.
 * Ends the exchange. What is not in the page cache is read in the pool. On a read error, and on a
 * failed check, the connection is cut before the last byte. */
void exchange_send_file(struct exchange *exchange, int fd, uint64_t offset, uint64_t length,
                        const struct file_check *check);
/* After start, when it cannot be completed: cut the connection. */
void exchange_abort(struct exchange *exchange);

/* --- life ----------------------------------------------------------------------------------------
 */

void exchange_hold(struct exchange *exchange);
void exchange_release(struct exchange *exchange);
bool exchange_is_gone(const struct exchange *exchange);
/* The handler's state for this exchange; destroy (may be NULL) runs when it is freed. */
void exchange_set_data(struct exchange *exchange, void *data, void (*destroy)(void *data));
void *exchange_data(const struct exchange *exchange);

/* --- the server ----------------------------------------------------------------------------------
 */

struct http_listener; /* One per worker and port. */

/* routes end with a row of zeros. tls NULL: plain. internal: the peers' port. The times bound one
 * step each, there is no limit on a whole body; 0: the default in brackets. */
struct http_listener_options {
    struct worker *worker;
    const char *address;
    struct tls_context *tls;
    bool is_internal;
    const struct route *const *routes; /* Several tables, NULL at the end; kept, not copied. */
    size_t connections_max;            /* Of this listener (10,000); over it, idle ones go. */
    uint64_t header_ms;                /* For a whole head (15 s). */
    uint64_t idle_ms;                  /* Between two requests (75 s). */
    uint64_t body_ms;                  /* Between two pieces of a body (60 s). */
    uint64_t write_ms;                 /* Without progress in sending (60 s). */
};

enum error http_listener_open(const struct http_listener_options *options,
                              struct http_listener **out, struct reason *why) MUST_USE;
/* The address that it listens on, with the port that the kernel chose for port 0. */
void http_listener_address(const struct http_listener *listener, char text[64]);
/* Stop accepting, let exchanges under way finish (at most drain_ms), then call closed_cb. */
void http_listener_close(struct http_listener *listener, uint64_t drain_ms,
                         void (*closed_cb)(void *data), void *data);

#endif
