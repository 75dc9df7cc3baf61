#ifndef NODE_DRILL_MEASURE_H
#define NODE_DRILL_MEASURE_H

#include "node/drill_history.h"

/* Figures of a history that was judged (its operations are in the order of their starts). */

/* The longest time in [from_us, to_us] without an acknowledged write, or without an answered tag
 * read, by any node: what a client behind a load balancer waits at worst. Gaps that reach over an
 * end of the interval count whole. */
uint64_t drill_write_gap_us(const struct drill_history *history, uint64_t from_us, uint64_t to_us);
uint64_t drill_read_gap_us(const struct drill_history *history, uint64_t from_us, uint64_t to_us);

struct drill_counts {
    uint64_t writes, reads, lists; /* Acknowledged, answered. */
    uint64_t refused;              /* Swaps that lost: nothing wrong. */
    uint64_t errors;
    uint64_t write_p50_us, write_p99_us, read_p50_us, read_p99_us;
};

void drill_count(const struct drill_history *history, struct drill_counts *out);
uint64_t drill_errors_between(const struct drill_history *history, uint64_t from_us,
                              uint64_t to_us);

#define DRILL_BUCKETS 160

/* The run cut into equal pieces, by the ends of operations. */
struct drill_timeline {
    uint64_t bucket_us;
    uint64_t writes[DRILL_BUCKETS], reads[DRILL_BUCKETS], errors[DRILL_BUCKETS];
    uint64_t slowest_us[DRILL_BUCKETS]; /* Acknowledged write. */
};

void drill_timeline(const struct drill_history *history, uint64_t to_us,
                    struct drill_timeline *out);

#endif
