#include "raft/envelope.h"

#include "base/assert.h"
#include "base/pack.h"

#define VERSION     1u
#define HEADER_SIZE 8u

static void put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void envelope_encode(struct buffer *out, const struct envelope *envelope)
{
    size_t begin = out->size;

    PRE(envelope->n > 0 && envelope->n <= ENVELOPE_COMMANDS_MAX);
    buffer_append(out, bytes_of("\0\0\0\0\0\0\0\0", HEADER_SIZE));
    pack_array(out, envelope->n + 1);
    pack_uint(out, envelope->time_ms);
    for (size_t i = 0; i < envelope->n; i++) {
        pack_bin(out, envelope->commands[i]);
    }
    CHECK(buffer_status(out) == OK);
    put_u32(out->data + begin, (uint32_t)(out->size - begin - HEADER_SIZE));
    put_u32(out->data + begin + 4, VERSION);
    while ((out->size - begin) % 8 != 0) {
        buffer_append_byte(out, 0);
    }
    CHECK(buffer_status(out) == OK);
}

enum error envelope_decode(struct bytes entry, struct envelope *out)
{
    struct unpacker in;
    size_t n;

    if (entry.size < HEADER_SIZE || get_u32(entry.data) > entry.size - HEADER_SIZE) {
        return ERROR_CORRUPT;
    }
    if (get_u32(entry.data + 4) != VERSION) {
        return ERROR_UNSUPPORTED;
    }
    unpack_start(&in, bytes_slice(entry, HEADER_SIZE, get_u32(entry.data)));
    n = unpack_array(&in);
    if (n < 2 || n > ENVELOPE_COMMANDS_MAX + 1) {
        return ERROR_CORRUPT;
    }
    out->n = n - 1;
    out->time_ms = unpack_uint(&in);
    for (size_t i = 0; i < out->n; i++) {
        out->commands[i] = unpack_bin(&in, COMMAND_SIZE_MAX);
    }
    return unpack_end(&in) == OK ? OK : ERROR_CORRUPT;
}
