#ifndef RAFT_CONSENSUS_H
#define RAFT_CONSENSUS_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/tls.h"

#include <uv.h>

/* One replicated log that drives one machine. The only public header of raft/: the rest of the tree
 * knows neither libraft nor terms of its own.
 *
 * Everything here runs on the loop that was given at open (the control thread), except
 * consensus_status(), which any thread may call. The log's writes and syncs run on a thread of
 * their own. What cannot be written or synced stops the process (fail_stop): a node that is not
 * sure of its log must not vote. */

struct consensus;

/* --- the machine that the log drives --------------------------------------------------------- */

/* A machine gives the first result again for the ids of at least this many last commands. */
#define COMMANDS_REMEMBERED 65536u
#define COMMAND_SIZE_MAX    (512u * 1024)
#define RESULT_SIZE_MAX     (256u * 1024)

/* One log entry: the commands that were proposed in the same turn. time_ms is the leader's wall
 * clock when it proposed; the machine makes it monotonic. */
struct entry {
    uint64_t index;
    uint64_t term;
    uint64_t time_ms;
    const struct bytes *commands;
    size_t n;
};

struct machine {
    void *data;
    /* Index of the last entry that the machine holds (it may be ahead of the log's own replay after
     * a clean stop): entries up to it are not applied again. */
    uint64_t (*applied_index)(void *data);
    /* Apply an entry: all of its commands, one result each, appended to results[i] (initialised,
     * limit RESULT_SIZE_MAX). Cannot fail: what a command may not do is a result. */
    void (*apply)(void *data, const struct entry *entry, struct buffer *results);
    /* A hash of the whole state as it is at applied_index(): 64 hex digits and NUL, cheap. NULL:
     * the states of members are not compared (raft/divergence.h). */
    void (*state_hash)(void *data, char text[65]);
    /* Snapshot. open: on the loop, a frozen view of the state (a read transaction) and its index;
     * cheap. write: on a pool thread, the whole state through sink() in pieces, in an order of its
     * own. close: on the loop, always after open. */
    void *(*snapshot_open)(void *data, uint64_t *index);
    enum error (*snapshot_write)(void *view,
                                 enum error (*sink)(void *sink_data, struct bytes piece),
                                 void *sink_data, struct reason *why);
    void (*snapshot_close)(void *view);
    /* Replace the state by a snapshot, reading pieces until source() gives 0 bytes. On the loop. */
    enum error (*restore)(void *data, uint64_t index,
                          enum error (*source)(void *source_data, void *out, size_t size,
                                               size_t *n),
                          void *source_data, struct reason *why);
};

/* --- life ------------------------------------------------------------------------------------ */

struct consensus_options {
    uv_loop_t *loop;
    const char *directory; /* Holds log/ and snapshots/. */
    uint64_t id;           /* This member, never 0, never used twice in a cluster. */
    const char *cluster;   /* 32 hex digits; in every hello. */
    const char *address;   /* Where peers reach this member: "host:port"; also listened on. */
    const char *listen;    /* Listen here instead when not NULL. */
    struct tls_context *tls;
    struct machine machine;
    unsigned election_timeout_ms; /* 0: 600; drawn from [x, 2x). */
    unsigned heartbeat_ms;        /* 0: 80. */
    unsigned snapshot_threshold;  /* 0: 16,384 entries. */
    unsigned snapshot_trailing;   /* 0: 16,384. */
    uint64_t segment_size;        /* 0: 64 MiB. */
    /* True: this id has left the cluster, refuse its links (its certificate is still good). May be
     * NULL. */
    bool (*is_retired)(void *data, uint64_t id);
    /* The role or the known leader changed. May be NULL. */
    void (*changed)(void *data);
    void *data;
};

/* Open files and the listener; nothing runs yet. ERROR_BUSY (another process), ERROR_CORRUPT
 * (damage that is not a torn tail; the text says which file and what to do), ERROR_FOREIGN,
 * ERROR_IO. */
enum error consensus_open(const struct consensus_options *options, struct consensus **out,
                          struct reason *why) MUST_USE;
/* Make this member the one voter of a new cluster. Only right after open, on an empty directory
 * (ERROR_EXISTS otherwise). */
enum error consensus_bootstrap(struct consensus *consensus, struct reason *why) MUST_USE;
/* Replay, then take part. Restores the machine from the newest snapshot when that is ahead of it.
 * ERROR_CORRUPT: the log cannot be replayed, or it ends before what the machine has applied. */
enum error consensus_start(struct consensus *consensus, struct reason *why) MUST_USE;
/* Stop taking part: hand leadership over when leader (bounded by an election time-out), fail what
 * waits with ERROR_CANCELED, close links and files. closed_cb, from the loop, is the end of
 * consensus. */
void consensus_stop(struct consensus *consensus, void (*closed_cb)(void *data), void *data);

/* Call back all that waits, with ERROR_CANCELED, from this call; what is in the log goes its way.
 * For who is about to stop. Not from within a callback of these. */
void consensus_cancel(struct consensus *consensus);

/* --- proposing ------------------------------------------------------------------------------- */

