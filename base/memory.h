#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Allocation that does not fail: every size is limited before it gets here, so running out is a bug
 * or a dying machine, and either way the process stops (three nodes cover it). */

void *memory_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *memory_zero(size_t size) __attribute__((malloc, returns_nonnull));
void *memory_resize(void *old, size_t size) __attribute__((returns_nonnull));
void *memory_copy(const void *data, size_t size) __attribute__((malloc, returns_nonnull));
char *memory_string(const char *text) __attribute__((malloc, returns_nonnull));
/* Overwrite with zeros in a way the compiler keeps, for keys and passwords. */
void memory_wipe(void *data, size_t size);

#endif
