#ifndef RAFT_SYNC_TIMES_H
#define RAFT_SYNC_TIMES_H

#include "raft/consensus.h"

#include <stddef.h>
#include <stdint.h>

/* How long the last syncs took. */

#define SYNC_TIMES_MAX 1024

struct sync_times {
    uint64_t count; /* Ever. */
    uint64_t sum_us;
    uint64_t classes[FSYNC_CLASSES_N]; /* As in struct consensus_status. */
    uint32_t us[SYNC_TIMES_MAX];
};

void sync_times_add(struct sync_times *times, uint64_t ns);
/* In microseconds; 0 before the first sync. */
void sync_times_percentiles(const struct sync_times *times, uint64_t *p50_us, uint64_t *p99_us);

#endif
