#include "promotion/pipeline.h"

#include "base/json.h"
#include "base/memory.h"
#include "promotion/override.h"
#include "promotion/pipeline_parse.h"
#include "promotion/policy_change.h"
#include "promotion/stage_tags.h"

#include <stdio.h>
#include <stdlib.h>

bool pipeline_name_is_valid(struct bytes name)
{
    size_t i;

    if (name.size == 0 || name.size > PIPELINE_NAME_MAX) {
        return false;
    }
    for (i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!is_word && ((c != '-' && c != '_') || i == 0)) {
            return false;
        }
    }
    return true;
}

const struct stage *pipeline_stage(const struct pipeline *pipeline, struct bytes name)
{
    size_t i;

    for (i = 0; i < pipeline->n_stages; i++) {
        if (bytes_equal_string(name, pipeline->stages[i].name)) {
            return &pipeline->stages[i];
        }
    }
    return NULL;
}

void pipeline_stage_names(const struct pipeline *pipeline, char *text, size_t size)
{
    size_t used = 0, i;

    text[0] = '\0';
    for (i = 0; i < pipeline->n_stages && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 pipeline->stages[i].name);
    }
}

void pipeline_write(const struct pipeline *pipeline, struct buffer *out)
{
    json_write(out, pipeline->document);
}

void pipeline_release(struct pipeline *pipeline)
{
    size_t i, k;

    if (pipeline != NULL) {
        for (i = 0; i < STAGES_MAX; i++) {
            for (k = 0; k < pipeline->stages[i].n_gates; k++) {
                gate_release(&pipeline->stages[i].gates[k]);
            }
        }
        json_decref(pipeline->document);
        free(pipeline);
    }
}

