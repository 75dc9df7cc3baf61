#ifndef NODE_SCRUB_STATE_H
#define NODE_SCRUB_STATE_H

#include "node/scrub.h"

/* The file <data_dir>/scrub: how far the pass is. Losing it costs a pass from the start, nothing
 * else; so what cannot be read counts as not there. Blocking: start-up and pool threads. */

struct scrub_state {
    bool is_running;
    uint64_t rate;        /* Bound of the pass under way; 0: none. */
    struct digest cursor; /* Last one that was read; algorithm 0: none. */
    struct scrub_pass pass, last;
};

void scrub_state_load(const char *directory, struct scrub_state *out);
enum error scrub_state_save(const char *directory, const struct scrub_state *state,
                            struct reason *why) MUST_USE;

#endif
