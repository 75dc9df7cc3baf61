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

/* One segment is in memory at a time, and leaves behind a batch with the data of those of its
 * entries that were live at its end. */
struct replay {
    const char *directory, *cluster;
    uint64_t member;
    struct log_loaded *out;
    size_t capacity; /* Of out->entries. */
    void **batches;  /* Of each segment; NULL: none. */
    struct segment_image image;
    size_t first; /* Position in out->entries of the first entry of the image. */
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
        out->n = 0;
        out->start_index = index;
    } else {
        out->n = (size_t)(index - out->start_index);
    }
    replay->first = replay->first < out->n ? replay->first : out->n;
    segment_list_truncate(&out->segments, index);
    replay->position.next_index = index;
}

/* The data stays in the image until keep_batch(). */
static void push(struct replay *replay, const struct record *record)
{
    struct log_loaded *out = replay->out;

    if (out->n == replay->capacity) {
        replay->capacity = replay->capacity == 0 ? 1024 : 2 * replay->capacity;
        out->entries = raft_realloc(out->entries, replay->capacity * sizeof *out->entries);
        CHECK(out->entries != NULL);
    }
    out->entries[out->n++] = (struct raft_entry){
        .term = record->term,
        .type = record->type,
        .buf = {.base = replay->image.bytes + (record->data.data - replay->image.bytes),
                .len = record->data.size}};
    replay->position.next_index++;
}

static bool replay_record(struct replay *replay, const struct record *record)
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
        replay->out->n = replay->first = 0;
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
        push(replay, record);
        return true;
    }
}

static enum error replay_batches(struct replay *replay, size_t i, struct reason *why)
{
    struct segment_image *image = &replay->image;
    struct batch_view batch;
    struct record record;

