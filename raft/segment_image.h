#ifndef RAFT_SEGMENT_IMAGE_H
#define RAFT_SEGMENT_IMAGE_H

#include "raft/segment.h"

/* A segment file in memory, and the walk over its batches that tells torn from damaged (the
 * argument is in segment.h). Reads and judges; writes nothing but mends. */

#define SEGMENT_MENDED_MAX 2

struct segment_image {
    struct segment_header header;
    char path[4096];
    uint8_t *bytes; /* The whole file. */
    /* Batches that were restored into bytes from their slots and are wrong on disk. */
    struct bytes mended[SEGMENT_MENDED_MAX];
    unsigned n_mended;
};

/* A batch that was found intact. */
struct batch_view {
    struct bytes records;
    uint32_t n;
    uint64_t sequence;
    uint64_t offset, size; /* Of the whole batch in the file. */
};

struct record {
    uint16_t type;
    uint64_t index, term;
    struct bytes data; /* In the image. */
};

/* Read the file and check its header. ERROR_CORRUPT, ERROR_IO. */
enum error segment_image_read(const char *directory, const char *name, struct segment_image *out,
                              struct reason *why) MUST_USE;
void segment_image_release(struct segment_image *image);
/* The batch at position, mended from its slot where the body's is bad; position moves behind it
 * (next_index stays the caller's). False: no intact batch here. */
bool segment_image_next(struct segment_image *image, struct log_position *position,
                        struct batch_view *out);
/* The walk stopped at position without a seal: OK when that is the end of the log (what follows is
 * a batch that was never whole), ERROR_CORRUPT when the slots know better. */
enum error segment_image_judge(const struct segment_image *image,
                               const struct log_position *position, struct reason *why) MUST_USE;
/* Write what was mended, and the last batch (may be NULL) into body and slot again whether it needs
 * it or not: it may be in the page cache alone, after a sync that failed. Synced. */
enum error segment_image_write_back(const struct segment_image *image, int fd,
                                    const struct batch_view *last, struct reason *why) MUST_USE;
/* Take the next record off a batch; false when its frame is wrong. */
bool batch_view_record(struct batch_view *batch, struct record *out);

/* Ends every sentence about damage. */
#define REPLACE_MEMBER                                                                             \
    "this member may have lost what it acknowledged and must not vote: wipe its data directory "   \
    "and let it join again"

#endif
