#ifndef NODE_APPLIED_WAIT_H
#define NODE_APPLIED_WAIT_H

#include <stdint.h>

/* Reads by digest look at what their node has applied, without a round in the log. So that what was
 * deleted at one node is gone at the next one too, a delete waits here before its 202. */

#define APPLIED_WAIT_MS 2000

struct worker;

/* cb comes when each member has applied index, or does not answer: one that is down, or silent for
 * APPLIED_WAIT_MS, is not waited for. It cannot fail. Never runs inside this call. */
void applied_wait_start(struct worker *worker, uint64_t index, void (*cb)(void *data), void *data);

#endif
