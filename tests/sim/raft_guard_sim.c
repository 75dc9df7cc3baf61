/* Three libraft servers in virtual time: lossy FIFO links, kills, one deterministic machine each.
 * Guarded runs must never diverge, get stuck or lose an acknowledged command; unguarded ones must
 * diverge now and then, or the simulation has gone blind.
 *
 *   raft_guard_sim                      the test: guarded runs and a control, on two processes
 *   raft_guard_sim SEED [unguarded]     replay one run and tell how it ended
 *
 * A run: faults for FAULTS_MS, then all links heal and the dead come back, and within HEAL_MS there
 * must be a leader, a commit, and one state on all three. Everything follows from the seed. */
#include "raft/guard.h"

#include "base/memory.h"

#include <raft/fixture.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVERS      3
#define COMMANDS_MAX 8192
#define FAULTS_MS    25000
#define LEADER_MS    30000
#define HEAL_MS      60000

#define GUARDED_RUNS 3000
#define CONTROL_RUNS 1000
#define WORKERS      2

enum outcome {
    OUTCOME_NOT_RUN,
    OUTCOME_AGREED,
    OUTCOME_DIVERGED,
    OUTCOME_STUCK,
    OUTCOME_NO_LEADER,
    OUTCOME_LOST,
    OUTCOME_N
};

static const char *const outcome_names[] = {"not run", "agreed",    "diverged",
                                            "stuck",   "no leader", "lost"};

struct replica {
    struct sim *sim;
    uint64_t count, hash;
};

struct sim {
    uint64_t random;
    bool is_guarded;
    struct raft_fixture fixture;
    struct raft_fsm machines[SERVERS];
    struct replica replicas[SERVERS];
    struct guard guards[SERVERS];
    bool cut[SERVERS][SERVERS];
    unsigned down; /* SERVERS: nobody. */
    /* The checker: what the first server to get there applied, and what was acknowledged. */
    uint64_t hash_at[COMMANDS_MAX], command_at[COMMANDS_MAX];
    uint64_t n_checked, n_submitted, n_acked;
    bool acked[COMMANDS_MAX];
    bool has_diverged;
};

/* --- randomness, the machine ----------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}

/* Uniform enough in [low, high]. */
static unsigned draw(struct sim *sim, unsigned low, unsigned high)
{
    sim->random += 0x9e3779b97f4a7c15u;
    return low + (unsigned)(mix(sim->random) % (high - low + 1));
}

static bool one_in(struct sim *sim, unsigned n)
{
    return draw(sim, 1, n) == 1;
}

static int machine_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
    struct replica *replica = fsm->data;
    struct sim *sim = replica->sim;
    uint64_t command;

    memcpy(&command, buffer->base, sizeof command);
    replica->count++;
    replica->hash = mix(replica->hash ^ command);
    *result = NULL;
    if (replica->count > sim->n_checked) {
        sim->n_checked = replica->count;
        sim->hash_at[replica->count] = replica->hash;
        sim->command_at[replica->count] = command;
    } else if (sim->hash_at[replica->count] != replica->hash) {
        sim->has_diverged = true;
    }
    return 0;
}

/* The fixture's truncate is broken after a snapshot, so none is taken. */
static int machine_snapshot(struct raft_fsm *fsm, struct raft_buffer **buffers, unsigned *n)
{
    (void)fsm;
    (void)buffers;
    (void)n;
    return RAFT_BUSY;
}

static int machine_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    (void)fsm;
    (void)buffer;
    return RAFT_CORRUPT;
}

/* --- the client ------------------------------------------------------------------------------ */

struct submission {
    struct raft_apply request;
    struct sim *sim;
    uint64_t id;
};

static void submission_cb(struct raft_apply *request, int status, void *result)
{
    struct submission *submission = request->data;

    (void)result;
    if (status == 0) {
        submission->sim->acked[submission->id] = true;
        submission->sim->n_acked++;
    }
    free(submission);
}

/* Give one command to a server that thinks it leads. */
static void submit(struct sim *sim)
{
    unsigned first = draw(sim, 0, SERVERS - 1);

    if (sim->n_submitted + 1 == COMMANDS_MAX) {
        return;
    }
    for (unsigned k = 0; k < SERVERS; k++) {
        unsigned i = (first + k) % SERVERS;
        struct raft *raft = raft_fixture_get(&sim->fixture, i);
        struct submission *submission;
        struct raft_buffer buffer = {NULL, sizeof submission->id};

        if (i == sim->down || raft_state(raft) != RAFT_LEADER) {
            continue;
        }
        submission = memory_zero(sizeof *submission);
        submission->sim = sim;
        submission->id = ++sim->n_submitted;
        submission->request.data = submission;
        buffer.base = raft_malloc(buffer.len);
        memcpy(buffer.base, &submission->id, buffer.len);
        if (raft_apply(raft, &submission->request, &buffer, 1, submission_cb) != 0) {
            raft_free(buffer.base);
            free(submission);
        }
        return;
    }
}

