#ifndef RAFT_LINK_H
#define RAFT_LINK_H

#include "base/list.h"
#include "base/stream.h"
#include "raft/frame.h"

/* One connection to or from a peer: TLS, the hello both ways, then frames. Knows nothing of Raft;
 * raft/transport.c decides what the frames mean. Embedded in nothing: made by link_accept() and
 * link_connect(), freed after its down event. */

struct link;
struct snapshot_receive;

struct link_events {
    /* The other side said who it is and proved it. An error refuses it. */
    enum error (*up)(struct link *link, const struct hello *hello, struct reason *why);
    /* A frame, borrowed; an error ends the link with why. */
    enum error (*frame)(struct link *link, const struct frame *frame, struct reason *why);
    /* The last event; the link is freed after it. */
    void (*down)(struct link *link, enum error error, const char *text);
};

struct link {
    void *data;       /* The owner's. */
    struct list item; /* The owner's. */
    bool outgoing, up;
    uint64_t id; /* Whom we wanted (outgoing), or who it proved to be; 0 before. */
    char address[HELLO_ADDRESS_MAX + 1]; /* Where it listens: from its hello. */
    struct snapshot_receive *receive;    /* The owner's. */
    uint64_t heard_ms;                   /* Monotonic: the last bytes, or the beginning. */
    /* Private. */
    struct stream stream;
    const struct link_events *events;
    const struct hello *self;
    struct buffer in;
    enum error error; /* Ours, when we close. */
    char text[160];
};

/* Take a connection that waits on listener. self outlives the link. */
struct link *link_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_context *tls,
                         const struct hello *self, const struct link_events *events, void *data);
/* NULL and why when address is none. */
struct link *link_connect(uv_loop_t *loop, const char *address, uint64_t id,
                          struct tls_context *tls, const struct hello *self,
                          const struct link_events *events, void *data, struct reason *why);
/* Queue a frame unless the link is not up or more than bound bytes wait already. */
bool link_send(struct link *link, struct bytes frame, size_t bound);
/* down follows from the loop. error and text (may be OK and "") are what it will say. */
void link_close(struct link *link, enum error error, const char *text);

#endif
