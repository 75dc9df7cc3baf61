#include "promotion/gate_kind.h"

#include "base/memory.h"
#include "promotion/people.h"

#include <stdio.h>

/* "approvals": so many distinct people of these groups said yes to this very plan. */

#define RULES_MAX 8

struct approvals_settings {
    struct people_rule rules[RULES_MAX];
    size_t n_rules;
    bool requester_may_approve;
    uint64_t expire_ms; /* 0: never. */
};

/* --- the document ----------------------------------------------------------------------------- */

static enum error rule_parse(const json_t *object, const char *gate_place, size_t number,
                             const json_t *groups, struct people_rule *out, struct reason *why)
{
    static const char *const allowed[] = {"group", "users", "min", NULL};
    char place[320];
    enum error error;

    snprintf(place, sizeof place, "%s, rule %zu", gate_place, number + 1);
    error = document_check_members(object, place, allowed, NULL, why);
    return error == OK ? people_parse(object, place, groups, out, why) : error;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct approvals_settings *out = gate->settings = memory_zero(sizeof *out);
    const json_t *rules = json_object_get(document->object, "rules");
    enum error error;

    if (!json_is_array(rules) || json_array_size(rules) == 0 ||
        json_array_size(rules) > RULES_MAX) {
        return fail(why, ERROR_INVALID,
                    "%s: rules must be a list of 1 to %d rules, such as [{\"min\": 2}]",
                    document->place, RULES_MAX);
    }
    error = document_bool(document->object, document->place, "requesterMayApprove",
                          &out->requester_may_approve, why);
    for (; out->n_rules < json_array_size(rules) && error == OK; out->n_rules++) {
        error = rule_parse(json_array_get(rules, out->n_rules), document->place, out->n_rules,
                           document->groups, &out->rules[out->n_rules], why);
    }
    if (error != OK) {
        return error;
    }
    error = document_duration(document->object, document->place, "expire", &out->expire_ms, why);
    return error == ERROR_NOT_FOUND ? OK : error;
}

/* --- deciding --------------------------------------------------------------------------------- */

bool gates_may_approve(struct catalog_txn *txn, const struct promotion *promotion,
                       struct bytes actor)
{
    struct user_record user;
    size_t i;

    if (catalog_user(txn, actor, &user) != OK) {
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

/* Does the approval count for the gate: given to this plan, fresh, by another person who may? */
static bool approval_counts(struct catalog_txn *txn, const struct approvals_settings *settings,
                            const struct promotion *promotion, const struct approval *approval,
                            uint64_t now_ms)
{
    if (!approval->is_approval || !digest_equal(&approval->plan_hash, &promotion->plan_hash)) {
        return false;
    }
    if (settings->expire_ms > 0 && approval->time_ms + settings->expire_ms <= now_ms) {
        return false;
    }
    if (!settings->requester_may_approve && bytes_equal(approval->actor, promotion->requester)) {
        return false;
    }
    return gates_may_approve(txn, promotion, approval->actor);
}

/* Distinct people: an approver's later word on the same plan does not count again. */
static bool is_repeated(const struct promotion *promotion, size_t number)
{
    const struct approval *approval = &promotion->approvals[number];
    size_t i;

    for (i = number + 1; i < promotion->n_approvals; i++) {
        if (promotion->approvals[i].is_approval &&
            bytes_equal(promotion->approvals[i].actor, approval->actor) &&
            digest_equal(&promotion->approvals[i].plan_hash, &approval->plan_hash)) {
            return true;
        }
    }
    return false;
}

static unsigned count_rule(struct catalog_txn *txn, const struct approvals_settings *settings,
                           const struct people_rule *rule, const struct promotion *promotion,
                           uint64_t now_ms)
{
    unsigned count = 0;
    size_t i;

    for (i = 0; i < promotion->n_approvals; i++) {
        const struct approval *approval = &promotion->approvals[i];

        if (!is_repeated(promotion, i) && people_have(rule, approval->actor) &&
            approval_counts(txn, settings, promotion, approval, now_ms)) {
            count++;
        }
    }
    return count;
}

static size_t count_void(const struct promotion *promotion)
{
    size_t count = 0, i;

    for (i = 0; i < promotion->n_approvals; i++) {
        count += !digest_equal(&promotion->approvals[i].plan_hash, &promotion->plan_hash);
    }
    return count;
}

/* The first rule that lacks somebody decides the sentence. */
static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct approvals_settings *settings = question->gate->settings;
    const struct promotion *promotion = question->promotion;
    unsigned given = 0, wanted = 0;
    char people[160];
    size_t i, voided = count_void(promotion);

    for (i = 0; i < settings->n_rules; i++) {
        const struct people_rule *rule = &settings->rules[i];
        unsigned count = count_rule(question->txn, settings, rule, promotion, question->now_ms);

        given += count;
        wanted += rule->min;
        if (count >= rule->min || out->result != GATE_PASS) {
            continue;
        }
        people_describe(rule, people, sizeof people);
        gate_refuse(out, GATE_PENDING, "APPROVALS_MISSING");
        snprintf(out->text, sizeof out->text, "%u of %u approvals from %s%s%.*s%s%s", count,
                 rule->min, people, settings->requester_may_approve ? "" : "; requester ",
                 settings->requester_may_approve ? 0 : (int)promotion->requester.size,
                 (const char *)promotion->requester.data,
                 settings->requester_may_approve ? "" : " does not count",
                 voided > 0 ? "; earlier approvals were for another plan" : "");
        snprintf(out->next, sizeof out->next, "ask %s to run: caisson approve %.*s", people,
                 BYTES_ARG(promotion->id));
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "%u approvals given, %u wanted", given, wanted);
    }
}

