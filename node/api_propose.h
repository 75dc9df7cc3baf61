#ifndef NODE_API_PROPOSE_H
#define NODE_API_PROPOSE_H

#include "node/http.h"
#include "store/command.h"

/* The common shape of a write under /api/v1: build one command from a request, propose it, answer
 * by its result. */

/* A command to fill with one of the command_*() encoders. */
struct buffer api_command(void);
/* Propose the command (taken) and answer status with the value (taken; NULL: no body) and
 * X-Raft-Index once it was applied here; the error of the command otherwise. Call it once, as the
 * last thing of a handler. */
void api_propose(struct exchange *exchange, struct buffer *command, unsigned status,
                 json_t *value_taken);

#endif
