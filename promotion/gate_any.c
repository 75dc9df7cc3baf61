#include "promotion/gate_kind.h"

#include "base/memory.h"
#include "promotion/pipeline_parse.h"

#include <stdio.h>

/* "any": passes when one of its gates does, so that a stage can ask for this evidence or for that.
 * Its gates are of any other type; one inside another adds nothing and is refused. */

#define PARTS_MAX 8

static enum error parse_part(const struct gate_document *document, size_t number, struct gate *out,
                             struct reason *why)
{
    enum error error =
        gate_parse(json_array_get(json_object_get(document->object, "gates"), number),
                   document->place, document->groups, out, why);

    if (error == OK && (out->kind == &gate_kind_any || out->mode != GATE_ENFORCE)) {
        gate_release(out);
        return fail(why, ERROR_INVALID,
                    "%s, gate %s: a gate of an any-gate is not of type any and has no mode of its "
                    "own",
                    document->place, out->id);
    }
    return error;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    const json_t *list = json_object_get(document->object, "gates");
    enum error error = OK;

    if (!json_is_array(list) || json_array_size(list) < 2 || json_array_size(list) > PARTS_MAX) {
        return fail(why, ERROR_INVALID, "%s: gates must be a list of 2 to %d gates",
                    document->place, PARTS_MAX);
    }
    gate->parts = memory_zero(PARTS_MAX * sizeof *gate->parts);
    while (gate->n_parts < json_array_size(list) && error == OK) {
        error = parse_part(document, gate->n_parts, &gate->parts[gate->n_parts], why);
        gate->n_parts += error == OK;
    }
    return error;
}

/* The part that is nearest to passing speaks for all: one that waits before one that says no, the
 * first of those. */
static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    struct gate_outcome best = {.result = GATE_FAIL};
    size_t i;

    for (i = 0; i < question->gate->n_parts; i++) {
        struct gate_question part = *question;
        struct gate_outcome outcome;

        part.gate = &question->gate->parts[i];
        gate_answer(&part, &outcome);
        if (i == 0 || outcome.result < best.result) {
            best = outcome;
        }
    }
    out->result = best.result;
    out->code = best.code;
    out->ready_ms = best.ready_ms;
    out->is_for_people = best.is_for_people;
    snprintf(out->text, sizeof out->text, "%s %s: %.300s",
             best.result == GATE_PASS ? "by" : "none of them passes; nearest is", best.id,
             best.text);
    snprintf(out->next, sizeof out->next, "%s", best.next);
}

static const char *const members[] = {"gates", NULL};

const struct gate_kind gate_kind_any = {
    .name = "any", .members = members, .parse = parse, .decide = decide};
