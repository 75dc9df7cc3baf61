#ifndef RAFT_LOG_LOAD_H
#define RAFT_LOG_LOAD_H

#include "raft/segment.h"

#include <raft.h>

/* The log as it lies in a directory: all segments read, checked against each other, and replayed.
 * Blocking; before the log thread runs. */

/* A segment that stays on disk. */
struct segment_entry {
    uint64_t number;
    uint64_t end_index; /* Its live entries are below this; 0: none is live. */
    uint64_t size;
};

struct segment_list {
    struct segment_entry *items; /* By number; the last one is being written. */
    size_t n, capacity;
};

void segment_list_add(struct segment_list *list, struct segment_entry entry);
void segment_list_release(struct segment_list *list);
/* Entries from index on are gone (0: all) wherever they are. */
void segment_list_truncate(struct segment_list *list, uint64_t index);

struct log_loaded {
    struct raft_entry *entries; /* raft_malloc'd, with one batch per segment. */
    size_t n;
    uint64_t start_index; /* Of entries[0], or of the next entry. */
    struct segment_list segments;
    struct segment_header open; /* The segment to go on with. */
    struct log_position position;
    int fd; /* Of it. */
    unsigned mended;
};

/* ERROR_NOT_FOUND: no segment there. ERROR_CORRUPT, ERROR_FOREIGN, ERROR_IO. */
enum error log_load(const char *directory, const char *cluster, uint64_t member,
                    struct log_loaded *out, struct reason *why) MUST_USE;
/* Free entries and list, close the file: what was not taken (NULL, -1) meanwhile. */
void log_loaded_release(struct log_loaded *loaded);

/* Make the file of a segment, all zeros, synced, under "spare-<number>". ERROR_FULL. */
enum error segment_prepare(const char *directory, uint64_t number, uint64_t file_size, int *fd,
                           struct reason *why) MUST_USE;
/* Turn a prepared file into the segment of header: header written and synced, renamed, directory
 * synced. */
enum error segment_activate(const char *directory, int fd, const struct segment_header *header,
                            struct reason *why) MUST_USE;

#endif
