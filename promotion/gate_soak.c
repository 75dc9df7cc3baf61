#include "promotion/gate_kind.h"

#include "base/assert.h"
#include "base/memory.h"
#include "promotion/duration.h"

#include <stdio.h>

/* "soak": how long the image has been in its stage without a break. */

struct soak_settings {
    uint64_t min_ms;
};

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    static const char *const bases[] = {"current-continuous", NULL};
    struct soak_settings *settings = gate->settings = memory_zero(sizeof *settings);
    size_t basis = 0;
    enum error error =
        document_choice(document->object, document->place, "basis", bases, &basis, why);

    if (error != OK) {
        return error;
    }
    error = document_duration(document->object, document->place, "min", &settings->min_ms, why);
    if (error == ERROR_NOT_FOUND) {
        return fail(why, ERROR_INVALID, "%s: min is missing: how long, such as \"24h\"",
                    document->place);
    }
    return error;
}

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
    gate_refuse(out, GATE_FAIL, "SOAK_NOT_CURRENT");
    snprintf(out->text, sizeof out->text,
             "no tag of %.*s names %.*s any more, so it is not in %.*s", BYTES_ARG(item->source),
             19, digest, BYTES_ARG(promotion->from));
    snprintf(out->next, sizeof out->next, "promote what is in %.*s now, or bring this back there",
             BYTES_ARG(promotion->from));
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct soak_settings *settings = question->gate->settings;
    const struct promotion *promotion = question->promotion;
    const struct promotion_item *youngest = NULL;
    char soaked[DURATION_TEXT_MAX], wanted[DURATION_TEXT_MAX], rest[DURATION_TEXT_MAX];
    uint64_t newest = 0, age;
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];
        uint64_t since = residence_since(question->txn, item->source, &item->root);

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
    age = question->now_ms > newest ? question->now_ms - newest : 0;
    duration_format(age, soaked);
    duration_format(settings->min_ms, wanted);
    snprintf(out->text, sizeof out->text, "%.*s is in %.*s for %s, of %s wanted",
             BYTES_ARG(youngest->source), BYTES_ARG(promotion->from), soaked, wanted);
    if (age < settings->min_ms) {
        duration_format(settings->min_ms - age, rest);
        gate_refuse(out, GATE_PENDING, "SOAK_TOO_SHORT");
        out->ready_ms = newest + settings->min_ms;
        snprintf(out->next, sizeof out->next, "wait %s more; nothing else to do", rest);
    }
}

static const char *const members[] = {"min", "basis", NULL};

const struct gate_kind gate_kind_soak = {
    .name = "soak", .members = members, .is_about_newness = true, .parse = parse, .decide = decide};
