#include "base/random.h"

#include "base/assert.h"

#include <errno.h>
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
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[32];
    size_t i;

    PRE(size <= sizeof bytes);
    random_bytes(bytes, size);
    for (i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}
