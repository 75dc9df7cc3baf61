#include "base/random.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/types.h>

void random_bytes(void *out, size_t size)
{
    uint8_t *at = out;

    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        CHECK(n > 0);
        at += n;
        size -= (size_t)n;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof value);
    return value;
}

void random_hex(char *out, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        uint8_t byte;

        random_bytes(&byte, 1);
        snprintf(out + 2 * i, 3, "%02x", byte);
    }
}
