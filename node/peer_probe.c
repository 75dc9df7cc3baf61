/* Whether a member that is silent still lives. A request that moves nothing for a while may wait
 * for a slow disk, or for a machine that is gone or stopped, whose kernel may keep the connection.
 * A question on a connection of its own tells them apart: without an answer to that either, the
 * requests that are silent fail, and their owners turn to another member long before idle_ms.
 *
 * One question is under way at a time; its silence is bounded as that of a new connection is. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "node/peers_internal.h"

#include <stdlib.h>

static void answered(struct peers *peers, uint64_t member)
{
    uint64_t now = clock_monotonic_ms();

    LIST_FOR_EACH (item, &peers->requests) {
        struct peer_request *request = container_of(item, struct peer_request, link);

        if (request->member == member) {
            request->answered_ms = now;
        }
    }
}

static void unanswered(struct peers *peers, uint64_t member)
{
    uint64_t now = clock_monotonic_ms();

    peers_mark(peers, member, true);
    LIST_FOR_EACH (item, &peers->requests) {
        struct peer_request *request = container_of(item, struct peer_request, link);

        if (request->member == member && peer_request_is_silent(request, now)) {
            peer_request_give_up(request);
        }
    }
}

static void probe_done(struct peer_request *probe, enum error status, const struct reason *why)
{
    struct peers *peers = probe->peers;

    (void)why;
    peers->probe = NULL;
    if (status == OK) {
        answered(peers, probe->member);
    } else if (!probe->canceled) {
        unanswered(peers, probe->member);
    }
    free(probe);
}

bool peer_request_is_silent(const struct peer_request *request, uint64_t now)
{
    uint64_t heard_ms = request->progress_ms > request->answered_ms ? request->progress_ms
                                                                    : request->answered_ms;

    return request->started && !request->failed_idle && now - heard_ms >= PEER_SILENT_MS;
}

void peers_probe(struct peers *peers, uint64_t member)
{
    static const struct peer_events events = {.done = probe_done};

    if (peers->probe != NULL || peers->is_closing) {
        return;
    }
    peers->probe = memory_alloc(sizeof *peers->probe);
    peer_request_init(peers->probe, member, "GET", "/internal/v1/ping", &events);
    peers->probe->idle_ms = PEER_CONNECT_MS;
    peers->probe->is_fresh = true;
    peer_request_start(peers, peers->probe);
}
