#include "base/bytes.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;

    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool bytes_equal_string(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_string(text));
}

bool bytes_starts_with(struct bytes a, struct bytes prefix)
{
    return a.size >= prefix.size && bytes_equal(bytes_slice(a, 0, prefix.size), prefix);
}

bool bytes_ends_with(struct bytes a, struct bytes suffix)
{
    return a.size >= suffix.size &&
           bytes_equal(bytes_slice(a, a.size - suffix.size, suffix.size), suffix);
}

struct bytes bytes_slice(struct bytes a, size_t offset, size_t size)
{
    size_t start = offset < a.size ? offset : a.size;
    size_t rest = a.size - start;

    if (a.data == NULL) {
        return a;
    }
    return (struct bytes){a.data + start, size < rest ? size : rest};
}

ptrdiff_t bytes_find(struct bytes a, uint8_t byte)
{
    const uint8_t *at = a.size > 0 ? memchr(a.data, byte, a.size) : NULL;

    return at != NULL ? at - a.data : -1;
}

char *bytes_to_string(struct bytes a)
{
    char *text = memory_alloc(a.size + 1);

    if (a.size > 0) {
        memcpy(text, a.data, a.size);
    }
    text[a.size] = '\0';
    return text;
}

enum error bytes_to_uint(struct bytes a, uint64_t *out)
{
    uint64_t value = 0;
    size_t i;

    if (a.size == 0) {
        return ERROR_INVALID;
    }
    for (i = 0; i < a.size; i++) {
        if (a.data[i] < '0' || a.data[i] > '9') {
            return ERROR_INVALID;
        }
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(a.data[i] - '0'), &value)) {
            return ERROR_RANGE;
        }
    }
    *out = value;
    return OK;
}

void buffer_init(struct buffer *buffer, size_t limit)
{
    PRE(limit > 0 && limit < SIZE_MAX / 4);
    *buffer = (struct buffer){.limit = limit};
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.limit = buffer->limit};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->overrun = false;
    if (buffer->data != NULL) {
        buffer->data[0] = '\0';
    }
}

/* Room for n more bytes and a NUL; false, and overrun, when the limit forbids it. */
static bool buffer_grow(struct buffer *buffer, size_t n)
{
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 64;

    PRE(buffer->limit > 0);
    if (buffer->overrun || n > buffer->limit - buffer->size) {
        buffer->overrun = true;
        return false;
    }
    while (capacity < buffer->size + n + 1) {
        capacity *= 2;
    }
    if (capacity != buffer->capacity) {
        buffer->data = memory_resize(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return true;
}

void buffer_append(struct buffer *buffer, struct bytes bytes)
{
    if (!buffer_grow(buffer, bytes.size)) {
        return;
    }
    if (bytes.size > 0) {
        memcpy(buffer->data + buffer->size, bytes.data, bytes.size);
    }
    buffer->size += bytes.size;
    buffer->data[buffer->size] = '\0';
}

void buffer_append_string(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, bytes_of_string(text));
}

void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    buffer_append(buffer, bytes_of(&byte, 1));
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    size_t room = buffer->capacity - buffer->size;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room > 0 ? (char *)buffer->data + buffer->size : NULL, room, format, args);
    va_end(args);
    CHECK(n >= 0);
    if ((size_t)n >= room || buffer->overrun || (size_t)n > buffer->limit - buffer->size) {
        if (room > 0) {
            buffer->data[buffer->size] = '\0';
        }
        if (!buffer_grow(buffer, (size_t)n)) {
            return;
        }
        va_start(args, format);
        vsnprintf((char *)buffer->data + buffer->size, (size_t)n + 1, format, args);
        va_end(args);
    }
    buffer->size += (size_t)n;
}

void buffer_skip(struct buffer *buffer, size_t n)
{
    PRE(n <= buffer->size);
    if (n == 0) {
        return;
    }
    memmove(buffer->data, buffer->data + n, buffer->size - n);
    buffer->size -= n;
    buffer->data[buffer->size] = '\0';
}

enum error buffer_status(const struct buffer *buffer)
{
    return buffer->overrun ? ERROR_TOO_LARGE : OK;
}

struct bytes buffer_view(const struct buffer *buffer)
{
    return bytes_of(buffer->data, buffer->size);
}

const char *buffer_string(const struct buffer *buffer)
{
    return buffer->data != NULL ? (const char *)buffer->data : "";
}

uint8_t *buffer_take(struct buffer *buffer, size_t *size)
{
    uint8_t *data = buffer->data;

    *size = buffer->size;
    *buffer = (struct buffer){.limit = buffer->limit};
    return data;
}
