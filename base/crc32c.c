#include "base/crc32c.h"

#include <stdatomic.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u

static uint32_t extend_bitwise(uint32_t crc, struct bytes bytes)
{
    static _Atomic uint32_t
        table[256]; /* Filled on first use; racing threads write the same values. */
    size_t i;

    if (atomic_load_explicit(&table[255], memory_order_acquire) == 0) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t value = n;

            for (int bit = 0; bit < 8; bit++) {
                value = (value & 1) != 0 ? value >> 1 ^ CRC32C_POLYNOMIAL : value >> 1;
            }
            atomic_store_explicit(&table[n], value, memory_order_release);
        }
    }
    for (i = 0; i < bytes.size; i++) {
        crc = atomic_load_explicit(&table[(crc ^ bytes.data[i]) & 0xff], memory_order_relaxed) ^
              crc >> 8;
    }
    return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>

/* The instruction takes three cycles and one can begin in each: three runs of bytes are summed at
 * once. The sum of a run with n bytes behind it is its own times x^8n modulo the polynomial; the
 * constants are x^(8n - 33), bits reversed, for one and for two runs behind. */
#define RUN      2048u
#define PAST_ONE 0xa51b6135
#define PAST_TWO 0x82f89c77

__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t crc, long long constant)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(constant), 0);

    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t extend_three(uint64_t crc,
                                                                      const uint8_t *at)
{
    uint64_t second = 0, third = 0;
    size_t i;

    for (i = 0; i < RUN; i += 8) {
        uint64_t words[3];

        memcpy(&words[0], at + i, 8);
        memcpy(&words[1], at + i + RUN, 8);
        memcpy(&words[2], at + i + (size_t)2 * RUN, 8);
        crc = _mm_crc32_u64(crc, words[0]);
        second = _mm_crc32_u64(second, words[1]);
        third = _mm_crc32_u64(third, words[2]);
    }
    return moved(crc, PAST_TWO) ^ moved(second, PAST_ONE) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t extend_sse42(uint32_t crc, struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.size;
    uint64_t wide = crc;

    if (__builtin_cpu_supports("pclmul")) {
        for (; left >= (size_t)3 * RUN; left -= (size_t)3 * RUN, at += (size_t)3 * RUN) {
            wide = extend_three(wide, at);
        }
    }
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; left > 0; left--, at++) {
        crc = _mm_crc32_u8(crc, *at);
    }
    return crc;
}
#endif

uint32_t crc32c_extend(uint32_t crc, struct bytes bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~extend_sse42(~crc, bytes);
    }
#endif
    return ~extend_bitwise(~crc, bytes);
}

uint32_t crc32c(struct bytes bytes)
{
    return crc32c_extend(0, bytes);
}
