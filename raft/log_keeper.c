#include "raft/log_keeper.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "raft/log_load.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define RETRY_NS 1000000000u

static void remove_file(const char *directory, const char *prefix, uint64_t number)
{
    char path[PATH_MAX], name[SEGMENT_NAME_MAX];

    segment_name(prefix, number, name);
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) {
        IMPOSSIBLE("a path that was opened is too long to remove");
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        fail_stop("remove %s: error %d", path, errno);
    }
}

/* Oldest first, each synced before the next, so that a crash never leaves a hole. */
static void remove_segments(const char *directory, uint64_t first, uint64_t end)
{
    struct reason why;

    for (uint64_t number = first; number < end; number++) {
        FAILPOINT("segment.before_remove");
        remove_file(directory, "segment", number);
        FAILPOINT("segment.after_remove");
        if (durable_sync_directory(directory, &why) != OK) {
            fail_stop("%s", why.text);
        }
    }
}

static void set_low(struct log_keeper *keeper, bool is_low, const char *why)
{
    bool was_low;

    uv_mutex_lock(&keeper->lock);
    was_low = keeper->is_low;
    keeper->is_low = is_low;
    uv_cond_broadcast(&keeper->changed);
    uv_mutex_unlock(&keeper->lock);
    if (was_low != is_low) {
        if (is_low) {
            LOG_ERROR("the log cannot prepare its next segment: %s; free some space", why);
        } else {
            LOG_INFO("the log has its next segment again");
        }
        keeper->low_changed(keeper->data);
    }
}

static void prepare(struct log_keeper *keeper, uint64_t number)
{
    struct reason why;
    int fd;
    enum error rv = segment_prepare(keeper->directory, number, keeper->file_size, &fd, &why);

    if (rv == ERROR_FULL) {
        set_low(keeper, true, why.text);
        uv_mutex_lock(&keeper->lock);
        if (!keeper->is_stopping && keeper->remove_from == keeper->remove_end) {
            uv_cond_timedwait(&keeper->changed, &keeper->lock, RETRY_NS);
        }
        uv_mutex_unlock(&keeper->lock);
        return;
    }
    if (rv != OK) {
        fail_stop("the log's next segment: %s", why.text);
    }
    uv_mutex_lock(&keeper->lock);
    CHECK(keeper->ready_fd < 0 && keeper->want == number);
    keeper->ready_fd = fd;
    uv_mutex_unlock(&keeper->lock);
    set_low(keeper, false, "");
}

static void keeper_main(void *data)
{
    struct log_keeper *keeper = data;

    uv_mutex_lock(&keeper->lock);
    while (!keeper->is_stopping) {
        uint64_t first = keeper->remove_from, end = keeper->remove_end, want = keeper->want;

        if (first < end) {
            keeper->remove_from = end;
            uv_mutex_unlock(&keeper->lock);
            remove_segments(keeper->directory, first, end);
            uv_mutex_lock(&keeper->lock);
        } else if (keeper->ready_fd < 0) {
            uv_mutex_unlock(&keeper->lock);
            prepare(keeper, want);
            uv_mutex_lock(&keeper->lock);
        } else {
            uv_cond_wait(&keeper->changed, &keeper->lock);
        }
    }
    uv_mutex_unlock(&keeper->lock);
}

void log_keeper_start(struct log_keeper *keeper, const char *directory, uint64_t file_size,
                      uint64_t first, void (*low_changed)(void *data), void *data)
{
    PRE(low_changed != NULL);
    *keeper = (struct log_keeper){.directory = directory,
                                  .file_size = file_size,
                                  .want = first,
                                  .ready_fd = -1,
                                  .low_changed = low_changed,
                                  .data = data};
    CHECK(uv_mutex_init(&keeper->lock) == 0);
    CHECK(uv_cond_init(&keeper->changed) == 0);
    CHECK(uv_thread_create(&keeper->thread, keeper_main, keeper) == 0);
}

enum error log_keeper_take(struct log_keeper *keeper, uint64_t number, int *fd)
{
    enum error rv = OK;

    uv_mutex_lock(&keeper->lock);
    PRE(number == keeper->want);
    while (keeper->ready_fd < 0 && !keeper->is_low) {
        uv_cond_wait(&keeper->changed, &keeper->lock);
    }
    *fd = keeper->ready_fd;
    if (keeper->ready_fd < 0) {
        rv = ERROR_FULL;
    } else {
        keeper->ready_fd = -1;
        keeper->want++;
        uv_cond_broadcast(&keeper->changed);
    }
    uv_mutex_unlock(&keeper->lock);
    return rv;
}

void log_keeper_remove(struct log_keeper *keeper, uint64_t first, uint64_t end)
{
    PRE(first < end);
    uv_mutex_lock(&keeper->lock);
    if (keeper->remove_from == keeper->remove_end) {
        keeper->remove_from = first;
    }
    CHECK(end > keeper->remove_end);
    keeper->remove_end = end;
    uv_cond_broadcast(&keeper->changed);
    uv_mutex_unlock(&keeper->lock);
}

bool log_keeper_is_low(struct log_keeper *keeper)
{
    bool is_low;

    uv_mutex_lock(&keeper->lock);
    is_low = keeper->is_low;
    uv_mutex_unlock(&keeper->lock);
    return is_low;
}

void log_keeper_stop(struct log_keeper *keeper)
{
    uv_mutex_lock(&keeper->lock);
    keeper->is_stopping = true;
    uv_cond_broadcast(&keeper->changed);
    uv_mutex_unlock(&keeper->lock);
    uv_thread_join(&keeper->thread);
    if (keeper->ready_fd >= 0) {
        close(keeper->ready_fd);
        remove_file(keeper->directory, "spare", keeper->want);
    }
    uv_cond_destroy(&keeper->changed);
    uv_mutex_destroy(&keeper->lock);
}
