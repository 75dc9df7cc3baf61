#include "raft/log_load.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/memory.h"
#include "raft/segment_image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An entry while the segments are replayed: where its data lies in its segment's image. */
struct located {
    uint64_t term;
    uint16_t type;
    size_t segment; /* Position in the list. */
    uint64_t offset;
    size_t size;
};

struct replay {
    const char *directory, *cluster;
    uint64_t member;
    struct log_loaded *out;
    struct located *located;
    size_t n, capacity;
    struct segment_image *images; /* Beside out->segments. */
    struct log_position position;
    bool is_sealed;
    struct batch_view last; /* Of the segment that is replayed. */
    bool has_last;
};

/* --- which segments are there ---------------------------------------------------------------- */

void segment_list_add(struct segment_list *list, struct segment_entry entry)
{
    if (list->n == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        list->items = memory_resize(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->n++] = entry;
}

void segment_list_release(struct segment_list *list)
{
    free(list->items);
    *list = (struct segment_list){0};
}

void segment_list_truncate(struct segment_list *list, uint64_t index)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].end_index > index) {
            list->items[i].end_index = index;
        }
    }
}

static int compare_number(const void *a, const void *b)
{
    const struct segment_entry *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static bool parse_name(const char *name, uint64_t *number)
{
    char expected[SEGMENT_NAME_MAX];

    if (strncmp(name, "segment-", 8) != 0) {
        return false;
    }
    *number = strtoull(name + 8, NULL, 16);
    segment_name("segment", *number, expected);
    return strcmp(name, expected) == 0;
}

static enum error list_segments(const char *directory, struct segment_list *out, struct reason *why)
{
    DIR *dir = opendir(directory);
    struct dirent *item;

    if (dir == NULL) {
        return fail_errno(why, errno, "open directory %s", directory);
    }
    while ((item = readdir(dir)) != NULL) {
        struct segment_entry entry = {0};

        if (parse_name(item->d_name, &entry.number)) {
            segment_list_add(out, entry);
        }
    }
    closedir(dir);
    if (out->n == 0) {
        return fail(why, ERROR_NOT_FOUND, "%s holds no segment of the log", directory);
    }
    qsort(out->items, out->n, sizeof *out->items, compare_number);
    return OK;
}

/* --- replay ---------------------------------------------------------------------------------- */

static void forget_from(struct replay *replay, uint64_t index)
{
    struct log_loaded *out = replay->out;

    if (index <= out->start_index) {
        replay->n = 0;
        out->start_index = index;
    } else {
        replay->n = (size_t)(index - out->start_index);
    }
    segment_list_truncate(&out->segments, index);
    replay->position.next_index = index;
}

static void push(struct replay *replay, const struct record *record, size_t segment)
{
    if (replay->n == replay->capacity) {
        replay->capacity = replay->capacity == 0 ? 1024 : 2 * replay->capacity;
        replay->located =
            memory_resize(replay->located, replay->capacity * sizeof *replay->located);
    }
    replay->located[replay->n++] =
        (struct located){.term = record->term,
                         .type = record->type,
                         .segment = segment,
                         .offset = (uint64_t)(record->data.data - replay->images[segment].bytes),
                         .size = record->data.size};
    replay->position.next_index++;
}

static bool replay_record(struct replay *replay, const struct record *record, size_t segment)
{
    uint64_t next = replay->position.next_index;

    switch (record->type) {
    case RECORD_TRUNCATE:
        if (record->index == 0 || record->index > next) {
            return false;
        }
        forget_from(replay, record->index);
        return true;
    case RECORD_RESTART:
        if (record->index == 0) {
            return false;
        }
        replay->out->start_index = record->index;
        replay->n = 0;
        segment_list_truncate(&replay->out->segments, 0);
        replay->position.next_index = record->index;
        return true;
    case RECORD_SEAL:
        replay->is_sealed = true;
        return record->index == next;
    default:
        if (record->index != next || record->type < RAFT_COMMAND || record->type > RAFT_CHANGE ||
            record->term == 0) {
            return false;
        }
        push(replay, record, segment);
        return true;
    }
}

static enum error replay_batches(struct replay *replay, size_t i, struct reason *why)
{
    struct segment_image *image = &replay->images[i];
    struct batch_view batch;
    struct record record;

    replay->is_sealed = replay->has_last = false;
    while (!replay->is_sealed && segment_image_next(image, &replay->position, &batch)) {
        replay->last = batch;
        replay->has_last = true;
        while (batch.n > 0) {
            if (!batch_view_record(&batch, &record) || !replay_record(replay, &record, i)) {
                return fail(why, ERROR_CORRUPT,
                            "%s: a record of the batch at offset %llu is wrong; %s", image->path,
                            (unsigned long long)batch.offset, REPLACE_MEMBER);
            }
        }
        replay->out->segments.items[i].end_index = replay->position.next_index;
    }
    return replay->is_sealed ? OK : segment_image_judge(image, &replay->position, why);
}

static enum error check_header(const struct replay *replay, size_t i, struct reason *why)
{
    const struct segment_image *image = &replay->images[i];
    const struct segment_header *header = &image->header;
    const struct log_position *at = &replay->position;

    if (strcmp(header->cluster, replay->cluster) != 0 || header->member != replay->member) {
        return fail(why, ERROR_FOREIGN,
                    "%s is of member %016llx of cluster %s: check the configured data directory",
                    image->path, (unsigned long long)header->member, header->cluster);
    }
    if (header->number != replay->out->segments.items[i].number ||
        (i > 0 && (header->start.sequence != at->sequence || header->start.chain != at->chain ||
                   header->start.next_index != at->next_index))) {
        return fail(why, ERROR_CORRUPT, "%s does not follow the segment before it; %s", image->path,
                    REPLACE_MEMBER);
    }
    return OK;
}

/* The newest segment was made ready, but the one before it was not sealed: nothing was written to
 * it. Drop it. */
static enum error drop_unused(struct replay *replay, size_t i, struct reason *why)
{
    struct segment_image *unused = &replay->images[i + 1];
    struct log_position start = unused->header.start;
    struct batch_view batch;
    enum error rv;

    if (i + 2 != replay->out->segments.n || segment_image_next(unused, &start, &batch)) {
        return fail(why, ERROR_CORRUPT, "%s ends at offset %llu, though segments follow; %s",
                    replay->images[i].path, (unsigned long long)replay->position.offset,
                    REPLACE_MEMBER);
    }
    rv = segment_image_judge(unused, &start, why);
    if (rv == OK && unlink(unused->path) != 0) {
        rv = fail_errno(why, errno, "remove %s", unused->path);
    }
    if (rv == OK) {
        rv = durable_sync_directory(replay->directory, why);
    }
    segment_image_release(unused);
    replay->out->segments.n--;
    return rv;
}

static enum error replay_segment(struct replay *replay, size_t i, struct reason *why)
{
    struct segment_list *segments = &replay->out->segments;
    enum error rv = check_header(replay, i, why);

    if (rv != OK) {
        return rv;
    }
    if (i == 0) {
        replay->out->start_index = replay->images[0].header.start.next_index;
    }
    replay->position = replay->images[i].header.start;
    segments->items[i].size = replay->images[i].header.file_size;
    rv = replay_batches(replay, i, why);
    if (rv != OK) {
        return rv;
    }
    if (!replay->is_sealed && i + 1 < segments->n) {
        return drop_unused(replay, i, why);
    }
    if (replay->is_sealed && i + 1 == segments->n) {
        return fail(why, ERROR_CORRUPT,
                    "%s says that the log goes on, but segment %llu is missing; %s",
                    replay->images[i].path, (unsigned long long)segments->items[i].number + 1,
                    REPLACE_MEMBER);
    }
    return OK;
}

static enum error read_images(struct replay *replay, struct reason *why)
{
    const struct segment_list *segments = &replay->out->segments;

    replay->images = memory_zero(segments->n * sizeof *replay->images);
    for (size_t i = 0; i < segments->n; i++) {
        char name[SEGMENT_NAME_MAX];
        enum error rv;

        if (i > 0 && segments->items[i].number != segments->items[i - 1].number + 1) {
            return fail(why, ERROR_CORRUPT, "%s: segment %016llx of the log is missing; %s",
                        replay->directory, (unsigned long long)segments->items[i - 1].number + 1,
                        REPLACE_MEMBER);
        }
        segment_name("segment", segments->items[i].number, name);
        rv = segment_image_read(replay->directory, name, &replay->images[i], why);
        if (rv != OK) {
            return rv;
        }
    }
    return OK;
}

/* --- what is handed out ---------------------------------------------------------------------- */

/* Copy a segment's live entries into one batch; entries [first, end) of the log are its. */
static void copy_batch(const struct replay *replay, size_t first, size_t end)
{
    const struct located *located = replay->located;
    uint8_t *batch, *at;
    size_t size = 0;

    for (size_t i = first; i < end; i++) {
        size += (located[i].size + 7) / 8 * 8;
    }
    batch = raft_malloc(size == 0 ? 8 : size);
    CHECK(batch != NULL);
    at = batch;
    for (size_t i = first; i < end; i++) {
        struct raft_entry *entry = &replay->out->entries[i];

        memcpy(at, replay->images[located[i].segment].bytes + located[i].offset, located[i].size);
        *entry = (struct raft_entry){.term = located[i].term,
                                     .type = located[i].type,
                                     .buf = {.base = at, .len = located[i].size},
                                     .batch = batch};
        at += (located[i].size + 7) / 8 * 8;
    }
}

static void hand_out(struct replay *replay)
{
    struct log_loaded *out = replay->out;

    out->n = replay->n;
    if (replay->n == 0) {
        return;
    }
    out->entries = raft_malloc(replay->n * sizeof *out->entries);
    CHECK(out->entries != NULL);
    for (size_t first = 0, end; first < replay->n; first = end) {
        end = first + 1;
        while (end < replay->n && replay->located[end].segment == replay->located[first].segment) {
            end++;
        }
        copy_batch(replay, first, end);
    }
}

/* Write back what was mended, and open the last segment to go on with it. */
static enum error settle(struct replay *replay, struct reason *why)
{
    struct log_loaded *out = replay->out;

    for (size_t i = 0; i < out->segments.n; i++) {
        const struct segment_image *image = &replay->images[i];
        bool is_last = i + 1 == out->segments.n;
        enum error rv;
        int fd;

        out->mended += image->n_mended;
        if (image->n_mended == 0 && !is_last) {
            continue;
        }
        fd = open(image->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            return fail_errno(why, errno, "open %s", image->path);
        }
        rv = segment_image_write_back(image, fd, is_last && replay->has_last ? &replay->last : NULL,
                                      why);
        if (is_last && rv == OK) {
            out->fd = fd;
            out->open = image->header;
            out->position = replay->position;
        } else {
            close(fd);
        }
        if (rv != OK) {
            return rv;
        }
    }
    return durable_sync_directory(replay->directory, why);
}

enum error log_load(const char *directory, const char *cluster, uint64_t member,
                    struct log_loaded *out, struct reason *why)
{
    struct replay replay = {
        .directory = directory, .cluster = cluster, .member = member, .out = out};
    enum error rv;

    *out = (struct log_loaded){.fd = -1};
    rv = list_segments(directory, &out->segments, why);
    if (rv != OK) {
        return rv;
    }
    size_t n_images = out->segments.n;
    rv = read_images(&replay, why);
    for (size_t i = 0; i < out->segments.n && rv == OK; i++) {
        rv = replay_segment(&replay, i, why);
    }
    if (rv == OK) {
        rv = settle(&replay, why);
    }
    if (rv == OK) {
        hand_out(&replay);
    } else {
        log_loaded_release(out);
    }
    for (size_t i = 0; i < n_images; i++) {
        segment_image_release(&replay.images[i]);
    }
    free(replay.images);
    free(replay.located);
    return rv;
}

void log_loaded_release(struct log_loaded *loaded)
{
    void *batch = NULL;

    for (size_t i = 0; i < loaded->n && loaded->entries != NULL; i++) {
        if (loaded->entries[i].batch != batch) {
            batch = loaded->entries[i].batch;
            raft_free(batch);
        }
    }
    raft_free(loaded->entries);
    loaded->entries = NULL;
    loaded->n = 0;
    segment_list_release(&loaded->segments);
    if (loaded->fd >= 0) {
        close(loaded->fd);
        loaded->fd = -1;
    }
}
