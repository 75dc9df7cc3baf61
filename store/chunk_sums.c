#include "store/chunk_sums.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/memory.h"

#include <stdlib.h>

#define MAGIC BYTES_LITERAL("caisson-sums-1\n")

void chunk_sums_init(struct chunk_sums *sums)
{
    *sums = (struct chunk_sums){0};
}

void chunk_sums_release(struct chunk_sums *sums)
{
    free(sums->sums);
    chunk_sums_init(sums);
}

void chunk_sums_clear(struct chunk_sums *sums)
{
    sums->n = 0;
    sums->size = 0;
}

static void sums_append(struct chunk_sums *sums, uint32_t crc)
{
    if (sums->n == sums->capacity) {
        sums->capacity = sums->capacity < 8 ? 8 : 2 * sums->capacity;
        sums->sums = memory_resize(sums->sums, sums->capacity * sizeof sums->sums[0]);
    }
    sums->sums[sums->n++] = crc;
}

void chunk_sums_update(struct chunk_sums *sums, struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t room = CHUNK_SIZE - (size_t)(sums->size % CHUNK_SIZE);
        struct bytes part = bytes_slice(bytes, 0, room < bytes.size ? room : bytes.size);

        if (room == CHUNK_SIZE) {
            sums_append(sums, 0);
        }
        sums->sums[sums->n - 1] = crc32c_extend(sums->sums[sums->n - 1], part);
        sums->size += part.size;
        bytes = bytes_slice(bytes, part.size, bytes.size);
    }
}

bool chunk_sums_has(const struct chunk_sums *sums, size_t number, uint32_t crc)
{
    return number < sums->n && sums->sums[number] == crc;
}

bool chunk_sums_equal(const struct chunk_sums *a, const struct chunk_sums *b)
{
    return a->size == b->size && a->n == b->n &&
           (a->n == 0 || memcmp(a->sums, b->sums, a->n * sizeof a->sums[0]) == 0);
}

/* --- the file -------------------------------------------------------------------------------- */

static void put_number(struct buffer *out, uint64_t number, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    }
    buffer_append(out, bytes_of(bytes, size));
}

static uint32_t get_u32(struct bytes file, size_t at)
{
    const uint8_t *data = file.data + at;

    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void put_head(struct buffer *out, const struct digest *digest, uint64_t size)
{
    uint8_t packed[DIGEST_RAW_MAX + 1];

    buffer_append(out, MAGIC);
    put_number(out, CHUNK_SIZE, 4);
    put_number(out, size, 8);
    buffer_append(out, bytes_of(packed, digest_pack(digest, packed)));
}

static size_t chunks_of(uint64_t size)
{
    return (size_t)(size / CHUNK_SIZE) + (size % CHUNK_SIZE > 0 ? 1 : 0);
}

size_t chunk_sums_file_size(uint64_t size)
{
    return MAGIC.size + 4 + 8 + DIGEST_RAW_MAX + 1 + 4 * chunks_of(size) + 4;
}

void chunk_sums_pack(const struct chunk_sums *sums, const struct digest *digest, struct buffer *out)
{
    PRE(sums->n == chunks_of(sums->size));
    buffer_init(out, chunk_sums_file_size(sums->size));
    put_head(out, digest, sums->size);
    for (size_t i = 0; i < sums->n; i++) {
        put_number(out, sums->sums[i], 4);
    }
    put_number(out, crc32c(buffer_view(out)), 4);
    POST(buffer_status(out) == OK);
}

enum error chunk_sums_unpack(struct bytes file, const struct digest *digest, uint64_t size,
                             struct chunk_sums *out)
{
    struct buffer head;
    size_t at, n = chunks_of(size);
    bool is_good;

    chunk_sums_clear(out);
    buffer_init(&head, chunk_sums_file_size(0));
    put_head(&head, digest, size);
    at = head.size;
    is_good = bytes_starts_with(file, buffer_view(&head)) && file.size == at + 4 * n + 4 &&
              get_u32(file, file.size - 4) == crc32c(bytes_slice(file, 0, file.size - 4));
    buffer_release(&head);
    if (!is_good) {
        return ERROR_CORRUPT;
    }
    for (size_t i = 0; i < n; i++) {
        sums_append(out, get_u32(file, at + 4 * i));
    }
    out->size = size;
    return OK;
}
