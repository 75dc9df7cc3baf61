#include "promotion/evidence_private.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdlib.h>

/* What a manifest holds is told by the media types of its layers, one row each. */

#define MANIFEST_MAX ((size_t)4 * 1024 * 1024)

static const struct {
    const char *media_type;
    enum error (*read)(const struct evidence_layer *layer, struct refusal *refusal);
} readers[] = {
    {"application/vnd.dev.cosign.simplesigning.v1+json", evidence_cosign},
    {"application/vnd.dsse.envelope.v1+json", evidence_attestation},
    {"application/vnd.dev.sigstore.bundle.v0.3+json", evidence_bundle},
    {"application/vnd.dev.sigstore.bundle+json;version=0.3", evidence_bundle},
    {"application/vnd.dev.sigstore.bundle+json;version=0.2", evidence_bundle},
    {"application/vnd.dev.sigstore.bundle+json;version=0.1", evidence_bundle},
};

#define READERS_N (sizeof readers / sizeof readers[0])

enum error evidence_count(struct evidence_facts *out, struct refusal *refusal)
{
    if (out->n_signatures >= EVIDENCE_SIGNATURES_MAX) {
        return refuse(refusal, "TOO_MANY_SIGNATURES",
                      "more than %d signatures for one digest; remove those that are not needed",
                      EVIDENCE_SIGNATURES_MAX);
    }
    out->n_signatures++;
    return OK;
}

void evidence_add(const struct evidence_layer *layer, enum evidence_format format,
                  const struct signer *signer, struct bytes predicate_type, const json_t *details)
{
    struct evidence_facts *out = layer->out;
    struct evidence_fact fact = {.subject = layer->source->subject,
                                 .evidence = layer->source->evidence,
                                 .blob = layer->blob,
                                 .format = format,
                                 .signer_kind = signer->kind,
                                 .signer = bytes_of_string(signer->id),
                                 .key = signer->key,
                                 .predicate_type = predicate_type,
                                 .verified_at_ms = layer->source->now_ms,
                                 .valid_until_ms = signer->valid_until_ms,
                                 .trust_revision = trust_revision(layer->trust),
                                 .verifier_revision = EVIDENCE_VERIFIER_REVISION,
                                 .has_unverified_extras = layer->has_extras};
    struct buffer text, packed;
    struct unpacker in;
    size_t size, n = out->n_facts;

    buffer_init(&text, EVIDENCE_DETAILS_MAX);
    buffer_init(&packed, EVIDENCE_FACT_MAX);
    json_write(&text, details);
    if (buffer_status(&text) != OK) {
        buffer_clear(&text);
        buffer_append_string(&text, "{\"truncated\":true}");
    }
    fact.details = buffer_view(&text);
    evidence_fact_pack(&packed, &fact);
    CHECK(buffer_status(&packed) == OK);
    out->packed = memory_resize(out->packed, (n + 1) * sizeof *out->packed);
    out->facts = memory_resize(out->facts, (n + 1) * sizeof *out->facts);
    out->packed[n] = buffer_take(&packed, &size);
    unpack_start(&in, bytes_of(out->packed[n], size));
    evidence_fact_unpack(&in, &out->facts[n]);
    CHECK(unpack_end(&in) == OK);
    out->n_facts++;
    buffer_release(&text);
}

static void add_refusal(struct evidence_facts *out, const struct digest *evidence,
                        const struct refusal *refusal)
{
    /* More are not of use to anybody, and a stranger may push any number. */
    if (out->n_refused >= EVIDENCE_SIGNATURES_MAX) {
        return;
    }
    out->refused = memory_resize(out->refused, (out->n_refused + 1) * sizeof *out->refused);
    out->refused[out->n_refused].evidence = *evidence;
    out->refused[out->n_refused++].refusal = *refusal;
}

enum error evidence_fetch(const struct evidence_source *source, const struct digest *digest,
                          size_t max, struct buffer *out, struct refusal *refusal)
{
    struct digest actual;
    char text[DIGEST_TEXT_MAX];
    enum error error = source->fetch(source->data, digest, max, out, &refusal->why);

    digest_format(digest, text);
    if (error == ERROR_BLOB_UNKNOWN) {
        return refuse(refusal, "BLOB_UNKNOWN", "the blob %s is not here; push it again", text);
    }
    if (error == ERROR_TOO_LARGE || (error == OK && buffer_status(out) != OK)) {
        return refuse(refusal, "EVIDENCE_TOO_LARGE", "%s is over the limit of %zu bytes", text,
                      max);
    }
    if (error != OK) {
        return error;
    }
    digest_of((enum digest_algorithm)digest->algorithm, buffer_view(out), &actual);
    if (!digest_equal(&actual, digest)) {
        return refuse(refusal, "BLOB_DAMAGED", "the bytes of %s do not fit its digest", text);
    }
    return OK;
}

enum error evidence_json(struct bytes text, const char *what, json_t **out, struct refusal *refusal)
{
    if (json_parse(text, EVIDENCE_BLOB_MAX, out, &refusal->why) != OK) {
        refusal->code = "PAYLOAD_INVALID";
        reason_prefix(&refusal->why, "%s", what);
        return ERROR_DENIED;
    }
    return OK;
}

