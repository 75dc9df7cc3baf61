#ifndef NODE_SCRUB_H
#define NODE_SCRUB_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Reading everything again: a pass goes through all content that the log says this node holds, in
 * the order of digests, reads it from the disk and hashes it, at a bounded rate. What is damaged is
 * in quarantine/ then, what is not there is told, and node/repair.h fetches both again. One per
 * node, on the loop of worker 0, reading in libuv's pool. How far it is stands in <data_dir>/scrub,
 * so that a restart goes on there (up to SCRUB_SAVE_MS back). */

struct repair;
struct scrub;
struct worker;

#define SCRUB_SAVE_MS      10000
#define SCRUB_FINDINGS_MAX 16

struct scrub_options {
    struct worker *worker;
    struct repair *repair;     /* NULL: tell only. */
    const char *directory;     /* Borrowed. */
    uint64_t bytes_per_second; /* 0: passes are only made when asked for. */
    uint64_t interval_ms;      /* From the start of one pass to the start of the next. */
};

void scrub_open(const struct scrub_options *options, struct scrub **out);
void scrub_close(struct scrub *scrub, void (*closed_cb)(void *data), void *data);

/* From any thread: begin a pass now. When one is under way it goes on, at this rate; 0: as fast as
 * the disk can. */
void scrub_start(struct scrub *scrub, uint64_t bytes_per_second);

struct scrub_pass {
    uint64_t started_ms, finished_ms; /* Wall clock; 0: not yet. */
    uint64_t blobs, bytes;            /* Read so far. */
    uint64_t bad, missing;            /* Damaged; not there though the log says so. */
};

struct scrub_finding {
    struct digest digest;
    bool is_missing; /* Else it was damaged. */
    uint64_t at_ms;
};

struct scrub_status {
    bool is_running;
    uint64_t bytes_per_second;    /* The bound now; 0: none. */
    struct scrub_pass pass, last; /* The present or newest one, the one before it. */
    uint64_t bad_total;           /* Since the start of the process. */
    uint64_t bytes_total;         /* Read since then. */
    struct scrub_finding findings[SCRUB_FINDINGS_MAX]; /* The newest, newest first. */
    unsigned n_findings;
};

/* From any thread. */
void scrub_status(struct scrub *scrub, struct scrub_status *out);

#endif
