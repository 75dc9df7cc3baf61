#include "promotion/pipeline_parse.h"

#include "promotion/duration.h"

#include <stdio.h>

const char *gate_type_name(enum gate_type type)
{
    return type == GATE_APPROVALS ? "approvals" : "soak";
}

enum error document_check_members(const json_t *object, const char *place,
                                  const char *const *allowed, struct reason *why)
{
    void *iterator = json_object_iter((json_t *)(uintptr_t)object);
    char list[256] = "";
    size_t used = 0, i;

    if (!json_is_object(object)) {
        return fail(why, ERROR_INVALID, "%s must be an object", place);
    }
    for (; iterator != NULL;
         iterator = json_object_iter_next((json_t *)(uintptr_t)object, iterator)) {
        const char *key = json_object_iter_key(iterator);

        for (i = 0; allowed[i] != NULL && strcmp(allowed[i], key) != 0; i++) {
        }
        if (allowed[i] != NULL) {
            continue;
        }
        for (i = 0; allowed[i] != NULL && used < sizeof list; i++) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                     allowed[i]);
        }
        return fail(why, ERROR_INVALID, "%s: unknown field \"%.64s\"; allowed here: %s", place, key,
                    list);
    }
    return OK;
}

enum error document_duration(const json_t *object, const char *place, const char *key, uint64_t *ms,
                             struct reason *why)
{
    const json_t *value = json_object_get(object, key);
    enum error error;

    if (value == NULL) {
        return ERROR_NOT_FOUND;
    }
    if (!json_is_string(value)) {
        return fail(why, ERROR_INVALID, "%s: %s must be text such as \"24h\"", place, key);
    }
    error = duration_parse(bytes_of(json_string_value(value), json_string_length(value)), ms, why);
    if (error != OK) {
        reason_prefix(why, "%s: %s", place, key);
    }
    return error;
}

enum error document_users(const json_t *list, const char *place, struct reason *why)
{
    size_t n = json_array_size(list), i, j;

    if (!json_is_array(list) || n == 0 || n > RULE_USERS_MAX) {
        return fail(why, ERROR_INVALID, "%s must be a list of 1 to %d user names", place,
                    RULE_USERS_MAX);
    }
    for (i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name == NULL || name[0] == '\0') {
            return fail(why, ERROR_INVALID, "%s must be a list of user names, as text", place);
        }
        for (j = 0; j < i; j++) {
            if (strcmp(name, json_string_value(json_array_get(list, j))) == 0) {
                return fail(why, ERROR_INVALID, "%s names %.64s twice", place, name);
            }
        }
    }
    return OK;
}

static enum error rule_people(const json_t *object, const char *place, const json_t *groups,
                              struct approval_rule *out, struct reason *why)
{
    const json_t *group = json_object_get(object, "group");
    const json_t *users = json_object_get(object, "users");

    if (group != NULL && users != NULL) {
        return fail(why, ERROR_INVALID, "%s has both group and users: give one of them", place);
    }
    if (users != NULL) {
        out->users = users;
        return document_users(users, place, why);
    }
    if (group != NULL) {
        out->group = json_string_value(group);
        out->users = out->group != NULL ? json_object_get(groups, out->group) : NULL;
        if (out->users == NULL) {
            return fail(why, ERROR_INVALID,
                        "%s: group \"%.64s\" is not defined: list its people under \"groups\" of "
                        "the pipeline",
                        place, out->group != NULL ? out->group : "?");
        }
    }
    return OK;
}

