#ifndef RAFT_STORAGE_H
#define RAFT_STORAGE_H

#include "base/bytes.h"
#include "base/error.h"
#include "raft/consensus.h"
#include "raft/snapshot_file.h"

#include <raft.h>
#include <uv.h>

/* The durable half of struct raft_io: term and vote, the log, snapshots. raft/io.c maps libraft's
 * calls to these one to one and adds the network.
 *
 *   directory/log/vote                    term and vote, two redundant copies (raft/vote_file.h)
 *   directory/log/segment-<number>        the log, preallocated (raft/segment.h)
 *   directory/log/spare-<number>          the next segment, ready before it is needed
 *   directory/snapshots/snapshot-<index>-<term>     the last two (raft/snapshot_file.h)
 *   directory/snapshots/incoming-<index>-<term>     on its way from a peer; removed at open
 *
 * Threads: every call here is for the loop's thread, and every callback runs on it, never inside
 * the call that started it. The log is written by a thread of its own, prepared and trimmed by a
 * second one; snapshots are written on libuv's pool.
 *
 * Failure: a write, sync or rename that fails under the term, the vote or the log stops the process
 * (fail_stop), so nothing that libraft waits for ever reports an error. A snapshot that finds the
 * disk full gives ERROR_FULL and is not there; any other failure under it stops the process too. */

struct storage;

struct storage_options {
    uv_loop_t *loop;
    const char *directory;
    const char *cluster;   /* 32 hex digits. */
    uint64_t id;           /* This member; never 0. */
    uint64_t segment_size; /* 0: 64 MiB. Raised to four times entry_max where smaller. */
    size_t entry_max;      /* 0: STORAGE_ENTRY_MAX. Longest entry that append may be given. */
    /* The next segment cannot be allocated (true), or can again (false): hand leadership over, take
     * no new commands. What is left of the current segment stays usable; when that is used up too
     * the process stops. On the loop; may be NULL. */
    void (*low_space)(void *data, bool is_low);
    void *data;
};

#define STORAGE_ENTRY_MAX (2u * 1024 * 1024)

/* --- life ------------------------------------------------------------------------------------ */

/* Lock the directory (made when it is not there), check every file, mend what a crash tore, start
 * the threads. ERROR_BUSY: another process. ERROR_FOREIGN: of another cluster or member.
 * ERROR_CORRUPT: damage that is no torn tail: the node may have acknowledged what is lost, so it
 * must not vote; the sentence names file and offset and says to replace the member. ERROR_IO,
 * ERROR_FULL. */
enum error storage_open(const struct storage_options *options, struct storage **out,
                        struct reason *why) MUST_USE;
/* Write and sync what is queued (those callbacks still run), wait for snapshot work, give files and
 * lock back. The callback is the end of storage. */
void storage_close(struct storage *storage, void (*closed_cb)(void *data), void *data);

/* raft_io.load. Once, after open (and bootstrap). *snapshot is NULL or raft_malloc'd: its one
 * buffer is a token (raft/snapshot_file.h) that names the file, configuration and configuration
 * index are filled. entries is one raft_malloc'd array (NULL when n is 0) whose batches are
 * raft_malloc'd, one per segment: libraft frees all of it as raft.h says. start_index is the index
 * of entries[0], or of the next entry when there is none. */
void storage_load(struct storage *storage, raft_term *term, raft_id *voted_for,
                  struct raft_snapshot **snapshot, raft_index *start_index,
                  struct raft_entry **entries, size_t *n_entries);
/* Anything there: a term above 1, a vote, entries or a snapshot. */
bool storage_is_empty(const struct storage *storage);
/* raft_io.bootstrap: term 1 and the configuration as entry 1, synced on return. Before load.
 * ERROR_EXISTS unless empty. */
enum error storage_bootstrap(struct storage *storage, const struct raft_configuration *conf,
                             struct reason *why) MUST_USE;

/* --- term and vote: durable on return (two syncs each) --------------------------------------- */

void storage_set_term(struct storage *storage, raft_term term); /* Forgets the vote. */
void storage_set_vote(struct storage *storage, raft_id id);

/* --- the log --------------------------------------------------------------------------------- */

/* raft_io.append. Entries follow what was appended, loaded, left by truncate or by an installed
 * snapshot. entries and their data stay valid and unchanged until the callback (libraft holds
 * references). cb with status 0 once all of them are synced; callbacks keep the order of the calls.
 * Whatever waits goes into one write and one sync. */
void storage_append(struct storage *storage, struct raft_io_append *req,
                    const struct raft_entry entries[], unsigned n, raft_io_append_cb cb);
