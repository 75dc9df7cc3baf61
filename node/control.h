#ifndef NODE_CONTROL_H
#define NODE_CONTROL_H

#include "base/mailbox.h"
#include "raft/consensus.h"
#include "store/catalog.h"

/* The door from worker threads to the control thread. Each request is embedded in its owner, posted
 * to the control loop, and its callback comes back on the worker's loop. */

struct control;
struct worker;

/* The catalog as the machine that the log drives. */
struct machine control_machine(struct catalog *catalog);
/* On the control thread, around a consensus that was started; self: this member. */
struct control *control_open(uv_loop_t *loop, struct consensus *consensus, struct catalog *catalog,
                             uint64_t self);
/* A stop has begun: proposals and reads that wait end as soon as no quorum is there for them, new
 * ones at once then. With is_over set, all end now. On the control thread. */
void control_wind_down(struct control *control, bool is_over);
/* Stop taking part in the log; closed_cb from the loop, then the loop may be run dry and
 * control_release() called. */
void control_stop(struct control *control, void (*closed_cb)(void *data), void *data);
void control_release(struct control *control);
/* The newest status of the log, from any thread. */
void control_status(struct control *control, struct consensus_status *out);

/* How long a write waits out an election before 503 (the design's promise). */
#define CONTROL_WRITE_TIMEOUT_MS 10000
#define CONTROL_READ_TIMEOUT_MS  2000

struct control_propose;
/* result is decoded; its body is borrowed for the call. status other than OK: not applied, or
 * unknown. */
typedef void (*control_propose_cb)(struct control_propose *request, enum error status,
                                   const struct command_result *result);

struct control_propose {
    void *data; /* The owner's. */
    /* Private. */
    struct task task;
    struct worker *worker;
    struct proposal proposal;
    struct read_index seen; /* Until this node has applied it too. */
    struct buffer bytes;    /* The command, then its result. */
    enum error status;
    uint64_t index;
    control_propose_cb cb;
};

/* The callback comes when this node has applied the command too: a catalog_read() after it sees it.
 *
 * A kind that not every member knows yet is answered at once with a result of ERROR_UNSUPPORTED.
 *
 * Propose what was built in request->bytes with one of the command_*() encoders (buffer_init it
 * with COMMAND_SIZE_MAX before). The buffer is released after the callback. */
void control_propose(struct worker *worker, struct control_propose *request, control_propose_cb cb);

struct control_read;
typedef void (*control_read_cb)(struct control_read *request, enum error status);

struct control_read {
    void *data;
    /* Private. */
    struct task task;
    struct worker *worker;
    struct read_index read;
    uint64_t min_index;
    uint64_t index; /* Applied here when the callback runs with OK. */
    enum error status;
    control_read_cb cb;
};

/* After it, a catalog_read() on this node sees everything that was acknowledged anywhere before
 * this call (a quorum confirmed the leader). */
void control_read(struct worker *worker, struct control_read *request, control_read_cb cb);
/* After it, a catalog_read() on this node sees index. */
void control_wait_applied(struct worker *worker, struct control_read *request, uint64_t index,
                          control_read_cb cb);

/* Move leadership to a member (0: any). Works at the leader; the outcome shows in the status. */
struct control_transfer;
typedef void (*control_transfer_cb)(struct control_transfer *request, enum error status);

struct control_transfer {
    void *data;
    struct reason why;
    /* Private. */
    struct task task;
    struct worker *worker;
    uint64_t member;
    enum error status;
    control_transfer_cb cb;
};

void control_transfer(struct worker *worker, struct control_transfer *request, uint64_t member,
                      control_transfer_cb cb);

#endif
