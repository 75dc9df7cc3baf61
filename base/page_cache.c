#include "base/page_cache.h"

#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_SIZE_MIN 4096u
#define PROBE_MAX     (1024u * 1024)
#define READ_SIZE     (128u * 1024)

/* The mapping is never touched, so that neither a short file nor a read error can hurt. */
static bool holds_some(int fd, uint64_t offset, size_t size)
{
    unsigned char present[PROBE_MAX / PAGE_SIZE_MIN];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size + page - 1) / page, i;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    bool holds = map != MAP_FAILED;

    if (!holds) {
        return false;
    }
    holds = mincore(map, size, present) == 0;
    for (i = 0; holds && i < n; i++) {
        holds = (present[i] & 1) != 0;
    }
    (void)munmap(map, size);
    return holds;
}

bool page_cache_holds(int fd, uint64_t offset, size_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = offset + size;

    offset -= offset % page;
    while (offset < end) {
        size_t part = end - offset < PROBE_MAX ? (size_t)(end - offset) : PROBE_MAX;

        if (!holds_some(fd, offset, part)) {
            return false;
        }
        offset += part;
    }
    return true;
}

enum error page_cache_load(int fd, uint64_t offset, size_t size, struct reason *why)
{
    void *data = memory_alloc(READ_SIZE);
    enum error rv = OK;

    while (size > 0 && rv == OK) {
        ssize_t n = pread(fd, data, size < READ_SIZE ? size : READ_SIZE, (off_t)offset);

        if (n > 0) {
            offset += (size_t)n;
            size -= (size_t)n;
        } else if (n == 0) {
            rv = fail(why, ERROR_CORRUPT, "the file ends at %" PRIu64 ", before it should", offset);
        } else if (errno != EINTR) {
            rv = fail_errno(why, errno, "cannot read the file at %" PRIu64, offset);
        }
    }
    free(data);
    return rv;
}
