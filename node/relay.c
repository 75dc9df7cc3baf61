/* One client request on its way to the other holders. A relay lives until its last peer request is
 * over, its caller may be gone by then. A timer counts for how long a full (or, at the end, an
 * unfinished) target keeps the client waiting while the others would do for a quorum. */
#include "node/relay.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/peers.h"
#include "node/replicate.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RELAY_TICK_MS 100

enum lane_state { LANE_OPEN, LANE_DONE, LANE_DROPPED };

/* One target's way. */
struct lane {
    struct relay *relay;
    struct peer_request request;
    enum lane_state state;
    bool is_running;
    size_t target; /* In session->targets. */
    uint64_t member, stalled_ms;
};

struct relay {
    struct worker *worker;
    struct session *session; /* NULL once aborted. */
    struct lane lanes[UPLOAD_TARGETS_MAX];
    size_t n_lanes, n_running;
    size_t needed; /* Lanes that an answer cannot do without. */
    bool is_finishing;
    uv_timer_t timer;
    void (*changed)(void *data);
    void (*done)(void *data);
    void *data;
};

void relay_choose(struct worker *worker, struct session *session)
{
    uint64_t ids[PEERS_MAX];
    size_t n = peers_members(worker->peers, ids);
    const struct replication_setting setting =
        replication_now(worker, bytes_of_string(session->repository));
    size_t first = n == 0 ? 0 : crc32c(bytes_of_string(session->uuid)) % n;

    session->n_targets = 0;
    for (size_t i = 0; i < n && session->n_targets < setting.copies - 1; i++) {
        uint64_t id = ids[(first + i) % n];

        if (id != peers_self(worker->peers) && !peers_is_down(worker->peers, id)) {
            session->targets[session->n_targets++] = (struct session_target){id, true};
        }
    }
}

static void relay_timer_close_cb(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct relay, timer));
}

/* After each change: report what the caller waits for, free what nobody waits for. */
static void relay_next(struct relay *relay)
{
    bool is_open = false;

    for (size_t i = 0; i < relay->n_lanes; i++) {
        is_open |= relay->lanes[i].state == LANE_OPEN;
    }
    if (relay->session != NULL && relay->is_finishing && !is_open) {
        relay->session = NULL;
        relay->done(relay->data);
    } else if (relay->session != NULL && !relay->is_finishing) {
        relay->changed(relay->data);
    }
}

static void relay_free_when_over(struct relay *relay)
{
    if (relay->session == NULL && relay->n_running == 0 &&
        !uv_is_closing((uv_handle_t *)&relay->timer)) {
        uv_close((uv_handle_t *)&relay->timer, relay_timer_close_cb);
    }
}

static void lane_drop(struct lane *lane, const char *text)
{
    struct relay *relay = lane->relay;

    if (lane->state != LANE_OPEN) {
        return;
    }
    lane->state = LANE_DROPPED;
    if (lane->is_running) {
        peer_cancel(&lane->request);
    }
    if (relay->session != NULL) {
        relay->session->targets[lane->target].is_alive = false;
        LOG_WARN("upload %s: node %016" PRIx64 " gets its copy later: %s", relay->session->uuid,
                 lane->member, text);
    }
}

static void lane_done_cb(struct peer_request *request, enum error status, const struct reason *why)
{
    struct lane *lane = container_of(request, struct lane, request);
    struct relay *relay = lane->relay;
    unsigned answer = status == OK ? peer_status(request) : 0;

    lane->is_running = false;
    relay->n_running--;
    if (lane->state == LANE_OPEN && answer == 202 && relay->is_finishing) {
        lane->state = LANE_DONE;
    } else if (answer != 0) {
        char text[40];

        snprintf(text, sizeof text, "it answered %u", answer);
        lane_drop(lane, text);
    } else {
        lane_drop(lane, why->text);
    }
    relay_next(relay);
    relay_free_when_over(relay);
}

static void lane_taken_cb(struct peer_request *request)
{
    struct lane *lane = container_of(request, struct lane, request);

    if (lane->relay->session != NULL && lane->state == LANE_OPEN) {
        relay_next(lane->relay);
    }
}

static bool lane_is_holding_up(const struct lane *lane)
{
    return lane->state == LANE_OPEN &&
           (lane->relay->is_finishing || peer_queued(&lane->request) >= RELAY_FULL);
}

