#include "raft/segment_image.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/little_endian.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum error read_file(int fd, struct segment_image *image, struct reason *why)
{
    uint8_t head[SEGMENT_HEADER_SIZE] = {0};
    struct stat info;
    enum error rv;
    size_t n;

    rv = durable_read_at(fd, head, sizeof head, 0, &n, why);
    if (rv != OK) {
        return rv;
    }
    if (!segment_header_decode(head, &image->header)) {
        return fail(why, ERROR_CORRUPT, "%s: the header at offset 0 is damaged; %s", image->path,
                    REPLACE_MEMBER);
    }
    if (fstat(fd, &info) != 0) {
        return fail_errno(why, errno, "stat %s", image->path);
    }
    if ((uint64_t)info.st_size != image->header.file_size) {
        return fail(why, ERROR_CORRUPT, "%s is %lld bytes long instead of %llu; %s", image->path,
                    (long long)info.st_size, (unsigned long long)image->header.file_size,
                    REPLACE_MEMBER);
    }
    image->bytes = memory_alloc((size_t)image->header.file_size);
    rv = durable_read_at(fd, image->bytes, (size_t)image->header.file_size, 0, &n, why);
    if (rv == OK && n != image->header.file_size) {
        return fail(why, ERROR_CORRUPT, "%s ends at offset %zu; %s", image->path, n,
                    REPLACE_MEMBER);
    }
    return rv;
}

enum error segment_image_read(const char *directory, const char *name, struct segment_image *out,
                              struct reason *why)
{
    enum error rv;
    int fd;

    memset(out, 0, sizeof *out);
    if (snprintf(out->path, sizeof out->path, "%s/%s", directory, name) >= (int)sizeof out->path) {
        return fail(why, ERROR_INVALID, "path %s/%s is too long", directory, name);
    }
    fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return fail_errno(why, errno, "open %s", out->path);
    }
    rv = read_file(fd, out, why);
    close(fd);
    if (rv != OK) {
        segment_image_release(out);
    }
    return rv;
}

void segment_image_release(struct segment_image *image)
{
    free(image->bytes);
    image->bytes = NULL;
}

/* The batch that lies at bytes, at most max of them; false unless it is intact. */
static bool batch_check(const struct segment_image *image, const uint8_t *bytes, uint64_t max,
                        uint64_t *size)
{
    if (max < BATCH_HEADER_SIZE || get_u32(bytes) != BATCH_MAGIC) {
        return false;
    }
    *size = get_u64(bytes + 16);
    if (*size < BATCH_HEADER_SIZE || *size > max || *size > segment_batch_max(&image->header)) {
        return false;
    }
    return batch_crc(bytes_of(bytes, (size_t)*size), image->header.nonce) == get_u32(bytes + 4);
}

static bool batch_follows(const uint8_t *batch, const struct log_position *position)
{
    return get_u64(batch + 8) == position->sequence && get_u32(batch + 24) == position->chain &&
           get_u64(batch + 32) == position->next_index;
}

enum slot_state { SLOT_EMPTY, SLOT_BAD, SLOT_GOOD };

struct slot {
    enum slot_state state;
    uint64_t sequence, offset, size;
    const uint8_t *batch;
};

static void slot_read(const struct segment_image *image, uint64_t which, struct slot *out)
{
    const uint8_t *at = image->bytes + SEGMENT_PAGE + which * image->header.slot_size;
    static const uint8_t zeros[SLOT_HEADER_SIZE + BATCH_HEADER_SIZE];

    *out = (struct slot){.state = SLOT_BAD, .batch = at + SLOT_HEADER_SIZE};
    if (memcmp(at, zeros, sizeof zeros) == 0) {
        out->state = SLOT_EMPTY;
    } else if (get_u32(at) == SLOT_MAGIC && get_u32(at + 4) == slot_crc(at) &&
               batch_check(image, out->batch, segment_batch_max(&image->header), &out->size)) {
        out->state = SLOT_GOOD;
        out->sequence = get_u64(out->batch + 8);
        out->offset = get_u64(at + 8);
    }
}

/* Restore the batch that position asks for from its slot into the image. */
static bool mend(struct segment_image *image, const struct log_position *position)
{
    struct slot slot;

    slot_read(image, position->sequence % 2, &slot);
    if (slot.state != SLOT_GOOD || !batch_follows(slot.batch, position) ||
        slot.offset != position->offset || slot.size > image->header.file_size - position->offset) {
        return false;
    }
    memcpy(image->bytes + position->offset, slot.batch, (size_t)slot.size);
    LOG_WARN("%s: batch %llu at offset %llu was torn or damaged and is restored from its copy",
             image->path, (unsigned long long)position->sequence,
             (unsigned long long)position->offset);
    CHECK(image->n_mended < SEGMENT_MENDED_MAX);
    image->mended[image->n_mended++] = bytes_of(image->bytes + position->offset, (size_t)slot.size);
    return true;
}