enum error evidence_base64(const json_t *text, const char *what, enum base64_form form,
                           struct buffer *out, struct refusal *refusal)
{
    enum error error =
        json_string_length(text) == 0
            ? ERROR_INVALID
            : base64_decode(bytes_of(json_string_value(text), json_string_length(text)), form, out);

    if (error == ERROR_TOO_LARGE) {
        return refuse(refusal, "EVIDENCE_TOO_LARGE", "%s is over the limit of %zu bytes", what,
                      out->limit);
    }
    return error == OK
               ? OK
               : refuse(refusal, "PAYLOAD_INVALID", "%s must be text in strict base64", what);
}

static enum error check_annotations(const json_t *annotations, bool *has_extras,
                                    struct refusal *refusal)
{
    json_t *member = (json_t *)(uintptr_t)annotations, *value;
    const char *key;
    size_t size = 0;

    if (annotations == NULL) {
        return OK;
    }
    json_object_foreach(member, key, value)
    {
        size += strlen(key) + json_string_length(value);
        *has_extras |= strncmp(key, "dev.sigstore.cosign/", 20) == 0;
    }
    if (!json_is_object(annotations) || size > EVIDENCE_ANNOTATIONS_MAX) {
        return refuse(refusal, "EVIDENCE_TOO_LARGE",
                      "annotations of a layer must be an object of at most %zu bytes",
                      EVIDENCE_ANNOTATIONS_MAX);
    }
    return OK;
}

static enum error read_layer(struct evidence_layer *layer, size_t reader, struct refusal *refusal)
{
    const json_t *digest = json_object_get(layer->descriptor, "digest");
    int64_t size = json_member_int(layer->descriptor, "size", -1);
    struct buffer content;
    enum error error;

    buffer_init(&content, EVIDENCE_BLOB_MAX);
    error = check_annotations(json_object_get(layer->descriptor, "annotations"), &layer->has_extras,
                              refusal);
    if (error == OK &&
        (!json_is_string(digest) ||
         digest_parse(bytes_of(json_string_value(digest), json_string_length(digest)),
                      &layer->blob) != OK)) {
        error = refuse(refusal, "PAYLOAD_INVALID", "a layer of the evidence has no digest");
    }
    if (error == OK && (size < 0 || size > (int64_t)EVIDENCE_BLOB_MAX)) {
        error = refuse(refusal, "EVIDENCE_TOO_LARGE", "a layer of evidence has at most %zu bytes",
                       EVIDENCE_BLOB_MAX);
    }
    if (error == OK) {
        error = evidence_fetch(layer->source, &layer->blob, (size_t)size, &content, refusal);
    }
    if (error == OK) {
        layer->content = buffer_view(&content);
        error = readers[reader].read(layer, refusal);
    }
    buffer_release(&content);
    return error;
}

/* A referrer says what it refers to; when it says another digest, it is not for this one. */
static enum error check_referrer(const json_t *manifest, const struct digest *subject,
                                 struct refusal *refusal)
{
    const json_t *referrer = json_object_get(manifest, "subject");
    const char *text = json_string_value(json_object_get(referrer, "digest"));
    struct digest digest;

    if (referrer == NULL) {
        return OK;
    }
    if (text == NULL || digest_parse(bytes_of_string(text), &digest) != OK ||
        !digest_equal(&digest, subject)) {
        return refuse(refusal, "SUBJECT_MISMATCH", "the manifest refers to another digest");
    }
    return OK;
}

static size_t reader_of(const json_t *layer)
{
    const char *media_type = json_member_string(layer, "mediaType");
    size_t i = 0;

    while (i < READERS_N &&
           (media_type == NULL || strcmp(media_type, readers[i].media_type) != 0)) {
        i++;
    }
    return i;
}

enum error evidence_verify(const struct evidence_source *source, const struct trust *trust,
                           struct evidence_facts *out, struct reason *why)
{
    struct refusal refusal = {.code = "PAYLOAD_INVALID"};
    json_t *manifest, *descriptor;
    size_t i, n_read = 0;
    enum error error = json_parse(source->manifest, MANIFEST_MAX, &manifest, &refusal.why);

    if (error != OK) {
        reason_prefix(&refusal.why, "the manifest of the evidence");
        add_refusal(out, &source->evidence, &refusal);
        return OK;
    }
    json_array_foreach(json_object_get(manifest, "layers"), i, descriptor)
    {
        size_t reader = reader_of(descriptor);
        struct evidence_layer layer = {
            .source = source, .trust = trust, .out = out, .descriptor = descriptor};

        if (reader == READERS_N) {
            continue;
        }
        n_read++;
        error = check_referrer(manifest, &source->subject, &refusal);
        error = error == OK ? read_layer(&layer, reader, &refusal) : error;
        if (error == ERROR_DENIED) {
            add_refusal(out, &source->evidence, &refusal);
        } else if (error != OK) {
            if (why != NULL) {
                *why = refusal.why;
            }
            break;
        }
        /* Refused or not, the next one is looked at. */
        error = OK;
    }
    json_decref(manifest);
    return error != OK || n_read > 0
               ? error
               : fail(why, ERROR_UNSUPPORTED, "the manifest holds no signature or attestation");
}