static void relay_tick_cb(uv_timer_t *timer)
{
    struct relay *relay = container_of(timer, struct relay, timer);
    size_t good = 0;

    if (relay->session == NULL) {
        return;
    }
    for (size_t i = 0; i < relay->n_lanes; i++) {
        good += relay->lanes[i].state != LANE_DROPPED && !lane_is_holding_up(&relay->lanes[i]);
    }
    if (good < relay->needed) {
        return;
    }
    for (size_t i = 0; i < relay->n_lanes; i++) {
        struct lane *lane = &relay->lanes[i];

        if (lane_is_holding_up(lane)) {
            lane->stalled_ms += RELAY_TICK_MS;
            if (lane->stalled_ms >= RELAY_STALL_MS) {
                lane_drop(lane, "it is too slow");
            }
        }
    }
    relay_next(relay);
    relay_free_when_over(relay);
}

static void lane_start(struct relay *relay, size_t target, uint64_t offset)
{
    static const struct peer_events events = {.taken = lane_taken_cb, .done = lane_done_cb};
    struct lane *lane = &relay->lanes[relay->n_lanes++];
    char path[128];

    snprintf(path, sizeof path, "/internal/v1/uploads/%s?offset=%" PRIu64, relay->session->uuid,
             offset);
    lane->relay = relay;
    lane->target = target;
    lane->member = relay->session->targets[target].member;
    lane->is_running = true;
    relay->n_running++;
    peer_request_init(&lane->request, lane->member, "PUT", path, &events);
    peer_request_stream(&lane->request, -1);
    peer_request_start(relay->worker->peers, &lane->request);
}

struct relay *relay_start(struct worker *worker, struct session *session, uint64_t offset,
                          void (*changed)(void *data), void *data)
{
    struct relay *relay;
    bool any = false;

    for (size_t i = 0; i < session->n_targets; i++) {
        any |= session->targets[i].is_alive;
    }
    if (!any) {
        return NULL;
    }
    relay = memory_zero(sizeof *relay);
    relay->worker = worker;
    relay->session = session;
    relay->needed = replication_now(worker, bytes_of_string(session->repository)).write_quorum - 1;
    relay->changed = changed;
    relay->data = data;
    CHECK(uv_timer_init(&worker->loop, &relay->timer) == 0);
    CHECK(uv_timer_start(&relay->timer, relay_tick_cb, RELAY_TICK_MS, RELAY_TICK_MS) == 0);
    for (size_t i = 0; i < session->n_targets; i++) {
        if (session->targets[i].is_alive) {
            lane_start(relay, i, offset);
        }
    }
    return relay;
}

void relay_write(struct relay *relay, struct bytes piece)
{
    PRE(!relay->is_finishing);
    for (size_t i = 0; i < relay->n_lanes; i++) {
        if (relay->lanes[i].state == LANE_OPEN) {
            peer_write(&relay->lanes[i].request, piece);
        }
    }
}

bool relay_is_full(const struct relay *relay)
{
    for (size_t i = 0; i < relay->n_lanes; i++) {
        if (relay->lanes[i].state == LANE_OPEN &&
            peer_queued(&relay->lanes[i].request) >= RELAY_FULL) {
            return true;
        }
    }
    return false;
}

void relay_finish(struct relay *relay, void (*done)(void *data), void *data)
{
    PRE(!relay->is_finishing);
    relay->is_finishing = true;
    relay->done = done;
    relay->data = data;
    for (size_t i = 0; i < relay->n_lanes; i++) {
        relay->lanes[i].stalled_ms = 0;
        if (relay->lanes[i].state == LANE_OPEN) {
            peer_end(&relay->lanes[i].request);
        }
    }
    /* All dropped already: done still comes from the loop. */
    if (relay->n_running == 0) {
        CHECK(uv_timer_start(&relay->timer, relay_tick_cb, 0, RELAY_TICK_MS) == 0);
        relay->needed = 0;
    }
}

void relay_abort(struct relay *relay)
{
    relay->session = NULL;
    for (size_t i = 0; i < relay->n_lanes; i++) {
        lane_drop(&relay->lanes[i], "the request was cut short");
    }
    relay_free_when_over(relay);
}

/* --- forgetting ------------------------------------------------------------------------------ */

static void forget_done(struct peer_request *request, enum error status, const struct reason *why)
{
    (void)status;
    (void)why;
    free(request);
}

void relay_forget(struct worker *worker, const struct session *session)
{
    static const struct peer_events events = {.done = forget_done};
    char path[128];

    snprintf(path, sizeof path, "/internal/v1/uploads/%s", session->uuid);
    for (size_t i = 0; i < session->n_targets; i++) {
        if (session->targets[i].is_alive) {
            struct peer_request *request = memory_zero(sizeof *request);

            peer_request_init(request, session->targets[i].member, "DELETE", path, &events);
            peer_request_start(worker->peers, request);
        }
    }
}
