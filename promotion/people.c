#include "promotion/people.h"

#include <stdio.h>

static enum error parse_names(const json_t *object, const char *place, const json_t *groups,
                              struct people_rule *out, struct reason *why)
{
    const json_t *group = json_object_get(object, "group");
    const json_t *users = json_object_get(object, "users");

    if (group != NULL && users != NULL) {
        return fail(why, ERROR_INVALID, "%s has both group and users: give one of them", place);
    }
    if (users != NULL) {
        out->users = users;
        return document_names(users, place, "user names", why);
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

enum error people_parse(const json_t *object, const char *place, const json_t *groups,
                        struct people_rule *out, struct reason *why)
{
    uint64_t min = 1;
    enum error error = document_number(object, place, "min", 1, DOCUMENT_NAMES_MAX, &min, why);

    *out = (struct people_rule){0};
    if (error == OK) {
        error = parse_names(object, place, groups, out, why);
    }
    if (error != OK) {
        return error;
    }
    out->min = (unsigned)min;
    if (out->users != NULL && json_array_size(out->users) < out->min) {
        return fail(why, ERROR_INVALID, "%s wants %u approvals, but names only %zu people", place,
                    out->min, json_array_size(out->users));
    }
    return OK;
}

bool people_have(const struct people_rule *rule, struct bytes actor)
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

void people_describe(const struct people_rule *rule, char *text, size_t size)
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
