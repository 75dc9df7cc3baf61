/* A link: what comes is cut into frames, the first of which must be a hello whose id is the one in
 * the verified certificate. Anything else closes the link, and only it. */
#include "raft/link.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HANDSHAKE_MS 2000
#define IN_SIZE_MAX  (FRAME_SIZE_MAX + (1u << 20))

static struct link *link_of(struct stream *stream)
{
    return container_of(stream, struct link, stream);
}

static bool is_closing(const struct link *link)
{
    return link->stream.state >= STREAM_CLOSING;
}

/* --- events of the stream -------------------------------------------------------------------- */

static void on_ready(struct stream *stream)
{
    struct link *link = link_of(stream);
    struct buffer out;
    enum error error;

    buffer_init(&out, FRAME_HELLO_MAX);
    error = frame_encode_hello(&out, link->self);
    CHECK(error == OK);
    stream_write(stream, buffer_view(&out));
    buffer_release(&out);
}

static enum error check_hello(struct link *link, const struct hello *hello, struct reason *why)
{
    uint64_t proved = stream_peer_node(&link->stream);

    if (strcmp(hello->cluster, link->self->cluster) != 0) {
        return fail(why, ERROR_FOREIGN, "it is of cluster %s, this is cluster %s", hello->cluster,
                    link->self->cluster);
    }
    if (hello->id != proved) {
        return fail(why, ERROR_FOREIGN,
                    "it says that it is node %016" PRIx64 ", its certificate says %016" PRIx64,
                    hello->id, proved);
    }
    if (link->outgoing && hello->id != link->id) {
        return fail(why, ERROR_FOREIGN, "it is node %016" PRIx64 ", not %016" PRIx64, hello->id,
                    link->id);
    }
    if (hello->id == link->self->id) {
        return fail(why, ERROR_FOREIGN, "it has this node's own id");
    }
    return OK;
}

static enum error take_hello(struct link *link, const struct frame *frame, struct reason *why)
{
    struct hello hello;
    enum error error;

    if (frame->kind != FRAME_HELLO) {
        return fail(why, ERROR_INVALID, "its first frame is no hello but %s",
                    frame_kind_name(frame->kind));
    }
    error = frame_decode_hello(frame->body, &hello, why);
    if (error == OK) {
        error = check_hello(link, &hello, why);
    }
    if (error != OK) {
        return error;
    }
    link->id = hello.id;
    snprintf(link->address, sizeof link->address, "%s", hello.address);
    link->up = true;
    return link->events->up(link, &hello, why);
}

/* Take the frames at the front of bytes; how much of it they were. */
static size_t take_frames(struct link *link, struct bytes bytes)
{
    size_t taken = 0;
    struct reason why;
    enum error error = OK;

    while (!is_closing(link)) {
        struct frame frame;
        bool complete;

        error = frame_split(bytes_slice(bytes, taken, bytes.size),
                            link->up ? FRAME_SIZE_MAX : FRAME_HELLO_MAX, &frame, &complete, &why);
        if (error == OK && !complete) {
            break;
        }
        if (error == OK) {
            taken += frame.size;
            error = link->up ? link->events->frame(link, &frame, &why)
                             : take_hello(link, &frame, &why);
        }
        if (error != OK) {
            link_close(link, error, why.text);
        }
    }
    return taken;
}

static void on_received(struct stream *stream, struct bytes bytes)
{
    struct link *link = link_of(stream);
    size_t taken;

    link->heard_ms = clock_monotonic_ms();
    if (link->in.size == 0) {
        taken = take_frames(link, bytes);
        buffer_append(&link->in, bytes_slice(bytes, taken, bytes.size));
    } else {
        buffer_append(&link->in, bytes);
        taken = take_frames(link, buffer_view(&link->in));
        buffer_skip(&link->in, taken);
    }
    if (buffer_status(&link->in) != OK) {
        IMPOSSIBLE("a frame that frame_split() should have refused");
    }
}

static void on_ended(struct stream *stream)
{
    link_close(link_of(stream), ERROR_PEER, "the other side ended the connection");
}

static void on_drained(struct stream *stream)
{
    (void)stream;
}

static void on_closed(struct stream *stream, enum error why, const char *text)
{
    struct link *link = link_of(stream);

    if (link->error != OK) {
        why = link->error;
        text = link->text;
    }
    link->events->down(link, why, text);
    buffer_release(&link->in);
    free(link);
}

static const struct stream_events stream_events = {on_ready, on_received, on_ended, on_drained,
                                                   on_closed};

/* --- life ------------------------------------------------------------------------------------ */

static struct link *link_new(const struct hello *self, const struct link_events *events, void *data)
{
    struct link *link = memory_zero(sizeof *link);

    list_init(&link->item);
    buffer_init(&link->in, IN_SIZE_MAX);
    link->self = self;
    link->events = events;
    link->data = data;
    link->heard_ms = clock_monotonic_ms();
    return link;
}

struct link *link_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_context *tls,
                         const struct hello *self, const struct link_events *events, void *data)
{
    struct link *link = link_new(self, events, data);
    enum error error =
        stream_accept(&link->stream, loop, listener, tls, HANDSHAKE_MS, &stream_events);

    CHECK(error == OK);
    return link;
}

struct link *link_connect(uv_loop_t *loop, const char *address, uint64_t id,
                          struct tls_context *tls, const struct hello *self,
                          const struct link_events *events, void *data, struct reason *why)
{
    struct link *link = link_new(self, events, data);
    enum error error;

    PRE(id != 0);
    link->outgoing = true;
    link->id = id;
    error = stream_connect(&link->stream, loop, address, tls, id, HANDSHAKE_MS, &stream_events);
    if (error != OK) {
        (void)fail(why, error, "\"%.60s\" is no address", address);
        buffer_release(&link->in);
        free(link);
        return NULL;
    }
    return link;
}

bool link_send(struct link *link, struct bytes frame, size_t bound)
{
    size_t queued = stream_queued(&link->stream);

    PRE(bound <= STREAM_QUEUE_MAX);
    if (!link->up || is_closing(link) || queued > bound || frame.size > STREAM_QUEUE_MAX - queued) {
        return false;
    }
    stream_write(&link->stream, frame);
    return true;
}

void link_close(struct link *link, enum error error, const char *text)
{
    if (is_closing(link)) {
        return;
    }
    link->error = error;
    snprintf(link->text, sizeof link->text, "%.*s", (int)sizeof link->text - 1, text);
    stream_close(&link->stream);
}
