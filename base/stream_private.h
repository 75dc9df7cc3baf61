#ifndef BASE_STREAM_PRIVATE_H
#define BASE_STREAM_PRIVATE_H

#include "base/stream.h"

/* What base/stream*.c share; no other file includes it. */

#define STREAM_STEP_MAX (1024u * 1024) /* Of one turn of TLS. */

static inline bool stream_is_over(const struct stream *stream)
{
    return stream->state >= STREAM_CLOSING;
}

/* Keep the first reason and close. */
void stream_fail(struct stream *stream, enum error error, const char *text);
void stream_fail_uv(struct stream *stream, int rv, const char *what);
/* To the kernel at once as far as it takes it; what is left is queued. As they are, not encrypted.
 */
void stream_write_raw(struct stream *stream, struct bytes bytes);
/* A copy of bytes (not empty) behind what is queued. */
void stream_queue(struct stream *stream, struct bytes bytes);

#endif