static bool has_gate(const struct stage *stage, const char *id)
{
    size_t i;

    for (i = 0; i < stage->n_gates; i++) {
        if (strcmp(stage->gates[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

static enum error stage_gates(const json_t *gates, const json_t *groups, struct stage *out,
                              struct reason *why)
{
    char place[PIPELINE_NAME_MAX + 16];

    if (gates == NULL) {
        return OK;
    }
    if (!json_is_array(gates) || json_array_size(gates) > GATES_MAX) {
        return fail(why, ERROR_INVALID, "stage %s: gates must be a list of at most %d", out->name,
                    GATES_MAX);
    }
    snprintf(place, sizeof place, "stage %s", out->name);
    for (; out->n_gates < json_array_size(gates); out->n_gates++) {
        struct gate *gate = &out->gates[out->n_gates];
        enum error error =
            gate_parse(json_array_get(gates, out->n_gates), place, groups, gate, why);

        if (error != OK) {
            return error;
        }
        if (has_gate(out, gate->id)) {
            gate_release(gate);
            return fail(why, ERROR_INVALID, "stage %s has two gates with the id %s", out->name,
                        gate->id);
        }
    }
    return OK;
}

/* {"gates": [id, ...]}: those that a rollback is asked. The list may be empty. */
static enum error stage_rollback(const json_t *object, struct stage *out, struct reason *why)
{
    static const char *const allowed[] = {"gates", NULL};
    char place[PIPELINE_NAME_MAX + 32];
    enum error error;
    size_t i;

    if (object == NULL) {
        return OK;
    }
    snprintf(place, sizeof place, "stage %s, rollback", out->name);
    error = document_check_members(object, place, allowed, NULL, why);
    if (error != OK) {
        return error;
    }
    out->rollback_gates = json_object_get(object, "gates");
    if (!json_is_array(out->rollback_gates)) {
        return fail(why, ERROR_INVALID, "%s: gates must be a list of ids, which may be empty",
                    place);
    }
    for (i = 0; i < json_array_size(out->rollback_gates); i++) {
        const char *id = json_string_value(json_array_get(out->rollback_gates, i));

        if (id == NULL || !has_gate(out, id)) {
            return fail(why, ERROR_INVALID, "%s: the stage has no gate \"%.64s\"", place,
                        id != NULL ? id : "");
        }
    }
    return OK;
}

static enum error stage_write_mode(const json_t *value, struct stage *out, struct reason *why)
{
    const char *mode = json_string_value(value);

    out->is_promotion_only = mode != NULL && strcmp(mode, "promotion-only") == 0;
    if (!out->is_promotion_only && (mode == NULL || strcmp(mode, "open") != 0)) {
        return fail(why, ERROR_INVALID, "stage %s: write must be open or promotion-only",
                    out->name);
    }
    return OK;
}

static enum error stage_parse(const json_t *object, size_t number, const json_t *groups,
                              struct stage *out, struct reason *why)
{
    static const char *const allowed[] = {"name",     "repos",    "write", "from",      "gates",
                                          "rollback", "override", "tags",  "supersede", NULL};
    const json_t *repos = json_object_get(object, "repos");
    const char *name = json_string_value(json_object_get(object, "name"));
    char place[128];
    enum error error;

    snprintf(place, sizeof place, "stage %zu", number + 1);
    if (name == NULL || !pipeline_name_is_valid(bytes_of_string(name))) {
        return fail(why, ERROR_INVALID, "%s needs a name of lower-case letters, digits and dashes",
                    place);
    }
    *out = (struct stage){.name = name};
    snprintf(place, sizeof place, "stage %s", name);
    error = document_check_members(object, place, allowed, NULL, why);
    if (error != OK) {
        return error;
    }
    if (!json_is_string(repos)) {
        return fail(why, ERROR_INVALID, "stage %s: repos is missing", name);
    }
    error = repository_pattern_parse(bytes_of(json_string_value(repos), json_string_length(repos)),
                                     &out->repos, why);
    if (error != OK) {
        reason_prefix(why, "stage %s", name);
        return error;
    }
    error = stage_write_mode(json_object_get(object, "write"), out, why);
    if (error == OK) {
        error = stage_gates(json_object_get(object, "gates"), groups, out, why);
    }
    if (error == OK) {
        error = stage_rollback(json_object_get(object, "rollback"), out, why);
    }
    if (error == OK) {
        error = override_parse(json_object_get(object, "override"), groups, out, why);
    }
    if (error == OK) {
        error = stage_tags_parse(json_object_get(object, "tags"), out, why);
    }
    return error != OK ? error
                       : stage_supersede_parse(json_object_get(object, "supersede"), out, why);
}

static enum error resolve_from(struct pipeline *pipeline, const json_t *stages, struct reason *why)
{
    size_t i;

    for (i = 0; i < pipeline->n_stages; i++) {
        const json_t *from = json_object_get(json_array_get(stages, i), "from");
        struct stage *stage = &pipeline->stages[i];
        char names[512];

        if (from == NULL) {
            continue;
        }
        stage->from = json_is_string(from)
                          ? pipeline_stage(pipeline, bytes_of_string(json_string_value(from)))
                          : NULL;
        if (stage->from == NULL) {
            pipeline_stage_names(pipeline, names, sizeof names);
            return fail(why, ERROR_INVALID, "stage %s: from must name a stage of it: %s",
                        stage->name, names);
        }
    }
    return OK;
}

/* What each stage must be, seen from the others. */
static enum error lint_stage(const struct pipeline *pipeline, const struct stage *stage,
                             struct reason *why)
{
    const struct stage *up = stage->from;
    size_t steps = 0, i;

    for (; up != NULL; up = up->from) {
        if (up == stage || ++steps > STAGES_MAX) {
            return fail(why, ERROR_INVALID,
                        "stage %s comes from itself: from must not go in a "
                        "circle",
                        stage->name);
        }
    }
    if (stage->n_gates > 0 && !stage->is_promotion_only) {
        return fail(why, ERROR_INVALID,
                    "stage %s has gates, but write is open, so that a push walks around them: set "
                    "write to promotion-only",
                    stage->name);
    }
    if (stage->from == NULL && stage->is_promotion_only) {
        return fail(why, ERROR_INVALID,
                    "stage %s is promotion-only, but nothing leads to it: say from which stage",
                    stage->name);
    }
    if (stage->from != NULL && stage->from->repos.wildcard != stage->repos.wildcard) {
        return fail(why, ERROR_INVALID,
                    "stages %s and %s need the same wildcard in repos, so that names map",
                    stage->from->name, stage->name);
    }
    for (i = 0; &pipeline->stages[i] != stage; i++) {
        const struct stage *other = &pipeline->stages[i];

        if (strcmp(other->name, stage->name) == 0) {
            return fail(why, ERROR_INVALID, "there are two stages with the name %s", stage->name);
        }
        if (repository_pattern_overlap(&other->repos, &stage->repos)) {
            return fail(why, ERROR_INVALID,
                        "repos of the stages %s and %s overlap: a repository has one stage",
                        other->name, stage->name);
        }
    }
    return OK;
}

static enum error parse_groups(const json_t *groups, struct reason *why)
{
    void *iterator = json_object_iter((json_t *)(uintptr_t)groups);
    enum error error;
    char place[128];

    if (groups != NULL && !json_is_object(groups)) {
        return fail(why, ERROR_INVALID, "groups must be an object: {\"name\": [\"user\", ...]}");
    }
    for (; iterator != NULL;
         iterator = json_object_iter_next((json_t *)(uintptr_t)groups, iterator)) {
        const char *name = json_object_iter_key(iterator);

        if (!pipeline_name_is_valid(bytes_of_string(name))) {
            return fail(why, ERROR_INVALID,
                        "group names are lower-case letters, digits and dashes, not \"%.64s\"",
                        name);
        }
        snprintf(place, sizeof place, "group %s", name);
        error = document_names(json_object_iter_value(iterator), place, "user names", why);
        if (error != OK) {
            return error;
        }
    }
    return OK;
}

static enum error parse_stages(struct pipeline *out, struct reason *why)
{
    const json_t *stages = json_object_get(out->document, "stages");
    const json_t *groups = json_object_get(out->document, "groups");
    size_t n = json_array_size(stages), i;
    enum error error = parse_groups(groups, why);

    if (error == OK) {
        error = policy_changes_parse(json_object_get(out->document, "changes"), groups, out, why);
    }
    if (error != OK) {
        return error;
    }
    if (!json_is_array(stages) || n == 0 || n > STAGES_MAX) {
        return fail(why, ERROR_INVALID, "stages must be a list of 1 to %d stages", STAGES_MAX);
    }
    for (i = 0; i < n && error == OK; i++) {
        error = stage_parse(json_array_get(stages, i), i, groups, &out->stages[i], why);
    }
    if (error != OK) {
        return error;
    }
    out->n_stages = n;
    error = resolve_from(out, stages, why);
    for (i = 0; i < n && error == OK; i++) {
        error = lint_stage(out, &out->stages[i], why);
    }
    return error;
}

static enum error parse_name(struct pipeline *out, struct bytes expected, struct reason *why)
{
    json_t *name = json_object_get(out->document, "pipeline");

    if (name == NULL && expected.size > 0) {
        name = json_stringn((const char *)expected.data, expected.size);
        if (name == NULL || json_object_set_new(out->document, "pipeline", name) != 0) {
            return fail(why, ERROR_INVALID, "the pipeline's name is not UTF-8");
        }
    }
    if (!json_is_string(name) ||
        !pipeline_name_is_valid(bytes_of_string(json_string_value(name)))) {
        return fail(why, ERROR_INVALID,
                    "\"pipeline\" must be its name: lower-case letters, digits and dashes, at most "
                    "%d",
                    PIPELINE_NAME_MAX);
    }
    out->name = json_string_value(name);
    if (expected.size > 0 && !bytes_equal_string(expected, out->name)) {
        return fail(why, ERROR_INVALID, "the document is of pipeline %s, but was put to " BYTES_FMT,
                    out->name, BYTES_ARG(expected));
    }
    return OK;
}

enum error pipeline_parse(struct bytes json, struct bytes expected_name, struct pipeline **out,
                          struct reason *why)
{
    static const char *const allowed[] = {"pipeline", "groups", "changes", "stages", NULL};
    struct pipeline *pipeline;
    json_t *document;
    struct buffer canonical;
    enum error error = json_parse(json, PIPELINE_SIZE_MAX, &document, why);

    if (error != OK) {
        return error;
    }
    pipeline = memory_zero(sizeof *pipeline);
    pipeline->document = document;
    error = document_check_members(document, "pipeline", allowed, NULL, why);
    if (error == OK) {
        error = parse_name(pipeline, expected_name, why);
    }
    if (error == OK) {
        error = parse_stages(pipeline, why);
    }
    if (error != OK) {
        pipeline_release(pipeline);
        return error;
    }
    /* Escapes can grow the text sixfold at most. */
    buffer_init(&canonical, (size_t)PIPELINE_SIZE_MAX * 6);
    pipeline_write(pipeline, &canonical);
    digest_of(DIGEST_SHA256, buffer_view(&canonical), &pipeline->revision);
    buffer_release(&canonical);
    *out = pipeline;
    return OK;
}
