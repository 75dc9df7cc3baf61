/* The simulator's command line.
 *
 *   sim_world --seeds FROM COUNT [--bug NAME] [--expect-caught]
 *       run them, tell which fail and how to see why; with a bug that the simulator makes on
 *       purpose, one failure is what is wanted, and ends it
 *   sim_world --replay SEED [--bug NAME] [--trace | --messages]
 *       run one twice, say whether both were the same, and print its last lines, or all as they
 *       come, or those and what peers said to each other
 *   sim_world --pinned
 *       run the seeds that once found something
 *
 * Exit code 0: every seed held (or, with --expect-caught, one did not). Seeds run in children, a
 * few in each, so that one that crashes is told like any other. */
#include "base/memory.h"
#include "tests/sim/world/world.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS_PER_CHILD 25u
#define SECONDS_MAX     60u /* Of a child. */
#define SHARED_MEMORY   "/dev/shm"

static const char *const bug_names[] = {
#define X(id, name) name,
    BUG_LIST(X)
#undef X
};

/* Seeds that found a mistake of the product's once, before it was mended. */
static const uint64_t pinned[] = {20, 50, 52, 177, 261, 331, 384, 501, 3655};

struct arguments {
    uint64_t from, count;
    enum bug bug;
    bool is_replay, is_pinned, expects_failure;
};

/* Shared with the children. */
struct tally {
    uint64_t seed, good, bad, steps, operations, faults, entries, virtual_us;
    char text[512];
};

/* --- one seed -------------------------------------------------------------------------------- */

static void tell_failure(const struct arguments *arguments, uint64_t seed, const char *text)
{
    printf("seed %llu FAILED: %s\n  replay: sim_world --replay %llu%s%s --trace\n",
           (unsigned long long)seed, text, (unsigned long long)seed,
           arguments->bug != BUG_NONE ? " --bug " : "",
           arguments->bug != BUG_NONE ? bug_names[arguments->bug] : "");
    fflush(stdout);
}

static void run_seed(const struct arguments *arguments, uint64_t seed, const char *directory,
                     struct tally *tally)
{
    struct world_result result;

    tally->seed = seed;
    world_run(seed, arguments->bug, directory, &result);
    tally->steps += result.steps;
    tally->operations += result.operations;
    tally->faults += result.faults;
    tally->entries += result.entries;
    tally->virtual_us += result.virtual_us;
    if (result.is_good) {
        tally->good++;
    } else {
        tally->bad++;
        tell_failure(arguments, seed, result.text);
        if (!arguments->expects_failure) {
            trace_print_last();
        }
    }
}

static int replay(const struct arguments *arguments, const char *directory)
{
    struct world_result first, second;

    world_run(arguments->from, arguments->bug, directory, &first);
    trace_print_as_it_comes(false, false);
    world_run(arguments->from, arguments->bug, directory, &second);
    printf("seed %llu: %s%s; trace %016llx, again %016llx; %llu steps, %llu operations, %llu "
           "faults, %llu entries, %llu virtual ms\n",
           (unsigned long long)arguments->from, first.is_good ? "good" : "FAILED: ", first.text,
           (unsigned long long)first.trace, (unsigned long long)second.trace,
           (unsigned long long)first.steps, (unsigned long long)first.operations,
           (unsigned long long)first.faults, (unsigned long long)first.entries,
           (unsigned long long)first.virtual_us / 1000);
    if (first.trace != second.trace) {
        printf("FAILED: the two runs differ\n");
    }
    return first.is_good && first.trace == second.trace ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- many seeds ------------------------------------------------------------------------------ */

static void remove_directory(const char *directory)
{
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        char path[160];
        DIR *dir;
        const struct dirent *item;

        snprintf(path, sizeof path, "%s/h%u", directory, i);
        dir = opendir(path);
        while (dir != NULL && (item = readdir(dir)) != NULL) {
            if (item->d_name[0] != '.') {
                unlinkat(dirfd(dir), item->d_name, 0);
            }
        }
        if (dir != NULL) {
            closedir(dir);
            rmdir(path);
        }
    }
    rmdir(directory);
}