static enum error rule_parse(const json_t *object, const char *gate_place, size_t number,
                             const json_t *groups, struct approval_rule *out, struct reason *why)
{
    static const char *const allowed[] = {"group", "users", "min", NULL};
    const json_t *min = json_object_get(object, "min");
    char place[320];
    enum error error;

    snprintf(place, sizeof place, "%s, rule %zu", gate_place, number + 1);
    error = document_check_members(object, place, allowed, why);
    if (error == OK) {
        error = rule_people(object, place, groups, out, why);
    }
    if (error != OK) {
        return error;
    }
    out->min = 1;
    if (min != NULL) {
        if (!json_is_integer(min) || json_integer_value(min) < 1 ||
            json_integer_value(min) > RULE_USERS_MAX) {
            return fail(why, ERROR_INVALID, "%s: min must be a number from 1 to %d", place,
                        RULE_USERS_MAX);
        }
        out->min = (unsigned)json_integer_value(min);
    }
    if (out->users != NULL && json_array_size(out->users) < out->min) {
        return fail(why, ERROR_INVALID, "%s wants %u approvals, but names only %zu people", place,
                    out->min, json_array_size(out->users));
    }
    return OK;
}

static enum error approvals_parse(const json_t *object, const char *place, const json_t *groups,
                                  struct gate *out, struct reason *why)
{
    static const char *const allowed[] = {"id",     "type", "rules", "requesterMayApprove",
                                          "expire", NULL};
    const json_t *rules = json_object_get(object, "rules");
    const json_t *requester = json_object_get(object, "requesterMayApprove");
    enum error error = document_check_members(object, place, allowed, why);

    if (error != OK) {
        return error;
    }
    if (!json_is_array(rules) || json_array_size(rules) == 0 ||
        json_array_size(rules) > RULES_MAX) {
        return fail(why, ERROR_INVALID,
                    "%s: rules must be a list of 1 to %d rules, such as [{\"min\": 2}]", place,
                    RULES_MAX);
    }
    if (requester != NULL && !json_is_boolean(requester)) {
        return fail(why, ERROR_INVALID, "%s: requesterMayApprove must be true or false", place);
    }
    out->requester_may_approve = json_is_true(requester);
    for (out->n_rules = 0; out->n_rules < json_array_size(rules); out->n_rules++) {
        error = rule_parse(json_array_get(rules, out->n_rules), place, out->n_rules, groups,
                           &out->rules[out->n_rules], why);
        if (error != OK) {
            return error;
        }
    }
    error = document_duration(object, place, "expire", &out->expire_ms, why);
    return error == ERROR_NOT_FOUND ? OK : error;
}

static enum error soak_parse(const json_t *object, const char *place, struct gate *out,
                             struct reason *why)
{
    static const char *const allowed[] = {"id", "type", "min", "basis", NULL};
    const json_t *basis = json_object_get(object, "basis");
    enum error error = document_check_members(object, place, allowed, why);

    if (error != OK) {
        return error;
    }
    if (basis != NULL &&
        (!json_is_string(basis) || strcmp(json_string_value(basis), "current-continuous") != 0)) {
        return fail(why, ERROR_INVALID, "%s: basis must be \"current-continuous\"", place);
    }
    error = document_duration(object, place, "min", &out->min_ms, why);
    if (error == ERROR_NOT_FOUND) {
        return fail(why, ERROR_INVALID, "%s: min is missing: how long, such as \"24h\"", place);
    }
    return error;
}

enum error gate_parse(const json_t *object, const char *stage, const json_t *groups,
                      struct gate *out, struct reason *why)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    const char *type = json_string_value(json_object_get(object, "type"));
    char place[256];

    if (id == NULL || !pipeline_name_is_valid(bytes_of_string(id))) {
        return fail(why, ERROR_INVALID,
                    "stage %s: each gate needs an id of lower-case letters, digits and dashes",
                    stage);
    }
    snprintf(place, sizeof place, "stage %s, gate %s", stage, id);
    *out = (struct gate){.id = id};
    if (type != NULL && strcmp(type, "approvals") == 0) {
        out->type = GATE_APPROVALS;
        return approvals_parse(object, place, groups, out, why);
    }
    if (type != NULL && strcmp(type, "soak") == 0) {
        out->type = GATE_SOAK;
        return soak_parse(object, place, out, why);
    }
    return fail(why, ERROR_INVALID, "%s: unknown type \"%.64s\"; allowed here: approvals, soak",
                place, type != NULL ? type : "");
}
