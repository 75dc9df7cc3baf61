#include "base/memory.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

static void *checked(void *memory, size_t size)
{
    if (memory == NULL) {
        fail_stop("out of memory asking for %zu bytes", size);
    }
    return memory;
}

void *memory_alloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1), size);
}

void *memory_zero(size_t size)
{
    return checked(calloc(1, size > 0 ? size : 1), size);
}

void *memory_resize(void *old, size_t size)
{
    return checked(realloc(old, size > 0 ? size : 1), size);
}

void *memory_copy(const void *data, size_t size)
{
    void *copy = memory_alloc(size);

    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

char *memory_string(const char *text)
{
    return memory_copy(text, strlen(text) + 1);
}

void memory_wipe(void *data, size_t size)
{
    explicit_bzero(data, size);
}