/* What a run that was killed has left: its process is no more. */
static void remove_leftovers(void)
{
    DIR *dir = opendir(SHARED_MEMORY);
    const struct dirent *item;

    while (dir != NULL && (item = readdir(dir)) != NULL) {
        char path[64];
        int pid;

        if (sscanf(item->d_name, "caisson-sim-%d-", &pid) == 1 && pid > 0 && kill(pid, 0) != 0 &&
            errno == ESRCH) {
            snprintf(path, sizeof path, SHARED_MEMORY "/%.40s", item->d_name);
            remove_directory(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static uint64_t seed_at(const struct arguments *arguments, uint64_t i)
{
    return arguments->is_pinned ? pinned[i] : arguments->from + i;
}

static void run_all(const struct arguments *arguments, const char *directory, struct tally *tally)
{
    uint64_t done = 0;

    while (done < arguments->count && (!arguments->expects_failure || tally->bad == 0)) {
        uint64_t n = arguments->count - done < SEEDS_PER_CHILD ? arguments->count - done
                                                               : SEEDS_PER_CHILD;
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
            alarm(SECONDS_MAX);
            for (uint64_t i = done; i < done + n; i++) {
                run_seed(arguments, seed_at(arguments, i), directory, tally);
            }
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("child");
            exit(EXIT_FAILURE);
        }
        if (status != 0) {
            tally->bad++;
            tell_failure(arguments, tally->seed, "its process crashed or hung");
        }
        done += n;
    }
}

static int run_many(const struct arguments *arguments, const char *directory)
{
    struct tally *tally =
        mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool is_good;

    if (tally == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    run_all(arguments, directory, tally);
    printf("%llu seeds held, %llu failed; %llu steps, %llu operations, %llu entries, %llu faults, "
           "%llu virtual seconds\n",
           (unsigned long long)tally->good, (unsigned long long)tally->bad,
           (unsigned long long)tally->steps, (unsigned long long)tally->operations,
           (unsigned long long)tally->entries, (unsigned long long)tally->faults,
           (unsigned long long)tally->virtual_us / 1000000);
    is_good = arguments->expects_failure ? tally->bad > 0 : tally->bad == 0;
    munmap(tally, sizeof *tally);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- command line ---------------------------------------------------------------------------- */

static bool parse_bug(const char *name, enum bug *out)
{
    for (unsigned i = 0; i < BUG_N; i++) {
        if (strcmp(name, bug_names[i]) == 0) {
            *out = (enum bug)i;
            return true;
        }
    }
    fprintf(stderr, "sim_world: there is no bug \"%s\"\n", name);
    return false;
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    *out = (struct arguments){.bug = BUG_NONE};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
            out->from = strtoull(argv[++i], NULL, 0);
            out->count = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--replay") == 0 && i + 1 < argc) {
            out->is_replay = true;
            out->from = strtoull(argv[++i], NULL, 0);
            out->count = 1;
        } else if (strcmp(argv[i], "--pinned") == 0) {
            out->is_pinned = true;
            out->count = sizeof pinned / sizeof *pinned;
        } else if (strcmp(argv[i], "--bug") == 0 && i + 1 < argc) {
            if (!parse_bug(argv[++i], &out->bug)) {
                return false;
            }
        } else if (strcmp(argv[i], "--expect-caught") == 0) {
            out->expects_failure = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            trace_print_as_it_comes(true, false);
        } else if (strcmp(argv[i], "--messages") == 0) {
            trace_print_as_it_comes(true, true);
        } else {
            return false;
        }
    }
    return out->count > 0;
}

int main(int argc, char **argv)
{
    char directory[64];
    struct arguments arguments;
    int status;

    if (!parse(argc, argv, &arguments)) {
        fprintf(stderr,
                "usage: sim_world --seeds FROM COUNT | --replay SEED | --pinned [--bug NAME] "
                "[--expect-caught] [--trace | --messages]\n");
        return 64;
    }
    /* Memory that one seed gave back is there for the next. */
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    remove_leftovers();
    snprintf(directory, sizeof directory, SHARED_MEMORY "/caisson-sim-%d-XXXXXX", (int)getpid());
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return EXIT_FAILURE;
    }
    status = arguments.is_replay ? replay(&arguments, directory) : run_many(&arguments, directory);
    remove_directory(directory);
    return status;
}
