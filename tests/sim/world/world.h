#ifndef TESTS_SIM_WORLD_WORLD_H
#define TESTS_SIM_WORLD_WORLD_H

#include "tests/sim/world/checks.h"
#include "tests/sim/world/client.h"
#include "tests/sim/world/host.h"
#include "tests/sim/world/trace.h"

/* One seed's world: hosts, network, clients, faults, and what is known of the run so far. */

/* Mistakes that the simulator makes on purpose, to show that it sees them. */
#define BUG_LIST(X)                                                                                \
    X(BUG_NONE, "none")                                                                            \
    X(BUG_SYNC_LIES, "sync-lies")              /* Acknowledged before it is on the disk. */        \
    X(BUG_NO_DIRECTORY_SYNC, "no-dirsync")     /* Names are never made durable. */                 \
    X(BUG_READ_WITHOUT_QUORUM, "stale-read")   /* The leader answers reads from what it has. */    \
    X(BUG_COMMAND_ID_IGNORED, "no-command-id") /* A retry has another id. */                       \
    X(BUG_GUARD_OFF, "guard-off")              /* libraft as shipped. */                           \
    X(BUG_CLAMP_OFF, "clamp-off")              /* Acknowledgements say what libraft says. */       \
    X(BUG_VOTE_NOT_KEPT, "vote-lost")          /* Votes and terms are not written. */              \
    X(BUG_STATE_DIFFERS, "state-differs")      /* One apply of one node gives something else. */   \
    X(BUG_SAME_ID_REJOIN, "same-id")           /* A wiped node keeps its id. */

enum bug {
#define X(id, name) id,
    BUG_LIST(X)
#undef X
        BUG_N
};

struct world {
    uint64_t seed;
    enum bug bug;
    unsigned n_hosts; /* 3 or 5. */
    struct host hosts[HOSTS_MAX];
    struct network network;
    struct clients clients;
    struct checks checks;
    uint64_t next_node_id;
    unsigned snapshot_threshold, snapshot_trailing, entry_max;
    unsigned faults; /* A bit for each kind that this seed has. */
    bool is_calm;    /* No fault is made any more. */
    uint64_t n_faults;
};

/* The world that runs, for what the product calls without a context. */
struct world *world_current(void);

struct world_result {
    bool is_good;
    char text[512];
    uint64_t trace, steps, operations, faults, entries, virtual_us;
};

/* Run a seed from its beginning to its verdict. directory: for the catalogs. */
void world_run(uint64_t seed, enum bug bug, const char *directory, struct world_result *result);

/* faults.c: begin to make trouble, and end all of it. */
void faults_begin(struct world *world);
void faults_end(struct world *world);

/* Not every host knows every host as a voter: no disk may be lost now. */
bool world_rejoin_is_open(struct world *world);

#endif
