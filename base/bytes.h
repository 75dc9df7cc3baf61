#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes; not NUL-terminated. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

/* Bytes that grow up to a limit that is set when the buffer is made. Running over the limit is
 * remembered and the append ignored, so that a series of appends is checked once, at its end, with
 * buffer_status(). */
struct buffer {
    uint8_t *data; /* NUL-terminated whenever not NULL, the NUL not counted in size. */
    size_t size;
    /* Private. */
    size_t capacity;
    size_t limit;
    bool overrun;
};

#define BYTES_FMT        "%.*s"
#define BYTES_ARG(b)     (int)(b).size, (const char *)(b).data
#define BYTES_LITERAL(s) ((struct bytes){(const uint8_t *)(s), sizeof(s) - 1})
#define BYTES_NONE       ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

static inline struct bytes bytes_of_string(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Order of memcmp, shorter first on a tie: the order of LMDB's keys. */
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_equal_string(struct bytes a, const char *text);
bool bytes_starts_with(struct bytes a, struct bytes prefix);
bool bytes_ends_with(struct bytes a, struct bytes suffix);
/* The part from offset on, at most size long; clamped to what is there. */
struct bytes bytes_slice(struct bytes a, size_t offset, size_t size);
/* First position of byte, or -1. */
ptrdiff_t bytes_find(struct bytes a, uint8_t byte);
/* A NUL-terminated copy in memory of its own (free()). Text with a NUL inside is cut there. */
char *bytes_to_string(struct bytes a) __attribute__((malloc, returns_nonnull));
/* Decimal digits only, no sign; ERROR_INVALID for other bytes or none, ERROR_RANGE over UINT64_MAX.
 */
enum error bytes_to_uint(struct bytes a, uint64_t *out) MUST_USE;

/* An empty buffer that will never hold more than limit bytes. */
void buffer_init(struct buffer *buffer, size_t limit);
void buffer_release(struct buffer *buffer);
/* Empty it, keep memory and limit, forget an overrun. */
void buffer_clear(struct buffer *buffer);
void buffer_append(struct buffer *buffer, struct bytes bytes);
void buffer_append_string(struct buffer *buffer, const char *text);
void buffer_append_byte(struct buffer *buffer, uint8_t byte);
void buffer_print(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Drop the first n bytes. */
void buffer_skip(struct buffer *buffer, size_t n);
/* ERROR_TOO_LARGE if any append since init or clear ran over the limit, else OK. */
enum error buffer_status(const struct buffer *buffer) MUST_USE;
struct bytes buffer_view(const struct buffer *buffer);
/* The content as a C string, "" when empty; valid until the next change. */
const char *buffer_string(const struct buffer *buffer);
/* Hand the memory over: the caller free()s it, the buffer is empty afterwards. */
uint8_t *buffer_take(struct buffer *buffer, size_t *size);

#endif
