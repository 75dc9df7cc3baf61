#include "raft/segment.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/memory.h"
#include "raft/little_endian.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_MAGIC   0x474f4c43u /* "CLOG" */
#define SEGMENT_VERSION 1u

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

void segment_layout(size_t entry_max, uint64_t wished_size, struct segment_header *out)
{
    uint64_t batch_max = BATCH_HEADER_SIZE + record_size(entry_max);

    PRE(entry_max > 0 && entry_max <= 1u << 30);
    out->slot_size = round_up(SLOT_HEADER_SIZE + batch_max, SEGMENT_PAGE);
    out->file_size = round_up(wished_size, SEGMENT_PAGE);
    /* Room for a batch of the longest entry and the seal, whatever was wished. */
    if (out->file_size < SEGMENT_PAGE + 4 * out->slot_size) {
        out->file_size = SEGMENT_PAGE + 4 * out->slot_size;
    }
}

uint64_t segment_body_offset(const struct segment_header *header)
{
    return SEGMENT_PAGE + 2 * header->slot_size;
}

size_t segment_batch_max(const struct segment_header *header)
{
    return (size_t)(header->slot_size - SLOT_HEADER_SIZE);
}

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE])
{
    memset(out, 0, SEGMENT_HEADER_SIZE);
    put_u32(out, SEGMENT_MAGIC);
    put_u32(out + 4, SEGMENT_VERSION);
    memcpy(out + 8, header->cluster, CLUSTER_ID_SIZE);
    put_u64(out + 40, header->member);
    put_u64(out + 48, header->number);
    put_u64(out + 56, header->nonce);
    put_u64(out + 64, header->slot_size);
    put_u64(out + 72, header->file_size);
    put_u64(out + 80, header->start.sequence);
    put_u64(out + 88, header->start.next_index);
    put_u32(out + 96, header->start.chain);
    put_u32(out + 104, crc32c(bytes_of(out, 104)));
}

bool segment_header_decode(const uint8_t in[SEGMENT_HEADER_SIZE], struct segment_header *out)
{
    if (get_u32(in) != SEGMENT_MAGIC || get_u32(in + 4) != SEGMENT_VERSION ||
        get_u32(in + 104) != crc32c(bytes_of(in, 104))) {
        return false;
    }
    memcpy(out->cluster, in + 8, CLUSTER_ID_SIZE);
    out->cluster[CLUSTER_ID_SIZE] = '\0';
    out->member = get_u64(in + 40);
    out->number = get_u64(in + 48);
    out->nonce = get_u64(in + 56);
    out->slot_size = get_u64(in + 64);
    out->file_size = get_u64(in + 72);
    out->start.sequence = get_u64(in + 80);
    out->start.next_index = get_u64(in + 88);
    out->start.chain = get_u32(in + 96);
    out->start.offset = segment_body_offset(out);
    return out->slot_size % SEGMENT_PAGE == 0 && out->slot_size > 0 &&
           out->slot_size <= UINT32_MAX && out->file_size >= out->start.offset + out->slot_size;
}

void segment_name(const char *prefix, uint64_t number, char out[SEGMENT_NAME_MAX])
{
    snprintf(out, SEGMENT_NAME_MAX, "%s-%016llx", prefix, (unsigned long long)number);
}

/* --- batches --------------------------------------------------------------------------------- */

void batch_init(struct batch *batch, size_t size_max)
{
    *batch = (struct batch){.capacity = SLOT_HEADER_SIZE + size_max};
    batch->bytes = memory_zero(batch->capacity);
}

void batch_release(struct batch *batch)
{
    free(batch->bytes);
    *batch = (struct batch){0};
}

void batch_start(struct batch *batch, const struct segment_header *segment,
                 const struct log_position *at, size_t limit)
{
    PRE(limit + SLOT_HEADER_SIZE <= batch->capacity);
    batch->size = SLOT_HEADER_SIZE + BATCH_HEADER_SIZE;
    batch->limit = SLOT_HEADER_SIZE + limit;
    batch->n = 0;
    batch->nonce = segment->nonce;
    batch->at = *at;
}

bool batch_is_empty(const struct batch *batch)
{
    return batch->n == 0;
}

size_t record_size(size_t data_size)
{
    return RECORD_HEADER_SIZE + (size_t)round_up(data_size, 8);
}

bool batch_add(struct batch *batch, uint16_t type, uint64_t index, uint64_t term, struct bytes data)
{
    uint8_t *at = batch->bytes + batch->size;
    size_t size = record_size(data.size);

    if (size > batch->limit || batch->size > batch->limit - size) {
        return false;
    }
    memset(at, 0, size);
    put_u32(at, (uint32_t)data.size);
    put_u32(at + 4, type);
    put_u64(at + 8, index);
    put_u64(at + 16, term);
    if (data.size > 0) {
        memcpy(at + RECORD_HEADER_SIZE, data.data, data.size);
    }
    batch->size += size;
    batch->n++;
    return true;
}

uint32_t batch_crc(struct bytes batch, uint64_t nonce)
{
    uint8_t seed[8];

    PRE(batch.size >= BATCH_HEADER_SIZE);
    put_u64(seed, nonce);
    return crc32c_extend(crc32c(bytes_of(seed, sizeof seed)), bytes_slice(batch, 8, batch.size));
}

uint32_t slot_crc(const uint8_t *slot)
{
    return crc32c(bytes_of(slot + 8, 8));
}

void batch_close(struct batch *batch, struct log_position *position)
{
    uint8_t *slot = batch->bytes, *head = batch->bytes + SLOT_HEADER_SIZE;
    struct bytes whole = bytes_of(head, batch->size - SLOT_HEADER_SIZE);

    PRE(!batch_is_empty(batch));
    put_u64(slot + 8, batch->at.offset);
    put_u32(slot, SLOT_MAGIC);
    put_u32(slot + 4, slot_crc(slot));
    put_u32(head, BATCH_MAGIC);
    put_u64(head + 8, batch->at.sequence);
    put_u64(head + 16, whole.size);
    put_u32(head + 24, batch->at.chain);
    put_u32(head + 28, batch->n);
    put_u64(head + 32, batch->at.next_index);
    put_u32(head + 4, batch_crc(whole, batch->nonce));
    position->offset = batch->at.offset + whole.size;
    position->sequence = batch->at.sequence + 1;
    position->chain = get_u32(head + 4);
}

enum error batch_write(const struct batch *batch, int fd, const struct segment_header *segment,
                       struct reason *why)
{
    struct bytes copy = bytes_of(batch->bytes, batch->size);
    struct bytes whole = bytes_slice(copy, SLOT_HEADER_SIZE, copy.size);
    uint64_t slot = SEGMENT_PAGE + (batch->at.sequence % 2) * segment->slot_size;
    enum error rv;

    PRE(batch->at.offset + whole.size <= segment->file_size);
    PRE(copy.size <= segment->slot_size);
    rv = durable_write_at(fd, whole, batch->at.offset, why);
    return rv != OK ? rv : durable_write_at(fd, copy, slot, why);
}
