#ifndef RAFT_GUARD_IO_H
#define RAFT_GUARD_IO_H

#include "raft/guard.h"

/* Between the two halves of the guard: guard.c, what comes from the inner raft_io, and guard_io.c,
 * what libraft asks of it. Private to them. */

/* A write of entries on its way to the disk. */
struct guard_append {
    struct raft_io_append request;
    struct list link;
    struct guard *guard;
    struct raft_io_append *outer;
    raft_io_append_cb cb;
    raft_term term;
    raft_index first; /* Index of the first entry that still counts (truncation moves it). */
    raft_index checked;
    bool is_follower;
};

/* A snapshot on its way to the disk: taken here, or sent by the leader. */
struct guard_put {
    struct raft_io_snapshot_put request;
    struct guard *guard;
    struct raft_io_snapshot_put *outer;
    raft_io_snapshot_put_cb cb;
    raft_term term;
    raft_index index;
    bool is_install;
};

static inline struct raft *guard_raft(const struct guard *guard)
{
    return guard->io.data;
}

/* Entries or the leader's snapshot are on their way to the disk. */
bool guard_disk_is_behind(const struct guard *guard);
/* The last index that this process has seen reach the disk, whatever libraft believes of it. */
raft_index guard_stored_end(const struct guard *guard);
/* Complete a send with status, not inside the call: at the next event. */
void guard_lose(struct guard *guard, struct raft_io_send *request, raft_io_send_cb cb, int status);

/* --- raft/guard_configuration.c --- */

/* The configuration of the newest snapshot. */
void guard_configuration_keep(struct guard *guard, const struct raft_snapshot *snapshot);
void guard_configuration_close(struct guard *guard);
/* Before libraft gets a request: hide the configuration that is not committed, if the request cuts
 * it off and libraft would fail at that; */
struct guard_hidden {
    raft_index committed, uncommitted; /* uncommitted 0: nothing is hidden. */
};
struct guard_hidden guard_configuration_hide(struct guard *guard,
                                             const struct raft_append_entries *request);
/* and after it, show it again when the log was not cut. */
void guard_configuration_show(struct guard *guard, struct guard_hidden hidden);
/* The log is about to be cut at index. */
void guard_configuration_cut(struct guard *guard, raft_index index);

/* --- raft/guard.c: callbacks for the inner raft_io --- */

void guard_tick(struct raft_io *inner);
void guard_recv(struct raft_io *inner, struct raft_message *message);
void guard_append_cb(struct raft_io_append *request, int status);
void guard_put_cb(struct raft_io_snapshot_put *request, int status);
void guard_close_cb(struct raft_io *inner);

#endif
