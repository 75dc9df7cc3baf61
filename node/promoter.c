#include "node/promoter.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "promotion/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

/* Every PERIOD_MS, at the leader: list what a commit would decide, propose one after the other. A
 * proposal that fails is simply found again. apply decides; being wrong about the leader or the
 * time costs a refused command. */

#define PERIOD_MS 500
#define BATCH_MAX 64

struct promoter {
    struct worker *worker;
    uv_timer_t timer;
    struct control_propose propose;
    char ids[BATCH_MAX][PROMOTION_ID_SIZE + 1];
    size_t n, next;
    bool is_busy, is_stopping;
    void (*closed_cb)(void *data);
    void *closed_data;
};

static void closed_cb(uv_handle_t *handle)
{
    struct promoter *promoter = handle->data;

    if (promoter->closed_cb != NULL) {
        promoter->closed_cb(promoter->closed_data);
    }
    free(promoter);
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

static void propose_next(struct promoter *promoter)
{
    struct command_id id;

    if (promoter->is_stopping) {
        uv_close((uv_handle_t *)&promoter->timer, closed_cb);
        return;
    }
    promoter->is_busy = promoter->next < promoter->n;
    if (!promoter->is_busy) {
        return;
    }
    command_id_make(&id);
    buffer_init(&promoter->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_commit(&promoter->propose.bytes, &id, BYTES_LITERAL("caisson"),
                             bytes_of_string(promoter->ids[promoter->next++]));
    FAILPOINT("promoter.before_propose");
    control_propose(promoter->worker, &promoter->propose, proposed_cb);
}

static bool visit_due(void *data, struct bytes id)
{
    struct promoter *promoter = data;

    snprintf(promoter->ids[promoter->n++], PROMOTION_ID_SIZE + 1, "%.*s", BYTES_ARG(id));
    return promoter->n < BATCH_MAX;
}

static void timer_cb(uv_timer_t *timer)
{
    struct promoter *promoter = timer->data;
    struct consensus_status status;
    struct catalog_txn txn;

    control_status(promoter->worker->control, &status);
    if (promoter->is_busy || status.role != ROLE_LEADER) {
        return;
    }
    promoter->n = promoter->next = 0;
    catalog_read(promoter->worker->catalog, &txn);
    promotion_due(&txn, clock_wall_ms(), visit_due, promoter);
    catalog_done(&txn);
    propose_next(promoter);
}

struct promoter *promoter_start(struct worker *worker)
{
    struct promoter *promoter = memory_zero(sizeof *promoter);

    promoter->worker = worker;
    promoter->propose.data = promoter;
    uv_timer_init(&worker->loop, &promoter->timer);
    promoter->timer.data = promoter;
    uv_timer_start(&promoter->timer, timer_cb, PERIOD_MS, PERIOD_MS);
    return promoter;
}

void promoter_stop(struct promoter *promoter, void (*stopped_cb)(void *data), void *data)
{
    promoter->is_stopping = true;
    promoter->closed_cb = stopped_cb;
    promoter->closed_data = data;
    uv_timer_stop(&promoter->timer);
    if (!promoter->is_busy) {
        uv_close((uv_handle_t *)&promoter->timer, closed_cb);
    }
}
