#include "base/assert.h"
#include "base/failpoint.h"
#include "promotion/apply.h"
#include "promotion/attachment.h"
#include "promotion/audit.h"
#include "promotion/evaluate.h"
#include "promotion/view.h"

#include <stdio.h>
#include <stdlib.h>

/* promotion.commit: [id]. The one command that changes repositories which people may not write to.
 * It believes nothing that was found before: the plan is made again from the state of this entry,
 * the closure and the policy must give the same plan hash, each tag must be what the plan expects,
 * the gates are decided at the entry's time. Then all items are linked and tagged, or none. */

/* Everything that belongs to the item, then the tags that make it visible. */
static void link_item(const struct command_context *context, const struct promotion_item *item)
{
    size_t i;

    for (i = 0; i < item->closure.n; i++) {
        const struct closure_entry *entry = &item->closure.entries[i];

        if ((entry->roles & CLOSURE_MANIFEST) != 0) {
            catalog_force_manifest(context->txn, item->target, &entry->digest, context,
                                   item->source);
        }
        if ((entry->roles & (CLOSURE_CONFIG | CLOSURE_LAYER)) != 0) {
            catalog_force_link(context->txn, item->target, &entry->digest, context->time_ms);
        }
    }
    for (i = 0; i < item->closure.n_tags; i++) {
        const struct closure_tag *tag = &item->closure.tags[i];
        struct bytes name = bytes_of_string(tag->name);

        if (attachment_decide(context->txn, item->source, item->target, name, &tag->digest) ==
            ATTACHMENT_SET) {
            catalog_force_tag(context->txn, item->target, name, &tag->digest, context);
        }
    }
    for (i = 0; i < item->n_tags; i++) {
        catalog_force_tag(context->txn, item->target, item->tags[i].name, &item->root, context);
    }
}

/* What the gates said, for the record; those that people passed by, for the audit trail. */
static char *keep_gates(const struct command_context *context, struct promotion *promotion,
                        const struct evaluation *evaluation)
{
    json_t *gates = view_gates(evaluation), *gate;
    char *text = json_dumps(gates, JSON_COMPACT | JSON_SORT_KEYS);
    size_t i;

    CHECK(text != NULL);
    json_array_foreach(gates, i, gate)
    {
        if (evaluation->gates[i].result == GATE_OVERRIDDEN) {
            audit_append(context, "override.used", promotion->pipeline, promotion->id,
                         json_incref(gate));
        }
    }
    json_decref(gates);
    promotion->gates = bytes_of_string(text);
    return text;
}

static void commit(const struct command_context *context, struct promotion *promotion,
                   const struct evaluation *evaluation, struct outcome *outcome)
{
    struct command_context acting = *context;
    json_t *details;
    char *gates;
    size_t i;

    acting.promotion = promotion->id;
    for (i = 0; i < promotion->n_items; i++) {
        link_item(&acting, &promotion->items[i]);
    }
    promotion->state = PROMOTION_COMMITTED;
    promotion->code = promotion->text = BYTES_LITERAL("");
    promotion->stage_revision = promotion_stage_advance(context->txn, promotion);
    promotion->commit_index = context->index;
    promotion->committed_ms = promotion->updated_ms = context->time_ms;
    promotion->committer = context->actor;
    gates = keep_gates(context, promotion, evaluation);
    FAILPOINT("promotion.before_save");
    promotion_save(context->txn, promotion);
    FAILPOINT("promotion.after_save");
    promotion->gates = BYTES_NONE;
    free(gates);
    details = apply_plan_details(promotion);
    json_object_set_new(details, "revision", json_integer((json_int_t)promotion->stage_revision));
    audit_append(context, "promotion.committed", promotion->pipeline, promotion->id, details);
    apply_answer(outcome, promotion->id, OK, "", "", false);
}

