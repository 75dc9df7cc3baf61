#include "base/json.h"
#include "node/promotion_flow.h"
#include "node/worker.h"
#include "promotion/document.h"
#include "promotion/override.h"

#include <stdio.h>

/* What people say about an open promotion: approve, reject, override, cancel. */

static void decided_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct flow *flow = request->data;
    struct promotion_result decided;

    if (status != OK) {
        flow_fail(flow, status, NULL);
    } else if (result->error == ERROR_CONFLICT) {
        exchange_fail_as(flow->exchange, 409, "CONFLICT", json_pack("{s:s}", "id", flow->id), "%s",
                         result->why.text);
        flow_end(flow);
    } else if (result->error != OK) {
        flow_fail(flow, result->error, &result->why);
    } else if (promotion_result_read(result->body, &decided) != OK) {
        flow_fail(flow, ERROR_CORRUPT, NULL);
    } else if (decided.status != OK) {
        struct reason why = {""};

        (void)fail(&why, decided.status, "%.*s", BYTES_ARG(decided.text));
        flow_fail(flow, decided.status, &why);
    } else {
        flow_look_after(flow, result);
    }
}

static struct bytes decision_text(const struct flow *flow, const char *key)
{
    const char *text = json_member_string(flow->decision, key);

    return text != NULL ? bytes_of_string(text) : BYTES_NONE;
}

/* The plan that is decided about: what the client looked at, else what is there now. */
static enum error decision_plan(const struct flow *flow, const struct promotion *promotion,
                                struct digest *out, struct reason *why)
{
    struct bytes text = decision_text(flow, "plan_hash");

    *out = promotion->plan_hash;
    if (text.size > 0 && digest_parse(text, out) != OK) {
        return fail(why, ERROR_INVALID, "plan_hash must be the one that the promotion shows");
    }
    return OK;
}

static void propose_decision(struct flow *flow, const struct digest *plan_hash)
{
    struct buffer *out = &flow->propose.bytes;
    struct bytes actor = exchange_actor(flow->exchange), id = bytes_of_string(flow->id);
    struct command_id command;

    command_id_make(&command);
    buffer_init(out, COMMAND_SIZE_MAX);
    if (flow->kind == FLOW_DECIDE) {
        command_promotion_decide(out, &command, actor, id, flow->is_approval,
                                 decision_text(flow, "comment"), plan_hash);
    } else if (flow->kind == FLOW_OVERRIDE) {
        command_promotion_override(out, &command, actor, id, bytes_of_string(flow->gates),
                                   decision_text(flow, "reason"), flow->ttl_ms, plan_hash);
    } else {
        command_promotion_cancel(out, &command, actor, id, decision_text(flow, "reason"));
    }
    control_propose(exchange_worker(flow->exchange), &flow->propose, decided_cb);
}

static void decide_read_cb(struct control_read *request, enum error status)
{
    struct flow *flow = request->data;
    struct promotion promotion;
    struct catalog_txn txn;
    struct digest plan_hash;
    struct reason why = {""};
    enum error error;
    bool is_known;

    if (status != OK) {
        flow_fail(flow, status, NULL);
        return;
    }
    catalog_read(exchange_worker(flow->exchange)->catalog, &txn);
    is_known = promotion_load(&txn, bytes_of_string(flow->id), &promotion) == OK;
    catalog_done(&txn);
    if (!is_known) {
        flow_fail_unknown(flow);
        return;
    }
    error = decision_plan(flow, &promotion, &plan_hash, &why);
    if (!promotion_is_visible(flow->exchange, &promotion)) {
        flow_fail_unknown(flow);
    } else if (error != OK) {
        flow_fail(flow, error, &why);
    } else {
        propose_decision(flow, &plan_hash);
    }
    promotion_release(&promotion);
}

/* The gates of an override, joined by commas. */
static enum error read_gates(struct flow *flow, struct reason *why)
{
    const json_t *gates = json_object_get(flow->decision, "gates");
    size_t used = 0, i;

