#ifndef RAFT_SNAPSHOT_LIST_H
#define RAFT_SNAPSHOT_LIST_H

#include "raft/snapshot_file.h"

#include <limits.h>

/* The directory of snapshots: names, which are there, which go. Blocking; any thread. */

struct snapshot_name {
    uint64_t index, term;
};

struct snapshot_names {
    struct snapshot_name *items; /* Newest first. */
    size_t n;
};

/* "<directory>/<prefix>-<index>-<term>". */
void snapshot_path(const char *directory, const char *prefix, uint64_t index, uint64_t term,
                   char out[PATH_MAX]);
enum error snapshot_names_read(const char *directory, struct snapshot_names *out,
                               struct reason *why) MUST_USE;
void snapshot_names_release(struct snapshot_names *names);
/* Remove unfinished and incoming files. */
enum error snapshot_list_clean(const char *directory, struct reason *why) MUST_USE;
/* Remove all but the newest keep ones. *previous: index of the oldest that stays, 0 when none. */
enum error snapshot_list_prune(const char *directory, size_t keep, uint64_t *previous,
                               struct reason *why) MUST_USE;
/* Read one to its last byte, its configuration too: it must be the snapshot of name. about is
 * filled when OK (the caller releases it). ERROR_CORRUPT, ERROR_FOREIGN, ERROR_IO. */
enum error snapshot_check(const char *path, const char *cluster, const struct snapshot_name *name,
                          struct snapshot_about *about, struct reason *why) MUST_USE;
/* The newest snapshot that is intact, checked to its last byte, into about (released by the caller
 * when *found). *n_damaged newer ones are not; why names the newest of them. ERROR_FOREIGN,
 * ERROR_IO. */
enum error snapshot_list_newest(const char *directory, const char *cluster,
                                struct snapshot_about *about, bool *found, size_t *n_damaged,
                                struct reason *why) MUST_USE;

#endif
