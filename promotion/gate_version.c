#include "base/memory.h"
#include "promotion/gate_kind.h"
#include "promotion/version.h"

#include <stdio.h>

/* "version": a version tag that is set must be later than every version that the target repository
 * has; setting one again to the image that it names already is allowed. Tags that are no version
 * ("stable") are not looked at, but each image must get at least one version tag. */

struct version_settings {
    enum version_scheme scheme;
};

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    static const char *const schemes[] = {"semver", "numbers", NULL};
    struct version_settings *settings = gate->settings = memory_zero(sizeof *settings);
    size_t scheme = VERSION_SEMVER;
    enum error error =
        document_choice(document->object, document->place, "scheme", schemes, &scheme, why);

    settings->scheme = (enum version_scheme)scheme;
    return error;
}

struct latest {
    enum version_scheme scheme;
    struct version version;
    struct bytes tag; /* Empty: there is none. */
};

static bool visit_tag(void *data, struct bytes tag)
{
    struct latest *latest = data;
    struct version version;

    if (version_parse(latest->scheme, tag, &version) &&
        (latest->tag.size == 0 || version_compare(&version, &latest->version) > 0)) {
        latest->version = version;
        latest->tag = tag;
    }
    return true;
}

static void decide_tag(const struct gate_question *question, const struct promotion_item *item,
                       struct bytes tag, const struct version *version, struct gate_outcome *out)
{
    const struct version_settings *settings = question->gate->settings;
    struct latest latest = {.scheme = settings->scheme};
    struct tag_record record;

    if (catalog_tag(question->txn, item->target, tag, &record) == OK &&
        digest_equal(&record.digest, &item->root)) {
        return;
    }
    catalog_tags(question->txn, item->target, BYTES_NONE, visit_tag, &latest);
    if (latest.tag.size > 0 && version_compare(version, &latest.version) <= 0) {
        gate_refuse(out, GATE_FAIL, "VERSION_NOT_LATER");
        snprintf(out->text, sizeof out->text, "%.*s has version %.*s already, %.*s is not later",
                 BYTES_ARG(item->target), BYTES_ARG(latest.tag), BYTES_ARG(tag));
        snprintf(out->next, sizeof out->next,
                 "promote under a later version, or roll back if the older image is wanted");
    }
}

static void decide_item(const struct gate_question *question, const struct promotion_item *item,
                        struct gate_outcome *out)
{
    const struct version_settings *settings = question->gate->settings;
    size_t n = 0, i;

    for (i = 0; i < item->n_tags && out->result == GATE_PASS; i++) {
        struct version version;

        if (version_parse(settings->scheme, item->tags[i].name, &version)) {
            decide_tag(question, item, item->tags[i].name, &version, out);
            n++;
        }
    }
    if (n == 0) {
        gate_refuse(out, GATE_FAIL, "VERSION_MISSING");
        snprintf(out->text, sizeof out->text, "no tag that %.*s would get is a version",
                 BYTES_ARG(item->target));
        snprintf(out->next, sizeof out->next, "promote with --tag and a version, such as %s",
                 settings->scheme == VERSION_SEMVER ? "1.4.2" : "2026.11.1");
    }
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    size_t i;

    for (i = 0; i < question->promotion->n_items && out->result == GATE_PASS; i++) {
        decide_item(question, &question->promotion->items[i], out);
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "every version is later than what is there");
    }
}

static const char *const members[] = {"scheme", NULL};

const struct gate_kind gate_kind_version = {.name = "version",
                                            .members = members,
                                            .is_about_newness = true,
                                            .parse = parse,
                                            .decide = decide};
