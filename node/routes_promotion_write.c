#include "base/clock.h"
#include "node/promotion_flow.h"
#include "node/worker.h"

#include <stdio.h>

/* Ask for a promotion, and a GET that waits. */

/* --- asking for one -------------------------------------------------------------------------- */

static void created_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct flow *flow = request->data;
    struct promotion_result created;

    if (status != OK) {
        flow_fail(flow, status, NULL);
        return;
    }
    if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
        return;
    }
    if (promotion_result_read(result->body, &created) != OK) {
        flow_fail(flow, ERROR_CORRUPT, NULL);
        return;
    }
    snprintf(flow->id, sizeof flow->id, "%.*s", BYTES_ARG(created.id));
    exchange_set_header(flow->exchange, "Location", "/api/v1/promotions/%s", flow->id);
    flow_look_after(flow, result);
}

static void propose_create(struct flow *flow)
{
    struct bytes key = exchange_header(flow->exchange, "Idempotency-Key");
    struct command_id id;

    promotion_id_make(clock_wall_ms(), flow->id);
    command_id_make(&id);
    buffer_init(&flow->propose.bytes, COMMAND_SIZE_MAX);
    command_promotion_create(&flow->propose.bytes, &id, exchange_actor(flow->exchange),
                             bytes_of_string(flow->id), &flow->body.request, key, &flow->body.hash);
    control_propose(exchange_worker(flow->exchange), &flow->propose, created_cb);
}

/* Plan and decide here, keep nothing. */
static void dry_run_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;
    const struct promotion_request *wish = &flow->body.request;
    struct pipeline *pipeline = NULL;
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;
    struct reason why = {""};
    enum error error = status;

    if (error != OK) {
        flow_fail(flow, error, NULL);
        return;
    }
    promotion_init(&promotion, wish->n_items, 0);
    promotion.requester = exchange_actor(flow->exchange);
    promotion.created_ms = promotion.updated_ms = clock_wall_ms();
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    error = policy_load(&txn, wish->pipeline, &pipeline, &why);
    if (error == OK) {
        error = plan_make(&txn, pipeline, wish, &promotion, &why);
    }
    if (error == OK) {
        evaluate_planned(&txn, pipeline, &promotion, clock_wall_ms(), &evaluation);
        flow_answer(flow, &promotion, &evaluation, true);
    } else {
        flow_fail(flow, error, &why);
    }
    pipeline_release(pipeline);
    catalog_done(&txn);
    promotion_release(&promotion);
}

/* Asking is for those who may push to the source, or for a rollback approve there. False: answered.
 */
static bool may_request(struct flow *flow)
{
    const struct promotion_request *wish = &flow->body.request;
    size_t i;

    for (i = 0; i < wish->n_items; i++) {
        struct bytes source = wish->items[i].source;

        if (!exchange_may(flow->exchange, ACTION_PUSH, source) &&
            !(wish->is_rollback && exchange_may(flow->exchange, ACTION_APPROVE, source))) {
            exchange_fail_as(flow->exchange, 403, "NOT_ELIGIBLE", NULL,
                             "%.*s may not ask for it: that takes the action push%s on %.*s",
                             BYTES_ARG(exchange_actor(flow->exchange)),
                             wish->is_rollback ? " or approve" : "", BYTES_ARG(source));
            return false;
        }
    }
    return true;
}

static void create_body_cb(struct exchange *exchange, struct bytes text)
{
    struct flow *flow = flow_make(exchange, FLOW_CREATE);
    struct bytes dry_run;
    struct reason why = {""};
    enum error error = promotion_body_parse(text, &flow->body, &why);

    if (error != OK) {
        flow_fail(flow, error, &why);
        return;
    }
    if (!may_request(flow)) {
        flow_end(flow);
        return;
    }
    if (exchange_header(exchange, "Idempotency-Key").size > PROMOTION_KEY_MAX) {
        why.text[0] = '\0';
        (void)fail(&why, ERROR_INVALID, "Idempotency-Key is longer than %d bytes",
                   PROMOTION_KEY_MAX);
        flow_fail(flow, ERROR_INVALID, &why);
        return;
    }
    flow->deadline_ms = clock_monotonic_ms() + flow->body.wait_ms;
    if (exchange_query(exchange, "dry_run", 0, &dry_run)) {
        flow->body.is_dry_run = !bytes_equal_string(dry_run, "0");
    }
    if (flow->body.is_dry_run) {
        control_read(exchange_worker(exchange), &flow->read, dry_run_cb);
    } else {
        propose_create(flow);
    }
}

void promotion_post(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, create_body_cb);
}

/* --- looking at one -------------------------------------------------------------------------- */

void promotion_get(struct exchange *exchange)
{
    struct flow *flow;
    struct bytes watch;
    uint64_t wait_s;

    if (exchange_query(exchange, "watch", 0, &watch) && !bytes_equal_string(watch, "0") &&
        exchange_method(exchange) == HTTP_GET_) {
        promotion_follow(exchange);
        return;
    }
    if (!promotion_query_uint(exchange, "wait", 0, PROMOTION_WAIT_MAX_MS / 1000, &wait_s)) {
        return;
    }
    flow = flow_make(exchange, FLOW_GET);
    flow_set_id(flow);
    flow->deadline_ms = clock_monotonic_ms() + wait_s * 1000;
    flow_look_now(flow);
}
