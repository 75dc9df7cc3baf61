#include "raft/log_thread.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What a seal takes at the end of each segment. */
#define SEAL_SIZE (BATCH_HEADER_SIZE + RECORD_HEADER_SIZE)

/* --- the loop's side ------------------------------------------------------------------------- */

static void report_low(struct log_thread *log)
{
    bool is_low = log_keeper_is_low(&log->keeper);

    if (is_low != log->said_low) {
        log->said_low = is_low;
        if (log->low_space != NULL) {
            log->low_space(log->data, is_low);
        }
    }
}

static void deliver(struct log_thread *log)
{
    struct list finished;

    uv_mutex_lock(&log->lock);
    list_move(&log->finished, &finished);
    uv_mutex_unlock(&log->lock);
    LIST_FOR_EACH (item, &finished) {
        struct log_request *request = container_of(item, struct log_request, link);

        list_remove(item);
        request->cb(request);
    }
}

static void async_cb(uv_async_t *async)
{
    struct log_thread *log = container_of(async, struct log_thread, async);

    deliver(log);
    report_low(log);
}

static void low_changed(void *data)
{
    struct log_thread *log = data;

    CHECK(uv_async_send(&log->async) == 0);
}

void log_thread_queue(struct log_thread *log, struct log_request *request)
{
    PRE(request->cb != NULL);
    ERGO(request->kind == LOG_APPEND, request->n > 0);
    request->done = 0;
    uv_mutex_lock(&log->lock);
    PRE(!log->is_stopping);
    list_append(&log->queue, &request->link);
    uv_cond_signal(&log->wake);
    uv_mutex_unlock(&log->lock);
}

void log_thread_times(struct log_thread *log, struct sync_times *out)
{
    uv_mutex_lock(&log->lock);
    *out = log->times;
    uv_mutex_unlock(&log->lock);
}

uint64_t log_thread_bytes(struct log_thread *log)
{
    uint64_t bytes;

    uv_mutex_lock(&log->lock);
    bytes = log->log_bytes;
    uv_mutex_unlock(&log->lock);
    return bytes;
}

bool log_thread_is_low(struct log_thread *log)
{
    return log_keeper_is_low(&log->keeper);
}

/* --- the thread's side ----------------------------------------------------------------------- */

static void count_bytes(struct log_thread *log)
{
    uint64_t bytes = log->segment.file_size; /* The spare. */

    for (size_t i = 0; i < log->segments.n; i++) {
        bytes += log->segments.items[i].size;
    }
    uv_mutex_lock(&log->lock);
    log->log_bytes = bytes;
    uv_mutex_unlock(&log->lock);
}

/* Write and sync the batch, then give back the requests that are complete with it. */
static void commit(struct log_thread *log)
{
    struct reason why;
    uint64_t began, took;

    if (batch_is_empty(&log->batch)) {
        return;
    }
    batch_close(&log->batch, &log->position);
    FAILPOINT("log.before_write");
    if (batch_write(&log->batch, log->fd, &log->segment, &why) != OK) {
        fail_stop("segment %llu of the log: %s", (unsigned long long)log->segment.number, why.text);
    }
    FAILPOINT("log.before_sync");
    began = clock_monotonic_ns();
    if (FAILPOINT_FAILS("log.sync") || fdatasync(log->fd) != 0) {
        fail_stop("sync of segment %llu of the log failed: %s",
                  (unsigned long long)log->segment.number, strerror(errno));
    }
    took = clock_monotonic_ns() - began;
    FAILPOINT("log.after_sync");
    uv_mutex_lock(&log->lock);
    sync_times_add(&log->times, took);
    LIST_FOR_EACH (item, &log->written) {
        list_remove(item);
        list_append(&log->finished, item);
    }
    uv_mutex_unlock(&log->lock);
    CHECK(uv_async_send(&log->async) == 0);
}

