#ifndef NODE_PEERS_H
#define NODE_PEERS_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"

#include <uv.h>

/* Requests to other nodes' internal listeners: HTTP/1.1 over mutual TLS 1.3, on one worker's loop
 * (libcurl's multi interface). The server's certificate must name the very member that was asked
 * for; redirects and proxies are never followed; connections are kept and used again.
 *
 * A struct peer_request is embedded in its owner, who keeps it until the done event, which is the
 * last one and always comes. Events never run inside the call that causes them. */

struct catalog;
struct peers;

struct peers_options {
    uv_loop_t *loop;
    struct catalog *catalog; /* Members' data addresses. */
    const char *cluster;     /* 32 hex digits, named by every node certificate. */
    uint64_t self;           /* This member's id. */
    /* PEM texts, copied. All empty: plain HTTP (unit tests on loopback only). */
    struct bytes certificate, key, ca;
};

enum error peers_open(const struct peers_options *options, struct peers **out,
                      struct reason *why) MUST_USE;
/* peer_cancel() for all that is under way now. */
void peers_cancel(struct peers *peers);
/* Cancels what is under way; closed_cb, from the loop, is the end of peers. */
void peers_close(struct peers *peers, void (*closed_cb)(void *data), void *data);
uint64_t peers_self(const struct peers *peers);
/* A connection to this member failed within the last seconds: ask another first. */
bool peers_is_down(const struct peers *peers, uint64_t member);

#define PEERS_MAX 16

/* Ids of the members of the catalog in the order in which they joined, this one included; returns
 * their number. */
size_t peers_members(struct peers *peers, uint64_t ids[PEERS_MAX]);

#define PEER_CONNECT_MS 2000
/* A member that moves nothing for so long is asked whether it lives; when it does not answer within
 * PEER_CONNECT_MS, what waits for it fails with ERROR_TIMEOUT. */
#define PEER_SILENT_MS 2000
#define PEER_IDLE_MS   10000
/* Bytes of a streamed body that may wait; more fail the request. */
#define PEER_QUEUE_MAX (16u * 1024 * 1024)

struct peer_request;

struct peer_events {
    /* The answer's header is complete: peer_status(), peer_answer_header(). May be NULL. */
    void (*header)(struct peer_request *request);
    /* Bytes of the answer's body, borrowed for the call. NULL: the body is dropped. */
    void (*piece)(struct peer_request *request, struct bytes piece);
    /* The peer took bytes of a streamed body: look at peer_queued() again. May be NULL. */
    void (*taken)(struct peer_request *request);
    /* OK: a whole answer came, of whatever status. ERROR_UNAVAILABLE: no connection, the peer got
     * nothing. ERROR_PEER, ERROR_TIMEOUT: broken on the way. ERROR_CANCELED: peer_cancel(). */
    void (*done)(struct peer_request *request, enum error status, const struct reason *why);
};

struct peer_request {
    void *data; /* The owner's. */
    /* How long neither side may make progress while it is not we who pause. Set between init and
     * start; PEER_IDLE_MS by default. */
    uint64_t idle_ms;
    /* Private. */
    struct list link, kick;
    struct peers *peers;
    const struct peer_events *events;
    uint64_t member;
    void *easy, *headers, *connect_to;
    struct buffer queue;
    size_t queue_taken;
    struct bytes fixed;
    int64_t length;
    uint64_t progress_ms, answered_ms;
    bool is_fresh, has_stream, ended, send_waits, paused, receive_waits, has_header, canceled,
        failed_idle, started;
    enum error error;
    struct reason why;
};

/* Sets everything, data included. target: path and query, copied. */
void peer_request_init(struct peer_request *request, uint64_t member, const char *method,
                       const char *target, const struct peer_events *events);
void peer_request_header(struct peer_request *request, const char *name, struct bytes value);
/* A body that stays where it is until done. */
void peer_request_body(struct peer_request *request, struct bytes body);
/* A body by peer_write() and peer_end(); length -1: not known (chunked). */
void peer_request_stream(struct peer_request *request, int64_t length);
void peer_request_start(struct peers *peers, struct peer_request *request);

/* Queue a copy. The owner bounds the queue by looking at peer_queued() before. */
void peer_write(struct peer_request *request, struct bytes piece);
size_t peer_queued(const struct peer_request *request);
void peer_end(struct peer_request *request);
/* Stop and go on delivering pieces. */
void peer_pause(struct peer_request *request);
void peer_resume(struct peer_request *request);
/* done follows with ERROR_CANCELED unless the request is over already; the connection is cut. */
void peer_cancel(struct peer_request *request);

/* From the header event to the end of done. */
unsigned peer_status(const struct peer_request *request);
/* -1: not told. */
int64_t peer_content_length(const struct peer_request *request);
/* First header of that name, "" when absent. */
const char *peer_answer_header(const struct peer_request *request, const char *name);

#endif
