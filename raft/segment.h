#ifndef RAFT_SEGMENT_H
#define RAFT_SEGMENT_H

#include "base/bytes.h"
#include "base/error.h"
#include "raft/vote_file.h"

#include <stddef.h>

/* The format of the log on disk, and the writing of it. segment_image.h reads it.
 *
 * A segment is a file of fixed size whose blocks were all written with zeros before its first use,
 * so that an append changes no metadata and cannot find the disk full:
 *
 *   header   one page: whose log, number, nonce, and where the log stood when it began
 *   slot 0   copies of the batches with an even sequence number, each over the last
 *   slot 1   those with an odd one
 *   body     batches, one after the other, never overwritten
 *
 * A batch is what one sync makes durable: records under one CRC32C, with a sequence number and the
 * CRC of the batch before it, all seeded with the segment's random nonce, so that old bytes never
 * parse. A record is an entry, or says what became of earlier ones (truncate, restart), or that the
 * log goes on in the next segment (seal, the last one of a full segment).
 *
 * How a torn tail is told from a damaged acknowledged entry. A batch goes to the body and to its
 * slot in the same sync, and the next batch is begun only after that sync. So
 *   - each acknowledged batch was, at that moment, twice on disk in full, pages apart;
 *   - while a batch is being written, the one before it is at rest, in the body and in the other
 *     slot.
 * Let S be the highest sequence number with an intact copy in body or slot. All up to S was synced
 * (or, S itself, at least wholly written), so what is missing below or at S is damage: taken from
 * its slot when it is one of the last two, else refused. Above S nothing intact is left: no single
 * fault can do that to an acknowledged batch, so it is a batch that a crash tore, and it is cut.
 * Writing one batch never tears both slots, so two bad slots are damage and refused too. */

#define SEGMENT_PAGE        4096u
#define SEGMENT_HEADER_SIZE 112u
#define SLOT_HEADER_SIZE    16u
#define BATCH_HEADER_SIZE   40u
#define RECORD_HEADER_SIZE  24u

/* Record types beside libraft's 1 to 3. */
enum { RECORD_TRUNCATE = 0x101, RECORD_RESTART, RECORD_SEAL };

/* Where the next batch goes, and what it must follow. */
struct log_position {
    uint64_t offset;     /* In the file. */
    uint64_t sequence;   /* Of the next batch; the first ever is 1. */
    uint64_t next_index; /* Of the next entry. */
    uint32_t chain;      /* CRC of the batch before; 0 at the very first. */
};

struct segment_header {
    char cluster[CLUSTER_ID_SIZE + 1];
    uint64_t member;
    uint64_t number;
    uint64_t nonce;
    uint64_t slot_size;
    uint64_t file_size;
    struct log_position start;
};

/* Sizes that follow from the longest entry and the wished file size. */
void segment_layout(size_t entry_max, uint64_t wished_size, struct segment_header *out);
uint64_t segment_body_offset(const struct segment_header *header);
/* Longest batch of this segment. */
size_t segment_batch_max(const struct segment_header *header);

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE]);
/* False: damaged. */
bool segment_header_decode(const uint8_t in[SEGMENT_HEADER_SIZE], struct segment_header *out);

#define SEGMENT_NAME_MAX 40
/* "segment-0000000000000001". */
void segment_name(const char *prefix, uint64_t number, char out[SEGMENT_NAME_MAX]);

/* --- batches --------------------------------------------------------------------------------- */

/* A batch being put together, as it will lie in its slot. */
struct batch {
    /* Private. */
    uint8_t *bytes; /* Slot header, batch header, records. */
    size_t capacity, size, limit;
    uint32_t n;
    uint64_t nonce;
    struct log_position at;
};

void batch_init(struct batch *batch, size_t size_max);
void batch_release(struct batch *batch);
/* Begin one for a position of a segment; it may grow to limit bytes. */
void batch_start(struct batch *batch, const struct segment_header *segment,
                 const struct log_position *at, size_t limit);
bool batch_is_empty(const struct batch *batch);
/* Bytes that a record with data of this size takes. */
size_t record_size(size_t data_size);
/* False when it does not fit; nothing changed. */
bool batch_add(struct batch *batch, uint16_t type, uint64_t index, uint64_t term,
               struct bytes data);
/* No more records: header and CRC, and position moves behind it (offset, sequence, chain). May be
 * called again with the same result. */
void batch_close(struct batch *batch, struct log_position *position);
/* Write a closed batch into body and slot of the segment's file. Not synced. */
enum error batch_write(const struct batch *batch, int fd, const struct segment_header *segment,
                       struct reason *why) MUST_USE;
/* CRC of a batch that lies at bytes; the caller checked its length. */
uint32_t batch_crc(struct bytes batch, uint64_t nonce);
uint32_t slot_crc(const uint8_t *slot);

#define BATCH_MAGIC 0x48435442u /* "BTCH" */
#define SLOT_MAGIC  0x544f4c53u /* "SLOT" */

#endif
