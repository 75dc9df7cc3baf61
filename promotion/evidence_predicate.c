#include "promotion/evidence_private.h"

#include "base/json.h"

/* What a fact keeps of a predicate, by its signed type. Provenance and summaries (VSA) count only
 * from a key that the trust lets speak for that builder or verifier: a valid signature alone says
 * nothing about who built. */

static enum error need_text(const json_t *value, const char *what, const char **out,
                            struct refusal *refusal)
{
    *out = json_string_value(value);
    return *out != NULL && **out != '\0'
               ? OK
               : refuse(refusal, "PREDICATE_INVALID", "%s of the predicate must be text", what);
}

static void set_text(json_t *details, const char *key, const json_t *value)
{
    if (json_is_string(value)) {
        json_object_set(details, key, (json_t *)(uintptr_t)value);
    }
}

static enum error check_builder(const struct signer *signer, const json_t *builder, json_t *details,
                                struct refusal *refusal)
{
    const char *id;
    enum error error = need_text(builder, "the builder's id", &id, refusal);

    if (error != OK) {
        return error;
    }
    if (!signer_is_granted(signer, "builders", id, false)) {
        return refuse(
            refusal, "BUILDER_UNTRUSTED",
            "the key %s may not speak for the builder %.200s; add it to the key's builders",
            signer->id, id);
    }
    set_text(details, "builder", builder);
    return OK;
}

static enum error read_provenance_v1(const json_t *predicate, const struct signer *signer,
                                     json_t *details, struct refusal *refusal)
{
    const json_t *run = json_object_get(predicate, "runDetails");
    const json_t *build = json_object_get(predicate, "buildDefinition");
    json_t *parameters = json_object_get(build, "externalParameters");

    set_text(details, "buildType", json_object_get(build, "buildType"));
    if (json_is_object(parameters)) {
        json_object_set(details, "externalParameters", parameters);
    }
    return check_builder(signer, json_object_get(json_object_get(run, "builder"), "id"), details,
                         refusal);
}

static enum error read_provenance_v02(const json_t *predicate, const struct signer *signer,
                                      json_t *details, struct refusal *refusal)
{
    const json_t *source =
        json_object_get(json_object_get(predicate, "invocation"), "configSource");

    set_text(details, "buildType", json_object_get(predicate, "buildType"));
    set_text(details, "sourceUri", json_object_get(source, "uri"));
    return check_builder(signer, json_object_get(json_object_get(predicate, "builder"), "id"),
                         details, refusal);
}

/* The steps of SLSA that need no setting of a gate; a gate compares resourceUri and levels. */
static enum error read_vsa(const json_t *predicate, const struct signer *signer, json_t *details,
                           struct refusal *refusal)
{
    const json_t *verifier = json_object_get(json_object_get(predicate, "verifier"), "id");
    const char *result = json_member_string(predicate, "verificationResult"), *id;
    json_t *levels = json_object_get(predicate, "verifiedLevels");
    enum error error = need_text(verifier, "verifier.id", &id, refusal);

    if (error != OK) {
        return error;
    }
    if (!signer_is_granted(signer, "verifiers", id, false)) {
        return refuse(refusal, "VERIFIER_UNTRUSTED",
                      "the key %s may not speak for the verifier %.200s; add it to the key's "
                      "verifiers",
                      signer->id, id);
    }
    if (result == NULL || strcmp(result, "PASSED") != 0) {
        return refuse(refusal, "VERIFICATION_FAILED", "the summary does not say PASSED");
    }
    if (!json_is_array(levels)) {
        return refuse(refusal, "PREDICATE_INVALID", "verifiedLevels must be a list");
    }
    set_text(details, "verifier", verifier);
    set_text(details, "resourceUri", json_object_get(predicate, "resourceUri"));
    json_object_set(details, "verifiedLevels", levels);
    json_object_set(details, "policy", json_object_get(predicate, "policy"));
    return OK;
}

static enum error read_test_result(const json_t *predicate, const struct signer *signer,
                                   json_t *details, struct refusal *refusal)
{
    static const char *const lists[] = {"configuration", "failedTests", "warnedTests"};
    const char *result;
    enum error error = need_text(json_object_get(predicate, "result"), "result", &result, refusal);

    (void)signer;
    if (error != OK) {
        return error;
    }
    if (strcmp(result, "PASSED") != 0 && strcmp(result, "WARNED") != 0 &&
        strcmp(result, "FAILED") != 0) {
        return refuse(refusal, "PREDICATE_INVALID", "result must be PASSED, WARNED or FAILED");
    }
    set_text(details, "result", json_object_get(predicate, "result"));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        json_t *list = json_object_get(predicate, lists[i]);

        if (list != NULL && !json_is_array(list)) {
            return refuse(refusal, "PREDICATE_INVALID", "%s must be a list", lists[i]);
        }
        if (list != NULL) {
            json_object_set(details, lists[i], list);
        }
    }
    return OK;
}

static enum error read_review(const json_t *predicate, const struct signer *signer, json_t *details,
                              struct refusal *refusal)
{
    const char *result;
    enum error error = need_text(json_object_get(predicate, "result"), "result", &result, refusal);

    (void)signer;
    set_text(details, "result", json_object_get(predicate, "result"));
    return error;
}

static const struct {
    const char *type;
    enum error (*read)(const json_t *predicate, const struct signer *signer, json_t *details,
                       struct refusal *refusal);
} readers[] = {
    {"https://slsa.dev/provenance/v1", read_provenance_v1},
    {"https://slsa.dev/provenance/v0.2", read_provenance_v02},
    {"https://slsa.dev/verification_summary/v1", read_vsa},
    {"https://in-toto.io/attestation/test-result/v0.1", read_test_result},
    {"https://in-toto.io/attestation/human-review/v0.1", read_review},
};

enum error evidence_predicate(const struct statement *statement, const struct signer *signer,
                              json_t **details, struct refusal *refusal)
{
    json_t *predicate = (json_t *)(uintptr_t)statement->predicate;

    *details = json_object();
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if (strcmp(statement->predicate_type, readers[i].type) == 0) {
            return json_is_object(predicate)
                       ? readers[i].read(predicate, signer, *details, refusal)
                       : refuse(refusal, "PREDICATE_INVALID", "the predicate must be an object");
        }
    }
    if (predicate != NULL) {
        json_object_set(*details, "predicate", predicate);
    }
    return OK;
}
