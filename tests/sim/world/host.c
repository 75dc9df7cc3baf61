#include "tests/sim/world/host.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "promotion/commands.h"
#include "raft/core.h"
#include "raft/storage.h"
#include "store/catalog_state.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/world.h"

#include <dirent.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMBERS_TICK_MS 250u
#define ROWS_MAX        128u
#define START_AFTER_US  2500000u

/* --- the machine, as node/control.c makes it -------------------------------------------------- */

static uint64_t machine_applied_index(void *data)
{
    return catalog_applied_index(((struct host *)data)->catalog);
}

static void machine_apply(void *data, const struct entry *entry, struct buffer *results)
{
    struct host *host = data;
    struct catalog_entry copy = {.index = entry->index,
                                 .term = entry->term,
                                 .time_ms = entry->time_ms,
                                 .commands = entry->commands,
                                 .n = entry->n};

    if (host->world->bug == BUG_STATE_DIFFERS && host->number == 1 && one_in(100)) {
        copy.time_ms++;
    }
    catalog_apply(host->catalog, &copy, results);
    check_applied(host);
}

static void machine_state_hash(void *data, char text[65])
{
    struct catalog_txn txn;

    catalog_read(((struct host *)data)->catalog, &txn);
    catalog_txn_hash(&txn, text);
    catalog_done(&txn);
}

static void *machine_snapshot_open(void *data, uint64_t *index)
{
    return catalog_view_open(((struct host *)data)->catalog, index);
}

static enum error machine_snapshot_write(void *view, enum error (*sink)(void *, struct bytes),
                                         void *sink_data, struct reason *why)
{
    return catalog_view_write(view, sink, sink_data, why);
}

static void machine_snapshot_close(void *view)
{
    catalog_view_close(view);
}

static enum error machine_restore(void *data, uint64_t index,
                                  enum error (*source)(void *, void *, size_t, size_t *),
                                  void *source_data, struct reason *why)
{
    struct host *host = data;
    enum error error = catalog_restore(host->catalog, index, source, source_data, why);

    if (error == OK) {
        check_applied(host);
    }
    return error;
}

/* --- a process ------------------------------------------------------------------------------- */

static bool collect_member(void *data, const struct member_record *record)
{
    struct membership *wanted = data;
    struct member *member = &wanted->wanted[wanted->n_wanted++];

    *member = (struct member){.id = record->id};
    snprintf(member->address, sizeof member->address, "%.*s", BYTES_ARG(record->raft_address));
    return true;
}

static void members_timer_cb(uv_timer_t *timer)
{
    struct host *host = container_of(timer, struct host, members_timer);
    struct membership wanted = {.n_wanted = 0};
    struct catalog_txn txn;

    catalog_read(host->catalog, &txn);
    catalog_members(&txn, collect_member, &wanted);
    catalog_done(&txn);
    if (wanted.n_wanted > 0 && !host->is_stopping) {
        consensus_want_members(host->consensus, wanted.wanted, wanted.n_wanted);
    }
}

static bool open_catalog(struct host *host, struct reason *why)
{
    static const struct command_row *rows[ROWS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < catalog_commands_n; i++) {
        rows[n++] = &catalog_commands[i];
    }
    for (size_t i = 0; i < promotion_commands_n; i++) {
        rows[n++] = &promotion_commands[i];
    }
    CHECK(n <= ROWS_MAX);
    return catalog_open(host->catalog_directory, rows, n, &host->catalog, why) == OK;
}

static bool open_consensus(struct host *host, struct reason *why)
{
    char directory[32], address[MEMBER_ADDRESS_MAX];
    struct consensus_options options = {
        .loop = &host->loop.uv,
        .directory = directory,
        .id = host->node_id,
        .cluster = CLUSTER_ID,
        .address = address,
        .tls = (struct tls_context *)(void *)host->tls,
        .machine = {.data = host,
                    .applied_index = machine_applied_index,
                    .apply = machine_apply,
                    .state_hash = machine_state_hash,
                    .snapshot_open = machine_snapshot_open,
                    .snapshot_write = machine_snapshot_write,
                    .snapshot_close = machine_snapshot_close,
                    .restore = machine_restore},
        .snapshot_threshold = host->world->snapshot_threshold,
        .snapshot_trailing = host->world->snapshot_trailing,
        .segment_size = 4096,
        .data = host,
    };
    bool bootstraps = host->bootstraps;

    snprintf(directory, sizeof directory, DISK_ROOT "h%u", host->number);
    host_address(host->number, address);
    if (consensus_open(&options, &host->consensus, why) != OK) {
        return false;
    }
    if (bootstraps && consensus_bootstrap(host->consensus, why) != OK) {
        return false;
    }
    host->bootstraps = false;
    return consensus_start(host->consensus, why) == OK;
}

