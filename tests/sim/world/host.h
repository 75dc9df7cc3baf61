#ifndef TESTS_SIM_WORLD_HOST_H
#define TESTS_SIM_WORLD_HOST_H

#include "raft/consensus.h"
#include "store/catalog.h"
#include "tests/sim/world/disk.h"
#include "tests/sim/world/loop.h"
#include "tests/sim/world/network.h"

/* A machine with a disk, a place in the network and, while it is up, one process: the product's
 * log, machine and links, started and stopped as node/ does it. */

#define HOST_ENDS_MAX 96u
#define HOST_PENDING  64u
#define HOST_ADDRESS  "10.0.0.%u:7000"
#define CLUSTER_ID    "0123456789abcdef0123456789abcdef"

struct end;
struct world;

struct host {
    uint64_t tls[8]; /* Stands for a struct tls_context, whose references are counted. */
    struct world *world;
    struct host *world_hosts; /* All of them, by number. */
    struct network *network;
    unsigned number;
    uint64_t node_id;      /* Of its data directory; 0: none yet. */
    uint64_t life;         /* Counts processes. */
    bool is_up;            /* A process runs. */
    bool is_without_power; /* Nothing answers. */
    bool is_wanted;        /* It should be up (scheduled restarts look at it). */
    bool bootstraps;
    bool catalog_is_kept; /* The last process stopped cleanly. */
    bool is_stopping;
    bool may_stop; /* A fault of its disk may make it stop itself. */
    uint64_t paused_until;
    int64_t clock_offset_us; /* Of its wall clock. */
    struct loop loop;
    struct disk disk;
    /* The network's. */
    uv_tcp_t *listener;
    uv_connection_cb on_connection;
    struct end *ends[HOST_ENDS_MAX];
    size_t n_ends;
    struct end *pending[HOST_PENDING];
    size_t n_pending;
    /* The process's. */
    struct catalog *catalog;
    struct consensus *consensus;
    uv_timer_t members_timer;
    char catalog_directory[80];
    uint64_t last_applied;
};

void host_init(struct host *host, struct world *world, unsigned number);
/* Start a process on what is on the disk. */
void host_start(struct host *host);
/* As kill -9 does. */
void host_kill(struct host *host);
/* Power off: un-synced bytes are lost. */
void host_cut_power(struct host *host);
/* As SIGTERM: hand over, close, keep the catalog. It starts again by itself, some time later. */
void host_stop(struct host *host);
/* An empty disk and a new id. */
void host_wipe(struct host *host, uint64_t node_id);
void host_pause(struct host *host, uint64_t until_us);
/* An address is made from the number of the host. */
void host_address(unsigned number, char out[MEMBER_ADDRESS_MAX]);
/* The end of what is left of the seed: files of the catalog are removed. */
void host_release(struct host *host);

#endif
