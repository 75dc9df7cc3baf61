#include "node/allocators.h"

#include "base/assert.h"
#include "base/memory.h"
#include "raft/heap.h"

#include <jansson.h>
#include <stdlib.h>
#include <uv.h>

static void *zeroed(size_t n, size_t size)
{
    size_t total;

    CHECK(!__builtin_mul_overflow(n, size, &total));
    return memory_zero(total);
}

void allocators_install(void)
{
    json_set_alloc_funcs(memory_alloc, free);
    CHECK(uv_replace_allocator(memory_alloc, memory_resize, zeroed, free) == 0);
    heap_install();
}
