/* Trouble, drawn anew every few hundred milliseconds from the kinds that the seed has. */
#include "raft/core.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/world.h"

#define MAJORITY(world) ((world)->n_hosts / 2 + 1)

static struct host *any_host(struct world *world)
{
    return &world->hosts[draw(0, world->n_hosts - 1)];
}

/* The leader half of the time: that is where it hurts. */
static struct host *victim(struct world *world)
{
    if (one_in(2)) {
        for (unsigned i = 0; i < world->n_hosts; i++) {
            struct host *host = &world->hosts[i];

            if (host->is_up && host->consensus != NULL &&
                host->consensus->raft.state == RAFT_LEADER) {
                return host;
            }
        }
    }
    return any_host(world);
}

static void start_again(void *data, uint64_t life)
{
    struct host *host = data;

    if (!host->is_up && host->life == life) {
        host_start(host);
    }
}

static void start_later(struct host *host)
{
    engine_at(engine_now() + (one_in(3) ? draw(0, 4000000) : draw(0, 600000)), start_again, host,
              host->life);
}

/* --- processes and power --------------------------------------------------------------------- */

static void fault_kill(struct world *world)
{
    struct host *host = victim(world);

    if (host->is_up) {
        trace_line("fault: kill h%u", host->number);
        host_kill(host);
        start_later(host);
    }
}

static void fault_power(struct world *world)
{
    struct host *host = victim(world);

    if (host->is_up) {
        trace_line("fault: power of h%u", host->number);
        host_cut_power(host);
        start_later(host);
    }
}

static void fault_power_all(struct world *world)
{
    if (!one_in(3)) {
        return;
    }
    trace_line("fault: power of all");
    for (unsigned i = 0; i < world->n_hosts; i++) {
        if (world->hosts[i].is_up) {
            host_cut_power(&world->hosts[i]);
            start_later(&world->hosts[i]);
        }
    }
}

static void fault_pause(struct world *world)
{
    host_pause(victim(world), engine_now() + draw(10000, 4000000));
}

static void fault_stop(struct world *world)
{
    struct host *host = victim(world);

    if (host->is_up) {
        trace_line("fault: clean stop of h%u", host->number);
        host_stop(host);
    }
}

/* --- the network ----------------------------------------------------------------------------- */

static void heal_network(void *data, uint64_t word)
{
    struct world *world = data;

    (void)word;
    trace_line("network: whole");
    network_heal(&world->network);
}

static void cut(struct world *world, unsigned a, unsigned b, bool both)
{
    world->network.cut[a][b] = true;
    world->network.cut[b][a] |= both;
}

static void fault_partition(struct world *world)
{
    unsigned n = world->n_hosts, one = (unsigned)(victim(world)->number);
    unsigned shape = (unsigned)draw(0, 4);
    uint64_t side = draw(1, (1u << n) - 2);

    trace_line("fault: partition of shape %u around h%u", shape, one);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = i + 1; j < n; j++) {
            bool touches = i == one || j == one;

            if ((shape == 0 && touches) ||                                /* One alone. */
                (shape == 1 && ((side >> i) & 1) != ((side >> j) & 1)) || /* Two sides. */
                (shape == 2 && !touches) ||                               /* A bridge. */
                (shape == 3 && one_in(3))) {                              /* Some links. */
                cut(world, i, j, true);
            } else if (shape == 4 && touches) { /* One way. */
                cut(world, one_in(2) ? i : j, one_in(2) ? i : j, false);
                cut(world, i == one ? i : j, i == one ? j : i, false);
            }
        }
    }
    if (!one_in(4)) {
        engine_at(engine_now() + draw(100000, 5000000), heal_network, world, 0);
    }
}

static void fault_delay(struct world *world)
{
    unsigned a = (unsigned)draw(0, world->n_hosts - 1), b = (unsigned)draw(0, world->n_hosts - 1);

    world->network.delay_us[a][b] = one_in(3) ? draw(20000, 250000) : draw(50, 5000);
    world->network.jitter_us = draw(10, 40000);
}

/* --- disks and clocks ------------------------------------------------------------------------ */

static void fault_slow_disk(struct world *world)
{
    victim(world)->disk.slow_until = engine_now() + draw(100000, 3000000);
}