/* Begin a batch in what is left of the segment. False: not even a small one fits. */
static bool begin(struct log_thread *log)
{
    uint64_t rest = log->segment.file_size - log->position.offset;
    uint64_t limit = segment_batch_max(&log->segment);

    CHECK(rest >= SEAL_SIZE);
    if (limit > rest - SEAL_SIZE) {
        limit = rest - SEAL_SIZE;
    }
    batch_start(&log->batch, &log->segment, &log->position, (size_t)limit);
    return limit >= SEAL_SIZE;
}

static void switch_segment(struct log_thread *log, int fd, const struct segment_header *next)
{
    log->segments.items[log->segments.n - 1].end_index = log->position.next_index;
    close(log->fd);
    log->fd = fd;
    log->segment = *next;
    log->position = next->start;
    segment_list_add(&log->segments,
                     (struct segment_entry){.number = next->number, .size = next->file_size});
    count_bytes(log);
    LOG_DEBUG("the log goes on in segment %llu at index %llu", (unsigned long long)next->number,
              (unsigned long long)next->start.next_index);
}

/* Go on in the next segment: its header is durable under its name before this one is sealed, and
 * nothing is written to it before the seal is durable. The header holds the chain as the seal will
 * leave it. */
static void roll(struct log_thread *log)
{
    struct segment_header next = log->segment;
    struct log_position after = log->position;
    struct reason why;
    int fd;

    next.number++;
    next.nonce = random_u64();
    if (log_keeper_take(&log->keeper, next.number, &fd) != OK) {
        fail_stop("the log is full and there is no space for its next segment of %llu bytes in %s",
                  (unsigned long long)next.file_size, log->directory);
    }
    batch_start(&log->batch, &log->segment, &log->position, SEAL_SIZE);
    CHECK(batch_add(&log->batch, RECORD_SEAL, log->position.next_index, 0, BYTES_NONE));
    batch_close(&log->batch, &after);
    next.start = after;
    next.start.offset = segment_body_offset(&next);
    if (segment_activate(log->directory, fd, &next, &why) != OK) {
        fail_stop("the log's next segment: %s", why.text);
    }
    FAILPOINT("log.before_seal");
    commit(log);
    FAILPOINT("log.after_seal");
    CHECK(log->position.chain == next.start.chain);
    switch_segment(log, fd, &next);
}

static void begin_or_roll(struct log_thread *log)
{
    if (!begin(log)) {
        roll(log);
        CHECK(begin(log));
    }
}

/* Make room for one more record by ending the batch, or the segment when it holds nothing yet. */
static void make_room(struct log_thread *log)
{
    if (batch_is_empty(&log->batch)) {
        roll(log);
    } else {
        commit(log);
    }
    begin_or_roll(log);
}

static void add_record(struct log_thread *log, uint16_t type, uint64_t index, uint64_t term,
                       struct bytes data)
{
    CHECK(record_size(data.size) + BATCH_HEADER_SIZE <= segment_batch_max(&log->segment));
    while (!batch_add(&log->batch, type, index, term, data)) {
        make_room(log);
    }
}

static void add_entries(struct log_thread *log, struct log_request *request)
{
    CHECK(request->index == log->position.next_index);
    for (; request->done < request->n; request->done++) {
        const struct raft_entry *entry = &request->entries[request->done];

        add_record(log, entry->type, log->position.next_index, entry->term,
                   bytes_of(entry->buf.base, entry->buf.len));
        log->position.next_index++;
    }
}

/* Segments from the oldest on in which no live entry is at or above index. */
static void trim(struct log_thread *log, uint64_t index)
{
    struct segment_list *list = &log->segments;
    uint64_t first = list->items[0].number;
    size_t n = 0;

    while (n + 1 < list->n && list->items[n].end_index <= index) {
        n++;
    }
    if (n > 0) {
        memmove(list->items, list->items + n, (list->n - n) * sizeof *list->items);
        list->n -= n;
        log_keeper_remove(&log->keeper, first, first + n);
        count_bytes(log);
    }
}

