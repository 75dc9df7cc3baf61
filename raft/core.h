#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "raft/consensus.h"
#include "raft/divergence.h"
#include "raft/frame.h"
#include "raft/gossip.h"
#include "raft/guard.h"
#include "raft/io.h"
#include "raft/membership.h"
#include "raft/propose.h"
#include "raft/read_index.h"

#include <raft.h>

/* What the files behind raft/consensus.h share: libraft between the guard and the machine, and the
 * turn of the loop in which everything that libraft must not be asked from its own callbacks is
 * done. Private to raft/. */

enum consensus_life {
    LIFE_OPEN,     /* Files and listener, nothing runs. */
    LIFE_RUNNING,  /* raft_start() was called. */
    LIFE_HANDOVER, /* Stopping: leadership is on its way to another. */
    LIFE_CLOSING,  /* raft_close() was called, */
    LIFE_CLOSED    /* and is done; handles close. */
};

/* Since when a peer was sent nothing (raft/snapshot_retry.h). */
struct snapshot_wait {
    uint64_t id, since_ms;
};

struct consensus {
    uv_loop_t *loop;
    uint64_t id;
    char cluster[HELLO_CLUSTER_MAX + 1];
    char address[HELLO_ADDRESS_MAX + 1];
    struct machine machine;
    void (*changed)(void *data);
    bool (*is_retired)(void *data, uint64_t id);
    void *data;
    unsigned election_timeout_ms, heartbeat_ms, snapshot_threshold;
    enum consensus_life life;

    struct io io;
    struct guard guard;
    struct raft raft;
    struct raft_fsm fsm;
    void *view; /* The machine's frozen view of the snapshot under way. */
    bool wants_snapshot, is_low_space;
    /* Results of the entry that was applied last, for the callback that libraft makes next. */
    struct buffer results[ENVELOPE_COMMANDS_MAX];
    size_t n_results;
    uint64_t n_commands; /* Applied in this life; a snapshot counts as COMMANDS_REMEMBERED. */

    uv_check_t check; /* The turn: after each poll of the loop, */
    uv_idle_t idle;   /* which does not sleep while this is active. */
    uv_timer_t timer; /* Deadlines, membership, status; each heartbeat. */
    unsigned open_handles;
    uint64_t stop_at_ms;
    void (*closed_cb)(void *data);
    void *closed_data;

    struct proposals proposals;
    struct reads reads;
    struct membership membership;
    struct gossip gossip;
    struct divergence divergence;
    char *directory;
    uint64_t low_space_ms; /* When is_low_space changed. */
    uint64_t cut_off_ms;   /* Since when no majority is reachable; 0: one is. */

    /* As last told. */
    uint64_t leader, term;
    int state;
    /* Commit index that each member was told of (raft/announce.h). */
    struct announced {
        uint64_t id, index;
    } announced[CONSENSUS_MEMBERS_MAX];
    struct snapshot_wait snapshot_waits[CONSENSUS_MEMBERS_MAX];
    bool has_moved; /* To be told in the next turn. */

    uv_mutex_t status_lock; /* Guards status alone. */
    struct consensus_status status;
};

/* When no majority is reachable, who has waited for so long is told. */
#define CUT_OFF_PATIENCE_MS 1000u

/* Have a turn soon. */
void core_arm(struct consensus *consensus);
/* This member leads, its term has a committed entry, and no hand-over is under way. */
bool core_leads(const struct consensus *consensus);
/* The leader that is known, this member included; 0: none. */
uint64_t core_leader(const struct consensus *consensus);
uint64_t core_now(const struct consensus *consensus);
/* Send an application frame. False: dropped. */
bool core_send(struct consensus *consensus, uint64_t to, unsigned kind,
               const struct peer_message *message);
/* Of the current configuration; NULL: no member. */
const struct raft_server *core_server(const struct consensus *consensus, uint64_t id);
size_t core_voters(const struct consensus *consensus);

/* raft/status.c: make the copy that consensus_status() gives. */
void status_publish(struct consensus *consensus);

#endif
