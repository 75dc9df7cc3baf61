#include "promotion/override.h"

#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/policy.h"

#include <stdio.h>

/* promotion.override: [id, gates, reason, time to live, plan hash]. */

#define TTL_DEFAULT_MS ((uint64_t)3600 * 1000)
#define GATES_TEXT_MAX ((size_t)GATES_MAX * (PIPELINE_NAME_MAX + 1))

/* --- the document ----------------------------------------------------------------------------- */

static enum error check_people(const struct people_rule *people, const char *place,
                               struct reason *why)
{
    if (people->users == NULL) {
        return fail(why, ERROR_INVALID,
                    "%s: say who may: a group, or a list of users, of whom \"min\" have to agree",
                    place);
    }
    if (people->min < 2) {
        return fail(why, ERROR_INVALID, "%s: min must be 2 or more: nobody overrides alone", place);
    }
    return OK;
}

enum error override_parse(const json_t *object, const json_t *groups, struct stage *out,
                          struct reason *why)
{
    static const char *const allowed[] = {"group", "users", "min", "ttl", NULL};
    char place[PIPELINE_NAME_MAX + 32];
    enum error error;

    if (object == NULL) {
        return OK;
    }
    snprintf(place, sizeof place, "stage %s, override", out->name);
    out->override_ms = TTL_DEFAULT_MS;
    error = document_check_members(object, place, allowed, NULL, why);
    if (error == OK) {
        error = people_parse(object, place, groups, &out->override, why);
    }
    if (error == OK) {
        error = check_people(&out->override, place, why);
    }
    if (error == OK) {
        error = document_duration(object, place, "ttl", &out->override_ms, why);
        error = error == ERROR_NOT_FOUND ? OK : error;
    }
    if (error == OK && (out->override_ms == 0 || out->override_ms > OVERRIDE_TTL_MAX_MS)) {
        error =
            fail(why, ERROR_INVALID, "%s: ttl must be more than nothing and at most 24h", place);
    }
    return error;
}

/* --- deciding --------------------------------------------------------------------------------- */

/* The next id of a list that is joined by commas; false at its end. */
static bool next_gate(struct bytes *rest, struct bytes *id)
{
    ptrdiff_t comma = bytes_find(*rest, ',');
    size_t size = comma < 0 ? rest->size : (size_t)comma;

    *id = bytes_slice(*rest, 0, size);
    *rest = bytes_slice(*rest, comma < 0 ? size : size + 1, rest->size);
    return id->size > 0;
}

static bool names_gate(struct bytes gates, const char *wanted)
{
    struct bytes id;

    while (next_gate(&gates, &id)) {
        if (bytes_equal_string(id, wanted)) {
            return true;
        }
    }
    return false;
}

/* One person has one word on a plan (override_slot()), so that words are people. */
static bool override_counts(struct catalog_txn *txn, const struct stage *stage,
                            const struct promotion *promotion, const struct override *override,
                            uint64_t now_ms)
{
    return digest_equal(&override->plan_hash, &promotion->plan_hash) &&
           now_ms < override->until_ms && people_have(&stage->override, override->actor) &&
           gates_may_approve(txn, promotion, override->actor);
}

void override_decide(struct catalog_txn *txn, const struct stage *stage, const struct gate *gate,
                     const struct promotion *promotion, uint64_t now_ms, struct gate_outcome *out)
{
    char by[160] = "", said[sizeof out->text];
    size_t used = 0, i;
    unsigned n = 0;

    if (gate_result_passes(out->result) || gate->is_mandatory || stage->override.min == 0) {
        return;
    }
    for (i = 0; i < promotion->n_overrides; i++) {
        const struct override *override = &promotion->overrides[i];

        if (names_gate(override->gates, gate->id) &&
            override_counts(txn, stage, promotion, override, now_ms)) {
            if (used < sizeof by) {
                used += (size_t)snprintf(by + used, sizeof by - used, "%s%.*s", n > 0 ? ", " : "",
                                         BYTES_ARG(override->actor));
            }
            n++;
        }
    }
    memcpy(said, out->text, sizeof said);
    if (n >= stage->override.min) {
        out->result = GATE_OVERRIDDEN;
        snprintf(out->text, sizeof out->text, "overridden by %s: %.160s", by, said);
    } else if (n > 0) {
        snprintf(out->text, sizeof out->text, "%.160s; %u of %u people override it: %s", said, n,
                 stage->override.min, by);
    }
}

/* --- the command ------------------------------------------------------------------------------ */

void command_promotion_override(struct buffer *out, const struct command_id *id, struct bytes actor,
                                struct bytes promotion, struct bytes gates, struct bytes reason,
                                uint64_t ttl_ms, const struct digest *plan_hash)
{
    command_begin(out, COMMAND_PROMOTION_OVERRIDE, id, actor);
    pack_array(out, 5);
    pack_string(out, promotion);
    pack_string(out, gates);
    pack_string(out, reason);
    pack_uint(out, ttl_ms);
    pack_digest(out, plan_hash);
}

static const struct gate *find_gate(const struct stage *stage, struct bytes id)
{
    size_t i;

    for (i = 0; i < stage->n_gates; i++) {
        if (bytes_equal_string(id, stage->gates[i].id)) {
            return &stage->gates[i];
        }
    }
    return NULL;
}

static enum error check_gates(const struct stage *stage, struct bytes gates, struct reason *why)
{
    struct bytes id;

    while (next_gate(&gates, &id)) {
        const struct gate *gate = find_gate(stage, id);

        if (gate == NULL) {
            return fail(why, ERROR_NOT_ELIGIBLE,
                        "stage %s has no gate \"%.*s\"; what is always checked (tags, copies, "
                        "freezes, quarantines) cannot be overridden",
                        stage->name, id.size > 64 ? 64 : (int)id.size, (const char *)id.data);
        }
        if (gate->is_mandatory) {
            return fail(why, ERROR_NOT_ELIGIBLE,
                        "gate %s of stage %s is mandatory: nobody overrides it", gate->id,
                        stage->name);
        }
    }
    return OK;
}

