#include "raft/heap.h"

#include "base/assert.h"
#include "base/memory.h"

#include <raft.h>
#include <stdlib.h>

static void *heap_malloc(void *data, size_t size)
{
    (void)data;
    return memory_alloc(size);
}

static void heap_free(void *data, void *memory)
{
    (void)data;
    free(memory);
}

static void *heap_calloc(void *data, size_t n, size_t size)
{
    size_t total;

    (void)data;
    CHECK(!__builtin_mul_overflow(n, size, &total));
    return memory_zero(total);
}

static void *heap_realloc(void *data, void *memory, size_t size)
{
    (void)data;
    return memory_resize(memory, size);
}

static void *heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    void *memory = aligned_alloc(alignment, size);

    (void)data;
    if (memory == NULL) {
        fail_stop("out of memory asking for %zu bytes", size);
    }
    return memory;
}

static void heap_aligned_free(void *data, size_t alignment, void *memory)
{
    (void)data;
    (void)alignment;
    free(memory);
}

void heap_install(void)
{
    static struct raft_heap heap = {
        .malloc = heap_malloc,
        .free = heap_free,
        .calloc = heap_calloc,
        .realloc = heap_realloc,
        .aligned_alloc = heap_aligned_alloc,
        .aligned_free = heap_aligned_free,
    };

    raft_heap_set(&heap);
}
