#ifndef NODE_HTTP_PRIVATE_H
#define NODE_HTTP_PRIVATE_H

#include "base/list.h"
#include "node/access.h"
#include "node/http.h"
#include "node/http_message.h"
#include "node/router.h"
#include "node/worker.h"

/* What the files of the HTTP server share: the listener, its connections, their exchanges. All of
 * it belongs to one worker's loop.
 *
 *   HEAD -> EXCHANGE -> (DRAIN ->) HEAD ...     one request after the other
 *            any of them -> LINGER -> closed    our FIN is sent, what still comes is dropped
 */

#define DRAIN_MAX        (256u * 1024) /* Of a body that nobody wants, to keep the connection. */
#define DRAIN_MS         10000
#define LINGER_MS        5000
#define QUEUE_LOW        (256u * 1024) /* A next request is read when less waits to be sent. */
#define RESPONSE_MAX     (64u * 1024)  /* Headers of a response. */
#define TLS_HANDSHAKE_MS 10000

struct http_listener {
    struct http_listener_options options;
    uv_loop_t *loop;
    uv_tcp_t tcp;
    uv_timer_t sweep; /* One timer looks at all deadlines. */
    uv_idle_t idle;   /* Runs the connections in ready. */
    struct list connections, ready;
    size_t n_connections, n_open; /* All, and those that are not closing. */
    bool is_full;                 /* Said once, until most are gone. */
    uint64_t told_ms;             /* When listener_tell() said something. */
    bool is_closing;
    uint64_t drain_deadline_ms;
    unsigned open_handles;
    void (*closed_cb)(void *data);
    void *closed_data;
};

enum connection_state {
    CONNECTION_HEAD,     /* Reads a head. */
    CONNECTION_EXCHANGE, /* A handler has it. */
    CONNECTION_DRAIN,    /* Answered; the rest of the body is read and dropped. */
    CONNECTION_LINGER,   /* Our FIN is sent; reads on for a while so that no RST eats the answer. */
    CONNECTION_CLOSED
};

struct connection {
    struct http_listener *listener;
    struct stream stream;
    struct list link, ready;
    enum connection_state state;
    struct exchange *exchange; /* One reference. */
    struct buffer input;       /* Came, not used yet. */
    struct bytes view;         /* While advancing: what of it is left. */
    bool advancing, is_paused, has_ended;
    bool has_begun; /* The first byte of a head came. */
    bool is_cut;    /* The request's body will not come to its end. */
    size_t dropped;
    uint64_t deadline_ms;       /* Of the state; 0: none. */
    uint64_t write_deadline_ms; /* 0: nothing waits to be sent. */
    uint64_t written;           /* Bytes given to the stream. */
    uint64_t flushed;           /* Of them gone to the kernel, at the last sweep. */
    uint64_t received, moved;   /* Bytes that came; both ways, at the last sweep. */
    unsigned slow_sweeps;       /* In a row in which the client moved next to nothing. */
};

enum body_state {
    BODY_UNREAD,  /* The handler has not asked yet. */
    BODY_WHOLE,   /* Collected for body_cb. */
    BODY_STREAM,  /* Given to the sink. */
    BODY_FINISHED /* Handed over, or given up. */
};

struct file_send;

struct exchange {
    struct connection *connection; /* NULL: gone. */
    struct worker *worker;
    unsigned references;
    bool is_internal;
    uint64_t peer_node;
    struct http_message message;
    struct route_match match;
    struct identity identity;
    struct access_check *check; /* While a password is checked. */
    struct access_refresh refresh;
    bool is_refreshed; /* A refusal is decided again at most once. */
    char request_id[REQUEST_ID_MAX + 1];
    uint64_t started_ms;

    enum body_state body_state;
    exchange_body_cb body_cb;
    struct exchange_sink sink;
    struct buffer body;
    size_t body_held; /* Of body, as counted by the worker. */
    bool is_paused;

    struct buffer headers; /* Of the response. */
    unsigned status;
    int64_t length; /* Of the response's body as announced; -1: chunked or until the end. */
    uint64_t sent;  /* Bytes of it that were queued. */
    bool is_started, is_ended, must_close;
    void (*drained_cb)(struct exchange *exchange);
    struct file_send *file; /* Under way. */

    void *data;
    void (*destroy)(void *data);
};

/* http_listener.c */
/* Have the connections in ready advanced in the next turn of the loop. */
void listener_wake(struct http_listener *listener);
/* In the log, but not for each of many: somebody came with one protocol, the port speaks another.
 */
void listener_tell(struct http_listener *listener, const char *came, const char *speaks,
                   const struct stream *stream);
/* Take the connection out of the listener, which may be over with its last one. */
void listener_forget(struct connection *connection);

/* http_connection.c */
void connection_open(struct http_listener *listener);
/* Go on as far as possible. Not from inside a handler: connection_kick() is for that. */
void connection_advance(struct connection *connection);
/* Have connection_advance() called soon (or at once by the one that is under way). */
void connection_kick(struct connection *connection);
void connection_write(struct connection *connection, struct bytes bytes);
/* stream_send_file(). */
enum error connection_send_file(struct connection *connection, int fd, uint64_t offset, size_t size,
                                size_t *taken, struct reason *why) MUST_USE;
/* Send what is queued and our FIN, drop what still comes. */
void connection_linger(struct connection *connection);
void connection_close(struct connection *connection);
/* Look at the deadlines. */
void connection_sweep(struct connection *connection, uint64_t now_ms);

/* http_exchange.c */
struct exchange *exchange_create(struct connection *connection);
/* Route it, check access, call the handler. */
void exchange_dispatch(struct exchange *exchange);
/* The connection is over (or will be): whoever waits is told, the connection's reference goes. */
void exchange_detach(struct exchange *exchange);
bool exchange_wants_body(const struct exchange *exchange);
/* A piece of the body, and its end. */
void exchange_take_piece(struct exchange *exchange, struct bytes piece);
void exchange_take_end(struct exchange *exchange);

/* http_response.c */
/* A whole raw answer where there is no exchange to answer; always with Connection: close. */
void response_refuse(struct connection *connection, unsigned status, const char *code,
                     const char *text);
void response_log(const struct exchange *exchange);

#endif