static void fault_sync_error(struct world *world)
{
    struct host *host = victim(world);

    if (host->is_up && host->disk.fail_sync_in == 0) {
        trace_line("fault: a sync of h%u will fail", host->number);
        host->may_stop = true;
        host->disk.fail_sync_in = draw(1, 20);
    }
}

static void fault_full(struct world *world)
{
    struct host *host = any_host(world);

    host->disk.is_full = !host->disk.is_full;
    host->may_stop = true;
    trace_line("fault: disk of h%u is %s", host->number, host->disk.is_full ? "full" : "not full");
}

static void fault_clock(struct world *world)
{
    any_host(world)->clock_offset_us = (int64_t)draw(0, 7200000000u) - INT64_C(3600000000);
}

/* --- what the cluster is asked to do --------------------------------------------------------- */

static void snapshot_in_loop(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life && host->consensus != NULL) {
        (void)!consensus_snapshot(host->consensus);
    }
}

static void fault_snapshot(struct world *world)
{
    struct host *host = any_host(world);

    if (host->is_up && host->consensus != NULL) {
        loop_post(host, snapshot_in_loop, host, host->life);
    }
}

static void transfer_in_loop(void *data, uint64_t life)
{
    struct host *host = data;
    struct reason why;

    if (host->life == life && host->consensus != NULL && !host->is_stopping) {
        (void)!consensus_transfer(host->consensus, 0, &why);
    }
}

static void fault_transfer(struct world *world)
{
    struct host *host = victim(world);

    if (host->is_up && host->consensus != NULL) {
        loop_post(host, transfer_in_loop, host, host->life);
    }
}

/* One disk may be lost at a time: the promise is about one. */
static void fault_wipe(struct world *world)
{
    struct host *host = victim(world);

    if (!one_in(3) || world_rejoin_is_open(world) || admin_is_busy() || !host->is_up) {
        return;
    }
    trace_line("fault: disk of h%u is lost", host->number);
    host_kill(host);
    host_wipe(host, world->bug == BUG_SAME_ID_REJOIN ? host->node_id : ++world->next_node_id);
    host_start(host);
    if (world->bug != BUG_SAME_ID_REJOIN) {
        admin_join(host);
    }
}

/* --- the plan -------------------------------------------------------------------------------- */

static void (*const kinds[])(struct world *) = {
    fault_kill,      fault_power,    fault_power_all, fault_pause,      fault_stop,
    fault_partition, fault_delay,    fault_slow_disk, fault_sync_error, fault_full,
    fault_clock,     fault_snapshot, fault_transfer,  fault_wipe};

#define N_KINDS (sizeof kinds / sizeof *kinds)

static void next_fault(void *data, uint64_t word)
{
    struct world *world = data;
    unsigned kind = (unsigned)draw(0, N_KINDS - 1);

    (void)word;
    if (world->is_calm) {
        return;
    }
    for (unsigned tries = 0; tries < 40 && (world->faults >> kind & 1) == 0; tries++) {
        kind = (unsigned)draw(0, N_KINDS - 1);
    }
    if ((world->faults >> kind & 1) != 0) {
        kinds[kind](world);
        world->n_faults++;
    }
    engine_at(engine_now() + draw(20000, 900000), next_fault, world, 0);
}

void faults_begin(struct world *world)
{
    for (unsigned i = 0; i < N_KINDS; i++) {
        world->faults |= one_in(3) ? 1u << i : 0;
    }
    world->network.loss = one_in(4) ? (unsigned)draw(10, 100) : 0;
    world->network.disorder = one_in(3) ? (unsigned)draw(5, 60) : 0;
    engine_at(engine_now(), next_fault, world, 0);
}

void faults_end(struct world *world)
{
    trace_line("faults end");
    world->is_calm = true;
    network_heal(&world->network);
    world->network.loss = world->network.disorder = 0;
    world->network.jitter_us = 500;
    for (unsigned i = 0; i < world->n_hosts; i++) {
        struct host *host = &world->hosts[i];

        for (unsigned j = 0; j < world->n_hosts; j++) {
            world->network.delay_us[i][j] = 300;
        }
        host->disk.slow_until = host->disk.fail_sync_in = 0;
        host->disk.is_full = false;
        if (host->paused_until != UINT64_MAX) {
            host->paused_until = 0;
        }
        if (!host->is_up) {
            host_start(host);
        }
    }
}
