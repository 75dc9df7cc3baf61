#include "promotion/evaluate.h"

#include "base/assert.h"
#include "promotion/attachment.h"
#include "promotion/holds.h"
#include "promotion/override.h"
#include "promotion/policy.h"
#include "promotion/stage_tags.h"

#include <stdio.h>

const char *verdict_name(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_READY:
        return "ready";
    case VERDICT_WAITING:
    case VERDICT_CHANGED:
        return "evaluating";
    case VERDICT_APPROVAL:
        return "awaiting_approval";
    case VERDICT_BLOCKED:
        return "blocked";
    case VERDICT_MOVED:
        return "superseded";
    case VERDICT_CLOSED:
        return "closed";
    }
    IMPOSSIBLE("no such verdict");
}

static struct gate_outcome *add_outcome(struct evaluation *evaluation, const char *name)
{
    struct gate_outcome *outcome;

    CHECK(evaluation->n_gates < EVALUATION_GATES_MAX);
    outcome = &evaluation->gates[evaluation->n_gates++];
    *outcome = (struct gate_outcome){.type = name, .result = GATE_PASS, .code = ""};
    snprintf(outcome->id, sizeof outcome->id, "%s", name);
    return outcome;
}

/* Compare and set: each tag of the target must be what the plan expects. */
static void check_tags(struct catalog_txn *txn, const struct promotion *promotion,
                       struct evaluation *evaluation)
{
    struct gate_outcome *out = add_outcome(evaluation, "tags");
    char now[DIGEST_TEXT_MAX] = "absent", expected[DIGEST_TEXT_MAX] = "absent";
    size_t i, k, n = 0;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        for (k = 0; k < item->n_tags; k++, n++) {
            const struct promotion_tag *tag = &item->tags[k];
            struct tag_record record = {0};
            bool is_there = catalog_tag(txn, item->target, tag->name, &record) == OK;

            if (is_there ? digest_equal(&record.digest, &tag->expect)
                         : tag->expect.algorithm == 0) {
                continue;
            }
            if (is_there) {
                digest_format(&record.digest, now);
            }
            if (tag->expect.algorithm != 0) {
                digest_format(&tag->expect, expected);
            }
            out->result = GATE_FAIL;
            out->code = "TAG_MOVED";
            snprintf(out->text, sizeof out->text, "%.*s:%.*s is %.19s now, not %.19s as planned",
                     BYTES_ARG(item->target), BYTES_ARG(tag->name), now, expected);
            snprintf(
                out->next, sizeof out->next,
                "look at what is there now, and ask for a new promotion if it is still wanted");
            evaluation->verdict = VERDICT_MOVED;
            return;
        }
    }
    snprintf(out->text, sizeof out->text, "%zu tags are as the plan expects", n);
}

/* The plan was made by these rules; this is for when they changed since, and for a version that was
 * set by somebody else. */
static void check_tag_rules(struct catalog_txn *txn, const struct stage *stage,
                            const struct promotion *promotion, struct evaluation *evaluation)
{
    struct gate_outcome *out;
    const char *code = "";
    struct reason why = {""};

    if (stage_tags_check(txn, stage, promotion, &code, &why) == OK) {
        return;
    }
    out = add_outcome(evaluation, "tag-rules");
    out->result = GATE_FAIL;
    out->code = code;
    snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, why.text);
    snprintf(out->next, sizeof out->next,
             "cancel this, and ask for a new promotion with another tag");
}

static void check_attachments(struct catalog_txn *txn, const struct promotion *promotion,
                              struct evaluation *evaluation)
{
    size_t i, k;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        for (k = 0; k < item->closure.n_tags; k++) {
            const struct closure_tag *tag = &item->closure.tags[k];
            struct gate_outcome *out;

            if (attachment_decide(txn, item->source, item->target, bytes_of_string(tag->name),
                                  &tag->digest) != ATTACHMENT_CONFLICT) {
                continue;
            }
            out = add_outcome(evaluation, "attachments");
            out->result = GATE_FAIL;
            out->code = "ATTACHMENT_CONFLICT";
            snprintf(out->text, sizeof out->text,
                     "%.*s and %.*s each have attachments under %s that the other lacks",
                     BYTES_ARG(item->source), BYTES_ARG(item->target), tag->name);
            snprintf(out->next, sizeof out->next,
                     "attach in %.*s what is missing there, so that nothing would be lost",
                     BYTES_ARG(item->source));
            return;
        }
    }
}

