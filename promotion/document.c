#include "promotion/document.h"

#include "promotion/duration.h"

#include <stdio.h>
#include <string.h>

static bool is_listed(const char *const *names, const char *key)
{
    for (; names != NULL && *names != NULL; names++) {
        if (strcmp(*names, key) == 0) {
            return true;
        }
    }
    return false;
}

/* Append "a, b, c". */
static void append_names(const char *const *names, char *text, size_t size)
{
    size_t used = strlen(text);

    for (; names != NULL && *names != NULL && used < size; names++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", *names);
    }
}

enum error document_check_members(const json_t *object, const char *place,
                                  const char *const *allowed, const char *const *others,
                                  struct reason *why)
{
    void *iterator = json_object_iter((json_t *)(uintptr_t)object);
    char list[256] = "";

    if (!json_is_object(object)) {
        return fail(why, ERROR_INVALID, "%s must be an object", place);
    }
    for (; iterator != NULL;
         iterator = json_object_iter_next((json_t *)(uintptr_t)object, iterator)) {
        const char *key = json_object_iter_key(iterator);

        if (is_listed(allowed, key) || is_listed(others, key)) {
            continue;
        }
        append_names(allowed, list, sizeof list);
        append_names(others, list, sizeof list);
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

enum error document_bool(const json_t *object, const char *place, const char *key, bool *value,
                         struct reason *why)
{
    const json_t *member = json_object_get(object, key);

    if (member != NULL && !json_is_boolean(member)) {
        return fail(why, ERROR_INVALID, "%s: %s must be true or false", place, key);
    }
    if (member != NULL) {
        *value = json_is_true(member);
    }
    return OK;
}

enum error document_number(const json_t *object, const char *place, const char *key, uint64_t min,
                           uint64_t max, uint64_t *value, struct reason *why)
{
    const json_t *member = json_object_get(object, key);

    if (member == NULL) {
        return OK;
    }
    if (!json_is_integer(member) || json_integer_value(member) < 0 ||
        (uint64_t)json_integer_value(member) < min || (uint64_t)json_integer_value(member) > max) {
        return fail(why, ERROR_INVALID, "%s: %s must be a number from %llu to %llu", place, key,
                    (unsigned long long)min, (unsigned long long)max);
    }
    *value = (uint64_t)json_integer_value(member);
    return OK;
}

enum error document_string(const json_t *object, const char *place, const char *key,
                           const char **value, struct reason *why)
{
    const json_t *member = json_object_get(object, key);

    if (member == NULL) {
        return OK;
    }
    if (!json_is_string(member) || json_string_length(member) == 0) {
        return fail(why, ERROR_INVALID, "%s: %s must be text that is not empty", place, key);
    }
    *value = json_string_value(member);
    return OK;
}

enum error document_choice(const json_t *object, const char *place, const char *key,
                           const char *const *names, size_t *choice, struct reason *why)
{
    const json_t *member = json_object_get(object, key);
    char list[256] = "";
    size_t i;

    if (member == NULL) {
        return OK;
    }
    for (i = 0; names[i] != NULL; i++) {
        if (json_is_string(member) && strcmp(names[i], json_string_value(member)) == 0) {
            *choice = i;
            return OK;
        }
    }
    append_names(names, list, sizeof list);
    return fail(why, ERROR_INVALID, "%s: %s must be one of: %s", place, key, list);
}

enum error document_names(const json_t *list, const char *place, const char *what,
                          struct reason *why)
{
    size_t n = json_array_size(list), i, j;

    if (!json_is_array(list) || n == 0 || n > DOCUMENT_NAMES_MAX) {
        return fail(why, ERROR_INVALID, "%s must be a list of 1 to %d %s", place,
                    DOCUMENT_NAMES_MAX, what);
    }
    for (i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name == NULL || name[0] == '\0') {
            return fail(why, ERROR_INVALID, "%s must be a list of %s, as text", place, what);
        }
        for (j = 0; j < i; j++) {
            if (strcmp(name, json_string_value(json_array_get(list, j))) == 0) {
                return fail(why, ERROR_INVALID, "%s names %.64s twice", place, name);
            }
        }
    }
    return OK;
}
