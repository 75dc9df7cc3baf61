#ifndef RAFT_VOTE_FILE_H
#define RAFT_VOTE_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Term and vote on disk, and whose they are. The one file of the tree that is overwritten in place.
 */

#define CLUSTER_ID_SIZE 32

struct vote_file {
    uint64_t term;
    uint64_t vote; /* 0: none in this term. */
    /* Private. */
    int fd;
    uint64_t sequence;
    uint64_t member;
    char cluster[CLUSTER_ID_SIZE + 1];
};

/* Create directory/vote with term 0, durably: the last step of making a new log directory, so that
 * its absence means that nothing was ever promised. */
enum error vote_file_create(const char *directory, const char *cluster, uint64_t member,
                            struct reason *why) MUST_USE;
/* Open and read it, and write both copies again where they differ. ERROR_NOT_FOUND, ERROR_FOREIGN,
 * ERROR_CORRUPT, ERROR_IO. */
enum error vote_file_open(const char *directory, const char *cluster, uint64_t member,
                          struct vote_file *out, struct reason *why) MUST_USE;
/* Both copies are synced on return; a failure stops the process. */
void vote_file_set(struct vote_file *file, uint64_t term, uint64_t vote);
void vote_file_close(struct vote_file *file);

#endif