static void gone(struct host *host)
{
    host->is_up = false;
    host->life++;
    host->consensus = NULL;
    host->catalog = NULL;
    host->paused_until = 0;
    trace_line("h%u: its process is gone", host->number);
}

static void start_again(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life) {
        host_start(host);
    }
}

/* After a clean stop, from outside the fiber that it ran in. */
static void stopped(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life) {
        network_drop(host, true);
        fibers_drop(host);
        disk_close_files(&host->disk);
        gone(host);
        engine_at(engine_now() + draw(0, START_AFTER_US), start_again, host, host->life);
    }
}

static void host_main(void *data)
{
    struct host *host = data;
    struct reason why = {""};

    loop_open(&host->loop);
    if (open_catalog(host, &why)) {
        host->last_applied = catalog_applied_index(host->catalog);
    }
    if (host->catalog == NULL || !open_consensus(host, &why)) {
        fail_stop("node %llu does not start: %s", (unsigned long long)host->node_id, why.text);
    }
    CHECK(uv_timer_init(&host->loop.uv, &host->members_timer) == 0);
    uv_timer_start(&host->members_timer, members_timer_cb, MEMBERS_TICK_MS, MEMBERS_TICK_MS);
    loop_run(host, check_turn);
    catalog_close(host->catalog);
    host->catalog_is_kept = true;
    engine_at(engine_now(), stopped, host, host->life);
}

void host_start(struct host *host)
{
    if (host->is_up || host->node_id == 0) {
        return;
    }
    host->is_wanted = host->is_up = true;
    host->is_without_power = host->is_stopping = host->catalog_is_kept = false;
    host->last_applied = 0;
    host->life++;
    trace_line("h%u: starts as node %llu", host->number, (unsigned long long)host->node_id);
    fiber_start(host, host_main, host);
}

static void host_drop(struct host *host, bool kernel_lives)
{
    if (!host->is_up) {
        return;
    }
    network_drop(host, kernel_lives);
    fibers_drop(host);
    if (host->catalog != NULL && !host->catalog_is_kept) {
        mdb_env_close(host->catalog->current->mdb);
    }
    gone(host);
}

void host_kill(struct host *host)
{
    host_drop(host, true);
    disk_close_files(&host->disk);
}

void host_cut_power(struct host *host)
{
    host_drop(host, false);
    host->is_without_power = true;
    disk_cut(&host->disk);
}

static void closed_cb(void *data)
{
    struct host *host = data;

    host->consensus = NULL;
    loop_stop(host);
}

static void stop_in_loop(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life && host->consensus != NULL && !host->is_stopping) {
        host->is_stopping = true;
        consensus_stop(host->consensus, closed_cb, host);
    }
}

void host_stop(struct host *host)
{
    if (host->is_up && host->consensus != NULL) {
        loop_post(host, stop_in_loop, host, host->life);
    }
}

void host_pause(struct host *host, uint64_t until_us)
{
    if (host->is_up && host->paused_until < until_us) {
        trace_line("h%u: paused until %llu ms", host->number, (unsigned long long)until_us / 1000);
        host->paused_until = until_us;
    }
}

/* --- life of a machine ----------------------------------------------------------------------- */

static void empty_directory(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *item;

    while (dir != NULL && (item = readdir(dir)) != NULL) {
        if (item->d_name[0] != '.') {
            unlinkat(dirfd(dir), item->d_name, 0);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void host_address(unsigned number, char out[MEMBER_ADDRESS_MAX])
{
    snprintf(out, MEMBER_ADDRESS_MAX, HOST_ADDRESS, number);
}

static void format(struct host *host)
{
    struct disk_name root = {.inode = NULL};

    disk_format(&host->disk);
    snprintf(root.path, sizeof root.path, DISK_ROOT "h%u", host->number);
    host->disk.now.items[host->disk.now.n++] = root;
    host->disk.durable.items[host->disk.durable.n++] = root;
    empty_directory(host->catalog_directory);
}

void host_init(struct host *host, struct world *world, unsigned number)
{
    host->world = world;
    host->tls[0] = 1u << 20;
    host->world_hosts = world->hosts;
    host->network = &world->network;
    host->number = number;
    mkdir(host->catalog_directory, 0700);
    format(host);
    host->disk.sync_us = draw(0, 3) == 0 ? draw(2000, 20000) : draw(50, 2000);
    host->disk.lies = world->bug == BUG_SYNC_LIES;
    host->disk.forgets_names = world->bug == BUG_NO_DIRECTORY_SYNC;
}

void host_wipe(struct host *host, uint64_t node_id)
{
    CHECK(!host->is_up);
    format(host);
    host->node_id = node_id;
    trace_line("h%u: wiped, node %llu now", host->number, (unsigned long long)node_id);
}

void host_release(struct host *host)
{
    host_drop(host, true);
    disk_format(&host->disk);
    empty_directory(host->catalog_directory);
}
