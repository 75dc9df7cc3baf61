#include "base/json.h"
#include "base/memory.h"
#include "promotion/gate_kind.h"

#include <stdio.h>

/* "annotations": what the image's manifest says about itself. require: each key must be there, with
 * that value, or with one that matches when it has a '*' ("*" alone: any value). deny: a key with
 * such a value must not be there. Of the manifest that is promoted, the index when it is one. */

#define ANNOTATIONS_SIZE_MAX (4u * 1024 * 1024)

struct annotations_settings {
    const json_t *require, *deny; /* Objects of text to text, or NULL. */
};

static enum error parse_map(const struct gate_document *document, const char *key,
                            const json_t **out, struct reason *why)
{
    const json_t *map = json_object_get(document->object, key), *value;
    const char *name;

    if (map != NULL && (!json_is_object(map) || json_object_size(map) == 0)) {
        return fail(why, ERROR_INVALID, "%s: %s must be an object such as {\"team\": \"*\"}",
                    document->place, key);
    }
    json_object_foreach((json_t *)(uintptr_t)map, name, value)
    {
        if (!json_is_string(value) || name[0] == '\0') {
            return fail(why, ERROR_INVALID, "%s: %s: the value of \"%.64s\" must be text",
                        document->place, key, name);
        }
    }
    *out = map;
    return OK;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct annotations_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error = parse_map(document, "require", &settings->require, why);

    if (error == OK) {
        error = parse_map(document, "deny", &settings->deny, why);
    }
    if (error == OK && settings->require == NULL && settings->deny == NULL) {
        return fail(why, ERROR_INVALID, "%s checks nothing: give require or deny", document->place);
    }
    return error;
}

/* '*' stands for any run of characters. Each step back goes to the last star alone, so that the
 * time is at most the product of the lengths. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static void check(const struct promotion_item *item, const struct annotations_settings *settings,
                  const json_t *annotations, struct gate_outcome *out)
{
    const json_t *value;
    const char *name;

    json_object_foreach((json_t *)(uintptr_t)settings->require, name, value)
    {
        const char *is = json_string_value(json_object_get(annotations, name));

        if (is == NULL || !matches(json_string_value(value), is)) {
            gate_refuse(out, GATE_FAIL, "ANNOTATION_MISSING");
            snprintf(out->text, sizeof out->text,
                     "%.*s: annotation %.80s is %s%.60s, wanted: %.60s", BYTES_ARG(item->source),
                     name, is == NULL ? "missing" : "", is == NULL ? "" : is,
                     json_string_value(value));
            snprintf(out->next, sizeof out->next, "build the image with it, and promote that");
            return;
        }
    }
    json_object_foreach((json_t *)(uintptr_t)settings->deny, name, value)
    {
        const char *is = json_string_value(json_object_get(annotations, name));

        if (is != NULL && matches(json_string_value(value), is)) {
            gate_refuse(out, GATE_FAIL, "ANNOTATION_DENIED");
            snprintf(out->text, sizeof out->text, "%.*s: annotation %.80s is %.60s",
                     BYTES_ARG(item->source), name, is);
            snprintf(out->next, sizeof out->next, "build the image without it, and promote that");
            return;
        }
    }
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct annotations_settings *settings = question->gate->settings;
    size_t i;

    for (i = 0; i < question->promotion->n_items && out->result == GATE_PASS; i++) {
        const struct promotion_item *item = &question->promotion->items[i];
        struct manifest_record manifest = {0};
        json_t *annotations = NULL;

        if (catalog_manifest(question->txn, item->source, &item->root, &manifest) == OK &&
            manifest.annotations.size > 0 &&
            json_parse(manifest.annotations, ANNOTATIONS_SIZE_MAX, &annotations, NULL) != OK) {
            annotations = NULL; /* Nothing is known of it: what is required is missing. */
        }
        check(item, settings, annotations, out);
        json_decref(annotations);
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "all annotations are as wanted");
    }
}

static const char *const members[] = {"require", "deny", NULL};

const struct gate_kind gate_kind_annotations = {
    .name = "annotations", .members = members, .parse = parse, .decide = decide};
