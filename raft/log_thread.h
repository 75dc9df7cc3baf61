#ifndef RAFT_LOG_THREAD_H
#define RAFT_LOG_THREAD_H

#include "base/list.h"
#include "raft/log_keeper.h"
#include "raft/log_load.h"
#include "raft/sync_times.h"

#include <raft.h>
#include <uv.h>

/* The thread that writes and syncs the log. The loop queues requests in the order in which they are
 * to be on disk; the thread puts all that wait into one batch (up to a slot's size), writes it,
 * syncs once, and gives the requests back to the loop in the same order.
 *
 * A write or a sync that fails stops the process: what is on disk is not known any more, and a
 * second sync would lie. */

enum log_request_kind {
    LOG_APPEND,
    LOG_TRUNCATE, /* Entries from index on are gone. */
    LOG_RESTART,  /* All entries are gone, the next one is index. */
    LOG_TRIM      /* Nothing below index is needed any more. */
};

struct log_request {
    /* Private to log_thread.c once queued. */
    struct list link;
    enum log_request_kind kind;
    uint64_t index; /* LOG_APPEND: of entries[0]. */
    const struct raft_entry *entries;
    unsigned n, done;
    /* On the loop, when it is durable (LOG_TRIM: when it was understood). The owner frees it. */
    void (*cb)(struct log_request *request);
};

struct log_thread {
    /* Private. */
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t wake;
    uv_async_t async;
    struct list queue, finished; /* Under the lock. */
    struct sync_times times;     /* Under the lock. */
    uint64_t log_bytes;          /* Under the lock. */
    bool is_stopping;            /* Under the lock. */
    /* Of the thread alone while it runs. */
    const char *directory;
    struct segment_header segment;
    struct log_position position;
    struct segment_list segments;
    int fd;
    struct batch batch;
    struct list written; /* In the batch, not synced yet. */
    struct log_keeper keeper;
    /* Of the loop. */
    void (*low_space)(void *data, bool is_low);
    bool said_low;
    void (*closed_cb)(void *data);
    void *data;
};

/* Takes file, segments and position from loaded. directory outlives the thread. low_space: as
 * struct storage_options. */
void log_thread_start(struct log_thread *log, uv_loop_t *loop, const char *directory,
                      struct log_loaded *loaded, void (*low_space)(void *data, bool is_low),
                      void *data);
/* The request is the log's until its callback. */
void log_thread_queue(struct log_thread *log, struct log_request *request);
/* Finish what is queued (the callbacks still run), stop both threads. closed_cb on the loop is the
 * end of log. */
void log_thread_stop(struct log_thread *log, void (*closed_cb)(void *data), void *data);

/* From the loop. */
void log_thread_times(struct log_thread *log, struct sync_times *out);
uint64_t log_thread_bytes(struct log_thread *log);
bool log_thread_is_low(struct log_thread *log);

#endif