/* --- faults ---------------------------------------------------------------------------------- */

static void toggle_link(struct sim *sim)
{
    unsigned i = draw(sim, 0, SERVERS - 1), j = (i + draw(sim, 1, SERVERS - 1)) % SERVERS;

    if (sim->cut[i][j]) {
        raft_fixture_desaturate(&sim->fixture, i, j);
        raft_fixture_desaturate(&sim->fixture, j, i);
    } else {
        raft_fixture_saturate(&sim->fixture, i, j);
        raft_fixture_saturate(&sim->fixture, j, i);
    }
    sim->cut[i][j] = sim->cut[j][i] = !sim->cut[i][j];
}

static void make_trouble(struct sim *sim)
{
    unsigned leader = raft_fixture_leader_index(&sim->fixture);

    if (one_in(sim, 16)) {
        submit(sim);
    }
    if (one_in(sim, 61)) {
        toggle_link(sim);
    }
    if (sim->down == SERVERS && leader < SERVERS && one_in(sim, 61)) {
        raft_fixture_kill(&sim->fixture, leader);
        sim->down = leader;
    } else if (sim->down < SERVERS && one_in(sim, 300)) {
        raft_fixture_revive(&sim->fixture, sim->down);
        sim->down = SERVERS;
    }
}

/* As libraft does over a real raft_io, each wait is drawn anew. */
static void redraw_elections(struct sim *sim)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        raft_fixture_set_randomized_election_timeout(&sim->fixture, i, draw(sim, 1000, 2000));
    }
}

static void heal(struct sim *sim)
{
    if (sim->down < SERVERS) {
        raft_fixture_revive(&sim->fixture, sim->down);
        sim->down = SERVERS;
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        for (unsigned j = 0; j < SERVERS; j++) {
            if (i != j) {
                raft_fixture_desaturate(&sim->fixture, i, j);
            }
        }
    }
}

/* --- one run --------------------------------------------------------------------------------- */

static void sim_open(struct sim *sim, uint64_t seed, bool is_guarded)
{
    struct raft_configuration configuration;
    int rv;

    memset(sim, 0, sizeof *sim);
    sim->random = mix(seed + 1);
    sim->is_guarded = is_guarded;
    sim->down = SERVERS;
    rv = raft_fixture_initialize(&sim->fixture);
    for (unsigned i = 0; i < SERVERS && rv == 0; i++) {
        struct raft *raft;

        sim->replicas[i].sim = sim;
        sim->machines[i] = (struct raft_fsm){.version = 1,
                                             .data = &sim->replicas[i],
                                             .apply = machine_apply,
                                             .snapshot = machine_snapshot,
                                             .restore = machine_restore};
        rv = raft_fixture_grow(&sim->fixture, &sim->machines[i]);
        raft = raft_fixture_get(&sim->fixture, i);
        raft_set_snapshot_threshold(raft, 1u << 30);
        raft_set_pre_vote(raft, true);
        if (is_guarded) {
            guard_init(&sim->guards[i], raft->io);
            raft->io = &sim->guards[i].io;
        }
    }
    if (rv != 0 || raft_fixture_configuration(&sim->fixture, SERVERS, &configuration) != 0 ||
        raft_fixture_bootstrap(&sim->fixture, &configuration) != 0 ||
        raft_fixture_start(&sim->fixture) != 0) {
        abort();
    }
    raft_configuration_close(&configuration);
    for (unsigned i = 0; i < SERVERS; i++) {
        raft_fixture_set_network_latency(&sim->fixture, i, draw(sim, 1, 60));
        raft_fixture_set_disk_latency(&sim->fixture, i, draw(sim, 1, 30));
    }
    redraw_elections(sim);
}

static bool all_agree(const struct sim *sim)
{
    for (unsigned i = 0; i < SERVERS; i++) {
        if (sim->replicas[i].count != sim->n_checked) {
            return false;
        }
    }
    return true;
}

static enum outcome check_acked(const struct sim *sim)
{
    static bool seen[COMMANDS_MAX];

    memset(seen, 0, sizeof seen);
    for (uint64_t i = 1; i <= sim->n_checked; i++) {
        seen[sim->command_at[i]] = true;
    }
    for (uint64_t id = 1; id <= sim->n_submitted; id++) {
        if (sim->acked[id] && !seen[id]) {
            return OUTCOME_LOST;
        }
    }
    return OUTCOME_AGREED;
}

static enum outcome sim_heal(struct sim *sim)
{
    struct raft_fixture *fixture = &sim->fixture;
    raft_time until;
    uint64_t n_acked;

