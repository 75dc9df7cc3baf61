#ifndef NODE_REPAIR_H
#define NODE_REPAIR_H

#include "base/digest.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Catching up: content that the catalog knows and this node should hold but does not is fetched
 * from a holder, verified by its digest, saved, and told to the log in batches (blob.holders). One
 * per node, on the loop of worker 0. What fails is tried again at the next walk. */

struct repair;
struct worker;

#define REPAIR_BATCH_MAX 256

struct repair_options {
    struct worker *worker;
    uint64_t interval_ms;      /* Between walks; 0: 1,000. */
    unsigned concurrency;      /* Fetches at a time; 0: 4. */
    uint64_t bytes_per_second; /* 0: as fast as it goes. */
    uint64_t free_min;         /* Bytes that a fetch leaves free on the disk. */
};

enum error repair_open(const struct repair_options *options, struct repair **out,
                       struct reason *why) MUST_USE;
/* From any thread: tell the log nothing more; a stop begins. */
void repair_quiet(struct repair *repair);
void repair_close(struct repair *repair, void (*closed_cb)(void *data), void *data);

/* From any thread: node has the blob durably though the log does not say so yet (a copy that was
 * finished after the client was answered). Proposed with the next batch. */
void repair_note_holder(struct repair *repair, uint64_t node, const struct digest *digest);

/* From any thread: a local copy is missing or was found bad (and is in quarantine/ now). When the
 * log names this node as a holder that is taken back first; then it is fetched, whatever the log
 * says. */
void repair_want(struct repair *repair, const struct digest *digest, uint64_t size);

struct repair_status {
    uint64_t missing, missing_bytes; /* Content that this node should get. */
    uint64_t lost;                   /* Content that no node holds any more. */
    uint64_t bytes_per_second;       /* Of the last seconds. */
    uint64_t fetched, failed, fetched_bytes;
    uint64_t noted;    /* Facts told to the log. */
    uint64_t disowned; /* Copies that the log named and that were missing or bad. */
    bool is_full;      /* Nothing is fetched: too little room. */
};

/* From any thread. */
void repair_status(struct repair *repair, struct repair_status *out);

#endif
