#include "base/memory.h"
#include "promotion/duration.h"
#include "promotion/gate_kind.h"

#include <stdio.h>

/* "age": how long ago the image was pushed or promoted into the stage that it comes from: not
 * longer than maxAge (an old build misses fixes), not shorter than minAge (a time to cool down).
 * Log time: a push of what is there already does not make it younger. */

struct age_settings {
    uint64_t min_ms, max_ms; /* 0: any. */
};

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct age_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error =
        document_duration(document->object, document->place, "minAge", &settings->min_ms, why);

    if (error == OK || error == ERROR_NOT_FOUND) {
        error =
            document_duration(document->object, document->place, "maxAge", &settings->max_ms, why);
    }
    if (error != OK && error != ERROR_NOT_FOUND) {
        return error;
    }
    if (settings->min_ms == 0 && settings->max_ms == 0) {
        return fail(why, ERROR_INVALID, "%s limits nothing: give minAge or maxAge",
                    document->place);
    }
    if (settings->max_ms > 0 && settings->min_ms >= settings->max_ms) {
        return fail(why, ERROR_INVALID, "%s can never pass: minAge is not less than maxAge",
                    document->place);
    }
    return OK;
}

static void too_young(const struct promotion_item *item, uint64_t age, uint64_t since,
                      uint64_t min_ms, struct gate_outcome *out)
{
    char is[DURATION_TEXT_MAX], wanted[DURATION_TEXT_MAX], rest[DURATION_TEXT_MAX];

    duration_format(age, is);
    duration_format(min_ms, wanted);
    duration_format(min_ms - age, rest);
    gate_refuse(out, GATE_PENDING, "IMAGE_TOO_YOUNG");
    out->ready_ms = since + min_ms;
    snprintf(out->text, sizeof out->text, "the image of %.*s is there for %s, of %s wanted",
             BYTES_ARG(item->source), is, wanted);
    snprintf(out->next, sizeof out->next, "wait %s more; nothing else to do", rest);
}

static void too_old(const struct promotion_item *item, uint64_t age, uint64_t max_ms,
                    struct gate_outcome *out)
{
    char is[DURATION_TEXT_MAX], allowed[DURATION_TEXT_MAX];

    duration_format(age, is);
    duration_format(max_ms, allowed);
    gate_refuse(out, GATE_FAIL, "IMAGE_TOO_OLD");
    snprintf(out->text, sizeof out->text, "the image of %.*s is there for %s, at most %s is fresh",
             BYTES_ARG(item->source), is, allowed);
    snprintf(out->next, sizeof out->next, "build and push it again, and promote that");
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct age_settings *settings = question->gate->settings;
    char oldest_text[DURATION_TEXT_MAX];
    uint64_t oldest = 0;
    size_t i;

    for (i = 0; i < question->promotion->n_items && out->result != GATE_FAIL; i++) {
        const struct promotion_item *item = &question->promotion->items[i];
        struct manifest_record manifest;
        uint64_t age;

        if (catalog_manifest(question->txn, item->source, &item->root, &manifest) != OK) {
            gate_refuse(out, GATE_FAIL, "IMAGE_INCOMPLETE");
            snprintf(out->text, sizeof out->text, "the image is not in %.*s any more",
                     BYTES_ARG(item->source));
            snprintf(out->next, sizeof out->next, "push it again");
            return;
        }
        age = question->now_ms > manifest.since_ms ? question->now_ms - manifest.since_ms : 0;
        oldest = age > oldest ? age : oldest;
        if (settings->max_ms > 0 && age > settings->max_ms) {
            too_old(item, age, settings->max_ms, out);
        } else if (age < settings->min_ms && manifest.since_ms + settings->min_ms > out->ready_ms) {
            too_young(item, age, manifest.since_ms, settings->min_ms, out);
        }
    }
    if (out->result == GATE_PASS) {
        duration_format(oldest, oldest_text);
        snprintf(out->text, sizeof out->text, "the oldest image is there for %s", oldest_text);
    }
}

static const char *const members[] = {"minAge", "maxAge", NULL};

const struct gate_kind gate_kind_age = {
    .name = "age", .members = members, .is_about_newness = true, .parse = parse, .decide = decide};