enum error segment_image_write_back(const struct segment_image *image, int fd,
                                    const struct batch_view *last, struct reason *why)
{
    uint8_t head[SLOT_HEADER_SIZE] = {0};
    struct bytes batch = {NULL, 0};
    enum error rv = OK;

    for (unsigned i = 0; i < image->n_mended && rv == OK; i++) {
        uint64_t offset = (uint64_t)(image->mended[i].data - image->bytes);

        rv = durable_write_at(fd, image->mended[i], offset, why);
    }
    if (last != NULL) {
        uint64_t slot = SEGMENT_PAGE + (last->sequence % 2) * image->header.slot_size;

        batch = bytes_of(image->bytes + last->offset, (size_t)last->size);
        put_u32(head, SLOT_MAGIC);
        put_u64(head + 8, last->offset);
        put_u32(head + 4, slot_crc(head));
        rv = rv != OK ? rv : durable_write_at(fd, batch, last->offset, why);
        rv = rv != OK ? rv : durable_write_at(fd, bytes_of(head, sizeof head), slot, why);
        rv = rv != OK ? rv : durable_write_at(fd, batch, slot + sizeof head, why);
    }
    FAILPOINT("mend.before_sync");
    if (rv == OK && fdatasync(fd) != 0) {
        rv = fail_errno(why, errno, "sync %s", image->path);
    }
    return rv;
}

bool segment_image_next(struct segment_image *image, struct log_position *position,
                        struct batch_view *out)
{
    const uint8_t *at = image->bytes + position->offset;
    uint64_t max = image->header.file_size - position->offset;
    uint64_t size;

    PRE(position->offset <= image->header.file_size);
    if ((!batch_check(image, at, max, &size) || !batch_follows(at, position)) &&
        (!mend(image, position) || !batch_check(image, at, max, &size))) {
        return false;
    }
    *out = (struct batch_view){
        .records = bytes_of(at + BATCH_HEADER_SIZE, (size_t)size - BATCH_HEADER_SIZE),
        .n = get_u32(at + 28),
        .sequence = position->sequence,
        .offset = position->offset,
        .size = size};
    position->offset += size;
    position->sequence++;
    position->chain = get_u32(at + 4);
    return true;
}

enum error segment_image_judge(const struct segment_image *image,
                               const struct log_position *position, struct reason *why)
{
    uint64_t n = position->sequence - image->header.start.sequence;
    unsigned bad = 0, good = 0;
    bool is_next_bad = false;

    for (uint64_t which = 0; which < 2; which++) {
        struct slot slot;

        slot_read(image, which, &slot);
        bad += slot.state == SLOT_BAD;
        good += slot.state == SLOT_GOOD;
        is_next_bad |= slot.state == SLOT_BAD && which == position->sequence % 2;
        if (slot.state == SLOT_GOOD && slot.sequence >= position->sequence) {
            return fail(why, ERROR_CORRUPT,
                        "%s: batch %llu at offset %llu is damaged, though batch %llu was written "
                        "after it; %s",
                        image->path, (unsigned long long)position->sequence,
                        (unsigned long long)position->offset, (unsigned long long)slot.sequence,
                        REPLACE_MEMBER);
        }
    }
    /* A crash tears the slot of the next batch only, and leaves the other one good once it was
     * written. */
    if (bad > 1 || (n > 1 && good == 0) || (n == 1 && good == 0 && is_next_bad)) {
        return fail(why, ERROR_CORRUPT,
                    "%s: both copies of the last batches, at offsets %u and %llu, are damaged; %s",
                    image->path, SEGMENT_PAGE,
                    (unsigned long long)(SEGMENT_PAGE + image->header.slot_size), REPLACE_MEMBER);
    }
    return OK;
}

bool batch_view_record(struct batch_view *batch, struct record *out)
{
    const uint8_t *at = batch->records.data;
    size_t size;

    if (batch->n == 0 || batch->records.size < RECORD_HEADER_SIZE) {
        return false;
    }
    size = get_u32(at);
    if (size > batch->records.size || record_size(size) > batch->records.size) {
        return false;
    }
    out->type = (uint16_t)get_u32(at + 4);
    out->index = get_u64(at + 8);
    out->term = get_u64(at + 16);
    out->data = bytes_of(at + RECORD_HEADER_SIZE, size);
    batch->records = bytes_slice(batch->records, record_size(size), batch->records.size);
    batch->n--;
    return true;
}
