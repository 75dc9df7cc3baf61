/* Commits per second and their latency: three members in one process on one loop, real logs, TLS on
 * loopback; commands of 300 bytes proposed at the leader, 1, 16 and 256 outstanding. Beside them
 * what the disk alone takes: 4 KiB overwritten, fdatasync.
 *
 *   bench_raft_commit [SECONDS]     per measurement, 3 unless given; TMPDIR says where */
#include "tests/lib/raft_cluster.h"

#include "base/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>

#define COMMAND_SIZE    300
#define OUTSTANDING_MAX 256
#define SAMPLES_MAX     1000000

struct slot {
    struct proposal proposal;
    struct load *load;
    uint64_t begun_ns;
};

struct load {
    struct node *leader;
    struct slot slots[OUTSTANDING_MAX];
    uint64_t *samples;
    size_t n_samples, n_failed, n_open;
    uint64_t next, until_ns;
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double percentile_ms(uint64_t *samples, size_t n, double part)
{
    qsort(samples, n, sizeof *samples, compare);
    return n > 0 ? (double)samples[(size_t)(part * (double)(n - 1))] / 1e6 : 0;
}

static void propose_next(struct slot *slot);

static void proposed(struct proposal *proposal, enum error status, uint64_t index,
                     struct bytes result)
{
    struct slot *slot = container_of(proposal, struct slot, proposal);
    struct load *load = slot->load;

    (void)index;
    (void)result;
    load->n_open--;
    load->n_failed += status != OK;
    if (status == OK && load->n_samples < SAMPLES_MAX) {
        load->samples[load->n_samples++] = clock_monotonic_ns() - slot->begun_ns;
    }
    if (clock_monotonic_ns() < load->until_ns) {
        propose_next(slot);
    }
}

static void propose_next(struct slot *slot)
{
    uint8_t command[COMMAND_SIZE] = {0};
    struct load *load = slot->load;
    uint64_t number = load->next++ % NUMBERS_MAX;

    memcpy(command, &number, sizeof number);
    slot->begun_ns = clock_monotonic_ns();
    load->n_open++;
    consensus_propose(load->leader->consensus, &slot->proposal, bytes_of(command, sizeof command),
                      10000, proposed);
}

static bool load_is_done(void *data)
{
    return ((struct load *)data)->n_open == 0;
}

static void measure(struct cluster *cluster, struct load *load, size_t outstanding,
                    uint64_t seconds, double disk_ms)
{
    uint64_t begun_ns = clock_monotonic_ns(), spent_ns;
    struct consensus_status status;
    double p50;

    load->leader = cluster_leader(cluster);
    CHECK(load->leader != NULL);
    load->n_samples = load->n_failed = 0;
    load->until_ns = begun_ns + seconds * 1000000000u;
    for (size_t i = 0; i < outstanding; i++) {
        load->slots[i].load = load;
        propose_next(&load->slots[i]);
    }
    CHECK(cluster_wait(cluster, load_is_done, load, seconds * 1000 + 20000));
    spent_ns = clock_monotonic_ns() - begun_ns;
    p50 = percentile_ms(load->samples, load->n_samples, 0.5);
    printf("%4zu outstanding: %8.0f commits/s  p50 %7.3f ms (%.1fx fdatasync)  p99 %7.3f ms  %zu "
           "failed\n",
           outstanding, (double)load->n_samples * 1e9 / (double)spent_ns, p50, p50 / disk_ms,
           percentile_ms(load->samples, load->n_samples, 0.99), load->n_failed);
    consensus_status(load->leader->consensus, &status);
    printf("                  the leader's log syncs: p50 %.3f ms, p99 %.3f ms\n",
           (double)status.fsync_p50_us / 1e3, (double)status.fsync_p99_us / 1e3);
}

/* p50 of a write of 4 KiB and its fdatasync, over blocks that were written before, as the log's
 * are: an allocated but unwritten one costs a journal commit more. */
static double measure_disk(const char *directory)
{
    enum { WRITES = 1000, SIZE = 4096 };
    static uint64_t samples[WRITES];
    static const uint8_t page[SIZE];
    char path[128];
    double p50;
    int fd;

    snprintf(path, sizeof path, "%s/disk", directory);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    for (int i = 0; i < WRITES; i++) {
        CHECK(pwrite(fd, page, SIZE, (off_t)i * SIZE) == SIZE);
    }
    CHECK(fsync(fd) == 0);
    for (int i = 0; i < WRITES; i++) {
        uint64_t begun_ns = clock_monotonic_ns();

        CHECK(pwrite(fd, page, SIZE, (off_t)i * SIZE) == SIZE && fdatasync(fd) == 0);
        samples[i] = clock_monotonic_ns() - begun_ns;
    }
    close(fd);
    p50 = percentile_ms(samples, WRITES, 0.5);
    printf("disk alone, 4 KiB and fdatasync: p50 %.3f ms, p99 %.3f ms\n", p50,
           percentile_ms(samples, WRITES, 0.99));
    return p50;
}

int main(int argc, char **argv)
{
    static const size_t outstanding[] = {1, 16, 256};
    struct cluster *cluster = memory_zero(sizeof *cluster);
    struct load *load = memory_zero(sizeof *load);
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 3;
    double disk_ms;

    signal(SIGPIPE, SIG_IGN);
    load->samples = memory_alloc(SAMPLES_MAX * sizeof *load->samples);
    cluster_open(cluster);
    cluster->election_timeout_ms = 600;
    cluster->heartbeat_ms = 80;
    disk_ms = measure_disk(cluster->directory);
    cluster_form(cluster, 3);
    for (size_t i = 0; i < sizeof outstanding / sizeof *outstanding; i++) {
        measure(cluster, load, outstanding[i], seconds, disk_ms);
    }
    cluster_close(cluster);
    free(load->samples);
    free(load);
    free(cluster);
    return 0;
}