static void process(struct log_thread *log, struct log_request *request)
{
    switch (request->kind) {
    case LOG_APPEND:
        add_entries(log, request);
        break;
    case LOG_TRUNCATE:
        CHECK(request->index <= log->position.next_index);
        FAILPOINT("log.before_truncate");
        add_record(log, RECORD_TRUNCATE, request->index, 0, BYTES_NONE);
        segment_list_truncate(&log->segments, request->index);
        log->position.next_index = request->index;
        break;
    case LOG_RESTART:
        FAILPOINT("log.before_restart");
        add_record(log, RECORD_RESTART, request->index, 0, BYTES_NONE);
        segment_list_truncate(&log->segments, 0);
        log->position.next_index = request->index;
        break;
    case LOG_TRIM:
        /* What made segments useless may be in this very batch. */
        commit(log);
        begin_or_roll(log);
        trim(log, request->index);
        break;
    }
    list_append(&log->written, &request->link);
}

static void process_all(struct log_thread *log, struct list *requests)
{
    begin_or_roll(log);
    LIST_FOR_EACH (item, requests) {
        list_remove(item);
        process(log, container_of(item, struct log_request, link));
    }
    commit(log);
    /* Trims alone leave nothing to sync. */
    uv_mutex_lock(&log->lock);
    LIST_FOR_EACH (item, &log->written) {
        list_remove(item);
        list_append(&log->finished, item);
    }
    uv_mutex_unlock(&log->lock);
    CHECK(uv_async_send(&log->async) == 0);
}

static void log_main(void *data)
{
    struct log_thread *log = data;
    struct list requests;

    uv_mutex_lock(&log->lock);
    for (;;) {
        while (list_is_empty(&log->queue) && !log->is_stopping) {
            uv_cond_wait(&log->wake, &log->lock);
        }
        if (list_is_empty(&log->queue)) {
            break;
        }
        list_move(&log->queue, &requests);
        uv_mutex_unlock(&log->lock);
        process_all(log, &requests);
        uv_mutex_lock(&log->lock);
    }
    uv_mutex_unlock(&log->lock);
}

/* --- life ------------------------------------------------------------------------------------ */

void log_thread_start(struct log_thread *log, uv_loop_t *loop, const char *directory,
                      struct log_loaded *loaded, void (*low_space)(void *data, bool is_low),
                      void *data)
{
    PRE(loaded->fd >= 0 && loaded->segments.n > 0);
    *log = (struct log_thread){.directory = directory,
                               .segment = loaded->open,
                               .position = loaded->position,
                               .segments = loaded->segments,
                               .fd = loaded->fd,
                               .low_space = low_space,
                               .data = data};
    loaded->fd = -1;
    loaded->segments = (struct segment_list){0};
    list_init(&log->queue);
    list_init(&log->finished);
    list_init(&log->written);
    batch_init(&log->batch, segment_batch_max(&log->segment));
    CHECK(uv_mutex_init(&log->lock) == 0);
    CHECK(uv_cond_init(&log->wake) == 0);
    CHECK(uv_async_init(loop, &log->async, async_cb) == 0);
    count_bytes(log);
    log_keeper_start(&log->keeper, directory, log->segment.file_size, log->segment.number + 1,
                     low_changed, log);
    CHECK(uv_thread_create(&log->thread, log_main, log) == 0);
}

static void close_cb(uv_handle_t *handle)
{
    struct log_thread *log = container_of(handle, struct log_thread, async);

    deliver(log);
    uv_cond_destroy(&log->wake);
    uv_mutex_destroy(&log->lock);
    segment_list_release(&log->segments);
    batch_release(&log->batch);
    log->closed_cb(log->data);
}

void log_thread_stop(struct log_thread *log, void (*closed_cb)(void *data), void *data)
{
    uv_mutex_lock(&log->lock);
    PRE(!log->is_stopping);
    log->is_stopping = true;
    uv_cond_signal(&log->wake);
    uv_mutex_unlock(&log->lock);
    uv_thread_join(&log->thread);
    log_keeper_stop(&log->keeper);
    log->low_space = NULL;
    log->closed_cb = closed_cb;
    log->data = data;
    if (close(log->fd) != 0) {
        fail_stop("close of the log failed: %s", strerror(errno));
    }
    uv_close((uv_handle_t *)&log->async, close_cb);
}
