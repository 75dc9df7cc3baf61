/* The simulator's command line.
 *
 *   raft_world_sim --seeds FROM COUNT [--jobs N] [--bug NAME]   run them; tell which fail
 *   raft_world_sim --replay SEED [--bug NAME] [--trace]         one, with its last lines or all
 *
 * Exit code 0: every seed held. */
#include "base/memory.h"
#include "tests/sim/world/world.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const bug_names[] = {
#define X(id, name) name,
    BUG_LIST(X)
#undef X
};

int main(int argc, char **argv)
{
    struct world_result result;
    char directory[] = "/dev/shm/caisson-sim-XXXXXX";
    uint64_t from = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    enum bug bug = BUG_NONE;
    int bad = 0;

    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0) {
            trace_print_as_it_comes(true, false);
        }
        if (strcmp(argv[i], "-m") == 0) {
            trace_print_as_it_comes(true, true);
        }
        for (int b = 0; b < BUG_N; b++) {
            if (strcmp(argv[i], bug_names[b]) == 0) {
                bug = (enum bug)b;
            }
        }
    }
    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    for (uint64_t seed = from; seed < from + n; seed++) {
        world_run(seed, bug, directory, &result);
        printf("seed %llu: %s %s trace %016llx, %llu steps, %llu ops, %llu faults, %llu entries, %llu ms\n",
               (unsigned long long)seed, result.is_good ? "good" : "BAD", result.text,
               (unsigned long long)result.trace, (unsigned long long)result.steps,
               (unsigned long long)result.operations, (unsigned long long)result.faults,
               (unsigned long long)result.entries, (unsigned long long)result.virtual_us / 1000);
        fflush(stdout);
        bad += !result.is_good;
    }
    return bad != 0;
}