    heal(sim);
    until = raft_fixture_time(fixture) + LEADER_MS;
    while (raft_fixture_leader_index(fixture) == SERVERS) {
        if (raft_fixture_time(fixture) > until) {
            return OUTCOME_NO_LEADER;
        }
        raft_fixture_step(fixture);
        if (one_in(sim, 20)) {
            redraw_elections(sim);
        }
    }
    until = raft_fixture_time(fixture) + HEAL_MS;
    n_acked = sim->n_acked;
    while (sim->n_acked == n_acked || !all_agree(sim)) {
        if (sim->has_diverged || raft_fixture_time(fixture) > until) {
            return sim->has_diverged ? OUTCOME_DIVERGED : OUTCOME_STUCK;
        }
        if (sim->n_acked == n_acked && one_in(sim, 200)) {
            submit(sim);
        }
        raft_fixture_step(fixture);
    }
    return check_acked(sim);
}

static enum outcome sim_run(struct sim *sim, uint64_t seed, bool is_guarded)
{
    enum outcome outcome;

    sim_open(sim, seed, is_guarded);
    while (raft_fixture_time(&sim->fixture) < FAULTS_MS && !sim->has_diverged) {
        raft_fixture_step(&sim->fixture);
        make_trouble(sim);
        if (one_in(sim, 20)) {
            redraw_elections(sim);
        }
    }
    outcome = sim->has_diverged ? OUTCOME_DIVERGED : sim_heal(sim);
    if (outcome != OUTCOME_DIVERGED) {
        /* A server that has shut itself down over a conflict is not safe to close. */
        raft_fixture_close(&sim->fixture);
    }
    return outcome;
}

/* --- many runs ------------------------------------------------------------------------------- */

/* Runs 0..n-1 of a kind on WORKERS processes; outcomes is shared memory. */
static void run_all(struct sim *sim, unsigned char *outcomes, unsigned n, bool is_guarded)
{
    pid_t workers[WORKERS];

    for (unsigned w = 0; w < WORKERS; w++) {
        workers[w] = fork();
        if (workers[w] == 0) {
            for (unsigned seed = w; seed < n; seed += WORKERS) {
                outcomes[seed] = (unsigned char)sim_run(sim, seed, is_guarded);
            }
            _exit(0);
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        if (workers[w] > 0) {
            waitpid(workers[w], NULL, 0);
        }
    }
}

static void tell(const char *kind, const unsigned char *outcomes, unsigned n,
                 unsigned counts[OUTCOME_N])
{
    memset(counts, 0, OUTCOME_N * sizeof *counts);
    for (unsigned seed = 0; seed < n; seed++) {
        counts[outcomes[seed]]++;
        if (outcomes[seed] != OUTCOME_AGREED) {
            printf("  %s seed %u: %s\n", kind, seed, outcome_names[outcomes[seed]]);
        }
    }
    printf("%s: %u runs", kind, n);
    for (unsigned i = 0; i < OUTCOME_N; i++) {
        if (counts[i] > 0) {
            printf(", %u %s", counts[i], outcome_names[i]);
        }
    }
    printf("\n");
}

static int run_test(struct sim *sim)
{
    unsigned counts[OUTCOME_N], n_agreed;
    unsigned char *outcomes = mmap(NULL, GUARDED_RUNS + CONTROL_RUNS, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (outcomes == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    run_all(sim, outcomes, GUARDED_RUNS, true);
    run_all(sim, outcomes + GUARDED_RUNS, CONTROL_RUNS, false);
    tell("guarded", outcomes, GUARDED_RUNS, counts);
    n_agreed = counts[OUTCOME_AGREED];
    tell("unguarded", outcomes + GUARDED_RUNS, CONTROL_RUNS, counts);
    munmap(outcomes, GUARDED_RUNS + CONTROL_RUNS);
    if (n_agreed != GUARDED_RUNS) {
        printf("FAILED: guarded replicas must always agree\n");
        return EXIT_FAILURE;
    }
    if (counts[OUTCOME_DIVERGED] == 0) {
        printf("FAILED: the control shows no divergence, so this simulation sees nothing\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct sim *sim = memory_zero(sizeof *sim);
    int status = EXIT_SUCCESS;

    if (argc > 1) {
        bool is_guarded = argc < 3 || strcmp(argv[2], "unguarded") != 0;
        enum outcome outcome = sim_run(sim, strtoull(argv[1], NULL, 0), is_guarded);

        printf("seed %s, %s: %s; %llu submitted, %llu acknowledged, %llu applied, %llu virtual "
               "ms\n",
               argv[1], is_guarded ? "guarded" : "unguarded", outcome_names[outcome],
               (unsigned long long)sim->n_submitted, (unsigned long long)sim->n_acked,
               (unsigned long long)sim->n_checked,
               (unsigned long long)raft_fixture_time(&sim->fixture));
        status = outcome == OUTCOME_AGREED ? EXIT_SUCCESS : EXIT_FAILURE;
    } else {
        status = run_test(sim);
    }
    free(sim);
    return status;
}
