#ifndef RAFT_LOG_KEEPER_H
#define RAFT_LOG_KEEPER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* The second thread of the log: prepares the segment after the one that is written, and removes
 * those that a snapshot replaced, so that neither delays a commit.
 *
 * Where the disk is too full for the next segment it says so and tries again each second; any other
 * failure stops the process. */

struct log_keeper {
    /* Private. */
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t changed;
    const char *directory;
    uint64_t file_size;
    uint64_t want; /* Number of the segment to prepare. */
    int ready_fd;  /* Prepared and not taken yet; -1: none. */
    uint64_t remove_from, remove_end;
    bool is_low;
    bool is_stopping;
    void (*low_changed)(void *data); /* On the keeper's thread. */
    void *data;
};

/* Start the thread: it prepares segment number first. directory outlives the keeper. */
void log_keeper_start(struct log_keeper *keeper, const char *directory, uint64_t file_size,
                      uint64_t first, void (*low_changed)(void *data), void *data);
/* Take the prepared segment, waiting for it; the next one is begun at once. ERROR_FULL: there is no
 * space for it. */
enum error log_keeper_take(struct log_keeper *keeper, uint64_t number, int *fd) MUST_USE;
/* Remove the segments below end, from the oldest on. first: the oldest there is. */
void log_keeper_remove(struct log_keeper *keeper, uint64_t first, uint64_t end);
bool log_keeper_is_low(struct log_keeper *keeper);
/* Wait for the thread; the prepared segment is removed. */
void log_keeper_stop(struct log_keeper *keeper);

#endif