/* A command on its way; embedded in its owner, who keeps it until the callback. */
struct proposal {
    void *data; /* The owner's. */
    /* Private. */
    struct list link;
    struct buffer command;
    uint64_t number;
    uint64_t asked_ms, deadline_ms;
    uint64_t sent_ms;
    uint64_t began_at; /* Commands applied here before the first attempt. */
    unsigned attempts;
    int state;
    size_t size;
    bool is_counted;
    void (*cb)(struct proposal *proposal, enum error status, uint64_t index, struct bytes result);
};

typedef void (*proposal_cb)(struct proposal *proposal, enum error status, uint64_t index,
                            struct bytes result);

/* Propose at any member: the leader appends, another member forwards to it. Waits out elections and
 * retries after a lost leader until timeout_ms have passed, so the same command may be applied more
 * than once: the machine must know a repeated command id and give the first result again (and no
 * attempt is made once it may have forgotten the first). index is where it was applied.
 * ERROR_UNAVAILABLE: not proposed, or outcome unknown; ERROR_TOO_LARGE; ERROR_BUSY: not proposed,
 * thousands wait already (raft/propose.h). The callback never runs inside this call. command is
 * copied. */
void consensus_propose(struct consensus *consensus, struct proposal *proposal, struct bytes command,
                       uint64_t timeout_ms, proposal_cb cb);

/* --- reading --------------------------------------------------------------------------------- */

/* A wait until the local machine is at least as new as everything acknowledged before the call. */
struct read_index {
    void *data;
    /* Private. */
    struct list link;
    uint64_t asked_ms, deadline_ms;
    uint64_t index;
    void (*cb)(struct read_index *read, enum error status, uint64_t index);
};

typedef void (*read_index_cb)(struct read_index *read, enum error status, uint64_t index);

/* Confirm with a quorum that the leader of now knows, at any member; all reads that wait share one
 * round. ERROR_UNAVAILABLE after timeout_ms. */
void consensus_read_index(struct consensus *consensus, struct read_index *read, uint64_t timeout_ms,
                          read_index_cb cb);
/* Wait until the local machine has applied index (X-Min-Raft-Index). ERROR_TIMEOUT. */
void consensus_wait_applied(struct consensus *consensus, struct read_index *read, uint64_t index,
                            uint64_t timeout_ms, read_index_cb cb);

/* --- members --------------------------------------------------------------------------------- */

#define CONSENSUS_MEMBERS_MAX 16
#define MEMBER_ADDRESS_MAX    80

enum member_role { MEMBER_LEARNER, MEMBER_VOTER };

struct member {
    uint64_t id;
    char address[MEMBER_ADDRESS_MAX];
};

/* The members that should be. The leader works towards it, one change at a time: adds as learners,
 * makes voters of those that caught up, removes the rest. Called again and
 * again by every member, from what its machine has applied; only the leader acts, and only on what
 * was said after it had applied all that was before its term. Never removes so that no quorum of
 * reachable voters is left. */
void consensus_want_members(struct consensus *consensus, const struct member *members, size_t n);
/* Move leadership to a caught-up voter (id 0: any). ERROR_NOT_FOUND, ERROR_UNAVAILABLE.
 * Asynchronous: the outcome shows in the status. */
enum error consensus_transfer(struct consensus *consensus, uint64_t id,
                              struct reason *why) MUST_USE;
/* Take a snapshot now rather than at the threshold. ERROR_BUSY. */
enum error consensus_snapshot(struct consensus *consensus) MUST_USE;

enum consensus_role { ROLE_FOLLOWER, ROLE_CANDIDATE, ROLE_LEADER, ROLE_LEARNER, ROLE_STOPPED };

const char *consensus_role_name(enum consensus_role role);

struct member_status {
    struct member member;
    enum member_role role;
    bool connected;         /* A link is up, by this node's view. */
    uint64_t match_index;   /* Leader only: what the member has stored. */
    uint64_t round_trip_us; /* 0: not measured yet. */
    uint64_t heard_ms_ago;  /* UINT64_MAX: never. */
    /* What the member itself said, about once a second (raft/gossip.h); this one as it is. */
    bool has_told;
    uint64_t told_ms_ago;
    uint64_t term, commit_index, applied_index, last_index, snapshot_index;
    uint64_t log_bytes, snapshot_bytes, free_bytes, total_bytes;
    int64_t clock_skew_ms; /* Its wall clock less this node's. */
};

/* Upper ends of the classes of sync times, in microseconds. */
#define FSYNC_CLASSES_N 11
extern const uint32_t fsync_classes_us[FSYNC_CLASSES_N];

struct consensus_status {
    uint64_t id, leader; /* 0: no leader known. */
    enum consensus_role role;
    uint64_t term, commit_index, applied_index, last_index, snapshot_index;
    uint64_t log_bytes, snapshot_bytes;
    uint64_t fsync_p50_us, fsync_p99_us;     /* Of the log's last 1,024 syncs. */
    uint64_t fsync_count, fsync_sum_us;      /* Of this life; */
    uint64_t fsync_classes[FSYNC_CLASSES_N]; /* in the class, and no faster one. */
    uint64_t elections, guard_held, guard_clamped_acks, guard_clamped_commits;
    unsigned states_differ; /* Members that had another state at the same index. */
    bool has_quorum; /* This node, as leader or through its leader, heard a majority lately. */
    struct member_status members[CONSENSUS_MEMBERS_MAX];
    size_t n_members;
};

/* A copy of the newest published status; from any thread. */
void consensus_status(const struct consensus *consensus, struct consensus_status *out);

#endif
