#include "raft/sync_times.h"

#include <stdlib.h>
#include <string.h>

const uint32_t fsync_classes_us[FSYNC_CLASSES_N] = {100,   250,   500,   1000,   2500,  5000,
                                                    10000, 25000, 50000, 100000, 500000};

void sync_times_add(struct sync_times *times, uint64_t ns)
{
    uint64_t us = ns / 1000;

    times->us[times->count % SYNC_TIMES_MAX] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    times->count++;
    times->sum_us += us;
    for (size_t i = 0; i < FSYNC_CLASSES_N; i++) {
        if (us <= fsync_classes_us[i]) {
            times->classes[i]++;
            return;
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void sync_times_percentiles(const struct sync_times *times, uint64_t *p50_us, uint64_t *p99_us)
{
    size_t n = times->count < SYNC_TIMES_MAX ? (size_t)times->count : SYNC_TIMES_MAX;
    uint32_t sorted[SYNC_TIMES_MAX];

    *p50_us = *p99_us = 0;
    if (n == 0) {
        return;
    }
    memcpy(sorted, times->us, n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], compare);
    *p50_us = sorted[(n - 1) / 2];
    *p99_us = sorted[(n - 1) * 99 / 100];
}
