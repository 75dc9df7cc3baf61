#include "promotion/evidence_private.h"

#include "base/json.h"
#include "base/memory.h"

#include <stdlib.h>

/* DSSE (protocol v1): what is signed is the pre-authentication encoding of the type and of the
 * decoded payload, so the payload is never written again. Key ids are hints and are not read. */

#define PAYLOAD_TYPE      "application/vnd.in-toto+json"
#define PAE_MAX           (EVIDENCE_PAYLOAD_MAX + 256)
#define SIGNATURE_MAX     1024
#define ENVELOPE_KEYS_MAX 16

static void encode(struct bytes payload, struct buffer *out)
{
    buffer_print(out, "DSSEv1 %zu %s %zu ", sizeof PAYLOAD_TYPE - 1, PAYLOAD_TYPE, payload.size);
    buffer_append(out, payload);
}

/* Who signed the message? One entry of "signatures". */
static enum error verify_entry(const struct evidence_layer *layer, const json_t *entry,
                               struct bytes message, struct signer *signer, struct refusal *refusal)
{
    struct signature_claim claim = {.message = message};
    struct buffer signature;
    enum error error;

    buffer_init(&signature, SIGNATURE_MAX);
    error = evidence_base64(json_object_get(entry, "sig"), "the signature", BASE64_EITHER,
                            &signature, refusal);
    if (error == OK) {
        error = evidence_count(layer->out, refusal);
    }
    if (error == OK) {
        claim.signature = buffer_view(&signature);
        error = trust_verify(layer->trust, &claim, layer->source->now_ms, signer, refusal);
    }
    buffer_release(&signature);
    return error;
}

/* The statement is read once for each signer: what it may say depends on who says it. */
static enum error add_facts(const struct evidence_layer *layer, struct bytes payload,
                            const struct signer *signers, size_t n, enum evidence_format format,
                            struct refusal *refusal)
{
    struct statement statement;
    json_t *document = NULL, *details;
    enum error error = evidence_json(payload, "the statement", &document, refusal), first;
    size_t n_added = 0;

    if (error == OK) {
        error = statement_read(document, &layer->source->subject, &statement, refusal);
    }
    first = error;
    for (size_t i = 0; i < n && first == OK; i++) {
        details = NULL;
        error = evidence_predicate(&statement, &signers[i], &details, refusal);
        if (error == OK) {
            evidence_add(layer, format, &signers[i], bytes_of_string(statement.predicate_type),
                         details);
            n_added++;
        }
        json_decref(details);
    }
    json_decref(document);
    return n_added > 0 ? OK : error;
}

/* Verify each signature over the message; those of strangers are passed over. */
static enum error verify_all(const struct evidence_layer *layer, const json_t *signatures,
                             struct bytes message, struct signer *signers, size_t *n,
                             struct refusal *refusal)
{
    const json_t *entry;
    enum error error = OK;
    size_t i;

    *n = 0;
    json_array_foreach(signatures, i, entry)
    {
        error = verify_entry(layer, entry, message, &signers[*n], refusal);
        if (error == OK) {
            (*n)++;
        } else if (error != ERROR_DENIED) {
            return error;
        }
    }
    return *n > 0 ? OK : error;
}

enum error evidence_dsse(const struct evidence_layer *layer, const json_t *envelope,
                         enum evidence_format format, struct refusal *refusal)
{
    const json_t *signatures = json_object_get(envelope, "signatures");
    const char *type = json_member_string(envelope, "payloadType");
    struct buffer payload, message;
    struct signer *signers = NULL;
    size_t n;
    enum error error;

    buffer_init(&payload, EVIDENCE_PAYLOAD_MAX);
    buffer_init(&message, PAE_MAX);
    if (type == NULL || strcmp(type, PAYLOAD_TYPE) != 0) {
        error = refuse(refusal, "FORMAT_UNSUPPORTED",
                       "the payloadType of the DSSE envelope must be " PAYLOAD_TYPE);
        goto done;
    }
    if (!json_is_array(signatures) || json_array_size(signatures) == 0 ||
        json_array_size(signatures) > ENVELOPE_KEYS_MAX) {
        error = refuse(refusal, "PAYLOAD_INVALID", "the DSSE envelope must have 1 to %d signatures",
                       ENVELOPE_KEYS_MAX);
        goto done;
    }
    error = evidence_base64(json_object_get(envelope, "payload"), "the DSSE payload", BASE64_EITHER,
                            &payload, refusal);
    if (error != OK) {
        goto done;
    }
    encode(buffer_view(&payload), &message);
    signers = memory_zero(json_array_size(signatures) * sizeof *signers);
    error = verify_all(layer, signatures, buffer_view(&message), signers, &n, refusal);
    if (error == OK) {
        error = add_facts(layer, buffer_view(&payload), signers, n, format, refusal);
    }
done:
    free(signers);
    buffer_release(&payload);
    buffer_release(&message);
    return error;
}

enum error evidence_attestation(const struct evidence_layer *layer, struct refusal *refusal)
{
    json_t *envelope = NULL;
    enum error error = evidence_json(layer->content, "the DSSE envelope", &envelope, refusal);

    if (error == OK) {
        error = evidence_dsse(layer, envelope, EVIDENCE_DSSE, refusal);
    }
    json_decref(envelope);
    return error;
}
