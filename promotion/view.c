#include "promotion/view.h"

#include "base/clock.h"
#include "promotion/override.h"

#include <stdio.h>

json_t *view_text(struct bytes text)
{
    json_t *value = json_stringn(text.size > 0 ? (const char *)text.data : "", text.size);

    return value != NULL ? value : json_null();
}

json_t *view_time(uint64_t ms)
{
    char text[CLOCK_TEXT_MAX];

    clock_format(ms, text);
    return json_string(text);
}

json_t *view_digest(const struct digest *digest)
{
    char text[DIGEST_TEXT_MAX];

    if (digest->algorithm == 0) {
        return json_null();
    }
    digest_format(digest, text);
    return json_string(text);
}

static json_t *view_item(const struct promotion_item *item)
{
    json_t *tags = json_array();
    size_t i;

    for (i = 0; i < item->n_tags; i++) {
        json_array_append_new(tags, json_pack("{s:o, s:o}", "name", view_text(item->tags[i].name),
                                              "expect", view_digest(&item->tags[i].expect)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "repo", view_text(item->source),
                     "target", view_text(item->target), "digest", view_digest(&item->root),
                     "closure_hash", view_digest(&item->closure_hash), "digests",
                     (json_int_t)item->closure_n, "bytes", (json_int_t)item->closure_bytes, "tags",
                     tags);
}

static json_t *view_approval(const struct promotion *promotion, const struct approval *approval)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:b}", "actor", view_text(approval->actor),
                     "decision", approval->is_approval ? "approve" : "reject", "comment",
                     view_text(approval->comment), "plan_hash", view_digest(&approval->plan_hash),
                     "time", view_time(approval->time_ms), "is_for_this_plan",
                     digest_equal(&approval->plan_hash, &promotion->plan_hash));
}

static json_t *view_override(const struct promotion *promotion, const struct override *override)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "actor", view_text(override->actor),
                     "gates", view_text(override->gates), "reason", view_text(override->reason),
                     "plan_hash", view_digest(&override->plan_hash), "time",
                     view_time(override->time_ms), "until", view_time(override->until_ms),
                     "is_for_this_plan", digest_equal(&override->plan_hash, &promotion->plan_hash));
}

/* What a commit moved: {"prod/shop/web:stable": {"from", "to"}}. */
static json_t *view_moved(const struct promotion *promotion)
{
    json_t *moved = json_object();
    size_t i, k;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        for (k = 0; k < item->n_tags; k++) {
            char name[NAME_MAX_SIZE + TAG_MAX_SIZE + 2];

            snprintf(name, sizeof name, "%.*s:%.*s", BYTES_ARG(item->target),
                     BYTES_ARG(item->tags[k].name));
            json_object_set_new(moved, name,
                                json_pack("{s:o, s:o}", "from", view_digest(&item->tags[k].expect),
                                          "to", view_digest(&item->root)));
        }
    }
    return moved;
}

json_t *view_gates(const struct evaluation *evaluation)
{
    json_t *gates = json_array();
    size_t i;

    for (i = 0; i < evaluation->n_gates; i++) {
        const struct gate_outcome *gate = &evaluation->gates[i];
        json_t *value = json_pack("{s:s, s:s, s:s, s:o}", "id", gate->id, "type", gate->type,
                                  "result", gate_result_name(gate->result), "detail",
                                  view_text(bytes_of_string(gate->text)));

        if (gate->result != GATE_PASS) {
            json_object_set_new(value, "code", json_string(gate->code));
        }
        if (gate->result != GATE_PASS && gate->result != GATE_OVERRIDDEN) {
            json_object_set_new(value, "fix", view_text(bytes_of_string(gate->next)));
        }
        if (gate->ready_ms != 0) {
            json_object_set_new(value, "ready_at", view_time(gate->ready_ms));
        }
        json_array_append_new(gates, value);
    }
    return gates;
}

/* What they said at the commit. */
static json_t *view_kept_gates(const struct promotion *promotion)
{
    json_t *gates = json_loadb((const char *)promotion->gates.data, promotion->gates.size, 0, NULL);

    return gates != NULL ? gates : json_array();
}

const char *view_state(const struct promotion *promotion, const struct evaluation *evaluation)
{
    return promotion->state == PROMOTION_OPEN && evaluation != NULL
               ? verdict_name(evaluation->verdict)
               : promotion_state_name(promotion->state);
}

void view_summary(const struct promotion *promotion, const struct evaluation *evaluation,
                  struct reason *out)
{
    size_t i;

    if (promotion->state == PROMOTION_COMMITTED) {
        snprintf(out->text, sizeof out->text, "committed as revision %llu of stage %.*s",
                 (unsigned long long)promotion->stage_revision, BYTES_ARG(promotion->to));
        return;
    }
    if (promotion->state != PROMOTION_OPEN || evaluation == NULL) {
        struct bytes text = bytes_slice(promotion->text, 0, 300);

        snprintf(out->text, sizeof out->text, "%s%s%.*s", promotion_state_name(promotion->state),
                 text.size > 0 ? ": " : "", BYTES_ARG(text));
        return;
    }
    for (i = 0; i < evaluation->n_gates; i++) {
        const struct gate_outcome *gate = &evaluation->gates[i];

        if (!gate_result_passes(gate->result) && strcmp(gate->code, evaluation->code) == 0) {
            snprintf(out->text, sizeof out->text, "gate %.64s: %.220s; %.200s", gate->id,
                     gate->text, gate->next);
            return;
        }
    }
    snprintf(out->text, sizeof out->text, "every gate passes; it is committed in a moment");
}

json_t *view_promotion(const struct promotion *promotion, const struct evaluation *evaluation)
{
    json_t *items = json_array(), *approvals = json_array(), *overrides = json_array(), *value;
    struct reason summary = {""};
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        json_array_append_new(items, view_item(&promotion->items[i]));
    }
    for (i = 0; i < promotion->n_approvals; i++) {
        json_array_append_new(approvals, view_approval(promotion, &promotion->approvals[i]));
    }
    for (i = 0; i < promotion->n_overrides; i++) {
        json_array_append_new(overrides, view_override(promotion, &promotion->overrides[i]));
    }
    view_summary(promotion, evaluation, &summary);
    value = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "id", view_text(promotion->id), "pipeline", view_text(promotion->pipeline), "from",
        view_text(promotion->from), "to", view_text(promotion->to), "kind",
        view_text(promotion->kind), "state", view_state(promotion, evaluation), "code",
        view_text(promotion->code), "summary", view_text(bytes_of_string(summary.text)),
        "requester", view_text(promotion->requester), "reason", view_text(promotion->reason),
        "created", view_time(promotion->created_ms), "updated", view_time(promotion->updated_ms),
        "plan_hash", view_digest(&promotion->plan_hash), "policy_revision",
        view_digest(&promotion->policy_revision), "items", items, "approvals", approvals,
        "overrides", overrides);
    if (evaluation != NULL && promotion->state == PROMOTION_OPEN) {
        json_object_set_new(value, "gates", view_gates(evaluation));
    }
    if (promotion->state == PROMOTION_COMMITTED) {
        json_object_set_new(value, "revision", json_integer((json_int_t)promotion->stage_revision));
        json_object_set_new(value, "raft_index", json_integer((json_int_t)promotion->commit_index));
        json_object_set_new(value, "committed", view_time(promotion->committed_ms));
        json_object_set_new(value, "committer", view_text(promotion->committer));
        json_object_set_new(value, "moved", view_moved(promotion));
        json_object_set_new(value, "gates", view_kept_gates(promotion));
    }
    return value;
}
