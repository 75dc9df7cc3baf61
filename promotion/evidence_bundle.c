#include "promotion/evidence_private.h"

#include "base/json.h"

/* Sigstore bundles 0.1 to 0.3 as JSON: a DSSE envelope, or the signature of the manifest's own
 * bytes. Certificates, log entries and timestamps in it are not looked at; a fact says that they
 * were there. */

#define SIGNATURE_MAX 1024

static enum error verify_message(const struct evidence_layer *layer, const json_t *message,
                                 struct refusal *refusal)
{
    struct signature_claim claim;
    struct buffer signature, subject;
    struct signer signer;
    json_t *details = json_object();
    enum error error;

    buffer_init(&signature, SIGNATURE_MAX);
    buffer_init(&subject, (size_t)4 * 1024 * 1024);
    error = evidence_base64(json_object_get(message, "signature"), "the signature", BASE64_STANDARD,
                            &signature, refusal);
    if (error == OK) {
        error = evidence_count(layer->out, refusal);
    }
    if (error == OK) {
        error = evidence_fetch(layer->source, &layer->source->subject, subject.limit, &subject,
                               refusal);
    }
    if (error == OK) {
        claim.message = buffer_view(&subject);
        claim.signature = buffer_view(&signature);
        error = trust_verify(layer->trust, &claim, layer->source->now_ms, &signer, refusal);
    }
    if (error == OK) {
        evidence_add(layer, EVIDENCE_BUNDLE_MESSAGE, &signer, BYTES_NONE, details);
    }
    json_decref(details);
    buffer_release(&signature);
    buffer_release(&subject);
    return error;
}

static bool is_bundle(const json_t *bundle)
{
    static const char *const types[] = {"application/vnd.dev.sigstore.bundle.v0.3+json",
                                        "application/vnd.dev.sigstore.bundle+json;version=0.3",
                                        "application/vnd.dev.sigstore.bundle+json;version=0.2",
                                        "application/vnd.dev.sigstore.bundle+json;version=0.1"};
    const char *type = json_member_string(bundle, "mediaType");

    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum error evidence_bundle(const struct evidence_layer *layer, struct refusal *refusal)
{
    const json_t *envelope, *message, *material;
    struct evidence_layer inner = *layer;
    json_t *bundle = NULL;
    enum error error = evidence_json(layer->content, "the bundle", &bundle, refusal);

    if (error != OK) {
        return error;
    }
    envelope = json_object_get(bundle, "dsseEnvelope");
    message = json_object_get(bundle, "messageSignature");
    material = json_object_get(bundle, "verificationMaterial");
    inner.has_extras |= json_object_size(material) > 1 ||
                        json_object_get(material, "publicKey") == NULL;
    if (!is_bundle(bundle)) {
        error = refuse(refusal, "FORMAT_UNSUPPORTED",
                       "the bundle's mediaType must be that of version 0.1, 0.2 or 0.3");
    } else if ((envelope == NULL) == (message == NULL)) {
        error = refuse(refusal, "PAYLOAD_INVALID",
                       "the bundle must have either a dsseEnvelope or a messageSignature");
    } else if (envelope != NULL) {
        error = evidence_dsse(&inner, envelope, EVIDENCE_BUNDLE_DSSE, refusal);
    } else {
        error = verify_message(&inner, message, refusal);
    }
    json_decref(bundle);
    return error;
}