    replay->is_sealed = replay->has_last = false;
    while (!replay->is_sealed && segment_image_next(image, &replay->position, &batch)) {
        replay->last = batch;
        replay->has_last = true;
        while (batch.n > 0) {
            if (!batch_view_record(&batch, &record) || !replay_record(replay, &record)) {
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
    const struct segment_image *image = &replay->image;
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

static enum error read_image(const struct replay *replay, size_t i, struct segment_image *out,
                             struct reason *why)
{
    char name[SEGMENT_NAME_MAX];

    segment_name("segment", replay->out->segments.items[i].number, name);
    return segment_image_read(replay->directory, name, out, why);
}

/* The newest segment was made ready, but the one before it was not sealed: nothing was written to
 * it. Drop it. */
static enum error drop_unused(struct replay *replay, size_t i, struct reason *why)
{
    struct segment_image unused;
    struct log_position start;
    struct batch_view batch;
    enum error rv = read_image(replay, i + 1, &unused, why);

    if (rv != OK) {
        return rv;
    }
    start = unused.header.start;
    if (i + 2 != replay->out->segments.n || segment_image_next(&unused, &start, &batch)) {
        rv = fail(why, ERROR_CORRUPT, "%s ends at offset %llu, though segments follow; %s",
                  replay->image.path, (unsigned long long)replay->position.offset, REPLACE_MEMBER);
    } else {
        rv = segment_image_judge(&unused, &start, why);
    }
    if (rv == OK && unlink(unused.path) != 0) {
        rv = fail_errno(why, errno, "remove %s", unused.path);
    }
    if (rv == OK) {
        rv = durable_sync_directory(replay->directory, why);
        replay->out->segments.n--;
    }
    segment_image_release(&unused);
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
        replay->out->start_index = replay->image.header.start.next_index;
    }
    replay->position = replay->image.header.start;
    segments->items[i].size = replay->image.header.file_size;
    rv = replay_batches(replay, i, why);
    if (rv != OK) {
        return rv;
    }
    if (!replay->is_sealed && i + 1 < segments->n) {
        return drop_unused(replay, i, why);
    }
    if (replay->is_sealed && i + 1 == segments->n) {
        return fail(
            why, ERROR_CORRUPT, "%s says that the log goes on, but segment %llu is missing; %s",
            replay->image.path, (unsigned long long)segments->items[i].number + 1, REPLACE_MEMBER);
    }
    return OK;
}

/* --- what is handed out ---------------------------------------------------------------------- */

/* Copy the data of the image's live entries into a batch of their own. */
static void keep_batch(struct replay *replay, size_t segment)
{
    struct log_loaded *out = replay->out;
    uint8_t *batch, *at;
    size_t size = 0;

    for (size_t i = replay->first; i < out->n; i++) {
        size += (out->entries[i].buf.len + 7) / 8 * 8;
    }
    if (replay->first == out->n) {
        return;
    }
    batch = at = raft_malloc(size == 0 ? 8 : size);
    CHECK(batch != NULL);
    for (size_t i = replay->first; i < out->n; i++) {
        struct raft_entry *entry = &out->entries[i];

        memcpy(at, entry->buf.base, entry->buf.len);
        entry->buf.base = at;
        entry->batch = batch;
        at += (entry->buf.len + 7) / 8 * 8;
    }
    replay->batches[segment] = batch;
}

/* Free batches whose entries were all truncated later; all of them when the load failed. */
static void free_batches(const struct replay *replay, size_t n_segments)
{
    const struct log_loaded *out = replay->out;
    size_t at = 0;

    for (size_t i = 0; i < n_segments; i++) {
        bool is_used = at < out->n && out->entries[at].batch == replay->batches[i];

        while (is_used && at < out->n && out->entries[at].batch == replay->batches[i]) {
            at++;
        }
        if (!is_used) {
            raft_free(replay->batches[i]);
        }
    }
    CHECK(at == out->n);
}

/* Write back what was mended in the image; the last segment's file stays open to go on with it. */
static enum error settle(struct replay *replay, bool is_last, struct reason *why)
{
    const struct segment_image *image = &replay->image;
    struct log_loaded *out = replay->out;
    enum error rv;
    int fd;

    out->mended += image->n_mended;
    if (image->n_mended == 0 && !is_last) {
        return OK;
    }
    fd = open(image->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return fail_errno(why, errno, "open %s", image->path);
    }
    rv = segment_image_write_back(image, fd, is_last && replay->has_last ? &replay->last : NULL,
                                  why);
    if (!is_last || rv != OK) {
        close(fd);
        return rv;
    }
    out->fd = fd;
    out->open = image->header;
    out->position = replay->position;
    return durable_sync_directory(replay->directory, why);
}

static enum error check_numbers(const struct replay *replay, struct reason *why)
{
    const struct segment_list *segments = &replay->out->segments;

    for (size_t i = 1; i < segments->n; i++) {
        if (segments->items[i].number != segments->items[i - 1].number + 1) {
            return fail(why, ERROR_CORRUPT, "%s: segment %016llx of the log is missing; %s",
                        replay->directory, (unsigned long long)segments->items[i - 1].number + 1,
                        REPLACE_MEMBER);
        }
    }
    return OK;
}

static enum error load_segment(struct replay *replay, size_t i, struct reason *why)
{
    enum error rv = read_image(replay, i, &replay->image, why);

    if (rv != OK) {
        return rv;
    }
    replay->first = replay->out->n;
    rv = replay_segment(replay, i, why);
    if (rv == OK) {
        rv = settle(replay, i + 1 == replay->out->segments.n, why);
    }
    if (rv == OK) {
        keep_batch(replay, i);
    } else {
        replay->out->n = replay->first; /* Those point into the image. */
    }
    segment_image_release(&replay->image);
    return rv;
}

enum error log_load(const char *directory, const char *cluster, uint64_t member,
                    struct log_loaded *out, struct reason *why)
{
    struct replay replay = {
        .directory = directory, .cluster = cluster, .member = member, .out = out};
    size_t n_segments;
    enum error rv;

    *out = (struct log_loaded){.fd = -1};
    rv = list_segments(directory, &out->segments, why);
    n_segments = out->segments.n;
    if (rv == OK) {
        replay.batches = memory_zero(n_segments * sizeof *replay.batches);
        rv = check_numbers(&replay, why);
    }
    for (size_t i = 0; i < out->segments.n && rv == OK; i++) {
        rv = load_segment(&replay, i, why);
    }
    if (replay.batches != NULL) {
        free_batches(&replay, n_segments);
    }
    free(replay.batches);
    if (out->n == 0) {
        raft_free(out->entries);
        out->entries = NULL;
    }
    if (rv != OK) {
        log_loaded_release(out);
    }
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
