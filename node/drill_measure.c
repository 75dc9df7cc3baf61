#include "node/drill_measure.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

static bool is_write(const struct drill_operation *operation)
{
    return operation->kind == DRILL_PUSH || operation->kind == DRILL_SWAP;
}

static bool is_read(const struct drill_operation *operation)
{
    return operation->kind == DRILL_READ;
}

static int compare_numbers(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* The sorted ends (or lengths) of what was done; free() it. */
static uint64_t *collect(const struct drill_history *history,
                         bool (*wanted)(const struct drill_operation *operation), bool is_length,
                         size_t *n)
{
    uint64_t *out = memory_alloc((history->n + 1) * sizeof *out);

    *n = 0;
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];

        if (wanted(operation) && operation->outcome == DRILL_DONE && !operation->is_final) {
            out[(*n)++] = is_length ? operation->to_us - operation->from_us : operation->to_us;
        }
    }
    if (*n > 0) {
        qsort(out, *n, sizeof *out, compare_numbers);
    }
    return out;
}

static uint64_t gap(const struct drill_history *history,
                    bool (*wanted)(const struct drill_operation *operation), uint64_t from_us,
                    uint64_t to_us)
{
    size_t n;
    uint64_t *ends = collect(history, wanted, false, &n);
    uint64_t longest = 0, before = from_us;

    PRE(from_us <= to_us);
    for (size_t i = 0; i < n; i++) {
        if (ends[i] > from_us && before < to_us && ends[i] - before > longest) {
            longest = ends[i] - before;
        }
        before = ends[i];
    }
    if (before < to_us && to_us - before > longest) { /* Nothing came any more. */
        longest = to_us - before;
    }
    free(ends);
    return longest;
}

uint64_t drill_write_gap_us(const struct drill_history *history, uint64_t from_us, uint64_t to_us)
{
    return gap(history, is_write, from_us, to_us);
}

uint64_t drill_read_gap_us(const struct drill_history *history, uint64_t from_us, uint64_t to_us)
{
    return gap(history, is_read, from_us, to_us);
}

static void percentiles(const struct drill_history *history,
                        bool (*wanted)(const struct drill_operation *operation), uint64_t *p50,
                        uint64_t *p99)
{
    size_t n;
    uint64_t *lengths = collect(history, wanted, true, &n);

    *p50 = n > 0 ? lengths[n / 2] : 0;
    *p99 = n > 0 ? lengths[n - 1 - n / 100] : 0;
    free(lengths);
}

void drill_count(const struct drill_history *history, struct drill_counts *out)
{
    *out = (struct drill_counts){.writes = 0};
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];
        bool is_done = operation->outcome == DRILL_DONE;

        out->writes += is_done && is_write(operation);
        out->reads += is_done && is_read(operation);
        out->lists += is_done && operation->kind == DRILL_LIST;
        out->refused += operation->outcome == DRILL_REFUSED;
        out->errors += operation->outcome == DRILL_FAILED;
    }
    percentiles(history, is_write, &out->write_p50_us, &out->write_p99_us);
    percentiles(history, is_read, &out->read_p50_us, &out->read_p99_us);
}

uint64_t drill_errors_between(const struct drill_history *history, uint64_t from_us, uint64_t to_us)
{
    uint64_t errors = 0;

    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];

        errors += operation->outcome == DRILL_FAILED && operation->to_us >= from_us &&
                  operation->to_us < to_us;
    }
    return errors;
}

void drill_timeline(const struct drill_history *history, uint64_t to_us, struct drill_timeline *out)
{
    *out = (struct drill_timeline){.bucket_us = to_us / DRILL_BUCKETS + 1};
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];
        uint64_t at = operation->to_us / out->bucket_us;
        uint64_t took = operation->to_us - operation->from_us;

        if (at >= DRILL_BUCKETS || operation->outcome == DRILL_REFUSED) {
            continue;
        }
        if (operation->outcome == DRILL_FAILED) {
            out->errors[at]++;
        } else if (is_write(operation)) {
            out->writes[at]++;
            out->slowest_us[at] = took > out->slowest_us[at] ? took : out->slowest_us[at];
        } else {
            out->reads[at]++;
        }
    }
}
