#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/tls.h"

#include <uv.h>

/* One TCP connection, plain or TLS, on one loop; the HTTP server, and the peer links of raft/ stand
 * on it. OpenSSL works on memory buffers, libuv moves the bytes.
 *
 * Ownership: the owner embeds a struct stream and keeps it until the closed event, which is the
 * last one and the place to free it. Events never run inside the call that causes them, except that
 * received may follow another received. Limits: at most STREAM_QUEUE_MAX bytes wait to be sent; a
 * writer asks stream_queued() and waits for drained. The process must ignore SIGPIPE. */

#define STREAM_QUEUE_MAX (16u * 1024 * 1024)

struct stream;

struct stream_events {
    /* Connected, and the TLS handshake is done (at once for plain). */
    void (*ready)(struct stream *stream);
    /* Bytes came; borrowed for the call. */
    void (*received)(struct stream *stream, struct bytes bytes);
    /* The other side will send no more (FIN or close_notify); writing may go on. */
    void (*ended)(struct stream *stream);
    /* The queue ran empty after it had held something. */
    void (*drained)(struct stream *stream);
    /* Over: why is OK for our own stream_close(). The stream may be freed in here. */
    void (*closed)(struct stream *stream, enum error why, const char *text);
    /* A server with TLS was sent something else first. What to answer, as it is, before the
     * connection ends (closed follows, ERROR_INVALID); it is borrowed for the call. NULL: the
     * handshake fails.
     */
    struct bytes (*not_tls)(struct stream *stream);
};

enum stream_state {
    STREAM_CONNECTING,
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_CLOSING,
    STREAM_CLOSED
};

struct stream {
    void *data; /* The owner's. */
    /* Private. */
    const struct stream_events *events;
    enum stream_state state;
    uv_tcp_t tcp;
    uv_timer_t timer; /* Bounds connect and handshake. */
    struct tls_session *tls;
    size_t queued;
    bool paused;
    bool ended;      /* Nothing more will come... */
    bool ended_told; /* ...and the owner knows. */
    bool shutting_down;
    bool is_greeted; /* The first bytes came. */
    bool refused;    /* It was not TLS: what comes is dropped until the other side ends. */
    bool connected_by_us;
    enum error error;
    char error_text[160];
    unsigned open_handles;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    uint64_t expect, limit_ms;
    struct buffer held; /* Decrypted while paused. */
    char address[64];
};

/* Take a connection that waits on a listener. tls NULL: plain. handshake_ms bounds the handshake.
 * Whatever goes wrong with the connection comes as closed; if this does not give OK, nothing was
 * opened and no event follows. */
enum error stream_accept(struct stream *stream, uv_loop_t *loop, uv_stream_t *listener,
                         struct tls_context *tls, uint64_t handshake_ms,
                         const struct stream_events *events) MUST_USE;
/* Connect to an address ("127.0.0.1:5001", "[::1]:5001": literals only); connect_ms bounds connect
 * and handshake. The outcome is ready or closed. expect: the peer's node id that its certificate
 * must name (tls_session_peer_node()), 0: anyone. As with stream_accept(), no event follows an
 * error from here (ERROR_INVALID: no address). */
enum error stream_connect(struct stream *stream, uv_loop_t *loop, const char *address,
                          struct tls_context *tls, uint64_t expect, uint64_t connect_ms,
                          const struct stream_events *events) MUST_USE;
/* Queue a copy of bytes, from ready on; ignored after stream_shutdown() and stream_close(). Past
 * STREAM_QUEUE_MAX the stream is closed with ERROR_TOO_LARGE. */
void stream_write(struct stream *stream, struct bytes bytes);
/* Send bytes of a file, up to size, as far as the kernel takes them now; *taken of them are on
 * their way and need not be sent again. Plain connections copy nothing. When *taken < size, wait
 * for drained and go on; nothing is taken while something is queued. It reads from the file: what
 * is not in the page cache (base/page_cache.h) holds up the whole loop. ERROR_IO, ERROR_CORRUPT
 * (the file is too short): the file's fault, the stream is as it was. */
enum error stream_send_file(struct stream *stream, int fd, uint64_t offset, size_t size,
                            size_t *taken, struct reason *why) MUST_USE;
/* Bytes that the kernel has not taken yet. */
size_t stream_queued(const struct stream *stream);
/* Stop and go on reading; a paused stream gives no received and no ended. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);
/* Send what is queued, then our FIN (close_notify first); reading goes on. Before ready there is
 * nothing to send yet: the same as stream_close(). */
void stream_shutdown(struct stream *stream);
/* Now: what is queued is dropped. closed follows from the loop. Calling it again is harmless. */
void stream_close(struct stream *stream);
/* "127.0.0.1:40012", for logs. */
void stream_peer_address(const struct stream *stream, char text[64]);
/* Node id that the peer's certificate names; 0: plain, or no (node) certificate. */
uint64_t stream_peer_node(const struct stream *stream);

/* Parse "host:port" with a literal IPv4 or [IPv6] host; "0.0.0.0:0" is fine. ERROR_INVALID. */
enum error address_parse(const char *text, struct sockaddr_storage *out,
                         struct reason *why) MUST_USE;
/* Does nobody listen there? Asked before shared listeners are made, which another process of the
 * same user could make as well, and would then get a share of the connections. ERROR_BUSY. */
enum error stream_address_is_free(const char *address, struct reason *why) MUST_USE;
/* Bind and listen (SO_REUSEADDR, and SO_REUSEPORT when shared: one listener per worker). */
enum error stream_listen(uv_tcp_t *listener, uv_loop_t *loop, const char *address, bool shared,
                         int backlog, uv_connection_cb on_connection, struct reason *why) MUST_USE;

#endif
