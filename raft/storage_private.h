#ifndef RAFT_STORAGE_PRIVATE_H
#define RAFT_STORAGE_PRIVATE_H

#include "raft/log_thread.h"
#include "raft/snapshot_list.h"
#include "raft/storage.h"
#include "raft/vote_file.h"

/* Shared by storage.c (life, term, log) and storage_snapshot.c; nobody else includes it. */

enum incoming_state {
    INCOMING_NONE,
    INCOMING_OPEN,     /* Bytes arrive. */
    INCOMING_CHECKING, /* On the pool. */
    INCOMING_FINISHED,
    INCOMING_INSTALLING
};

struct incoming {
    enum incoming_state state;
    int fd;
    uint64_t index, term, size;
    bool is_dropped; /* While it was checked. */
    struct snapshot_about about;
    struct log_request restart;
    struct storage_snapshot *request; /* The installation that waits for it. */
};

struct storage {
    uv_loop_t *loop;
    char *log_directory, *snapshot_directory;
    uint64_t id;
    size_t entry_max;
    void (*low_space)(void *data, bool is_low);
    void *data;
    struct vote_file vote;
    struct log_loaded loaded; /* Until storage_load(). */
    struct log_thread log;    /* From storage_load() on. */
    uint64_t next_index;
    struct snapshot_about newest; /* index 0: there is none. */
    struct incoming incoming;
    void (*closed_cb)(void *data);
    void *closed_data;
    int lock_fd;
    unsigned mended;
    unsigned jobs; /* Snapshot work that has not called back. */
    char cluster[CLUSTER_ID_SIZE + 1];
    bool is_loaded;
    bool is_closing;
    bool needs_restart; /* The log ends before, or contradicts, the newest snapshot. */
};

/* One less; goes on with closing when it was waited for. */
void storage_job_done(struct storage *storage);
/* Remove the incoming file and forget it. */
void storage_incoming_forget(struct storage *storage);
/* What the snapshots say about the log that was loaded; at open. */
enum error storage_reconcile(struct storage *storage, struct reason *why) MUST_USE;
/* Ask the log thread to remove segments with nothing at or above index. */
void storage_trim(struct storage *storage, uint64_t index);

#endif
