#include "base/memory.h"
#include "promotion/gate_kind.h"
#include "promotion/image_walk.h"

#include <stdio.h>

/* "shape": what the image is made of. Its root has one of mediaTypes and artifactTypes; an index
 * has images for the platforms that are required (and, when exact, for no others); topLevelOnly
 * refuses one image out of an index that is in the repository, since who pulls that by its tag gets
 * the wrong platform; no foreign layers; no image has more than maxLayers layers.
 *
 * Platforms are those that the index names. A single image has its platform in its config, which
 * the replicated state does not know: where platforms are required it is refused. */

struct shape_settings {
    const json_t *media_types, *artifact_types; /* NULL: any. */
    const json_t *platforms;                    /* Required; NULL: not asked. */
    bool is_exact, is_top_level_only, refuses_foreign_layers;
    uint64_t max_layers; /* 0: any. */
};

static enum error parse_names(const struct gate_document *document, const json_t *object,
                              const char *key, const json_t **out, struct reason *why)
{
    char place[320];

    *out = json_object_get(object, key);
    if (*out == NULL) {
        return OK;
    }
    snprintf(place, sizeof place, "%s: %s", document->place, key);
    return document_names(*out, place, "names", why);
}

static enum error parse_platforms(const struct gate_document *document,
                                  struct shape_settings *settings, struct reason *why)
{
    static const char *const allowed[] = {"require", "exact", NULL};
    const json_t *object = json_object_get(document->object, "platforms");
    char place[320];
    enum error error;

    if (object == NULL) {
        return OK;
    }
    snprintf(place, sizeof place, "%s, platforms", document->place);
    error = document_check_members(object, place, allowed, NULL, why);
    if (error == OK) {
        error = parse_names(document, object, "require", &settings->platforms, why);
    }
    if (error == OK && settings->platforms == NULL) {
        return fail(why, ERROR_INVALID,
                    "%s: require is missing: a list such as [\"linux/amd64\", \"linux/arm64\"]",
                    place);
    }
    return error != OK ? error : document_bool(object, place, "exact", &settings->is_exact, why);
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct shape_settings *settings = gate->settings = memory_zero(sizeof *settings);
    const json_t *object = document->object;
    enum error error = parse_names(document, object, "mediaTypes", &settings->media_types, why);

    if (error == OK) {
        error = parse_names(document, object, "artifactTypes", &settings->artifact_types, why);
    }
    if (error == OK) {
        error = parse_platforms(document, settings, why);
    }
    if (error == OK) {
        error = document_bool(object, document->place, "topLevelOnly", &settings->is_top_level_only,
                              why);
    }
    if (error == OK) {
        error = document_bool(object, document->place, "noForeignLayers",
                              &settings->refuses_foreign_layers, why);
    }
    if (error == OK) {
        error = document_number(object, document->place, "maxLayers", 1, REFERENCES_MAX,
                                &settings->max_layers, why);
    }
    if (error == OK && settings->media_types == NULL && settings->artifact_types == NULL &&
        settings->platforms == NULL && !settings->is_top_level_only &&
        !settings->refuses_foreign_layers && settings->max_layers == 0) {
        return fail(why, ERROR_INVALID,
                    "%s asks nothing: give mediaTypes, artifactTypes, platforms, topLevelOnly, "
                    "noForeignLayers or maxLayers",
                    document->place);
    }
    return error;
}

/* --- deciding --------------------------------------------------------------------------------- */

struct shape_walk {
    const struct shape_settings *settings;
    const struct promotion_item *item;
    struct gate_outcome *out;
    uint64_t found;  /* Bits: required platforms that the index names. */
    char other[128]; /* The first that is not required; "": none. */
};

static void refuse(const struct shape_walk *walk, const char *code, const char *text,
                   const char *next)
{
    if (walk->out->result == GATE_PASS) {
        gate_refuse(walk->out, GATE_FAIL, code);
        snprintf(walk->out->text, sizeof walk->out->text, "the image of %.*s %s",
                 BYTES_ARG(walk->item->source), text);
        snprintf(walk->out->next, sizeof walk->out->next, "%s", next);
    }
}

static bool names_have(const json_t *names, struct bytes name, size_t *number)
{
    size_t i;

    for (i = 0; i < json_array_size(names); i++) {
        if (bytes_equal_string(name, json_string_value(json_array_get(names, i)))) {
            *number = i;
            return true;
        }
    }
    return false;
}

static void check_type(const struct shape_walk *walk, const json_t *types, struct bytes type,
                       const char *what, const char *code)
{
    char text[160];
    size_t number;

    if (types != NULL && !names_have(types, type, &number)) {
        snprintf(text, sizeof text, "has the %s \"%.*s\", which the gate does not list", what,
                 type.size > 100 ? 100 : (int)type.size, (const char *)type.data);
        refuse(walk, code, text, "promote one of the types that the gate lists");
    }
}

