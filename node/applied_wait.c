#include "node/applied_wait.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/peers.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct applied_wait {
    struct task task;
    size_t n_pending; /* Members that have not answered, and the start itself. */
    void (*cb)(void *data);
    void *data;
    struct peer_request requests[PEERS_MAX];
};

static void wait_release(struct applied_wait *wait)
{
    PRE(wait->n_pending > 0);
    if (--wait->n_pending == 0) {
        wait->cb(wait->data);
        free(wait);
    }
}

static void asked_cb(struct peer_request *request, enum error status, const struct reason *why)
{
    (void)status;
    (void)why;
    wait_release(request->data);
}

static void started_run(struct task *task)
{
    wait_release(container_of(task, struct applied_wait, task));
}

void applied_wait_start(struct worker *worker, uint64_t index, void (*cb)(void *data), void *data)
{
    static const struct peer_events events = {.done = asked_cb};
    struct applied_wait *wait = memory_zero(sizeof *wait);
    uint64_t members[PEERS_MAX];
    size_t n = peers_members(worker->peers, members);
    char target[64];

    wait->cb = cb;
    wait->data = data;
    wait->n_pending = 1;
    snprintf(target, sizeof target, "/internal/v1/applied/%" PRIu64, index);
    for (size_t i = 0; i < n; i++) {
        struct peer_request *request = &wait->requests[wait->n_pending - 1];

        if (members[i] == peers_self(worker->peers) || peers_is_down(worker->peers, members[i])) {
            continue;
        }
        peer_request_init(request, members[i], "GET", target, &events);
        request->data = wait;
        request->idle_ms = APPLIED_WAIT_MS;
        wait->n_pending++;
        peer_request_start(worker->peers, request);
    }
    wait->task.run = started_run;
    mailbox_post(&worker->mailbox, &wait->task);
}
