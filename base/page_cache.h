#ifndef BASE_PAGE_CACHE_H
#define BASE_PAGE_CACHE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which bytes of a file are in memory: a loop may send those itself, the others are read in the
 * pool first, so that one slow disk read delays nobody else. Any thread. */

/* Are all of them in the page cache now? Cheap, reads nothing; false also when it cannot be told.
 * They may be dropped at any time afterwards. */
bool page_cache_holds(int fd, uint64_t offset, size_t size);
/* Read them (blocking) and forget them: they are in the page cache then. ERROR_IO; ERROR_CORRUPT
 * when the file ends before. */
enum error page_cache_load(int fd, uint64_t offset, size_t size, struct reason *why) MUST_USE;

#endif
