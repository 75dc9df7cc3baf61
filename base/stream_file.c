/* Bytes of a file into a stream. Plain: sendfile, so that they are not copied and nothing of them
 * is held for a client that reads slowly, but for one small piece whose drained event says when to
 * go on. TLS: read and encrypted in pieces of a few records. A file that cannot be read is the
 * caller's to know, a connection that cannot be written to ends in stream_fail(). */
#include "base/stream_private.h"

#include "base/assert.h"
#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define PLAIN_PIECE (8u * 1024)
#define TLS_PIECE   (32u * 1024)

static enum error read_piece(int fd, uint64_t offset, uint8_t *data, size_t size, size_t *got,
                             struct reason *why)
{
    ssize_t n;

    do {
        n = pread(fd, data, size, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return fail_errno(why, errno, "cannot read the file at %" PRIu64, offset);
    }
    if (n == 0) {
        return fail(why, ERROR_CORRUPT, "the file ends at %" PRIu64 ", before it should", offset);
    }
    *got = (size_t)n;
    return OK;
}

static bool is_file_error(int errnum)
{
    return errnum == EIO || errnum == EINVAL || errnum == EOVERFLOW || errnum == ENOMEM;
}

/* The kernel is full. */
static enum error queue_piece(struct stream *stream, int fd, uint64_t offset, size_t size,
                              size_t *taken, struct reason *why)
{
    uint8_t data[PLAIN_PIECE];
    enum error rv =
        read_piece(fd, offset, data, size < sizeof data ? size : sizeof data, &size, why);

    if (rv == OK) {
        stream_queue(stream, bytes_of(data, size));
        *taken += size;
    }
    return rv;
}

static enum error send_plain(struct stream *stream, int fd, uint64_t offset, size_t size,
                             size_t *taken, struct reason *why)
{
    uv_os_fd_t to;

    CHECK(uv_fileno((const uv_handle_t *)&stream->tcp, &to) == 0);
    while (*taken < size) {
        off_t at = (off_t)(offset + *taken);
        ssize_t n = sendfile(to, fd, &at, size - *taken);

        if (n > 0) {
            *taken += (size_t)n;
        } else if (n == 0) {
            return fail(why, ERROR_CORRUPT, "the file ends at %" PRIu64 ", before it should",
                        offset + *taken);
        } else if (errno == EAGAIN) {
            return queue_piece(stream, fd, offset + *taken, size - *taken, taken, why);
        } else if (is_file_error(errno)) {
            return fail_errno(why, errno, "cannot send the file from %" PRIu64, offset + *taken);
        } else if (errno != EINTR) {
            stream_fail_uv(stream, -errno, "cannot send");
            return OK;
        }
    }
    return OK;
}

static enum error send_encrypted(struct stream *stream, int fd, uint64_t offset, size_t size,
                                 size_t *taken, struct reason *why)
{
    uint8_t *data = memory_alloc(TLS_PIECE);
    enum error rv = OK;

    while (rv == OK && *taken < size && stream->queued == 0 && !stream_is_over(stream)) {
        size_t n = size - *taken < TLS_PIECE ? size - *taken : TLS_PIECE;

        rv = read_piece(fd, offset + *taken, data, n, &n, why);
        if (rv == OK) {
            stream_write(stream, bytes_of(data, n));
            *taken += n;
        }
    }
    free(data);
    return rv;
}

enum error stream_send_file(struct stream *stream, int fd, uint64_t offset, size_t size,
                            size_t *taken, struct reason *why)
{
    PRE(stream->state >= STREAM_OPEN);
    *taken = 0;
    if (stream_is_over(stream) || stream->shutting_down || stream->queued > 0) {
        return OK;
    }
    if (stream->tls != NULL) {
        return send_encrypted(stream, fd, offset, size, taken, why);
    }
    return send_plain(stream, fd, offset, size, taken, why);
}
