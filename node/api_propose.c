#include "node/api_propose.h"

#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"

#include <stdlib.h>

struct api_proposal {
    struct exchange *exchange;
    struct control_propose propose;
    unsigned status;
    json_t *value;
};

struct buffer api_command(void)
{
    struct buffer command;

    buffer_init(&command, COMMAND_SIZE_MAX);
    return command;
}

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct api_proposal *proposal = request->data;
    struct exchange *exchange = proposal->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else {
        exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)result->index);
        if (proposal->value != NULL) {
            exchange_answer_json(exchange, proposal->status, json_incref(proposal->value));
        } else {
            exchange_answer(exchange, proposal->status, NULL, BYTES_NONE);
        }
    }
    json_decref(proposal->value);
    free(proposal);
    exchange_release(exchange);
}

void api_propose(struct exchange *exchange, struct buffer *command, unsigned status,
                 json_t *value_taken)
{
    struct api_proposal *proposal = memory_zero(sizeof *proposal);

    proposal->exchange = exchange;
    proposal->status = status;
    proposal->value = value_taken;
    proposal->propose.data = proposal;
    proposal->propose.bytes = *command;
    *command = (struct buffer){0};
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &proposal->propose, proposed_cb);
}
