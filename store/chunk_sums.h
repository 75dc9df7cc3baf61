#ifndef STORE_CHUNK_SUMS_H
#define STORE_CHUNK_SUMS_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

/* The CRC-32C of each chunk of one blob: what a piece of a large blob is checked against before it
 * leaves, where hashing all of it would cost too much. Counted while the bytes arrive, kept in
 * <hex>.sums beside the blob, and only ever as good as its own checksum, the digest and the size
 * that it names: any doubt makes it as good as missing, and it is counted again from content whose
 * digest was verified. Identity stays the digest. Blobs of up to one chunk have no sums: they are
 * verified by digest before their first byte leaves. */

#define CHUNK_SIZE (1024u * 1024)

struct chunk_sums {
    /* Private. */
    uint32_t *sums; /* The last one still grows with the bytes. */
    size_t n, capacity;
    uint64_t size; /* Bytes summed. */
};

void chunk_sums_init(struct chunk_sums *sums);
void chunk_sums_release(struct chunk_sums *sums);
/* Forget what was summed. */
void chunk_sums_clear(struct chunk_sums *sums);
/* The bytes that follow those of the calls before. */
void chunk_sums_update(struct chunk_sums *sums, struct bytes bytes);
/* Is this the sum of the chunk that starts at number * CHUNK_SIZE? False when there is none. */
bool chunk_sums_has(const struct chunk_sums *sums, size_t number, uint32_t crc);
bool chunk_sums_equal(const struct chunk_sums *a, const struct chunk_sums *b);

/* Largest file of sums for a blob of that size. */
size_t chunk_sums_file_size(uint64_t size);
/* The file: magic, chunk size, size, digest, sums, and a CRC-32C over all of that; big-endian. */
void chunk_sums_pack(const struct chunk_sums *sums, const struct digest *digest,
                     struct buffer *out);
/* Read one for this blob into initialised sums. ERROR_CORRUPT: damaged, or of other content. */
enum error chunk_sums_unpack(struct bytes file, const struct digest *digest, uint64_t size,
                             struct chunk_sums *out) MUST_USE;

#endif
