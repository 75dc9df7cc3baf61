#include "promotion/evidence_private.h"

#include "base/json.h"

/* cosign's simple signing: the blob, byte for byte as it is stored, is what is signed; the
 * signature stands in an annotation of its layer. The key in "critical.image" is written in lower
 * case. */

#define SIGNATURE_MAX 1024
#define TYPE          "cosign container image signature"

static enum error check_payload(const json_t *payload, const struct digest *subject,
                                struct refusal *refusal)
{
    const json_t *critical = json_object_get(payload, "critical");
    const char *type = json_member_string(critical, "type");
    const json_t *text =
        json_object_get(json_object_get(critical, "image"), "docker-manifest-digest");
    char expected[DIGEST_TEXT_MAX];
    struct digest digest;

    if (type == NULL || strcmp(type, TYPE) != 0) {
        return refuse(refusal, "PAYLOAD_INVALID",
                      "critical.type of the payload must be \"" TYPE "\"");
    }
    if (!json_is_string(text) ||
        digest_parse(bytes_of(json_string_value(text), json_string_length(text)), &digest) != OK) {
        return refuse(refusal, "PAYLOAD_INVALID",
                      "critical.image.docker-manifest-digest of the payload must be a digest");
    }
    if (!digest_equal(&digest, subject)) {
        digest_format(subject, expected);
        return refuse(refusal, "SUBJECT_MISMATCH", "the signature is about %.80s and not about %s",
                      json_string_value(text), expected);
    }
    return OK;
}

/* "optional" is what cosign sign -a says; a gate may ask for it. */
static json_t *details_of(const json_t *payload)
{
    json_t *details = json_object();
    json_t *optional = json_object_get(payload, "optional");

    if (json_is_object(optional)) {
        json_object_set(details, "annotations", optional);
    }
    return details;
}

static enum error verify(const struct evidence_layer *layer, const struct signature_claim *claim,
                         struct refusal *refusal)
{
    struct signer signer;
    json_t *payload = NULL, *details;
    enum error error = evidence_count(layer->out, refusal);

    if (error == OK) {
        error = trust_verify(layer->trust, claim, layer->source->now_ms, &signer, refusal);
    }
    if (error == OK) {
        error = evidence_json(claim->message, "the signed payload", &payload, refusal);
    }
    if (error == OK) {
        error = check_payload(payload, &layer->source->subject, refusal);
    }
    if (error == OK) {
        details = details_of(payload);
        evidence_add(layer, EVIDENCE_COSIGN, &signer, BYTES_NONE, details);
        json_decref(details);
    }
    json_decref(payload);
    return error;
}

enum error evidence_cosign(const struct evidence_layer *layer, struct refusal *refusal)
{
    const json_t *annotations = json_object_get(layer->descriptor, "annotations");
    struct signature_claim claim = {.message = layer->content};
    struct buffer signature;
    enum error error;

    buffer_init(&signature, SIGNATURE_MAX);
    error = evidence_base64(json_object_get(annotations, "dev.cosignproject.cosign/signature"),
                            "the annotation dev.cosignproject.cosign/signature", BASE64_STANDARD,
                            &signature, refusal);
    if (error == OK) {
        claim.signature = buffer_view(&signature);
        error = verify(layer, &claim, refusal);
    }
    buffer_release(&signature);
    return error;
}