/* May the actor, by the rules of now? */
static enum error check_actor(struct catalog_txn *txn, const struct stage *stage,
                              const struct promotion *promotion, struct bytes actor,
                              struct reason *why)
{
    char people[160];

    if (stage->override.min == 0) {
        return fail(why, ERROR_NOT_ELIGIBLE,
                    "the pipeline lets nobody override gates of stage %s: see \"override\" in "
                    "its document",
                    stage->name);
    }
    people_describe(&stage->override, people, sizeof people);
    if (!people_have(&stage->override, actor)) {
        return fail(why, ERROR_NOT_ELIGIBLE, "%.*s may not override gates of stage %s: %s may",
                    BYTES_ARG(actor), stage->name, people);
    }
    if (!gates_may_approve(txn, promotion, actor)) {
        return fail(why, ERROR_NOT_ELIGIBLE,
                    "%.*s may not override gates of stage %s: it also takes the action approve on "
                    "every target repository",
                    BYTES_ARG(actor), stage->name);
    }
    return OK;
}

static json_t *override_details(const struct override *override, const char *text)
{
    char plan[DIGEST_TEXT_MAX];
    json_t *gates = json_stringn((const char *) override->gates.data, override->gates.size);
    json_t *reason = json_stringn((const char *) override->reason.data, override->reason.size);

    digest_format(&override->plan_hash, plan);
    return json_pack("{s:o, s:o, s:s, s:I, s:s}", "gates", gates != NULL ? gates : json_null(),
                     "reason", reason != NULL ? reason : json_null(), "plan_hash", plan, "until_ms",
                     (json_int_t) override->until_ms, "text", text);
}

/* One word per person and plan: a later one replaces the earlier. NULL: no more room. */
static struct override *override_slot(struct promotion *promotion, const struct override *override)
{
    size_t i;

    for (i = 0; i < promotion->n_overrides; i++) {
        if (bytes_equal(promotion->overrides[i].actor, override->actor) &&
            digest_equal(&promotion->overrides[i].plan_hash, &override->plan_hash)) {
            return &promotion->overrides[i];
        }
    }
    /* promotion_load() leaves room for one. */
    return promotion->n_overrides < OVERRIDES_MAX ? &promotion->overrides[promotion->n_overrides++]
                                                  : NULL;
}

static void keep(const struct command_context *context, struct promotion *promotion,
                 const struct override *override, struct outcome *outcome)
{
    struct override *slot = override_slot(promotion, override);

    if (slot == NULL) {
        (void)outcome_fail(outcome, ERROR_TOO_LARGE,
                           "this promotion has %d overrides already: ask for a new one",
                           OVERRIDES_MAX);
        return;
    }
    *slot = *override;
    promotion->updated_ms = context->time_ms;
    promotion_save(context->txn, promotion);
    audit_append(context, "override.given", promotion->pipeline, promotion->id,
                 override_details(override, ""));
    apply_answer(outcome, promotion->id, OK, "", "", false);
}

static void give(const struct command_context *context, struct promotion *promotion,
                 struct override *override, uint64_t ttl_ms, struct outcome *outcome)
{
    struct pipeline *pipeline = NULL;
    const struct stage *stage;
    struct reason why = {""};
    enum error error = policy_load(context->txn, promotion->pipeline, &pipeline, &why);

    if (error != OK) {
        (void)outcome_fail(outcome, error, "%s", why.text);
        return;
    }
    stage = pipeline_stage(pipeline, promotion->to);
    if (stage == NULL) {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "stage %.*s is not in the pipeline any more: cancel the promotion",
                           BYTES_ARG(promotion->to));
        pipeline_release(pipeline);
        return;
    }
    override->until_ms = context->time_ms +
                         (ttl_ms == 0 || ttl_ms > stage->override_ms ? stage->override_ms : ttl_ms);
    error = check_actor(context->txn, stage, promotion, context->actor, &why);
    if (error == OK) {
        error = check_gates(stage, override->gates, &why);
    }
    if (error == OK) {
        keep(context, promotion, override, outcome);
    } else {
        audit_append(context, "override.refused", promotion->pipeline, promotion->id,
                     override_details(override, why.text));
        apply_answer(outcome, promotion->id, ERROR_NOT_ELIGIBLE, "NOT_ELIGIBLE", why.text, false);
    }
    pipeline_release(pipeline);
}

void apply_promotion_override(const struct command_context *context, struct unpacker *body,
                              struct outcome *outcome)
{
    struct override override = {.actor = context->actor, .time_ms = context->time_ms};
    struct promotion promotion;
    struct bytes id;
    uint64_t ttl_ms;

    unpack_array_of(body, 5);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    override.gates = unpack_string(body, GATES_TEXT_MAX);
    override.reason = unpack_string(body, PROMOTION_TEXT_MAX);
    ttl_ms = unpack_uint(body);
    unpack_digest(body, &override.plan_hash);
    if (unpack_end(body) != OK || override.gates.size == 0 || override.reason.size == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "an override names the gates, and says why in its reason");
        return;
    }
    if (!apply_load_open(context, id, &promotion, outcome)) {
        return;
    }
    if (digest_equal(&override.plan_hash, &promotion.plan_hash)) {
        give(context, &promotion, &override, ttl_ms, outcome);
    } else {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "the plan of promotion %.*s changed since you looked at it: look again, "
                           "then decide",
                           BYTES_ARG(id));
    }
    promotion_release(&promotion);
}
