#ifndef PROMOTION_EVIDENCE_PRIVATE_H
#define PROMOTION_EVIDENCE_PRIVATE_H

#include "promotion/base64.h"
#include "promotion/evidence.h"

/* What the formats share. Each format reads one layer, and adds facts or answers with a refusal. */

struct evidence_layer {
    const struct evidence_source *source;
    const struct trust *trust;
    struct evidence_facts *out;
    const json_t *descriptor; /* Of the layer: mediaType, annotations. */
    struct bytes media_type;
    struct digest blob;
    struct bytes content; /* Its digest was compared. */
    bool has_extras;      /* A certificate, log entry or timestamp stands beside it. */
};

/* Answer OK, ERROR_DENIED with the refusal, or an error of fetch with its sentence in it. */
enum error evidence_cosign(const struct evidence_layer *layer, struct refusal *refusal) MUST_USE;
enum error evidence_attestation(const struct evidence_layer *layer,
                                struct refusal *refusal) MUST_USE;
enum error evidence_bundle(const struct evidence_layer *layer, struct refusal *refusal) MUST_USE;

/* One more signature is about to be verified: ERROR_DENIED when there were enough. */
enum error evidence_count(struct evidence_facts *out, struct refusal *refusal) MUST_USE;
/* Add a fact. Details over EVIDENCE_DETAILS_MAX become {"truncated":true}: a gate that needs them
 * does not pass. */
void evidence_add(const struct evidence_layer *layer, enum evidence_format format,
                  const struct signer *signer, struct bytes predicate_type, const json_t *details);
/* Append a blob whose bytes fit its digest. ERROR_DENIED with the refusal, or an error of fetch. */
enum error evidence_fetch(const struct evidence_source *source, const struct digest *digest,
                          size_t max, struct buffer *out, struct refusal *refusal) MUST_USE;
/* json_parse() with the limits of evidence; refuses with PAYLOAD_INVALID. */
enum error evidence_json(struct bytes text, const char *what, json_t **out,
                         struct refusal *refusal) MUST_USE;
/* base64_decode() of a JSON text member into out; refuses with PAYLOAD_INVALID. */
enum error evidence_base64(const json_t *text, const char *what, enum base64_form form,
                           struct buffer *out, struct refusal *refusal) MUST_USE;

/* Verify a DSSE envelope (parsed) and the in-toto statement in it; a fact for each signer. */
enum error evidence_dsse(const struct evidence_layer *layer, const json_t *envelope,
                         enum evidence_format format, struct refusal *refusal) MUST_USE;

/* A verified statement. */
struct statement {
    const char *predicate_type;
    const json_t *predicate;
};

/* Is it a Statement (v0.1 or v1) about the subject? predicate_type and predicate are borrowed from
 * document. */
enum error statement_read(const json_t *document, const struct digest *subject,
                          struct statement *out, struct refusal *refusal) MUST_USE;
/* What a fact keeps of a predicate, by its signed type; a predicate of a type that is not known is
 * kept as it is. *details is the caller's (json_decref). Refuses what the signer may not say, and
 * what is known and malformed. */
enum error evidence_predicate(const struct statement *statement, const struct signer *signer,
                              json_t **details, struct refusal *refusal) MUST_USE;

#endif
