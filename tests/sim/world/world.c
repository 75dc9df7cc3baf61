#include "tests/sim/world/world.h"

#include "base/assert.h"
#include "raft/core.h"
#include "tests/sim/world/engine.h"

#include <stdio.h>
#include <string.h>

#define SECOND       1000000u
#define SLICE_US     50000u
#define FORM_US      (40u * SECOND)
#define TROUBLE_US   (6u * SECOND)
#define LIVENESS_US  (60u * SECOND)
#define DELAY_MAX_US 2000u

static struct world world;

struct world *world_current(void)
{
    return &world;
}

/* Does the host know all hosts, as they are now, as voters, and nobody else? */
static bool knows_all(const struct world *of, struct host *host)
{
    const struct raft *raft;

    if (!host->is_up || host->consensus == NULL) {
        return false;
    }
    raft = &host->consensus->raft;
    for (unsigned i = 0; i < of->n_hosts; i++) {
        const struct raft_server *server = core_server(host->consensus, of->hosts[i].node_id);

        if (server == NULL || server->role != RAFT_VOTER) {
            return false;
        }
    }
    return raft->configuration.n == of->n_hosts && raft->configuration_uncommitted_index == 0;
}

bool world_rejoin_is_open(struct world *of)
{
    for (unsigned i = 0; i < of->n_hosts; i++) {
        if (!knows_all(of, &of->hosts[i])) {
            return true;
        }
    }
    return false;
}

static bool is_formed(void)
{
    return world.clients.is_set_up && !world_rejoin_is_open(&world);
}

/* Run until it holds; false after so long. */
static bool run_until(bool (*holds)(void), uint64_t limit_us)
{
    uint64_t until = engine_now() + limit_us;

    while (!world.checks.is_violated && engine_now() < until) {
        if (holds()) {
            return true;
        }
        engine_run(engine_now() + SLICE_US);
    }
    return false;
}

static bool never(void)
{
    return false;
}

static bool is_quiet(void)
{
    for (unsigned i = 0; i <= CLIENTS_MAX; i++) {
        if (world.clients.open[i] != 0) {
            return false;
        }
    }
    return true;
}

static void open_world(uint64_t seed, enum bug bug, const char *directory)
{
    engine_reset(seed);
    trace_reset();
    for (unsigned i = 0; i < HOSTS_MAX; i++) {
        struct host *host = &world.hosts[i];
        struct disk disk = host->disk;

        memset(host, 0, sizeof *host);
        host->disk = disk;
    }
    world.seed = seed;
    world.bug = bug;
    world.faults = 0;
    world.is_calm = false;
    world.n_faults = 0;
    world.n_hosts = one_in(4) ? 5 : 3;
    world.next_node_id = 0;
    world.snapshot_threshold = (unsigned)(one_in(3) ? 100000 : draw(8, 80));
    world.snapshot_trailing = (unsigned)draw(4, 60);
    world.entry_max = (unsigned)draw(20, 60) * 1024;
    network_reset(&world.network);
    clients_reset(&world.clients, (unsigned)draw(2, CLIENTS_MAX));
    checks_reset(&world.checks);
    for (unsigned i = 0; i < world.n_hosts; i++) {
        snprintf(world.hosts[i].catalog_directory, sizeof world.hosts[i].catalog_directory,
                 "%s/h%u", directory, i);
        host_init(&world.hosts[i], &world, i);
        world.hosts[i].node_id = ++world.next_node_id;
        for (unsigned j = 0; j < world.n_hosts; j++) {
            world.network.delay_us[i][j] = draw(50, DELAY_MAX_US);
        }
    }
}

static void play(void)
{
    world.hosts[0].bootstraps = true;
    for (unsigned i = 0; i < world.n_hosts; i++) {
        host_start(&world.hosts[i]);
    }
    clients_set_up();
    if (!run_until(is_formed, FORM_US)) {
        violation("no cluster of %u was formed in %u s", world.n_hosts, FORM_US / SECOND);
        return;
    }
    trace_line("formed");
    faults_begin(&world);
    clients_start();
    (void)run_until(never, TROUBLE_US + draw(0, TROUBLE_US));
    world.clients.is_over = true;
    faults_end(&world);
    if (!run_until(is_quiet, LIVENESS_US)) {
        violation("liveness: an operation has no end %u s after all healed", LIVENESS_US / SECOND);
        return;
    }
    probe_start();
    if (!run_until(probe_is_done, LIVENESS_US) ||
        world.clients.operations[world.clients.n - 1].outcome != OUTCOME_DONE) {
        violation("liveness: no write is acknowledged after all healed");
        return;
    }
    if (!run_until(check_agree, LIVENESS_US)) {
        violation("liveness: the hosts do not reach one state (of index %llu: %llu %llu %llu)",
                  (unsigned long long)world.checks.highest,
                  (unsigned long long)world.hosts[0].last_applied,
                  (unsigned long long)world.hosts[1].last_applied,
                  (unsigned long long)world.hosts[2].last_applied);
        return;
    }
    check_end();
}

void world_run(uint64_t seed, enum bug bug, const char *directory, struct world_result *result)
{
    open_world(seed, bug, directory);
    play();
    *result = (struct world_result){.is_good = !world.checks.is_violated,
                                    .trace = engine_trace_hash(),
                                    .steps = engine_steps(),
                                    .operations = world.clients.n_done,
                                    .faults = world.n_faults,
                                    .entries = world.checks.highest,
                                    .virtual_us = engine_now()};
    snprintf(result->text, sizeof result->text, "%s", world.checks.text);
    for (unsigned i = 0; i < world.n_hosts; i++) {
        host_release(&world.hosts[i]);
    }
}
