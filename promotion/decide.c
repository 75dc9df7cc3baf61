#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/gates.h"
#include "promotion/policy.h"

/* What people say about an open promotion.
 * promotion.approve: [id, approve or reject, comment, plan hash]; promotion.cancel: [id, reason].
 */

struct decision {
    const struct command_context *context;
    struct promotion *promotion;
    bool is_approval;
    struct bytes comment;
    struct digest plan_hash;
    struct outcome *outcome;
};

static json_t *decision_details(const struct decision *decision, const char *text)
{
    char plan[DIGEST_TEXT_MAX];
    json_t *comment = json_stringn((const char *)decision->comment.data, decision->comment.size);

    digest_format(&decision->plan_hash, plan);
    return json_pack("{s:s, s:o, s:s}", "plan_hash", plan, "comment",
                     comment != NULL ? comment : json_null(), "text", text);
}

/* One word per person and plan: a later one replaces the earlier. */
static struct approval *approval_slot(struct promotion *promotion, struct bytes actor,
                                      const struct digest *plan_hash)
{
    size_t i;

    for (i = 0; i < promotion->n_approvals; i++) {
        struct approval *approval = &promotion->approvals[i];

        if (bytes_equal(approval->actor, actor) && digest_equal(&approval->plan_hash, plan_hash)) {
            return approval;
        }
    }
    /* promotion_load() leaves room for one. */
    return promotion->n_approvals < APPROVALS_MAX ? &promotion->approvals[promotion->n_approvals++]
                                                  : NULL;
}

static void accept(const struct decision *decision)
{
    const struct command_context *context = decision->context;
    struct promotion *promotion = decision->promotion;
    struct approval *slot = approval_slot(promotion, context->actor, &decision->plan_hash);

    if (slot == NULL) {
        (void)outcome_fail(decision->outcome, ERROR_TOO_LARGE,
                           "this promotion has %d decisions already: ask for a new one",
                           APPROVALS_MAX);
        return;
    }
    *slot = (struct approval){.actor = context->actor,
                              .comment = decision->comment,
                              .is_approval = decision->is_approval,
                              .plan_hash = decision->plan_hash,
                              .time_ms = context->time_ms};
    promotion->updated_ms = context->time_ms;
    if (!decision->is_approval) {
        promotion->state = PROMOTION_REJECTED;
        promotion->code = BYTES_LITERAL("REJECTED");
        promotion->text = decision->comment;
    }
    promotion_save(context->txn, promotion);
    audit_append(context, decision->is_approval ? "promotion.approved" : "promotion.rejected",
                 promotion->pipeline, promotion->id, decision_details(decision, ""));
    apply_answer(decision->outcome, promotion->id, OK, "", "", false);
}

static void decide(const struct decision *decision)
{
    const struct command_context *context = decision->context;
    struct promotion *promotion = decision->promotion;
    struct pipeline *pipeline = NULL;
    const struct stage *stage;
    struct reason why = {""};
    enum error error = policy_load(context->txn, promotion->pipeline, &pipeline, &why);

    if (error != OK) {
        (void)outcome_fail(decision->outcome, error, "%s", why.text);
        return;
    }
    stage = pipeline_stage(pipeline, promotion->to);
    if (stage == NULL) {
        (void)outcome_fail(decision->outcome, ERROR_CONFLICT,
                           "stage %.*s is not in the pipeline any more: cancel the promotion",
                           BYTES_ARG(promotion->to));
    } else if (gates_check_approver(context->txn, stage, promotion, context->actor,
                                    decision->is_approval, &why) != OK) {
        audit_append(context, "promotion.decision-refused", promotion->pipeline, promotion->id,
                     decision_details(decision, why.text));
        apply_answer(decision->outcome, promotion->id, ERROR_NOT_ELIGIBLE, "NOT_ELIGIBLE", why.text,
                     false);
    } else {
        accept(decision);
    }
    pipeline_release(pipeline);
}

void apply_promotion_decide(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome)
{
    struct promotion promotion;
    struct decision decision = {.context = context, .promotion = &promotion, .outcome = outcome};
    struct bytes id;

    unpack_array_of(body, 4);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    decision.is_approval = unpack_bool(body);
    decision.comment = unpack_string(body, PROMOTION_TEXT_MAX);
    unpack_digest(body, &decision.plan_hash);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "promotion.approve does not decode");
        return;
    }
    if (!apply_load_open(context, id, &promotion, outcome)) {
        return;
    }
    if (digest_equal(&decision.plan_hash, &promotion.plan_hash)) {
        decide(&decision);
    } else {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "the plan of promotion %.*s changed since you looked at it: look again, "
                           "then decide",
                           BYTES_ARG(id));
    }
    promotion_release(&promotion);
}

static bool may_cancel(const struct command_context *context, const struct promotion *promotion)
{
    struct user_record user;
    size_t i;

    if (bytes_equal(context->actor, promotion->requester)) {
        return true;
    }
    if (catalog_user(context->txn, context->actor, &user) != OK) {
        return false;
    }
    for (i = 0; i < promotion->n_items; i++) {
        if ((user_actions(&user, promotion->items[i].target) & (ACTION_APPROVE | ACTION_ADMIN)) ==
            0) {
            return false;
        }
    }
    return true;
}

void apply_promotion_cancel(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome)
{
    struct promotion promotion;
    struct bytes id, reason;

    unpack_array_of(body, 2);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    reason = unpack_string(body, PROMOTION_TEXT_MAX);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "promotion.cancel does not decode");
        return;
    }
    if (!apply_load_open(context, id, &promotion, outcome)) {
        return;
    }
    if (may_cancel(context, &promotion)) {
        json_t *text = json_stringn((const char *)reason.data, reason.size);

        promotion.state = PROMOTION_CANCELLED;
        promotion.code = BYTES_LITERAL("CANCELLED");
        promotion.text = reason;
        promotion.updated_ms = context->time_ms;
        promotion_save(context->txn, &promotion);
        audit_append(context, "promotion.cancelled", promotion.pipeline, promotion.id,
                     json_pack("{s:o}", "reason", text != NULL ? text : json_null()));
        apply_answer(outcome, promotion.id, OK, "", "", false);
    } else {
        (void)outcome_fail(outcome, ERROR_NOT_ELIGIBLE,
                           "%.*s may not cancel this: it takes who asked for it, or somebody who "
                           "may approve in the target",
                           BYTES_ARG(context->actor));
    }
    promotion_release(&promotion);
}
