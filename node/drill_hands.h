#ifndef NODE_DRILL_HANDS_H
#define NODE_DRILL_HANDS_H

#include "node/drill.h"

#include <sys/types.h>

/* What is done to the nodes, and by whose hands: those of a program that the operator names (the
 * hook), or our own, in a directory as scripts/cluster makes them (D/node-1.pid, D/node-1.yaml). */

#define DRILL_FAULT_LIST(X)                                                                        \
    X(DRILL_HANDOVER, "handover", "", "")                                                          \
    X(DRILL_KILL_LEADER, "kill-leader", "kill", "start")                                           \
    X(DRILL_PAUSE, "pause", "pause", "resume")                                                     \
    X(DRILL_PARTITION, "partition", "cut", "heal")                                                 \
    X(DRILL_FULL_DISK, "full-disk", "fill", "free")                                                \
    X(DRILL_ROLLING_RESTART, "rolling-restart", "restart", "")

enum drill_fault {
#define X(id, name, begin, end) id,
    DRILL_FAULT_LIST(X)
#undef X
        DRILL_FAULT_N
};

const char *drill_fault_name(enum drill_fault fault);
/* The actions that begin and end it, "" for none. */
const char *drill_fault_begin(enum drill_fault fault);
const char *drill_fault_end(enum drill_fault fault);
/* ERROR_NOT_FOUND with the list of what there is. */
enum error drill_fault_parse(const char *name, enum drill_fault *out, struct reason *why) MUST_USE;

#define DRILL_HOOK_MS 60000 /* What a hook may take. */

struct drill_hands {
    const struct drill_setup *setup;
    const char *hook;      /* NULL: none. Called with action and node's name. */
    const char *directory; /* NULL: none. */
    /* Of a throw-away cluster (node/drill_local.h). */
    bool is_ours;     /* Its processes are our children. */
    char network[16]; /* Begins the names of its network devices; "": no namespaces. */
    unsigned disk;    /* The node whose disk can be filled, from 1; 0: none. */
    uint64_t hook_ms; /* 0: DRILL_HOOK_MS. */
};

/* Can this fault be made? ERROR_UNSUPPORTED with why not and what would help. */
enum error drill_hands_can(const struct drill_hands *hands, enum drill_fault fault,
                           struct reason *why) MUST_USE;
/* Do an action to a node: kill, start, pause, resume, cut, heal, fill, free, restart. Blocking,
 * bounded in time. */
enum error drill_hands_do(const struct drill_hands *hands, const char *action, unsigned node,
                          struct reason *why) MUST_USE;

/* --- processes ---------------------------------------------------------------------------------
 */

/* Run a program to its end, at most timeout_ms (then it and its group are killed). Its output goes
 * to stderr. environment: "NAME=value" added to ours, NULL at the end; may be NULL. */
enum error drill_run_program(const char *const *arguments, const char *const *environment,
                             uint64_t timeout_ms, struct reason *why) MUST_USE;
/* Start one that stays: in a session of its own, its output appended to a file. */
enum error drill_start_program(const char *const *arguments, const char *output, pid_t *pid,
                               struct reason *why) MUST_USE;

#endif
