#include "base/clock.h"
#include "raft/storage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Appends a second and latency of the durable log at 1, 16 and 256 outstanding, beside the bare
 * fdatasync of the same bytes on the same disk: `bench_raft_log [directory [seconds]]`. Not a test:
 * it prints, and compares in one run. */

#define ENTRY_SIZE      304
#define SAMPLES_MAX     2000000
#define OUTSTANDING_MAX 256

struct bench;

struct slot {
    struct raft_io_append req;
    struct bench *bench;
    struct raft_entry entry;
    uint64_t began_ns;
};

struct bench {
    uv_loop_t loop;
    struct storage *storage;
    uint64_t began_ns, end_ns;
    uint32_t *samples_us;
    size_t n;
    unsigned in_flight;
    bool is_closed;
    uint8_t data[ENTRY_SIZE];
    struct slot slots[OUTSTANDING_MAX];
};

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t percentile(uint32_t *sorted, size_t n, unsigned percent)
{
    return n == 0 ? 0 : sorted[(n - 1) * percent / 100];
}

static void die(const char *what, const struct reason *why)
{
    fprintf(stderr, "%s: %s\n", what, why->text);
    exit(1);
}

/* What one sync of an entry's bytes costs, with nothing around it: p50 in microseconds. Into zeros
 * that were written before, as the log does, or to the end of a growing file. */
static uint32_t bare_sync(const char *directory, bool is_growing, uint64_t duration_ns)
{
    uint8_t bytes[ENTRY_SIZE + 64], *zeros = calloc(1, 16u << 20);
    uint64_t end = clock_monotonic_ns() + duration_ns;
    uint32_t *samples = calloc(SAMPLES_MAX, sizeof *samples), p50, p99;
    char path[512];
    off_t offset = 0;
    size_t n = 0;
    int fd;

    snprintf(path, sizeof path, "%s/bare", directory);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || zeros == NULL || samples == NULL) {
        perror(path);
        exit(1);
    }
    memset(bytes, 7, sizeof bytes);
    if (!is_growing && (pwrite(fd, zeros, 16u << 20, 0) != 16 << 20 || fsync(fd) != 0)) {
        perror(path);
        exit(1);
    }
    while (n < SAMPLES_MAX && clock_monotonic_ns() < end && offset < (15 << 20)) {
        uint64_t began = clock_monotonic_ns();

        if (pwrite(fd, bytes, sizeof bytes, offset) != sizeof bytes || fdatasync(fd) != 0) {
            perror(path);
            exit(1);
        }
        offset += (off_t)sizeof bytes;
        samples[n++] = (uint32_t)((clock_monotonic_ns() - began) / 1000);
    }
    close(fd);
    unlink(path);
    qsort(samples, n, sizeof *samples, compare);
    p50 = percentile(samples, n, 50);
    p99 = percentile(samples, n, 99);
    printf("bare write + fdatasync, %-12s p50 %6" PRIu32 " us  p99 %6" PRIu32 " us\n",
           is_growing ? "growing file" : "zeroed file", p50, p99);
    free(samples);
    free(zeros);
    return p50;
}

static void appended(struct raft_io_append *req, int status);

static void append(struct slot *slot)
{
    struct bench *bench = slot->bench;

    slot->began_ns = clock_monotonic_ns();
    bench->in_flight++;
    storage_append(bench->storage, &slot->req, &slot->entry, 1, appended);
}

static void appended(struct raft_io_append *req, int status)
{
    struct slot *slot = req->data;
    struct bench *bench = slot->bench;
    uint64_t now = clock_monotonic_ns();

    (void)status;
    bench->in_flight--;
    if (bench->n < SAMPLES_MAX) {
        bench->samples_us[bench->n++] = (uint32_t)((now - slot->began_ns) / 1000);
    }
    if (now < bench->end_ns) {
        append(slot);
    }
}

static void run(struct bench *bench, unsigned outstanding, uint64_t duration_ns, uint32_t bare_us)
{
    struct slot *slots = bench->slots;
    struct storage_status before, after;
    uint32_t p50, p99;
    double seconds;

    storage_status(bench->storage, &before);
    bench->n = 0;
    bench->began_ns = clock_monotonic_ns();
    bench->end_ns = bench->began_ns + duration_ns;
    for (unsigned i = 0; i < outstanding; i++) {
        slots[i].bench = bench;
        slots[i].req.data = &slots[i];
        slots[i].entry = (struct raft_entry){.term = 1, .type = RAFT_COMMAND};
        slots[i].entry.buf.base = bench->data;
        slots[i].entry.buf.len = ENTRY_SIZE;
        append(&slots[i]);
    }
    while (bench->in_flight > 0) {
        uv_run(&bench->loop, UV_RUN_ONCE);
    }
    seconds = (double)(clock_monotonic_ns() - bench->began_ns) / 1e9;
    storage_status(bench->storage, &after);
    qsort(bench->samples_us, bench->n, sizeof *bench->samples_us, compare);
    p50 = percentile(bench->samples_us, bench->n, 50);
    p99 = percentile(bench->samples_us, bench->n, 99);
    printf("%3u outstanding: %8.0f appends/s  p50 %6" PRIu32 " us  p99 %6" PRIu32
           " us  %6.1f appends a sync  sync p50 %" PRIu64 " p99 %" PRIu64
           " us  p50 / bare p50 = %.2f\n",
           outstanding, (double)bench->n / seconds, p50, p99,
           (double)bench->n / (double)(after.syncs - before.syncs), after.sync_p50_us,
           after.sync_p99_us, (double)p50 / bare_us);
}

static void closed(void *data)
{
    ((struct bench *)data)->is_closed = true;
}

int main(int argc, char **argv)
{
    static const unsigned outstanding[] = {1, 16, 256};
    char directory[512] = "caisson-bench-XXXXXX";
    uint64_t duration_ns = 1000000000ull * (argc > 2 ? strtoull(argv[2], NULL, 10) : 5);
    struct bench bench = {.samples_us = calloc(SAMPLES_MAX, sizeof(uint32_t))};
    struct storage_options options = {.loop = &bench.loop,
                                      .directory = directory,
                                      .cluster = "0123456789abcdef0123456789abcdef",
                                      .id = 1};
    raft_term term;
    raft_id vote;
    raft_index start;
    struct raft_snapshot *snapshot;
    struct raft_entry *entries;
    struct reason why;
    uint32_t bare_us;
    char command[600];
    size_t n;

    if (argc > 1) {
        snprintf(directory, sizeof directory, "%s/caisson-bench-XXXXXX", argv[1]);
    }
    if (mkdtemp(directory) == NULL || bench.samples_us == NULL || uv_loop_init(&bench.loop) != 0) {
        perror(directory);
        free(bench.samples_us);
        return 1;
    }
    bare_sync(directory, true, duration_ns);
    if (storage_open(&options, &bench.storage, &why) != OK) {
        die(directory, &why);
    }
    storage_load(bench.storage, &term, &vote, &snapshot, &start, &entries, &n);
    storage_set_term(bench.storage, 1);
    usleep(500000); /* The first spare segment. */
    for (size_t i = 0; i < sizeof outstanding / sizeof outstanding[0]; i++) {
        bare_us = bare_sync(directory, false, duration_ns);
        run(&bench, outstanding[i], duration_ns, bare_us);
    }
    storage_close(bench.storage, closed, &bench);
    while (!bench.is_closed) {
        uv_run(&bench.loop, UV_RUN_ONCE);
    }
    free(bench.samples_us);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return uv_loop_close(&bench.loop) == 0 ? system(command) : 1;
}
