#include "base/memory.h"
#include "promotion/duration.h"
#include "promotion/gate_kind.h"
#include "promotion/statuses.h"

#include <stdio.h>

/* "status": checks that were reported about the image's digest, by the reporters that the policy
 * believes. Of several believed reporters of one context the newest report counts: a later failure
 * takes an earlier success back. */

#define CONTEXTS_MAX 16

struct wanted_context {
    const char *name;
    const json_t *reporters; /* List of names, or one name. */
    uint64_t max_age_ms;     /* 0: any. */
};

struct status_settings {
    struct wanted_context contexts[CONTEXTS_MAX];
    size_t n;
};

static enum error parse_reporters(const json_t *object, const char *place,
                                  struct wanted_context *out, struct reason *why)
{
    const char *reporter = NULL;
    char list[320];

    out->reporters = json_object_get(object, "reporters");
    if (out->reporters != NULL && json_object_get(object, "reporter") == NULL) {
        snprintf(list, sizeof list, "%s: reporters", place);
        return document_names(out->reporters, list, "user names", why);
    }
    if (out->reporters == NULL &&
        document_string(object, place, "reporter", &reporter, why) != OK) {
        return ERROR_INVALID;
    }
    if (out->reporters != NULL || reporter == NULL) {
        return fail(why, ERROR_INVALID,
                    "%s: say whose report counts, by reporter (a user) or reporters (a list): "
                    "anybody who may log in can report",
                    place);
    }
    out->reporters = json_object_get(object, "reporter");
    return OK;
}

static enum error parse_context(const struct gate_document *document, size_t number,
                                struct wanted_context *out, struct reason *why)
{
    static const char *const allowed[] = {"name", "reporter", "reporters", "maxAge", NULL};
    const json_t *object = json_array_get(json_object_get(document->object, "contexts"), number);
    char place[300];
    enum error error;

    snprintf(place, sizeof place, "%s, context %zu", document->place, number + 1);
    error = document_check_members(object, place, allowed, NULL, why);
    if (error == OK) {
        error = document_string(object, place, "name", &out->name, why);
    }
    if (error != OK) {
        return error;
    }
    if (out->name == NULL || !status_context_is_valid(bytes_of_string(out->name))) {
        return fail(why, ERROR_INVALID, "%s: name must be letters, digits and \"._-/ \"", place);
    }
    error = parse_reporters(object, place, out, why);
    if (error == OK) {
        error = document_duration(object, place, "maxAge", &out->max_age_ms, why);
    }
    return error == ERROR_NOT_FOUND ? OK : error;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct status_settings *settings = gate->settings = memory_zero(sizeof *settings);
    const json_t *list = json_object_get(document->object, "contexts");
    enum error error = OK;

    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > CONTEXTS_MAX) {
        return fail(why, ERROR_INVALID,
                    "%s: contexts must be a list of 1 to %d, such as "
                    "[{\"name\": \"e2e\", \"reporter\": \"ci\"}]",
                    document->place, CONTEXTS_MAX);
    }
    for (; settings->n < json_array_size(list) && error == OK; settings->n++) {
        error = parse_context(document, settings->n, &settings->contexts[settings->n], why);
    }
    return error;
}

struct search {
    const struct wanted_context *wanted;
    uint64_t now_ms;
    bool is_found, is_fresh;
    enum status_state state;
    uint64_t time_ms;
    char reporter[80], url[160];
};

static bool is_believed(const struct wanted_context *wanted, struct bytes reporter)
{
    size_t i;

    if (json_is_string(wanted->reporters)) {
        return bytes_equal_string(reporter, json_string_value(wanted->reporters));
    }
    for (i = 0; i < json_array_size(wanted->reporters); i++) {
        if (bytes_equal_string(reporter, json_string_value(json_array_get(wanted->reporters, i)))) {
            return true;
        }
    }
    return false;
}

static bool visit_status(void *data, const struct status_record *status)
{
    struct search *search = data;
    const struct wanted_context *wanted = search->wanted;

    if (!bytes_equal_string(status->context, wanted->name) ||
        !is_believed(wanted, status->reporter) ||
        (search->is_found && status->time_ms < search->time_ms)) {
        return true;
    }
    search->is_found = true;
    search->is_fresh =
        (status->until_ms == 0 || search->now_ms < status->until_ms) &&
        (wanted->max_age_ms == 0 || search->now_ms - status->time_ms <= wanted->max_age_ms);
    search->state = status->state;
    search->time_ms = status->time_ms;
    snprintf(search->reporter, sizeof search->reporter, "%.*s",
             status->reporter.size > 64 ? 64 : (int)status->reporter.size,
             (const char *)status->reporter.data);
    snprintf(search->url, sizeof search->url, "%.*s",
             status->url.size > 128 ? 128 : (int)status->url.size, (const char *)status->url.data);
    return true;
}

static void decide_context(const struct gate_question *question, const struct digest *digest,
                           const struct wanted_context *wanted, struct gate_outcome *out)
{
    struct search search = {.wanted = wanted, .now_ms = question->now_ms};
    const char *first = json_is_string(wanted->reporters)
                            ? json_string_value(wanted->reporters)
                            : json_string_value(json_array_get(wanted->reporters, 0));
    char text[DIGEST_TEXT_MAX];

    digest_format(digest, text);
    status_list(question->txn, digest, visit_status, &search);
    if (search.is_found && search.is_fresh && search.state == STATUS_SUCCESS) {
        return;
    }
    snprintf(out->next, sizeof out->next,
             "%.64s has to run: caisson status-check %.19s... --context '%.64s' --state success",
             first, text, wanted->name);
    if (search.is_found && search.is_fresh && search.state != STATUS_PENDING) {
        gate_refuse(out, GATE_FAIL, "STATUS_FAILED");
        snprintf(out->text, sizeof out->text, "check %.64s of %.19s said %s, by %s %s",
                 wanted->name, text, status_state_name(search.state), search.reporter, search.url);
        snprintf(out->next, sizeof out->next, "put right what the check found, and promote that");
        return;
    }
    gate_refuse(out, GATE_PENDING,
                !search.is_found  ? "STATUS_MISSING"
                : search.is_fresh ? "STATUS_PENDING"
                                  : "STATUS_OUTDATED");
    snprintf(out->text, sizeof out->text, "check %.64s of %.19s %s", wanted->name, text,
             !search.is_found  ? "was not reported yet"
             : search.is_fresh ? "is still running"
                               : "was reported too long ago");
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct status_settings *settings = question->gate->settings;
    size_t i, k;

    for (i = 0; i < question->promotion->n_items && out->result == GATE_PASS; i++) {
        for (k = 0; k < settings->n && out->result == GATE_PASS; k++) {
            decide_context(question, &question->promotion->items[i].root, &settings->contexts[k],
                           out);
        }
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "%zu checks are good", settings->n);
    }
}

static const char *const members[] = {"contexts", NULL};

const struct gate_kind gate_kind_status = {
    .name = "status", .members = members, .parse = parse, .decide = decide};