/* Freezes and quarantines: no gate and no mode passes one. */
static void check_holds(struct catalog_txn *txn, const struct promotion *promotion, uint64_t now_ms,
                        struct evaluation *evaluation)
{
    struct gate_outcome *out;
    struct hold hold;

    if (!hold_find(txn, promotion, now_ms, &hold)) {
        return;
    }
    out = add_outcome(evaluation, hold_kind_name(hold.kind));
    out->result = GATE_FAIL;
    out->code = hold.kind == HOLD_FREEZE ? "FROZEN" : "QUARANTINED";
    out->ready_ms = hold.until_ms;
    snprintf(out->text, sizeof out->text, "%s by %.*s: %.*s",
             hold.kind == HOLD_FREEZE ? "frozen" : "a digest of it is quarantined",
             BYTES_ARG(hold.actor), hold.reason.size > 200 ? 200 : (int)hold.reason.size,
             (const char *)hold.reason.data);
    snprintf(out->next, sizeof out->next, "%s: caisson %s lift %.*s",
             hold.until_ms != 0 ? "wait for its end, or somebody who may lifts it"
                                : "somebody who may lifts it",
             hold_kind_name(hold.kind), BYTES_ARG(hold.id));
}

static bool count_member(void *data, const struct member_record *member)
{
    (void)member;
    (*(size_t *)data)++;
    return true;
}

/* Metadata must not go ahead of the bytes: two copies of everything, or as many as there are
 * members. */
static void check_replicas(struct catalog_txn *txn, const struct promotion *promotion,
                           struct evaluation *evaluation)
{
    struct gate_outcome *out = add_outcome(evaluation, "replicated");
    size_t members = 0, wanted, fewest = SIZE_MAX, lacking = 0, n = 0, i, k;
    char digest[DIGEST_TEXT_MAX] = "";

    catalog_members(txn, count_member, &members);
    wanted = members < 2 ? members : 2;
    for (i = 0; i < promotion->n_items; i++) {
        const struct closure *closure = &promotion->items[i].closure;

        for (k = 0; k < closure->n; k++, n++) {
            uint64_t holders[HOLDERS_MAX];
            struct blob_record blob;
            size_t copies = catalog_blob(txn, &closure->entries[k].digest, &blob) == OK
                                ? catalog_live_holders(txn, &blob, holders)
                                : 0;

            fewest = copies < fewest ? copies : fewest;
            if (copies < wanted) {
                lacking++;
                digest_format(&closure->entries[k].digest, digest);
            }
        }
    }
    if (lacking == 0) {
        snprintf(out->text, sizeof out->text,
                 "%zu digests, each on %zu nodes or more (wanted: %zu)", n, fewest, wanted);
        return;
    }
    out->result = GATE_PENDING;
    out->code = "REPLICAS_MISSING";
    snprintf(out->text, sizeof out->text, "%zu of %zu digests are on fewer than %zu nodes: %.19s",
             lacking, n, wanted, digest);
    snprintf(out->next, sizeof out->next,
             "it is copied by itself as soon as enough nodes are up; see `caisson cluster status`");
}

/* The first that says no, else the first that waits; a plan that changed comes before all of them,
 * since the rest was decided about another plan. */
static const char *deciding_code(const struct evaluation *evaluation)
{
    const char *code = "";
    size_t i;

    for (i = 0; i < evaluation->n_gates; i++) {
        const struct gate_outcome *gate = &evaluation->gates[i];

        if (gate->result == GATE_FAIL) {
            return gate->code;
        }
        if (gate->result == GATE_PENDING && code[0] == '\0') {
            code = gate->code;
        }
        if (evaluation->verdict == VERDICT_CHANGED && code[0] != '\0') {
            break;
        }
    }
    return code;
}

