#include "node/promotion_flow.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "node/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define SLEEP_MS    200
#define COMMITS_MAX 5 /* A commit that finds the plan changed is tried again. */

static void flow_look(struct flow *flow);

/* --- life ------------------------------------------------------------------------------------ */

struct flow *flow_make(struct exchange *exchange, enum flow_kind kind)
{
    struct flow *flow = memory_zero(sizeof *flow);

    flow->exchange = exchange;
    flow->kind = kind;
    flow->propose.data = flow->read.data = flow;
    uv_timer_init(&exchange_worker(exchange)->loop, &flow->timer);
    flow->timer.data = flow;
    exchange_hold(exchange);
    return flow;
}

static void timer_closed_cb(uv_handle_t *handle)
{
    struct flow *flow = handle->data;

    promotion_body_release(&flow->body);
    json_decref(flow->decision);
    free(flow);
}

/* After the answer. */
void flow_end(struct flow *flow)
{
    exchange_release(flow->exchange);
    flow->exchange = NULL;
    uv_close((uv_handle_t *)&flow->timer, timer_closed_cb);
}

void flow_fail(struct flow *flow, enum error error, const struct reason *why)
{
    exchange_fail(flow->exchange, error, why);
    flow_end(flow);
}

void flow_fail_unknown(struct flow *flow)
{
    exchange_fail_as(flow->exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
    flow_end(flow);
}

void flow_set_id(struct flow *flow)
{
    snprintf(flow->id, sizeof flow->id, "%.*s",
             BYTES_ARG(bytes_slice(exchange_parameter(flow->exchange, "id"), 0, sizeof flow->id)));
}

/* --- answers --------------------------------------------------------------------------------- */

/* The status of what was asked for, by how the promotion stands. A decision that was recorded is
 * never an error, and neither is a GET. */
static unsigned status_of(const struct flow *flow, const struct promotion *promotion,
                          const struct evaluation *evaluation, const char **code)
{
    *code = NULL;
    if (promotion->state == PROMOTION_OPEN) {
        if (flow->kind == FLOW_CREATE && strcmp(evaluation->code, "FROZEN") == 0) {
            *code = evaluation->code;
            return 423;
        }
        if (flow->kind == FLOW_CREATE && evaluation->verdict == VERDICT_BLOCKED) {
            *code = "GATE_FAILED";
            return 412;
        }
        if (flow->kind == FLOW_CREATE && evaluation->verdict == VERDICT_MOVED) {
            *code = "TAG_MOVED";
            return 409;
        }
        return flow->kind == FLOW_GET ? 200 : 202;
    }
    if (flow->kind == FLOW_CREATE && promotion->state == PROMOTION_SUPERSEDED) {
        *code = "TAG_MOVED";
        return 409;
    }
    return 200;
}

void flow_answer(struct flow *flow, const struct promotion *promotion,
                 const struct evaluation *evaluation, bool is_dry_run)
{
    json_t *document = view_promotion(promotion, evaluation);
    struct reason summary = {""};
    const char *code;
    unsigned status = status_of(flow, promotion, evaluation, &code);

    if (is_dry_run) {
        json_object_set_new(document, "dry_run", json_true());
        json_object_del(document, "id");
        status = 200;
        code = NULL;
    }
    if (promotion->state == PROMOTION_COMMITTED) {
        exchange_set_header(flow->exchange, "X-Raft-Index", "%llu",
                            (unsigned long long)promotion->commit_index);
    }
    if (code != NULL) {
        view_summary(promotion, evaluation, &summary);
        exchange_fail_as(flow->exchange, status, code, document, "%s", summary.text);
    } else {
        FAILPOINT("promotion.before_answer");
        exchange_answer_json(flow->exchange, status, document);
        FAILPOINT("promotion.after_answer");
    }
    flow_end(flow);
}

/* --- look, commit, sleep --------------------------------------------------------------------- */

static void applied_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;

    if (status != OK) {
        flow_fail(flow, status, NULL);
    } else {
        flow_look(flow);
    }
}

/* Look once this node's catalog has the entry: a follower hears the result from the leader before
 * it applies the entry itself. */
void flow_look_after(struct flow *flow, const struct command_result *result)
{
    control_wait_applied(exchange_worker(flow->exchange), &flow->read, result->index, applied_cb);
}

static void commit_cb(struct control_propose *request, enum error status,
                      const struct command_result *result)
{
    struct flow *flow = request->data;

    if (status != OK) {
        /* The promotion is kept, and goes on by itself; its id tells the client where to look. */
        exchange_set_header(flow->exchange, "Retry-After", "1");
        exchange_fail_as(flow->exchange, 503, "UNAVAILABLE", json_pack("{s:s}", "id", flow->id),
                         "the outcome of promotion %s is not known yet: ask for it again",
                         flow->id);
        flow_end(flow);
        return;
    }
    if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
        return;
    }
    flow_look_after(flow, result);
}

static void flow_commit(struct flow *flow)
{
    struct command_id id;

    flow->commits++;
    command_id_make(&id);
    buffer_init(&flow->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_commit(&flow->propose.bytes, &id, exchange_actor(flow->exchange),
                             bytes_of_string(flow->id));
    control_propose(exchange_worker(flow->exchange), &flow->propose, commit_cb);
}

static void sleep_cb(uv_timer_t *timer)
{
    flow_look(timer->data);
}

static bool wants_commit(const struct flow *flow, const struct evaluation *evaluation)
{
    return flow->kind != FLOW_GET && flow->commits < COMMITS_MAX &&
           (evaluation->verdict == VERDICT_READY || evaluation->verdict == VERDICT_CHANGED ||
            evaluation->verdict == VERDICT_MOVED);
}

static void flow_look(struct flow *flow)
{
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;

    if (exchange_is_gone(flow->exchange)) {
        flow_end(flow);
        return;
    }
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    if (promotion_load(&txn, bytes_of_string(flow->id), &promotion) != OK) {
        catalog_done(&txn);
        flow_fail_unknown(flow);
        return;
    }
    evaluate_stored(&txn, &promotion, clock_wall_ms(), &evaluation);
    catalog_done(&txn);
    if (!promotion_is_visible(flow->exchange, &promotion)) {
        flow_fail_unknown(flow);
    } else if (wants_commit(flow, &evaluation)) {
        flow_commit(flow);
    } else if (promotion.state == PROMOTION_OPEN && clock_monotonic_ms() < flow->deadline_ms) {
        /* What was learnt may be old by the time it is ready. */
        flow->commits = 0;
        uv_timer_start(&flow->timer, sleep_cb, SLEEP_MS, 0);
    } else {
        flow_answer(flow, &promotion, &evaluation, false);
    }
    promotion_release(&promotion);
}

void flow_look_now(struct flow *flow)
{
    control_read(exchange_worker(flow->exchange), &flow->read, applied_cb);
}
