/* The sending side of a stream: to the kernel at once as far as it takes it, a copy of the rest in
 * libuv's queue. What goes wrong ends in stream_fail(). */
#include "base/stream_private.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

/* Bytes that the kernel did not take at once. */
struct queued_write {
    uv_write_t request;
    struct stream *stream;
    size_t size;
    uint8_t data[];
};

static void on_written(uv_write_t *request, int status)
{
    struct queued_write *write = container_of(request, struct queued_write, request);
    struct stream *stream = write->stream;

    CHECK(stream->queued >= write->size);
    stream->queued -= write->size;
    free(write);
    if (stream_is_over(stream)) {
        return;
    }
    if (status != 0) {
        stream_fail_uv(stream, status, "cannot send");
    } else if (stream->queued == 0 && stream->state == STREAM_OPEN && !stream->refused) {
        stream->events->drained(stream);
    }
}

void stream_queue(struct stream *stream, struct bytes bytes)
{
    struct queued_write *write = memory_alloc(sizeof *write + bytes.size);
    uv_buf_t buf;
    int rv;

    memcpy(write->data, bytes.data, bytes.size);
    write->stream = stream;
    write->size = bytes.size;
    buf = uv_buf_init((char *)write->data, (unsigned)write->size);
    rv = uv_write(&write->request, (uv_stream_t *)&stream->tcp, &buf, 1, on_written);
    if (rv != 0) {
        free(write);
        stream_fail_uv(stream, rv, "cannot send");
        return;
    }
    stream->queued += write->size;
}

void stream_write_raw(struct stream *stream, struct bytes bytes)
{
    if (bytes.size == 0 || stream_is_over(stream)) {
        return;
    }
    if (stream->queued == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.size);
        int taken = uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);

        if (taken < 0 && taken != UV_EAGAIN) {
            stream_fail_uv(stream, taken, "cannot send");
            return;
        }
        if (taken > 0) {
            bytes = bytes_slice(bytes, (size_t)taken, bytes.size);
        }
    }
    if (bytes.size > 0) {
        stream_queue(stream, bytes);
    }
}

static void write_encrypted(struct stream *stream, struct bytes bytes)
{
    struct buffer out;
    struct reason why;
    enum error error;

    buffer_init(&out, (size_t)2 * STREAM_QUEUE_MAX);
    error = tls_session_encrypt(stream->tls, bytes, &out, &why);
    if (error != OK) {
        stream_fail(stream, error, why.text);
    } else {
        stream_write_raw(stream, buffer_view(&out));
    }
    buffer_release(&out);
}

void stream_write(struct stream *stream, struct bytes bytes)
{
    PRE(stream->state >= STREAM_OPEN);
    if (stream_is_over(stream) || stream->shutting_down || bytes.size == 0) {
        return;
    }
    if (bytes.size > STREAM_QUEUE_MAX -
                         (stream->queued < STREAM_QUEUE_MAX ? stream->queued : STREAM_QUEUE_MAX)) {
        stream_fail(stream, ERROR_TOO_LARGE,
                    "too much waits to be sent: the other side reads too "
                    "slowly");
        return;
    }
    if (stream->tls != NULL) {
        write_encrypted(stream, bytes);
    } else {
        stream_write_raw(stream, bytes);
    }
}

size_t stream_queued(const struct stream *stream)
{
    return stream->queued;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct stream *stream = container_of(request, struct stream, shutdown);

    if (status != 0 && !stream_is_over(stream)) {
        stream_fail_uv(stream, status, "cannot end the sending side");
    }
}

void stream_shutdown(struct stream *stream)
{
    struct buffer out;
    int rv;

    if (stream->state < STREAM_OPEN) {
        stream_close(stream);
        return;
    }
    if (stream_is_over(stream) || stream->shutting_down) {
        return;
    }
    if (stream->tls != NULL) {
        buffer_init(&out, STREAM_STEP_MAX);
        tls_session_finish(stream->tls, &out);
        stream_write_raw(stream, buffer_view(&out));
        buffer_release(&out);
    }
    stream->shutting_down = true;
    if (stream_is_over(stream)) {
        return;
    }
    rv = uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown);
    if (rv != 0) {
        stream_fail_uv(stream, rv, "cannot end the sending side");
    }
}