/* raft_io.truncate: drop entries from index on. Ordered with appends, and as durable as the first
 * append after it. */
void storage_truncate(struct storage *storage, raft_index index);

/* --- snapshots ------------------------------------------------------------------------------- */

/* Where a local snapshot's content comes from: struct machine's snapshot_write and its view. Called
 * on a pool thread. */
struct snapshot_content {
    enum error (*write)(void *view, enum error (*sink)(void *sink_data, struct bytes piece),
                        void *sink_data, struct reason *why);
    void *view;
};

struct storage_snapshot;
typedef void (*storage_snapshot_cb)(struct storage_snapshot *request, enum error status,
                                    const char *why);

/* One piece of snapshot work; embedded in its owner, who keeps it until the callback. */
struct storage_snapshot {
    void *data; /* The owner's. */
    /* Private. */
    struct storage *storage;
    uv_work_t work;
    storage_snapshot_cb cb;
    struct snapshot_about about;
    struct snapshot_content content;
    uint64_t keep_from;
    enum error status;
    struct reason why;
};

/* raft_io.snapshot_put of our own machine (trailing > 0): index, term, configuration and its index
 * are read from snapshot during the call, bufs are not looked at. When the file is durable, all but
 * the last two snapshots are removed, and segments with nothing above index - trailing. One at a
 * time. Status: OK, ERROR_FULL, or what content.write returned. */
void storage_snapshot_put(struct storage *storage, struct storage_snapshot *request,
                          unsigned trailing, const struct raft_snapshot *snapshot,
                          struct snapshot_content content, storage_snapshot_cb cb);

/* A snapshot from a peer. begin: an empty incoming file (another unfinished one is dropped). write:
 * the raw bytes of the peer's file (snapshot_reader_raw()) in order. finish: check every byte on a
 * pool thread, and that it is the snapshot of (index, term); ERROR_CORRUPT when not. Not installed
 * yet: the next begin, or close, drops it. ERROR_FULL where the disk is. */
enum error storage_incoming_begin(struct storage *storage, uint64_t index, uint64_t term,
                                  struct reason *why) MUST_USE;
enum error storage_incoming_write(struct storage *storage, struct bytes piece,
                                  struct reason *why) MUST_USE;
void storage_incoming_finish(struct storage *storage, struct storage_snapshot *request,
                             storage_snapshot_cb cb);
void storage_incoming_drop(struct storage *storage);
/* What a finished incoming snapshot says of itself, for the raft_install_snapshot message.
 * configuration is encoded (raft_configuration_encode), valid until the next incoming call. NULL
 * unless finished. */
const struct snapshot_about *storage_incoming_about(const struct storage *storage);

/* raft_io.snapshot_put for an InstallSnapshot (trailing 0): make the finished incoming snapshot of
 * snapshot->index and term the newest, durably, then restart the log after it. Appends go on at
 * index + 1 once the callback ran; none may be made before. ERROR_NOT_FOUND: no such incoming
 * snapshot; nothing changed. */
void storage_snapshot_install(struct storage *storage, struct storage_snapshot *request,
                              const struct raft_snapshot *snapshot, storage_snapshot_cb cb);

/* raft_io.snapshot_get: the newest snapshot as storage_load() gives it; NULL when there is none.
 * For raft_io_snapshot_get_cb: libraft frees it. Reads nothing but memory, so the caller defers the
 * callback. */
struct raft_snapshot *storage_snapshot_get(struct storage *storage);
/* Open a snapshot to restore from or to send. ERROR_NOT_FOUND when it was replaced meanwhile; once
 * open it stays readable. */
enum error storage_snapshot_open(struct storage *storage, uint64_t index, uint64_t term,
                                 struct snapshot_reader **out, struct reason *why) MUST_USE;

/* --- status ---------------------------------------------------------------------------------- */

struct storage_status {
    uint64_t last_index;               /* Given to append; synced or on the way. */
    uint64_t snapshot_index;           /* 0: none. */
    uint64_t log_bytes;                /* Segments and spare on disk. */
    uint64_t snapshot_bytes;           /* The newest. */
    uint64_t syncs;                    /* Of the log since open. */
    uint64_t sync_p50_us, sync_p99_us; /* Of the last 1,024. */
    uint64_t sync_sum_us, sync_classes[FSYNC_CLASSES_N]; /* As in struct consensus_status. */
    bool is_low_space;
    uint64_t mended; /* Records that open restored from their second copy. */
};

void storage_status(struct storage *storage, struct storage_status *out);

#endif
