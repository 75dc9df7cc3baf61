#ifndef NODE_HOLDER_NOTES_H
#define NODE_HOLDER_NOTES_H

#include "base/digest.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* "This member has that content", or has it no more: facts on their way to the log, in order. Any
 * thread adds; node/repair.c takes and proposes them. Past HOLDER_NOTES_MAX they are dropped: a
 * walk finds what is missing, and a reader what is not there. */

#define HOLDER_NOTES_MAX 4096

struct holder_notes {
    /* Private. */
    uv_mutex_t lock;
    struct list notes;
    size_t n;
};

void holder_notes_init(struct holder_notes *notes);
void holder_notes_release(struct holder_notes *notes);
void holder_notes_add(struct holder_notes *notes, uint64_t node, const struct digest *digest,
                      bool is_present);
/* Take up to max notes that make one command: those of the oldest one's member and kind, up to the
 * first of the other kind. Returns how many; 0: there are none. */
size_t holder_notes_take(struct holder_notes *notes, size_t max, uint64_t *node, bool *is_present,
                         struct digest *digests);
bool holder_notes_are_empty(struct holder_notes *notes);

#endif