static void conclude(struct evaluation *evaluation)
{
    bool is_blocked = false, is_waiting = false, is_approval = false;
    size_t i;

    for (i = 0; i < evaluation->n_gates; i++) {
        const struct gate_outcome *gate = &evaluation->gates[i];

        is_blocked = is_blocked || gate->result == GATE_FAIL;
        is_approval = is_approval || (gate->result == GATE_PENDING && gate->is_for_people);
        is_waiting = is_waiting || gate->result == GATE_PENDING;
    }
    evaluation->code = deciding_code(evaluation);
    if (evaluation->verdict == VERDICT_READY) {
        evaluation->verdict = is_blocked    ? VERDICT_BLOCKED
                              : is_approval ? VERDICT_APPROVAL
                              : is_waiting  ? VERDICT_WAITING
                                            : VERDICT_READY;
    }
}

static void run_checks(struct catalog_txn *txn, const struct pipeline *pipeline,
                       const struct promotion *promotion, uint64_t now_ms,
                       struct evaluation *evaluation)
{
    const struct stage *stage = pipeline_stage(pipeline, promotion->to);
    size_t i;

    PRE(stage != NULL);
    check_tags(txn, promotion, evaluation);
    check_tag_rules(txn, stage, promotion, evaluation);
    check_attachments(txn, promotion, evaluation);
    check_replicas(txn, promotion, evaluation);
    check_holds(txn, promotion, now_ms, evaluation);
    for (i = 0; i < stage->n_gates; i++) {
        if (!gate_applies(stage, &stage->gates[i], promotion)) {
            continue;
        }
        CHECK(evaluation->n_gates < EVALUATION_GATES_MAX);
        gate_decide(txn, stage, &stage->gates[i], promotion, now_ms,
                    &evaluation->gates[evaluation->n_gates]);
        override_decide(txn, stage, &stage->gates[i], promotion, now_ms,
                        &evaluation->gates[evaluation->n_gates++]);
    }
}

void evaluate_planned(struct catalog_txn *txn, const struct pipeline *pipeline,
                      const struct promotion *promotion, uint64_t now_ms, struct evaluation *out)
{
    out->verdict = VERDICT_READY;
    out->n_gates = 0;
    run_checks(txn, pipeline, promotion, now_ms, out);
    conclude(out);
}

static void plan_outcome(struct evaluation *evaluation, enum gate_result result, const char *code,
                         const char *text, const char *next)
{
    struct gate_outcome *out = add_outcome(evaluation, "plan");

    out->result = result;
    out->code = code;
    snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, text);
    snprintf(out->next, sizeof out->next, "%s", next);
}

/* What changed since the plan that approvals were given to. */
static void compare_plans(const struct promotion *now, const struct digest *plan_hash,
                          const struct digest *policy, struct evaluation *out)
{
    if (digest_equal(&now->plan_hash, plan_hash)) {
        return;
    }
    out->verdict = VERDICT_CHANGED;
    if (!digest_equal(&now->policy_revision, policy)) {
        plan_outcome(out, GATE_PENDING, "POLICY_CHANGED",
                     "the pipeline was changed after this was planned",
                     "it is planned again by itself; approvals have to be given again");
    } else {
        plan_outcome(out, GATE_PENDING, "CLOSURE_CHANGED",
                     "something was attached to the image after this was planned",
                     "it is planned again by itself, with what came; approvals have to be given "
                     "again");
    }
}

void evaluate_stored(struct catalog_txn *txn, struct promotion *promotion, uint64_t now_ms,
                     struct evaluation *out)
{
    struct digest plan_hash = promotion->plan_hash, policy = promotion->policy_revision;
    struct pipeline *pipeline = NULL;
    struct reason why = {""};
    enum error error;

    *out = (struct evaluation){.verdict = VERDICT_READY, .code = ""};
    if (promotion->state != PROMOTION_OPEN) {
        out->verdict = VERDICT_CLOSED;
        return;
    }
    error = policy_load(txn, promotion->pipeline, &pipeline, &why);
    if (error == OK) {
        error = plan_again(txn, pipeline, promotion, &why);
    }
    if (error != OK) {
        plan_outcome(out, GATE_FAIL, "PLAN_IMPOSSIBLE", why.text,
                     "put it right, or cancel this promotion");
    } else {
        compare_plans(promotion, &plan_hash, &policy, out);
        run_checks(txn, pipeline, promotion, now_ms, out);
    }
    conclude(out);
    pipeline_release(pipeline);
}
