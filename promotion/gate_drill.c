#include "base/memory.h"
#include "promotion/drill.h"
#include "promotion/duration.h"
#include "promotion/gate_kind.h"

#include <inttypes.h>
#include <stdio.h>

/* "drill": the cluster was drilled lately, and passed: for each of "kinds" the newest drill of that
 * kind that the cluster keeps is not older than maxAge (log time), lost nothing, showed nothing
 * stale, met its own limits, and had no write for at most maxWriteGap. A drill that failed after
 * one that passed counts: what was true last week is not asked. */

struct drill_settings {
    const json_t *kinds;                   /* Of the gate's document. */
    uint64_t max_age_ms, max_write_gap_ms; /* The second 0: any. */
};

static enum error check_kinds(const json_t *kinds, const char *place, struct reason *why)
{
    const json_t *kind;
    size_t i;

    if (!json_is_array(kinds) || json_array_size(kinds) == 0 ||
        json_array_size(kinds) > DRILL_KINDS_MAX) {
        return fail(why, ERROR_INVALID,
                    "%s: kinds must be a list of 1 to %d kinds of drill, such as [\"kill-leader\"]",
                    place, DRILL_KINDS_MAX);
    }
    json_array_foreach(kinds, i, kind)
    {
        static const char *const known[] = {"handover",  "kill-leader", "pause",
                                            "partition", "full-disk",   "rolling-restart"};
        const char *name = json_string_value(kind);
        size_t k = 0;

        while (k < sizeof known / sizeof known[0] &&
               (name == NULL || strcmp(known[k], name) != 0)) {
            k++;
        }
        if (k == sizeof known / sizeof known[0]) {
            return fail(why, ERROR_INVALID,
                        "%s: unknown kind of drill \"%.40s\"; there are handover, kill-leader, "
                        "pause, partition, full-disk and rolling-restart",
                        place, name == NULL ? "?" : name);
        }
    }
    return OK;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct drill_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error;

    settings->kinds = json_object_get(document->object, "kinds");
    error = check_kinds(settings->kinds, document->place, why);
    if (error != OK) {
        return error;
    }
    error =
        document_duration(document->object, document->place, "maxAge", &settings->max_age_ms, why);
    if (error == ERROR_NOT_FOUND) {
        return fail(why, ERROR_INVALID,
                    "%s: maxAge is missing: how old the drill may be, such as \"7d\"",
                    document->place);
    }
    if (error == OK) {
        error = document_duration(document->object, document->place, "maxWriteGap",
                                  &settings->max_write_gap_ms, why);
    }
    return error == ERROR_NOT_FOUND ? OK : error;
}

/* The newest drill that has the kind. */
struct newest {
    const char *kind;
    struct drill_record record;
    struct drill_fact fact;
    bool is_found;
};

static bool visit(void *data, const struct drill_record *record)
{
    struct newest *newest = data;

    for (size_t i = 0; i < record->n_facts; i++) {
        if (bytes_equal_string(record->facts[i].kind, newest->kind) &&
            (!newest->is_found || record->index > newest->record.index)) {
            newest->record = *record;
            newest->fact = record->facts[i];
            newest->is_found = true;
        }
    }
    return true;
}

static void way_out(const char *kind, struct gate_outcome *out)
{
    snprintf(out->next, sizeof out->next,
             "an administrator runs: caisson drill %s (with --hook or --cluster-dir unless it is "
             "handover), and the result counts as soon as the cluster keeps it",
             kind);
}

static void decide_kind(const struct gate_question *question, const char *kind,
                        struct gate_outcome *out)
{
    const struct drill_settings *settings = question->gate->settings;
    struct newest newest = {.kind = kind};
    char age[DURATION_TEXT_MAX], limit[DURATION_TEXT_MAX];
    uint64_t age_ms;

    drill_list(question->txn, visit, &newest);
    if (!newest.is_found) {
        gate_refuse(out, GATE_FAIL, "DRILL_MISSING");
        snprintf(out->text, sizeof out->text, "the cluster keeps no drill of kind %s", kind);
        way_out(kind, out);
        return;
    }
    age_ms = question->now_ms > newest.record.time_ms ? question->now_ms - newest.record.time_ms
                                                      : 0;
    duration_format(age_ms, age);
    duration_format(settings->max_age_ms, limit);
    if (age_ms > settings->max_age_ms) {
        gate_refuse(out, GATE_FAIL, "DRILL_TOO_OLD");
        snprintf(out->text, sizeof out->text, "the last drill of kind %s is %s old, over %s", kind,
                 age, limit);
    } else if (!newest.record.is_passed) {
        gate_refuse(out, GATE_FAIL, "DRILL_FAILED");
        snprintf(out->text, sizeof out->text,
                 "the last drill of kind %s (%.*s, %s ago) was not passed", kind,
                 BYTES_ARG(newest.record.id), age);
    } else if (settings->max_write_gap_ms > 0 &&
               newest.fact.write_gap_ms > settings->max_write_gap_ms) {
        gate_refuse(out, GATE_FAIL, "DRILL_TOO_SLOW");
        snprintf(out->text, sizeof out->text,
                 "in the last drill of kind %s there was no write for %" PRIu64 " ms, over %" PRIu64
                 " ms",
                 kind, newest.fact.write_gap_ms, settings->max_write_gap_ms);
    } else {
        return;
    }
    way_out(kind, out);
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct drill_settings *settings = question->gate->settings;
    const json_t *kind;
    char limit[DURATION_TEXT_MAX];
    size_t i;

    json_array_foreach(settings->kinds, i, kind)
    {
        decide_kind(question, json_string_value(kind), out);
        if (out->result != GATE_PASS) {
            return;
        }
    }
    duration_format(settings->max_age_ms, limit);
    snprintf(out->text, sizeof out->text, "%zu kinds of drill were passed within the last %s",
             json_array_size(settings->kinds), limit);
}

static const char *const members[] = {"kinds", "maxAge", "maxWriteGap", NULL};

const struct gate_kind gate_kind_drill = {
    .name = "drill", .members = members, .parse = parse, .decide = decide};