static const char *const members[] = {"rules", "requesterMayApprove", "expire", NULL};

const struct gate_kind gate_kind_approvals = {.name = "approvals",
                                              .members = members,
                                              .is_for_people = true,
                                              .parse = parse,
                                              .decide = decide};

/* Is it a gate of approvals? Then also: would the actor's count there? */
static size_t count_lists(const struct gate *gate, struct bytes actor, bool is_requester,
                          bool *is_listed)
{
    const struct approvals_settings *settings = gate->settings;
    size_t i;

    if (gate->kind != &gate_kind_approvals) {
        return 0;
    }
    for (i = 0; i < settings->n_rules; i++) {
        *is_listed = *is_listed || (people_have(&settings->rules[i], actor) &&
                                    (settings->requester_may_approve || !is_requester));
    }
    return 1;
}

enum error gates_check_approver(struct catalog_txn *txn, const struct stage *stage,
                                const struct promotion *promotion, struct bytes actor,
                                bool is_approval, struct reason *why)
{
    bool is_requester = bytes_equal(actor, promotion->requester), is_listed = false;
    size_t n_gates = 0, i, k;

    if (!gates_may_approve(txn, promotion, actor)) {
        return fail(why, ERROR_NOT_ELIGIBLE,
                    "%.*s may not approve for stage %s: it takes a user with the action approve on "
                    "every target repository (%.*s%s)",
                    BYTES_ARG(actor), stage->name, BYTES_ARG(promotion->items[0].target),
                    promotion->n_items > 1 ? ", ..." : "");
    }
    for (i = 0; i < stage->n_gates; i++) {
        const struct gate *gate = &stage->gates[i];

        n_gates += count_lists(gate, actor, is_requester, &is_listed);
        for (k = 0; k < gate->n_parts; k++) {
            n_gates += count_lists(&gate->parts[k], actor, is_requester, &is_listed);
        }
    }
    if (!is_approval) {
        return OK;
    }
    if (n_gates == 0) {
        return fail(why, ERROR_NOT_ELIGIBLE, "stage %s has no approvals gate: nothing to approve",
                    stage->name);
    }
    if (!is_listed) {
        return fail(why, ERROR_NOT_ELIGIBLE,
                    is_requester ? "%.*s asked for this promotion and cannot approve it for stage "
                                   "%s: somebody else has to"
                                 : "%.*s is not among the people whose approval stage %s wants",
                    BYTES_ARG(actor), stage->name);
    }
    return OK;
}
