#include "promotion/gate_kind.h"

#include "base/assert.h"
#include "promotion/pipeline_parse.h"

#include <stdio.h>
#include <stdlib.h>

/* Every gate type, and what all of them have in common: id, type and mode. */

static const struct gate_kind *const kinds[] = {
    &gate_kind_age,   &gate_kind_annotations, &gate_kind_any,     &gate_kind_approvals,
    &gate_kind_drill, &gate_kind_replicated,  &gate_kind_shape,   &gate_kind_size,
    &gate_kind_soak,  &gate_kind_status,      &gate_kind_version, &gate_kind_window,
};

#define KINDS_N (sizeof kinds / sizeof kinds[0])

static const char *const common_members[] = {"id", "type", "mode", "mandatory", NULL};
static const char *const modes[] = {"enforce", "warn", "dry-run", NULL};

static const struct gate_kind *find_kind(const json_t *type)
{
    size_t i;

    for (i = 0; i < KINDS_N; i++) {
        if (json_is_string(type) && strcmp(kinds[i]->name, json_string_value(type)) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

static enum error refuse_type(const json_t *type, const char *place, struct reason *why)
{
    const char *name = json_string_value(type);
    char list[512] = "";
    size_t used = 0, i;

    for (i = 0; i < KINDS_N && used < sizeof list; i++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 kinds[i]->name);
    }
    return fail(why, ERROR_INVALID, "%s: unknown type \"%.64s\"; allowed here: %s", place,
                name != NULL ? name : "", list);
}

enum error gate_parse(const json_t *object, const char *within, const json_t *groups,
                      struct gate *out, struct reason *why)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    const json_t *type = json_object_get(object, "type");
    const struct gate_kind *kind = find_kind(type);
    size_t mode = GATE_ENFORCE;
    char place[256];
    enum error error;

    if (id == NULL || !pipeline_name_is_valid(bytes_of_string(id))) {
        return fail(why, ERROR_INVALID,
                    "%s: each gate needs an id of lower-case letters, digits and dashes", within);
    }
    snprintf(place, sizeof place, "%s, gate %s", within, id);
    if (kind == NULL) {
        return refuse_type(type, place, why);
    }
    *out = (struct gate){.id = id, .kind = kind};
    error = document_check_members(object, place, common_members, kind->members, why);
    if (error == OK) {
        error = document_choice(object, place, "mode", modes, &mode, why);
    }
    out->mode = (enum gate_mode)mode;
    if (error == OK) {
        error = document_bool(object, place, "mandatory", &out->is_mandatory, why);
    }
    if (error == OK) {
        struct gate_document document = {object, groups, place};

        error = kind->parse(&document, out, why);
    }
    if (error != OK) {
        gate_release(out);
    }
    return error;
}

void gate_release(struct gate *gate)
{
    size_t i;

    for (i = 0; i < gate->n_parts; i++) {
        gate_release(&gate->parts[i]);
    }
    free(gate->parts);
    free(gate->settings);
    gate->parts = NULL;
    gate->n_parts = 0;
    gate->settings = NULL;
}

const char *gate_type_name(const struct gate *gate)
{
    return gate->kind->name;
}

const char *gate_result_name(enum gate_result result)
{
    switch (result) {
    case GATE_PASS:
        return "pass";
    case GATE_WARN:
        return "warn";
    case GATE_OVERRIDDEN:
        return "overridden";
    case GATE_PENDING:
        return "pending";
    case GATE_FAIL:
        return "fail";
    }
    IMPOSSIBLE("no such gate result");
}

bool gate_result_passes(enum gate_result result)
{
    return result == GATE_PASS || result == GATE_WARN || result == GATE_OVERRIDDEN;
}

void gate_refuse(struct gate_outcome *out, enum gate_result result, const char *code)
{
    PRE(!gate_result_passes(result) && code[0] != '\0');
    out->result = result;
    out->code = code;
}

bool gate_applies(const struct stage *stage, const struct gate *gate,
                  const struct promotion *promotion)
{
    size_t i;

    if (!promotion_is_rollback(promotion)) {
        return true;
    }
    if (stage->rollback_gates == NULL) {
        return !gate->kind->is_about_newness;
    }
    for (i = 0; i < json_array_size(stage->rollback_gates); i++) {
        if (strcmp(gate->id, json_string_value(json_array_get(stage->rollback_gates, i))) == 0) {
            return true;
        }
    }
    return false;
}

void gate_answer(const struct gate_question *question, struct gate_outcome *out)
{
    const struct gate *gate = question->gate;

    *out = (struct gate_outcome){.type = gate->kind->name,
                                 .result = GATE_PASS,
                                 .code = "",
                                 .is_for_people = gate->kind->is_for_people};
    snprintf(out->id, sizeof out->id, "%s", gate->id);
    gate->kind->decide(question, out);
    /* The others are decided and shown, but stop nothing. */
    if (gate->mode != GATE_ENFORCE && out->result != GATE_PASS) {
        out->result = GATE_WARN;
    }
}

void gate_decide(struct catalog_txn *txn, const struct stage *stage, const struct gate *gate,
                 const struct promotion *promotion, uint64_t now_ms, struct gate_outcome *out)
{
    struct gate_question question = {txn, stage, gate, promotion, now_ms};

    gate_answer(&question, out);
}
