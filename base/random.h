#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* From the kernel, for ids, salts and keys. Nothing that apply() runs may call it. */
void random_bytes(void *out, size_t size);
uint64_t random_u64(void);
/* size random bytes as lower-case hex and a NUL: out holds 2 * size + 1. */
void random_hex(char *out, size_t size);

#endif