static const struct gate_outcome *refusing_gate(const struct evaluation *evaluation)
{
    size_t i;

    for (i = 0; i < evaluation->n_gates; i++) {
        if (!gate_result_passes(evaluation->gates[i].result) &&
            strcmp(evaluation->gates[i].code, evaluation->code) == 0) {
            return &evaluation->gates[i];
        }
    }
    return NULL;
}

/* Keep the refusal. The audit trail has it once, however often the commit is tried for the same
 * reason. */
static void refuse(const struct command_context *context, struct promotion *promotion,
                   const struct evaluation *evaluation, const char *kind, enum error status,
                   struct outcome *outcome)
{
    const struct gate_outcome *gate = refusing_gate(evaluation);
    const char *text = gate != NULL ? gate->text : "";
    const char *id = gate != NULL ? gate->id : "";
    bool is_news = promotion->state != PROMOTION_OPEN ||
                   !bytes_equal_string(promotion->code, evaluation->code);

    promotion->code = bytes_of_string(evaluation->code);
    promotion->text = bytes_of_string(text);
    promotion->updated_ms = context->time_ms;
    if (is_news || evaluation->verdict == VERDICT_CHANGED) {
        char plan[DIGEST_TEXT_MAX];

        digest_format(&promotion->plan_hash, plan);
        promotion_save(context->txn, promotion);
        audit_append(context, kind, promotion->pipeline, promotion->id,
                     json_pack("{s:s, s:s, s:s, s:s}", "gate", id, "code", evaluation->code, "text",
                               text, "plan_hash", plan));
    }
    /* The evaluation ends before the promotion does. */
    promotion->code = promotion->text = BYTES_NONE;
    apply_answer(outcome, promotion->id, status, evaluation->code, text, false);
}

/* A refusal keeps the plan that is stored: what was planned here may be incomplete. */
static void refuse_by_gate(const struct command_context *context, struct bytes id,
                           const struct evaluation *evaluation, struct outcome *outcome)
{
    struct promotion promotion;

    if (apply_load_open(context, id, &promotion, outcome)) {
        refuse(context, &promotion, evaluation, "promotion.refused", ERROR_GATE, outcome);
        promotion_release(&promotion);
    }
}

static void commit_open(const struct command_context *context, struct promotion *promotion,
                        struct outcome *outcome)
{
    struct evaluation evaluation;

    evaluate_stored(context->txn, promotion, context->time_ms, &evaluation);
    switch (evaluation.verdict) {
    case VERDICT_READY:
        commit(context, promotion, &evaluation, outcome);
        break;
    case VERDICT_CHANGED:
        promotion->plans++;
        refuse(context, promotion, &evaluation, "promotion.replanned", ERROR_CONFLICT, outcome);
        break;
    case VERDICT_MOVED:
        promotion->state = PROMOTION_SUPERSEDED;
        refuse(context, promotion, &evaluation, "promotion.superseded", ERROR_CONFLICT, outcome);
        break;
    case VERDICT_WAITING:
    case VERDICT_APPROVAL:
    case VERDICT_BLOCKED:
    case VERDICT_CLOSED:
        refuse_by_gate(context, promotion->id, &evaluation, outcome);
        break;
    }
}

void apply_promotion_commit(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome)
{
    struct promotion promotion;
    struct bytes id;

    unpack_array_of(body, 1);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "promotion.commit does not decode");
        return;
    }
    if (promotion_load(context->txn, id, &promotion) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no promotion with this id");
        return;
    }
    if (promotion.state == PROMOTION_COMMITTED) {
        apply_answer(outcome, promotion.id, OK, "", "", true);
    } else if (promotion.state != PROMOTION_OPEN) {
        char code[PROMOTION_TEXT_MAX + 1], text[PROMOTION_TEXT_MAX + 1];

        snprintf(code, sizeof code, "%.*s", BYTES_ARG(promotion.code));
        snprintf(text, sizeof text, "%.*s", BYTES_ARG(promotion.text));
        apply_answer(outcome, promotion.id, ERROR_CONFLICT, code, text, true);
    } else {
        commit_open(context, &promotion, outcome);
    }
    promotion_release(&promotion);
}
