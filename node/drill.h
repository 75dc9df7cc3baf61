#ifndef NODE_DRILL_H
#define NODE_DRILL_H

#include "base/digest.h"
#include "node/drill_history.h"

#include <jansson.h>
#include <stdatomic.h>

/* A failover drill: something is done to the nodes of a cluster while canary clients write and
 * read, and what they saw is judged and measured. Runs in the command line, not in a node: it sees
 * the cluster as its users do, over HTTP. Threads: one for each client and each watched node; the
 * faults are made by the thread that calls drill_run(). */

#define DRILL_NODES_MAX  16
#define DRILL_STEPS_MAX  64
#define DRILL_EVENTS_MAX 1024
#define DRILL_KEYS       4

struct drill_node {
    char name[64], id[17], url[160];
};

/* Who is drilled and how; does not change while a drill runs. */
struct drill_setup {
    char id[33];      /* Of this run: part of canary tags. */
    char cluster[33]; /* 32 hex digits. */
    struct drill_node nodes[DRILL_NODES_MAX];
    size_t n_nodes;
    const char *user, *password, *ca_file; /* NULL: none. */
    const char *repository;
    uint64_t hold_ms;    /* How long a fault lasts. */
    uint64_t calm_ms;    /* Before the first fault, and after each. */
    uint64_t timeout_ms; /* Of one canary operation. */
    uint64_t start_ns, start_wall_ms;
};

uint64_t drill_now_us(const struct drill_setup *setup);

/* --- one HTTP client of a drill (libcurl, blocking, one thread) ------------------------------- */

struct drill_http {
    const struct drill_setup *setup;
    struct buffer body; /* Of the last answer. */
    char error[64];     /* Of the last request: why there was no answer, or the answer's code. */
    /* Private. */
    void *curl;
};

struct drill_call {
    const char *method;
    unsigned node;
    const char *path;
    const char *content_type; /* NULL: none. */
    const char *if_match;     /* NULL: none. */
    struct bytes body;
    uint64_t timeout_ms;
};

void drill_http_open(struct drill_http *http, const struct drill_setup *setup);
void drill_http_close(struct drill_http *http);
/* The status of the answer; 0: there was none, and http->error says why. */
long drill_http_call(struct drill_http *http, const struct drill_call *call);
/* Ask one node something in JSON. NULL: no good answer. The caller's (json_decref). */
json_t *drill_http_json(struct drill_http *http, unsigned node, const char *path,
                        uint64_t timeout_ms);

/* --- what happens --------------------------------------------------------------------------- */

enum drill_event_kind { DRILL_LEADER, DRILL_NODE_GONE, DRILL_NODE_BACK };

struct drill_event {
    enum drill_event_kind kind;
    unsigned node;
    uint64_t term, at_us;
};

/* Watches each node's /api/v1/cluster. */
struct drill_watch {
    const struct drill_setup *setup;
    struct drill_event events[DRILL_EVENTS_MAX];
    size_t n_events;
    uint64_t term; /* Newest that a node told a leader for. */
    unsigned leader;
    /* Private. */
    uv_mutex_t lock;
    uv_thread_t threads[DRILL_NODES_MAX];
    struct drill_watcher {
        struct drill_watch *watch;
        unsigned node;
        bool is_there;
    } watchers[DRILL_NODES_MAX];
    atomic_bool is_stopping;
};

void drill_watch_start(struct drill_watch *watch, const struct drill_setup *setup);
void drill_watch_stop(struct drill_watch *watch);
/* Who leads by the newest that is known; false: nobody known yet. */
bool drill_watch_leader(struct drill_watch *watch, unsigned *node);

/* --- the canary ------------------------------------------------------------------------------- */

#define DRILL_WRITERS     3
#define DRILL_CANARY_KEEP 16 /* Newest manifests of each writer that stay until the end. */

struct drill_canary;

/* Makes the repository's canary content and starts the clients. ERROR_UNAVAILABLE, ERROR_DENIED:
 * the cluster does not take it. */
enum error drill_canary_start(const struct drill_setup *setup, struct drill_history *history,
                              struct drill_canary **out, struct reason *why) MUST_USE;
/* Stops the clients, reads everything a last time at each node, and counts the acknowledged
 * manifests that a node does not give by digest. */
void drill_canary_finish(struct drill_canary *canary, uint64_t *lost);
/* Deletes what the canary put, and frees it. Returns how many manifests could not be deleted. */
size_t drill_canary_clean(struct drill_canary *canary);

#endif