    if (!json_is_array(gates) || json_array_size(gates) == 0 ||
        json_array_size(gates) > GATES_MAX) {
        return fail(why, ERROR_INVALID, "gates must list the ids of 1 to %d gates", GATES_MAX);
    }
    for (i = 0; i < json_array_size(gates); i++) {
        const json_t *gate = json_array_get(gates, i);

        if (!json_is_string(gate) ||
            !pipeline_name_is_valid(bytes_of(json_string_value(gate), json_string_length(gate)))) {
            return fail(why, ERROR_INVALID, "gates must be ids, as caisson why shows them");
        }
        used += (size_t)snprintf(flow->gates + used, sizeof flow->gates - used, "%s%s",
                                 i > 0 ? "," : "", json_string_value(gate));
    }
    return OK;
}

static enum error read_override(struct flow *flow, struct reason *why)
{
    enum error error = read_gates(flow, why);

    if (error == OK && decision_text(flow, "reason").size == 0) {
        error = fail(why, ERROR_INVALID, "an override says why in its reason");
    }
    if (error == OK) {
        error = document_duration(flow->decision, "body", "ttl", &flow->ttl_ms, why);
        error = error == ERROR_NOT_FOUND ? OK : error;
    }
    return error;
}

static enum error check_members(const struct flow *flow, struct reason *why)
{
    static const char *const decide[] = {"decision", "comment", "plan_hash", NULL};
    static const char *const override[] = {"gates", "reason", "ttl", "plan_hash", NULL};
    static const char *const cancel[] = {"reason", NULL};
    const char *const *allowed = flow->kind == FLOW_DECIDE     ? decide
                                 : flow->kind == FLOW_OVERRIDE ? override
                                                               : cancel;

    return document_check_members(flow->decision, "body", allowed, NULL, why);
}

static enum error check_decision(struct flow *flow, struct reason *why)
{
    const char *decision = json_member_string(flow->decision, "decision");
    enum error error = check_members(flow, why);

    if (error != OK) {
        return error;
    }
    if (decision_text(flow, "comment").size > PROMOTION_TEXT_MAX ||
        decision_text(flow, "reason").size > PROMOTION_TEXT_MAX) {
        return fail(why, ERROR_INVALID, "a text is at most %d bytes", PROMOTION_TEXT_MAX);
    }
    if (flow->kind != FLOW_DECIDE) {
        return flow->kind == FLOW_OVERRIDE ? read_override(flow, why) : OK;
    }
    flow->is_approval = decision != NULL && strcmp(decision, "approve") == 0;
    if (!flow->is_approval && (decision == NULL || strcmp(decision, "reject") != 0)) {
        return fail(why, ERROR_INVALID, "decision must be \"approve\" or \"reject\"");
    }
    return OK;
}

static void decide_body(struct exchange *exchange, struct bytes text, enum flow_kind kind)
{
    struct flow *flow = flow_make(exchange, kind);
    struct bytes body = text.size > 0 ? text : BYTES_LITERAL("{}");
    struct reason why = {""};
    enum error error = json_parse(body, API_BODY_MAX, &flow->decision, &why);

    if (error == OK) {
        error = check_decision(flow, &why);
    }
    if (error != OK) {
        flow_fail(flow, error, &why);
        return;
    }
    flow_set_id(flow);
    control_read(exchange_worker(exchange), &flow->read, decide_read_cb);
}

static void approval_body_cb(struct exchange *exchange, struct bytes text)
{
    decide_body(exchange, text, FLOW_DECIDE);
}

static void override_body_cb(struct exchange *exchange, struct bytes text)
{
    decide_body(exchange, text, FLOW_OVERRIDE);
}

static void cancel_body_cb(struct exchange *exchange, struct bytes text)
{
    decide_body(exchange, text, FLOW_CANCEL);
}

void promotion_post_approval(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, approval_body_cb);
}

void promotion_post_override(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, override_body_cb);
}

void promotion_post_cancel(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, cancel_body_cb);
}
