#ifndef BASE_DURABLE_H
#define BASE_DURABLE_H

#include "base/bytes.h"
#include "base/error.h"

#include <sys/types.h>

/* Files that survive a power cut, synchronously (start-up, small files, threads that may block).
 * The rules: write a temporary file in the same directory, sync it, rename it in, sync the
 * directory; a failed sync is never tried again on that descriptor. */

/* Replace or create directory/name. On failure the old content is still there. */
enum error durable_write(const char *directory, const char *name, mode_t mode, struct bytes content,
                         struct reason *why) MUST_USE;
/* Read a whole file of at most limit bytes into out (which it initialises; buffer_release either
 * way). ERROR_NOT_FOUND, ERROR_TOO_LARGE, ERROR_IO. */
enum error durable_read(const char *directory, const char *name, size_t limit, struct buffer *out,
                        struct reason *why) MUST_USE;
enum error durable_sync_directory(const char *path, struct reason *why) MUST_USE;
/* mkdir -p with mode 0700 for what is new, and its parents synced. */
enum error durable_make_directory(const char *path, struct reason *why) MUST_USE;
/* Take an exclusive lock on directory/lock for the life of the returned descriptor; ERROR_BUSY when
 * another process holds it. */
enum error durable_lock(const char *directory, int *descriptor, struct reason *why) MUST_USE;
/* write(2) all of it at offset, over short writes and EINTR. */
enum error durable_write_at(int descriptor, struct bytes content, uint64_t offset,
                            struct reason *why) MUST_USE;
/* As many bytes as there are, up to size. */
enum error durable_read_at(int descriptor, void *out, size_t size, uint64_t offset, size_t *n,
                           struct reason *why) MUST_USE;

#endif
