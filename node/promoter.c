#include "node/promoter.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "promotion/watch.h"
#include "store/changes.h"

#include <stdlib.h>

/* At the leader: whenever an entry changed something, and when a gate said that it will pass by
 * then, ask the watch what a commit would decide, and propose one after the other. A proposal that
 * fails is simply found again. apply decides; being wrong about the leader or the time costs a
 * refused command.
 *
 * The watch reads what changed, so that a thousand promotions which wait for people cost nothing
 * while others push. It looks at LOOKS_MAX at a time: clients are served on the same loop. */

#define LOOKS_MAX 16
/* Leadership comes without a word: how late it is found out, by a look at the status alone. */
#define TICK_MS 500
/* Entries come in thousands a second; a turn takes all that came meanwhile. */
#define TURN_GAP_MS 20

struct promoter {
    struct worker *worker;
    struct promotion_watch *watch;
    uv_async_t changed; /* From the control thread: there is something to look at. */
    uv_timer_t timer;
    struct control_propose propose;
    char due[LOOKS_MAX][PROMOTION_ID_SIZE + 1];
    size_t n, next;
    uint64_t turn_ms, next_ms; /* The last turn, by the steady clock; the next, by the wall's. */
    unsigned n_handles;
    bool is_busy, is_stopping;
    void (*closed_cb)(void *data);
    void *closed_data;
};

static void handle_closed_cb(uv_handle_t *handle)
{
    struct promoter *promoter = handle->data;

    if (--promoter->n_handles > 0) {
        return;
    }
    promotion_watch_close(promoter->watch);
    if (promoter->closed_cb != NULL) {
        promoter->closed_cb(promoter->closed_data);
    }
    free(promoter);
}

static void promoter_close(struct promoter *promoter)
{
    uv_close((uv_handle_t *)&promoter->timer, handle_closed_cb);
    uv_close((uv_handle_t *)&promoter->changed, handle_closed_cb);
}

static void propose_next(struct promoter *promoter);

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct promoter *promoter = request->data;
    struct promotion_result decided;

    if (status == OK && result->error == OK &&
        promotion_result_read(result->body, &decided) == OK) {
        LOG_INFO("promotion %.*s: %s%.*s", BYTES_ARG(decided.id),
                 decided.status == OK ? "committed" : "not committed: ", BYTES_ARG(decided.code));
    }
    propose_next(promoter);
}

static void turn_later(struct promoter *promoter);

static void propose_next(struct promoter *promoter)
{
    struct command_id id;

    if (promoter->is_stopping) {
        promoter_close(promoter);
        return;
    }
    promoter->is_busy = promoter->next < promoter->n;
    if (!promoter->is_busy) {
        turn_later(promoter);
        return;
    }
    command_id_make(&id);
    buffer_init(&promoter->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_commit(&promoter->propose.bytes, &id, BYTES_LITERAL("caisson"),
                             bytes_of_string(promoter->due[promoter->next++]));
    FAILPOINT("promoter.before_propose");
    control_propose(promoter->worker, &promoter->propose, proposed_cb);
}

/* One turn of the watch. */
static void turn(struct promoter *promoter)
{
    struct watch_turn turn = {
        .now_ms = clock_wall_ms(), .looks = LOOKS_MAX, .due = promoter->due, .due_max = LOOKS_MAX};

    promoter->turn_ms = clock_monotonic_ms();
    promotion_watch_turn(promoter->watch, &turn);
    promoter->next_ms = turn.next_ms;
    promoter->n = turn.n_due;
    promoter->next = 0;
    propose_next(promoter);
}

static void timer_cb(uv_timer_t *timer)
{
    struct promoter *promoter = timer->data;
    struct consensus_status status;

    control_status(promoter->worker->control, &status);
    if (promoter->is_busy) {
        return; /* It goes on when the proposals are through. */
    }
    if (status.role == ROLE_LEADER) {
        turn(promoter);
    } else {
        uv_timer_start(timer, timer_cb, TICK_MS, 0);
    }
}

/* What a gate waits for comes by the wall's clock, which may jump: not later than TICK_MS. */
static void turn_later(struct promoter *promoter)
{
    uint64_t now_ms = clock_wall_ms();
    uint64_t wait_ms = promoter->next_ms > now_ms ? promoter->next_ms - now_ms : 0;

    uv_timer_start(&promoter->timer, timer_cb, wait_ms < TICK_MS ? wait_ms : TICK_MS, 0);
}

/* Sooner than planned, but not at every entry. */
static void changed_cb(uv_async_t *async)
{
    struct promoter *promoter = async->data;
    uint64_t since_ms = clock_monotonic_ms() - promoter->turn_ms;
    uint64_t wait_ms = since_ms < TURN_GAP_MS ? TURN_GAP_MS - since_ms : 0;

    if (!promoter->is_busy && !promoter->is_stopping &&
        uv_timer_get_due_in(&promoter->timer) > wait_ms) {
        uv_timer_start(&promoter->timer, timer_cb, wait_ms, 0);
    }
}

/* On the control thread. */
static void catalog_changed(void *data)
{
    struct promoter *promoter = data;

    uv_async_send(&promoter->changed);
}

struct promoter *promoter_start(struct worker *worker)
{
    struct promoter *promoter = memory_zero(sizeof *promoter);

    promoter->worker = worker;
    promoter->propose.data = promoter;
    promoter->watch = promotion_watch_open(worker->catalog);
    promoter->n_handles = 2;
    CHECK(uv_timer_init(&worker->loop, &promoter->timer) == 0);
    CHECK(uv_async_init(&worker->loop, &promoter->changed, changed_cb) == 0);
    promoter->timer.data = promoter->changed.data = promoter;
    uv_timer_start(&promoter->timer, timer_cb, TICK_MS, 0);
    catalog_on_change(worker->catalog, catalog_changed, promoter);
    return promoter;
}

void promoter_stop(struct promoter *promoter, void (*stopped_cb)(void *data), void *data)
{
    catalog_on_change(promoter->worker->catalog, NULL, NULL);
    promoter->is_stopping = true;
    promoter->closed_cb = stopped_cb;
    promoter->closed_data = data;
    uv_timer_stop(&promoter->timer);
    if (!promoter->is_busy) {
        promoter_close(promoter);
    }
}