static bool visit_platform(void *data, const struct reference *ref)
{
    struct shape_walk *walk = data;
    struct bytes platform = bytes_of_string(ref->platform);
    size_t number;

    if (ref->kind != REFERENCE_MANIFEST) {
        return true;
    }
    if (names_have(walk->settings->platforms, platform, &number)) {
        walk->found |= UINT64_C(1) << number;
    } else if (walk->other[0] == '\0' && !bytes_equal_string(platform, "unknown/unknown")) {
        /* "unknown/unknown": BuildKit's attestations stand there as if they were images. */
        snprintf(walk->other, sizeof walk->other, "%s",
                 platform.size > 0 ? ref->platform : "(none named)");
    }
    return true;
}

static void check_platforms(struct shape_walk *walk, const struct image_manifest *root)
{
    const json_t *wanted = walk->settings->platforms;
    char text[200];
    size_t i;

    if (!root->is_index) {
        refuse(walk, "PLATFORM_MISSING",
               "is a single image and no index, so that its platforms are not known",
               "push an index that names the platforms, and promote that");
        return;
    }
    (void)manifest_references(root->record, visit_platform, walk);
    for (i = 0; i < json_array_size(wanted); i++) {
        if ((walk->found & (UINT64_C(1) << i)) == 0) {
            snprintf(text, sizeof text, "has nothing for %.100s",
                     json_string_value(json_array_get(wanted, i)));
            refuse(walk, "PLATFORM_MISSING", text,
                   "build for every platform that is required, push the index and promote that");
        }
    }
    if (walk->settings->is_exact && walk->other[0] != '\0') {
        snprintf(text, sizeof text, "is also for platform %s, which the gate does not list",
                 walk->other);
        refuse(walk, "PLATFORM_DENIED", text, "push an index without it, and promote that");
    }
}

static void check_root(const struct gate_question *question, struct shape_walk *walk,
                       const struct image_manifest *root)
{
    const struct shape_settings *settings = walk->settings;

    check_type(walk, settings->media_types, root->record->media_type, "media type",
               "MEDIA_TYPE_DENIED");
    check_type(walk, settings->artifact_types, root->record->artifact_type, "artifact type",
               "ARTIFACT_TYPE_DENIED");
    if (settings->platforms != NULL) {
        check_platforms(walk, root);
    }
    if (settings->is_top_level_only &&
        catalog_is_referred(question->txn, walk->item->source, root->digest)) {
        refuse(walk, "NOT_TOP_LEVEL", "is a part of an index that is there too",
               "promote the index, which brings all of its images");
    }
}

/* What image_walk() hands to. */
struct shape_visit {
    const struct gate_question *question;
    struct shape_walk *walk;
};

static void visit_manifest(void *data, const struct image_manifest *manifest)
{
    const struct shape_visit *visit = data;
    struct shape_walk *walk = visit->walk;
    char text[120];

    if (manifest->is_root) {
        check_root(visit->question, walk, manifest);
    }
    if (walk->settings->refuses_foreign_layers && manifest->has_external) {
        refuse(walk, "FOREIGN_LAYER", "has a foreign layer, which is not in this registry",
               "build it with all layers pushed here");
    }
    if (walk->settings->max_layers > 0 && !manifest->is_index &&
        manifest->layers > walk->settings->max_layers) {
        snprintf(text, sizeof text, "has %zu layers, at most %u are allowed", manifest->layers,
                 (unsigned)walk->settings->max_layers);
        refuse(walk, "TOO_MANY_LAYERS", text, "build it with fewer layers");
    }
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    size_t i;

    for (i = 0; i < question->promotion->n_items && out->result == GATE_PASS; i++) {
        const struct promotion_item *item = &question->promotion->items[i];
        struct shape_walk walk = {question->gate->settings, item, out, 0, ""};
        struct shape_visit visit = {question, &walk};

        if (!image_walk(question->txn, item->source, &item->root, visit_manifest, &visit)) {
            refuse(&walk, "IMAGE_INCOMPLETE", "is not there as a whole", "push it again");
        }
    }
    if (out->result == GATE_PASS) {
        snprintf(out->text, sizeof out->text, "%zu images are of the shape that is wanted",
                 question->promotion->n_items);
    }
}

static const char *const members[] = {
    "mediaTypes",      "artifactTypes", "platforms", "topLevelOnly",
    "noForeignLayers", "maxLayers",     NULL};

const struct gate_kind gate_kind_shape = {
    .name = "shape", .members = members, .parse = parse, .decide = decide};
