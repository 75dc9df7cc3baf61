#include "promotion/gates.h"

#include "base/assert.h"
#include "promotion/duration.h"

#include <stdio.h>

const char *gate_result_name(enum gate_result result)
{
    return result == GATE_PASS ? "pass" : result == GATE_PENDING ? "pending" : "fail";
}

/* --- approvals ------------------------------------------------------------------------------- */

static bool may_approve(struct catalog_txn *txn, const struct promotion *promotion,
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

static bool rule_has(const struct approval_rule *rule, struct bytes actor)
{
    size_t i;

    if (rule->users == NULL) {
        return true;
    }
    for (i = 0; i < json_array_size(rule->users); i++) {
        if (bytes_equal_string(actor, json_string_value(json_array_get(rule->users, i)))) {
            return true;
        }
    }
    return false;
}

/* Does the approval count for the gate: given to this plan, fresh, by another person who may? */
static bool approval_counts(struct catalog_txn *txn, const struct gate *gate,
                            const struct promotion *promotion, const struct approval *approval,
                            uint64_t now_ms)
{
    if (!approval->is_approval || !digest_equal(&approval->plan_hash, &promotion->plan_hash)) {
        return false;
    }
    if (gate->expire_ms > 0 && approval->time_ms + gate->expire_ms <= now_ms) {
        return false;
    }
    if (!gate->requester_may_approve && bytes_equal(approval->actor, promotion->requester)) {
        return false;
    }
    return may_approve(txn, promotion, approval->actor);
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

static unsigned count_rule(struct catalog_txn *txn, const struct gate *gate,
                           const struct approval_rule *rule, const struct promotion *promotion,
                           uint64_t now_ms)
{
    unsigned count = 0;
    size_t i;

    for (i = 0; i < promotion->n_approvals; i++) {
        const struct approval *approval = &promotion->approvals[i];

        if (!is_repeated(promotion, i) && rule_has(rule, approval->actor) &&
            approval_counts(txn, gate, promotion, approval, now_ms)) {
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

static void rule_people(const struct approval_rule *rule, char *text, size_t size)
{
    size_t used = 0, i;

    if (rule->group != NULL) {
        snprintf(text, size, "group %.64s", rule->group);
        return;
    }
    if (rule->users == NULL) {
        snprintf(text, size, "people who may approve there");
        return;
    }
    for (i = 0; i < json_array_size(rule->users) && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%.64s", i > 0 ? ", " : "",
                                 json_string_value(json_array_get(rule->users, i)));
    }
}

/* The first rule that lacks somebody decides the sentence. */
static void decide_approvals(struct catalog_txn *txn, const struct gate *gate,
                             const struct promotion *promotion, uint64_t now_ms,
                             struct gate_outcome *out)
{
    unsigned given = 0, wanted = 0;
    char people[160];
    size_t i, voided = count_void(promotion);

    for (i = 0; i < gate->n_rules; i++) {
        const struct approval_rule *rule = &gate->rules[i];
        unsigned count = count_rule(txn, gate, rule, promotion, now_ms);

        given += count;
        wanted += rule->min;
        if (count >= rule->min || out->result != GATE_PASS) {
            continue;
        }
        rule_people(rule, people, sizeof people);
        out->result = GATE_PENDING;
        out->code = "APPROVALS_MISSING";
        snprintf(out->text, sizeof out->text, "%u of %u approvals from %s%s%.*s%s%s", count,
                 rule->min, people, gate->requester_may_approve ? "" : "; requester ",
                 gate->requester_may_approve ? 0 : (int)promotion->requester.size,
                 (const char *)promotion->requester.data,
                 gate->requester_may_approve ? "" : " does not count",
                 voided > 0 ? "; earlier approvals were for another plan" : "");
        snprintf(out->next, sizeof out->next, "ask %s to run: caisson approve %.*s", people,
                 BYTES_ARG(promotion->id));
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "%u approvals given, %u wanted", given, wanted);
    }
}

enum error gates_check_approver(struct catalog_txn *txn, const struct stage *stage,
                                const struct promotion *promotion, struct bytes actor,
                                bool is_approval, struct reason *why)
{
    bool is_requester = bytes_equal(actor, promotion->requester), is_listed = false;
    size_t n_gates = 0, i, k;

    if (!may_approve(txn, promotion, actor)) {
        return fail(why, ERROR_NOT_ELIGIBLE,
                    "%.*s may not approve for stage %s: it takes a user with the action approve on "
                    "every target repository (%.*s%s)",
                    BYTES_ARG(actor), stage->name, BYTES_ARG(promotion->items[0].target),
                    promotion->n_items > 1 ? ", ..." : "");
    }
    for (i = 0; i < stage->n_gates; i++) {
        const struct gate *gate = &stage->gates[i];

        if (gate->type != GATE_APPROVALS) {
            continue;
        }
        n_gates++;
        for (k = 0; k < gate->n_rules; k++) {
            is_listed = is_listed || (rule_has(&gate->rules[k], actor) &&
                                      (gate->requester_may_approve || !is_requester));
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

/* --- soak ------------------------------------------------------------------------------------ */

struct residence {
    struct catalog_txn *txn;
    struct bytes repository;
    const struct digest *digest;
    uint64_t since_ms; /* UINT64_MAX: not at all. */
    bool was_tagged;
};

static bool visit_tag(void *data, struct bytes name)
{
    struct residence *residence = data;
    struct tag_record tag;

    if (catalog_tag(residence->txn, residence->repository, name, &tag) == OK &&
        digest_equal(&tag.digest, residence->digest) && tag.time_ms < residence->since_ms) {
        residence->since_ms = tag.time_ms;
    }
    return true;
}

static bool visit_interval(void *data, struct bytes tag, const struct tag_interval *interval)
{
    struct residence *residence = data;

    (void)tag;
    residence->was_tagged = digest_equal(&interval->digest, residence->digest);
    return !residence->was_tagged;
}

/* Since when the image is in its stage without a break: as long as a tag has named it, by the tag
 * that has done so longest. One that never had a tag (promoted by digest alone) counts from when it
 * came; one that lost its last tag is not in the stage any more. */
static uint64_t residence_since(struct catalog_txn *txn, struct bytes repository,
                                const struct digest *digest)
{
    struct residence residence = {txn, repository, digest, UINT64_MAX, false};
    struct manifest_record manifest;

    if (catalog_manifest(txn, repository, digest, &manifest) != OK) {
        return UINT64_MAX;
    }
    catalog_tags_of(txn, repository, digest, visit_tag, &residence);
    if (residence.since_ms == UINT64_MAX) {
        catalog_tag_intervals(txn, repository, BYTES_NONE, visit_interval, &residence);
        return residence.was_tagged ? UINT64_MAX : manifest.since_ms;
    }
    return residence.since_ms > manifest.since_ms ? residence.since_ms : manifest.since_ms;
}

static void soak_fail(const struct promotion *promotion, const struct promotion_item *item,
                      struct gate_outcome *out)
{
    char digest[DIGEST_TEXT_MAX];

    digest_format(&item->root, digest);
    out->result = GATE_FAIL;
    out->code = "SOAK_NOT_CURRENT";
    snprintf(out->text, sizeof out->text,
             "no tag of %.*s names %.*s any more, so it is not in %.*s", BYTES_ARG(item->source),
             19, digest, BYTES_ARG(promotion->from));
    snprintf(out->next, sizeof out->next, "promote what is in %.*s now, or bring this back there",
             BYTES_ARG(promotion->from));
}

static void decide_soak(struct catalog_txn *txn, const struct gate *gate,
                        const struct promotion *promotion, uint64_t now_ms,
                        struct gate_outcome *out)
{
    const struct promotion_item *youngest = NULL;
    char soaked[DURATION_TEXT_MAX], wanted[DURATION_TEXT_MAX], rest[DURATION_TEXT_MAX];
    uint64_t newest = 0, age;
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];
        uint64_t since = residence_since(txn, item->source, &item->root);

        if (since == UINT64_MAX) {
            soak_fail(promotion, item, out);
            return;
        }
        if (youngest == NULL || since > newest) {
            newest = since;
            youngest = item;
        }
    }
    CHECK(youngest != NULL);
    age = now_ms > newest ? now_ms - newest : 0;
    duration_format(age, soaked);
    duration_format(gate->min_ms, wanted);
    snprintf(out->text, sizeof out->text, "%.*s is in %.*s for %s, of %s wanted",
             BYTES_ARG(youngest->source), BYTES_ARG(promotion->from), soaked, wanted);
    if (age < gate->min_ms) {
        duration_format(gate->min_ms - age, rest);
        out->result = GATE_PENDING;
        out->code = "SOAK_TOO_SHORT";
        out->ready_ms = newest + gate->min_ms;
        snprintf(out->next, sizeof out->next, "wait %s more; nothing else to do", rest);
    }
}

void gate_decide(struct catalog_txn *txn, const struct gate *gate,
                 const struct promotion *promotion, uint64_t now_ms, struct gate_outcome *out)
{
    *out =
        (struct gate_outcome){.type = gate_type_name(gate->type), .result = GATE_PASS, .code = ""};
    snprintf(out->id, sizeof out->id, "%s", gate->id);
    switch (gate->type) {
    case GATE_APPROVALS:
        decide_approvals(txn, gate, promotion, now_ms, out);
        break;
    case GATE_SOAK:
        decide_soak(txn, gate, promotion, now_ms, out);
        break;
    }
}
