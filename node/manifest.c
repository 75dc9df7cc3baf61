#include "node/manifest.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/http.h"

#include <ctype.h>
#include <stdlib.h>

enum manifest_kind { KIND_IMAGE, KIND_INDEX, KIND_ARTIFACT };

static const struct {
    const char *media_type;
    enum manifest_kind kind;
} kinds[] = {
    {"application/vnd.oci.image.manifest.v1+json", KIND_IMAGE},
    {"application/vnd.oci.image.index.v1+json", KIND_INDEX},
    {"application/vnd.docker.distribution.manifest.v2+json", KIND_IMAGE},
    {"application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX},
    {"application/vnd.oci.artifact.manifest.v1+json", KIND_ARTIFACT},
};

/* Layers that nobody has to push; they stay where their urls say. */
static const char *const external_types[] = {
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

static bool find_kind(struct bytes media_type, enum manifest_kind *kind)
{
    size_t i;

    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (bytes_equal_string(media_type, kinds[i].media_type)) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

bool media_type_is_manifest(struct bytes media_type)
{
    enum manifest_kind kind;

    return find_kind(media_type, &kind);
}

static bool is_external(const char *media_type)
{
    size_t i;

    for (i = 0; i < sizeof external_types / sizeof external_types[0]; i++) {
        if (strcmp(media_type, external_types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* --- members -----------------------------------------------------------------------------------
 */

/* Printable ASCII without spaces, with a slash inside: it will stand in a header. */
static bool is_media_type(const char *text)
{
    const char *slash = strchr(text, '/');
    size_t i;

    for (i = 0; text[i] != '\0'; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f || i == MEDIA_TYPE_MAX) {
            return false;
        }
    }
    return slash != NULL && slash != text && slash[1] != '\0';
}

/* A member that may be absent (or null, as some clients write it); "" then. */
static enum error read_media_type(const json_t *object, const char *key, char out[],
                                  struct reason *why)
{
    const json_t *value = json_object_get(object, key);

    out[0] = '\0';
    if (value == NULL || json_is_null(value) ||
        (json_is_string(value) && json_string_length(value) == 0)) {
        return OK;
    }
    if (!json_is_string(value) || !is_media_type(json_string_value(value))) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s is not a media type", key);
    }
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return OK;
}

/* where: for the sentence, "layers[3]". */
static enum error read_descriptor(const json_t *value, const char *where, char media_type[],
                                  struct reference *out, struct reason *why)
{
    const json_t *digest = json_object_get(value, "digest");
    const json_t *size = json_object_get(value, "size");

    if (!json_is_object(value)) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s is not a descriptor", where);
    }
    if (read_media_type(value, "mediaType", media_type, why) != OK || media_type[0] == '\0') {
        return fail(why, ERROR_MANIFEST_INVALID, "%s has no valid mediaType", where);
    }
    if (!json_is_string(digest) ||
        digest_parse(bytes_of_string(json_string_value(digest)), &out->digest) != OK) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s has no valid sha256 or sha512 digest", where);
    }
    if (!json_is_integer(size) || json_integer_value(size) < 0) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s has no valid size", where);
    }
    out->size = (uint64_t)json_integer_value(size);
    return OK;
}

/* An index's child: os/architecture and perhaps /variant. What does not fit is left out. */
static void read_platform(const json_t *descriptor, struct reference *out)
{
    const json_t *platform = json_object_get(descriptor, "platform");
    const char *os = json_string_value(json_object_get(platform, "os"));
    const char *architecture = json_string_value(json_object_get(platform, "architecture"));
    const char *variant = json_string_value(json_object_get(platform, "variant"));
    bool has_variant = variant != NULL && variant[0] != '\0';
    int size;

    if (os == NULL || architecture == NULL) {
        return;
    }
    size = snprintf(out->platform, sizeof out->platform, "%s/%s%s%s", os, architecture,
                    has_variant ? "/" : "", has_variant ? variant : "");
    if (size < 0 || (size_t)size >= sizeof out->platform) {
        out->platform[0] = '\0';
    }
}

static enum error read_list(struct manifest *out, const json_t *list, const char *key,
                            struct reason *why)
{
    char media_type[MEDIA_TYPE_MAX + 1], where[64];
    size_t i, n = json_array_size(list);
    enum error rv;

    if (!json_is_array(list)) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s is not an array", key);
    }
    if (n > REFERENCES_MAX - 1) {
        return fail(why, ERROR_MANIFEST_INVALID, "%s has more than %d entries", key,
                    REFERENCES_MAX - 1);
    }
    out->references =
        memory_resize(out->references, (out->n_references + n + 1) * sizeof *out->references);
    for (i = 0; i < n; i++) {
        struct reference *reference = &out->references[out->n_references];

        *reference = (struct reference){.kind = REFERENCE_LAYER};
        snprintf(where, sizeof where, "%s[%zu]", key, i);
        rv = read_descriptor(json_array_get(list, i), where, media_type, reference, why);
        if (rv != OK) {
            return rv;
        }
        reference->external = is_external(media_type);
        /* In an index only manifests are looked for among the manifests: BuildKit's caches list
         * layers and their config there. */
        if (strcmp(key, "manifests") == 0 && media_type_is_manifest(bytes_of_string(media_type))) {
            reference->kind = REFERENCE_MANIFEST;
            if (n <= PLATFORM_ENTRIES_MAX) {
                read_platform(json_array_get(list, i), reference);
            }
        }
        out->n_references++;
    }
    return OK;
}

static enum error read_subject(const json_t *root, struct manifest *out, struct reason *why)
{
    const json_t *subject = json_object_get(root, "subject");
    char media_type[MEDIA_TYPE_MAX + 1];
    struct reference reference = {0};
    enum error rv;

    if (subject == NULL || json_is_null(subject)) {
        return OK;
    }
    rv = read_descriptor(subject, "subject", media_type, &reference, why);
    out->subject = reference.digest;
    return rv;
}

static enum error read_annotations(const json_t *root, struct manifest *out, struct reason *why)
{
    json_t *annotations = json_object_get(root, "annotations");
    const char *key;
    json_t *value;

    if (annotations == NULL || json_is_null(annotations)) {
        return OK;
    }
    if (!json_is_object(annotations)) {
        return fail(why, ERROR_MANIFEST_INVALID, "annotations is not an object");
    }
    json_object_foreach(annotations, key, value)
    {
        if (!json_is_string(value)) {
            return fail(why, ERROR_MANIFEST_INVALID, "an annotation's value is not a string");
        }
    }
    if (json_object_size(annotations) == 0) {
        return OK;
    }
    json_write(&out->annotations, annotations);
    if (buffer_status(&out->annotations) != OK) {
        if (out->subject.algorithm != 0) {
            return fail(why, ERROR_MANIFEST_INVALID,
                        "the annotations of a manifest with a subject are over %u bytes",
                        ANNOTATIONS_SIZE_MAX);
        }
        buffer_clear(&out->annotations);
    }
    return OK;
}

/* --- the kinds ---------------------------------------------------------------------------------
 */

static enum error refuse_members(const json_t *root, const char *const *keys, struct reason *why)
{
    for (; *keys != NULL; keys++) {
        if (json_object_get(root, *keys) != NULL) {
            return fail(why, ERROR_MANIFEST_INVALID,
                        "\"%s\" has no place in a manifest of this media type", *keys);
        }
    }
    return OK;
}

static enum error read_image(const json_t *root, struct manifest *out, struct reason *why)
{
    static const char *const foreign[] = {"manifests", "fsLayers", "blobs", NULL};
    char config_type[MEDIA_TYPE_MAX + 1];
    struct reference config = {.kind = REFERENCE_CONFIG};
    enum error rv = refuse_members(root, foreign, why);

    if (rv == OK) {
        rv = read_descriptor(json_object_get(root, "config"), "config", config_type, &config, why);
    }
    if (rv == OK) {
        rv = read_list(out, json_object_get(root, "layers"), "layers", why);
    }
    if (rv != OK) {
        return rv;
    }
    config.external = is_external(config_type);
    out->references[out->n_references++] = config;
    if (out->artifact_type[0] == '\0') {
        memcpy(out->artifact_type, config_type, strlen(config_type) + 1);
    }
    return OK;
}

static enum error read_index(const json_t *root, struct manifest *out, struct reason *why)
{
    static const char *const foreign[] = {"config", "layers", "fsLayers", "blobs", NULL};
    enum error rv = refuse_members(root, foreign, why);

    return rv == OK ? read_list(out, json_object_get(root, "manifests"), "manifests", why) : rv;
}

static enum error read_artifact(const json_t *root, struct manifest *out, struct reason *why)
{
    static const char *const foreign[] = {"config", "layers", "manifests", "fsLayers", NULL};
    const json_t *blobs = json_object_get(root, "blobs");
    enum error rv = refuse_members(root, foreign, why);

    return rv == OK && blobs != NULL ? read_list(out, blobs, "blobs", why) : rv;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

/* "Application/X; charset=utf-8" to "application/x". */
static enum error header_type(struct bytes header, char out[], struct reason *why)
{
    ptrdiff_t end = bytes_find(header, ';');
    size_t size = end < 0 ? header.size : (size_t)end, i;

    while (size > 0 && (header.data[size - 1] == ' ' || header.data[size - 1] == '\t')) {
        size--;
    }
    if (size > MEDIA_TYPE_MAX) {
        return fail(why, ERROR_MANIFEST_INVALID, "the Content-Type is longer than %d bytes",
                    MEDIA_TYPE_MAX);
    }
    for (i = 0; i < size; i++) {
        out[i] = (char)tolower(header.data[i]);
    }
    out[size] = '\0';
    return OK;
}

static enum error read_type(const json_t *root, struct bytes content_type, struct manifest *out,
                            enum manifest_kind *kind, struct reason *why)
{
    char from_header[MEDIA_TYPE_MAX + 1];
    enum error rv = header_type(content_type, from_header, why);

    if (rv == OK) {
        rv = read_media_type(root, "mediaType", out->media_type, why);
    }
    if (rv != OK) {
        return rv;
    }
    if (out->media_type[0] == '\0') {
        memcpy(out->media_type, from_header, sizeof from_header);
    } else if (from_header[0] != '\0' && strcmp(from_header, out->media_type) != 0) {
        return fail(why, ERROR_MANIFEST_INVALID,
                    "Content-Type and the manifest's mediaType differ: %.100s, %.100s", from_header,
                    out->media_type);
    }
    if (!find_kind(bytes_of_string(out->media_type), kind)) {
        return fail(why, ERROR_MANIFEST_INVALID, "manifests of type \"%.200s\" are not taken here",
                    out->media_type);
    }
    return OK;
}

static enum error read_root(const json_t *root, struct bytes content_type, struct manifest *out,
                            struct reason *why)
{
    const json_t *version = json_object_get(root, "schemaVersion");
    enum manifest_kind kind;
    enum error rv;

    if (!json_is_object(root)) {
        return fail(why, ERROR_MANIFEST_INVALID, "the manifest is not a JSON object");
    }
    rv = read_type(root, content_type, out, &kind, why);
    if (rv != OK) {
        return rv;
    }
    if (kind == KIND_ARTIFACT ? version != NULL && json_integer_value(version) != 2
                              : !json_is_integer(version) || json_integer_value(version) != 2) {
        return fail(why, ERROR_MANIFEST_INVALID, "schemaVersion must be 2");
    }
    rv = read_media_type(root, "artifactType", out->artifact_type, why);
    if (rv == OK) {
        rv = read_subject(root, out, why);
    }
    if (rv == OK) {
        rv = read_annotations(root, out, why);
    }
    if (rv == OK) {
        rv = kind == KIND_IMAGE   ? read_image(root, out, why)
             : kind == KIND_INDEX ? read_index(root, out, why)
                                  : read_artifact(root, out, why);
    }
    return rv;
}

enum error manifest_parse(struct bytes content, struct bytes content_type, struct manifest *out,
                          struct reason *why)
{
    json_t *root;
    enum error rv;

    *out = (struct manifest){0};
    buffer_init(&out->annotations, ANNOTATIONS_SIZE_MAX);
    rv = json_parse(content, MANIFEST_SIZE_MAX, &root, why);
    if (rv != OK) {
        manifest_release(out);
        return rv == ERROR_TOO_LARGE && content.size > MANIFEST_SIZE_MAX ? rv
                                                                         : ERROR_MANIFEST_INVALID;
    }
    rv = read_root(root, content_type, out, why);
    json_decref(root);
    if (rv != OK) {
        manifest_release(out);
    }
    return rv;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->references);
    buffer_release(&manifest->annotations);
    *manifest = (struct manifest){0};
}
