/* Evidence made by OpenSSL on the spot, good and bad: what is not right in every part is refused.
 */
#include "promotion/base64.h"
#include "tests/lib/evidence_fixture.h"

static int setup(void **state)
{
    *state = memory_alloc(sizeof(struct evidence_fixture));
    evidence_setup(*state);
    return 0;
}

static int teardown(void **state)
{
    evidence_teardown(*state);
    free(*state);
    return 0;
}

static char *payload_for(const char *digest)
{
    char text[400];

    snprintf(text, sizeof text,
             "{\"critical\":{\"identity\":{\"docker-reference\":\"\"},\"image\":{"
             "\"docker-manifest-digest\":\"%s\"},\"type\":\"cosign container image signature\"},"
             "\"optional\":{\"team\":\"red\"}}",
             digest);
    return memory_string(text);
}

static char *statement_for(const char *hex, const char *type, const char *predicate)
{
    size_t size = strlen(predicate) + 600;
    char *text = memory_alloc(size);

    snprintf(text, size,
             "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"name\":\"a\","
             "\"digest\":{\"sha256\":\"%s\"}}],\"predicateType\":\"%s\",\"predicate\":%s}",
             hex, type, predicate);
    return text;
}

/* Nothing was believed, for this reason. */
static void assert_refused(struct evidence_fixture *fixture, const char *code)
{
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_facts, 0);
    assert_true(fixture->facts.n_refused > 0);
    assert_string_equal(fixture->facts.refused[0].refusal.code, code);
}

static void test_evidence__each_kind_of_key_verifies_simple_signing(void **state)
{
    struct evidence_fixture *fixture = *state;
    char *payload = payload_for(fixture->subject_text);
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    const char *ids[] = {"p256", "p384", "rsa", "ed"};
    const struct evidence_filter all = {.predicate_type = "", .subject = &fixture->subject};

    for (size_t i = 0; i < 4; i++) {
        json_t *entry = fixture_trust(fixture, ids[i], keys[i]);

        if (i == 1) {
            json_object_set_new(entry, "hash", json_string("sha384"));
        }
        fixture_cosign(fixture, keys[i], i == 3 ? NULL : i == 1 ? "SHA384" : "SHA256", payload);
        /* Twice by the same key: counted once. */
        fixture_cosign(fixture, keys[i], i == 3 ? NULL : i == 1 ? "SHA384" : "SHA256", payload);
        EVP_PKEY_free(keys[i]);
    }
    free(payload);
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_refused, 0);
    assert_int_equal(fixture->facts.n_facts, 8);
    assert_true(bytes_equal_string(fixture->facts.facts[0].signer, "p256"));
    assert_true(bytes_equal_string(fixture->facts.facts[0].details,
                                   "{\"annotations\":{\"team\":\"red\"}}"));
    assert_int_equal(evidence_count_signers(fixture->facts.facts, 8, &all), 4);
}

/* One layer, spoiled: how is in the number. */
static void spoiled(void **state, int how, const char *code)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    json_t *entry = fixture_trust(fixture, "ci", key), *layer, *annotations;
    char *payload = payload_for(how == 0 ? "sha256:"
                                           "0000000000000000000000000000000000000000000000000000000"
                                           "000000000"
                                         : fixture->subject_text);
    char *big;

    layer = fixture_cosign(fixture, how == 1 ? other : key, "SHA256",
                           how == 2 ? "{\"critical\":{},\"critical\":{}}" : payload);
    annotations = json_object_get(layer, "annotations");
    if (how == 3) {
        json_object_set_new(entry, "revoked", json_true());
    } else if (how == 4) {
        json_object_set_new(entry, "notAfter", json_string("2020-01-01T00:00:00Z"));
    } else if (how == 5) {
        json_object_set_new(annotations, "dev.cosignproject.cosign/signature", json_string("MEU"));
    } else if (how == 6) {
        big = memory_alloc(EVIDENCE_ANNOTATIONS_MAX + 1);
        memset(big, 'a', EVIDENCE_ANNOTATIONS_MAX);
        big[EVIDENCE_ANNOTATIONS_MAX] = '\0';
        json_object_set_new(annotations, "x", json_string(big));
        free(big);
    } else if (how == 7) {
        json_object_set_new(layer, "size", json_integer(1LL << 40));
    } else if (how == 8) {
        json_object_set_new(layer, "digest", json_string(payload));
    }
    free(payload);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    assert_refused(fixture, code);
}

#define SPOILED(name, how, code)                                                                   \
    static void test_evidence__##name(void **state)                                                \
    {                                                                                              \
        spoiled(state, how, code);                                                                 \
    }

SPOILED(another_subject_is_refused, 0, "SUBJECT_MISMATCH")
SPOILED(a_stranger_is_refused, 1, "SIGNATURE_UNTRUSTED")
SPOILED(duplicate_members_are_refused, 2, "PAYLOAD_INVALID")
SPOILED(a_revoked_key_is_refused, 3, "KEY_REVOKED")
SPOILED(an_expired_key_is_refused, 4, "KEY_EXPIRED")
SPOILED(cut_base64_is_refused, 5, "PAYLOAD_INVALID")
SPOILED(huge_annotations_are_refused, 6, "EVIDENCE_TOO_LARGE")
SPOILED(a_huge_layer_is_refused_before_it_is_fetched, 7, "EVIDENCE_TOO_LARGE")
SPOILED(a_layer_without_a_digest_is_refused, 8, "PAYLOAD_INVALID")

static void test_evidence__a_hundred_signatures_and_no_more(void **state)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char *payload = payload_for(fixture->subject_text);

    fixture_trust(fixture, "ci", key);
    for (int i = 0; i < 101; i++) {
        fixture_cosign(fixture, key, "SHA256", payload);
    }
    free(payload);
    EVP_PKEY_free(key);
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_facts, 100);
    assert_string_equal(fixture->facts.refused[0].refusal.code, "TOO_MANY_SIGNATURES");
}

/* One statement in a layer, by two keys; code NULL: believed. */
static void attested(void **state, bool is_bundle, const char *type, const char *predicate,
                     const char *grant, const char *code)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_RSA_gen(2048)};
    char *text = statement_for(fixture->subject_text + 7, type, predicate);
    json_t *envelope = make_envelope(text, keys, 2);
    json_t *a = fixture_trust(fixture, "a", keys[0]), *b = fixture_trust(fixture, "b", keys[1]);

    if (grant != NULL) {
        json_object_set_new(a, grant, json_pack("[s]", "https://x"));
        json_object_set_new(b, grant, json_pack("[s]", "https://x"));
    }
    if (is_bundle) {
        envelope = json_pack("{s:s,s:{s:{s:s}},s:o}", "mediaType", BUNDLE, "verificationMaterial",
                             "publicKey", "hint", "a", "dsseEnvelope", envelope);
    }
    fixture_layer(fixture, is_bundle ? BUNDLE : DSSE, envelope);
    free(text);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    if (code != NULL) {
        assert_refused(fixture, code);
        return;
    }
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_facts, 2);
    assert_true(bytes_equal_string(fixture->facts.facts[0].predicate_type, type));
    assert_false(fixture->facts.facts[0].has_unverified_extras);
}

#define PROVENANCE "https://slsa.dev/provenance/v1"
#define VSA        "https://slsa.dev/verification_summary/v1"
#define BUILT_BY_X "{\"runDetails\":{\"builder\":{\"id\":\"https://x\"}}}"
#define BUILT_BY_Y "{\"runDetails\":{\"builder\":{\"id\":\"https://y\"}}}"
#define SUMMARY(result)                                                                            \
    "{\"verifier\":{\"id\":\"https://x\"},\"verificationResult\":\"" result                        \
    "\",\"verifiedLevels\":[]}"

#define ATTESTED(name, bundle, type, predicate, grant, code)                                       \
    static void test_attestation__##name(void **state)                                             \
    {                                                                                              \
        attested(state, bundle, type, predicate, grant, code);                                     \
    }

ATTESTED(any_type_is_kept_as_signed, false, "https://example.com/v1", "{\"a\":1}", NULL, NULL)
ATTESTED(a_bundle_holds_the_same, true, "https://example.com/v1", "{\"a\":1}", NULL, NULL)
ATTESTED(provenance_by_its_builder, false, PROVENANCE, BUILT_BY_X, "builders", NULL)
ATTESTED(provenance_of_another_builder, false, PROVENANCE, BUILT_BY_Y, "builders",
         "BUILDER_UNTRUSTED")
ATTESTED(provenance_without_a_grant, true, PROVENANCE, BUILT_BY_X, NULL, "BUILDER_UNTRUSTED")
ATTESTED(provenance_that_is_malformed, false, PROVENANCE, "[]", "builders", "PREDICATE_INVALID")
ATTESTED(a_summary_that_passed, false, VSA, SUMMARY("PASSED"), "verifiers", NULL)
ATTESTED(a_summary_that_failed, false, VSA, SUMMARY("FAILED"), "verifiers", "VERIFICATION_FAILED")
ATTESTED(a_summary_by_another, false, VSA, SUMMARY("PASSED"), "builders", "VERIFIER_UNTRUSTED")

static void test_attestation__another_subject_is_refused(void **state)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char zeros[65], *text;

    memset(zeros, '0', 64);
    zeros[64] = '\0';
    text = statement_for(zeros, "https://example.com/v1", "{}");
    fixture_trust(fixture, "ci", key);
    fixture_layer(fixture, DSSE, make_envelope(text, &key, 1));
    free(text);
    EVP_PKEY_free(key);
    assert_refused(fixture, "SUBJECT_MISMATCH");
}

static void test_attestation__deep_json_is_refused(void **state)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char deep[101] = "", *text;

    memset(deep, '[', 50);
    memset(deep + 50, ']', 50);
    text = statement_for(fixture->subject_text + 7, "https://example.com/v1", deep);
    fixture_trust(fixture, "ci", key);
    fixture_layer(fixture, DSSE, make_envelope(text, &key, 1));
    free(text);
    EVP_PKEY_free(key);
    assert_refused(fixture, "PAYLOAD_INVALID");
}

static void test_bundle__the_manifest_itself_is_signed(void **state)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char *signature = sign_base64(key, "SHA256", bytes_of_string(subject_manifest));

    fixture_trust(fixture, "ci", key);
    fixture_layer(fixture, BUNDLE,
                  json_pack("{s:s,s:{s:s}}", "mediaType", BUNDLE, "messageSignature", "signature",
                            signature));
    free(signature);
    EVP_PKEY_free(key);
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_facts, 1);
    assert_true(fixture->facts.facts[0].has_unverified_extras);
}

static void test_fact__survives_packing_and_is_checked_in_apply(void **state)
{
    struct evidence_fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char *payload = payload_for(fixture->subject_text);
    struct evidence_fact fact;
    struct digest other;
    struct buffer packed;
    struct unpacker in;

    json_object_set_new(fixture_trust(fixture, "ci", key), "notAfter",
                        json_string("2030-01-01T00:00:00Z"));
    fixture_cosign(fixture, key, "SHA256", payload);
    free(payload);
    EVP_PKEY_free(key);
    assert_int_equal(fixture_verify(fixture), OK);
    assert_int_equal(fixture->facts.n_facts, 1);
    buffer_init(&packed, EVIDENCE_FACT_MAX);
    evidence_fact_pack(&packed, &fixture->facts.facts[0]);
    unpack_start(&in, buffer_view(&packed));
    evidence_fact_unpack(&in, &fact);
    assert_int_equal(unpack_end(&in), OK);
    digest_of(DIGEST_SHA256, BYTES_LITERAL("x"), &other);
    assert_int_equal(evidence_fact_check(&fact, &fixture->subject, 7, NOW_MS, NULL), OK);
    assert_int_equal(evidence_fact_check(&fact, &other, 7, NOW_MS, NULL), ERROR_GATE);
    assert_int_equal(evidence_fact_check(&fact, &fixture->subject, 8, NOW_MS, NULL), ERROR_GATE);
    assert_int_equal(evidence_fact_check(&fact, &fixture->subject, 7, fact.valid_until_ms, NULL),
                     ERROR_GATE);
    for (size_t n = 0; n < packed.size; n++) {
        unpack_start(&in, bytes_of(packed.data, n));
        evidence_fact_unpack(&in, &fact);
        assert_int_not_equal(unpack_end(&in), OK);
    }
    buffer_release(&packed);
}

static enum error open_error(struct evidence_fixture *fixture)
{
    struct trust *trust;
    enum error error = trust_open(fixture->document, 1, &trust, &fixture->why);

    trust_free(trust);
    return error;
}

static void test_trust__weak_and_unknown_keys_are_refused(void **state)
{
    struct evidence_fixture *fixture = *state;
    uint8_t low[32] = {1};
    EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-521"), EVP_EC_gen("secp256k1"),
                        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, low, sizeof low),
                        EVP_PKEY_Q_keygen(NULL, NULL, "X25519")};
    EVP_PKEY *good = EVP_EC_gen("P-256");

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        fixture_trust(fixture, "ci", keys[i]);
        assert_int_equal(open_error(fixture), ERROR_INVALID);
        EVP_PKEY_free(keys[i]);
    }
    fixture_trust(fixture, "ci", good);
    assert_int_equal(open_error(fixture), OK);
    fixture_trust(fixture, "again", good);
    assert_int_equal(open_error(fixture), ERROR_INVALID);
    EVP_PKEY_free(good);
}

static void test_base64__is_strict(void **state)
{
    static const char *const bad[] = {
        "A", "AA", "AA=", "AB==", "A A=", "AA==\n", "_w==", "AAA=A", "===="};
    struct buffer out;

    (void)state;
    buffer_init(&out, 4);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buffer_clear(&out);
        assert_int_equal(base64_decode(bytes_of_string(bad[i]), BASE64_STANDARD, &out),
                         ERROR_INVALID);
    }
    buffer_clear(&out);
    assert_int_equal(base64_decode(BYTES_LITERAL("/w=="), BASE64_STANDARD, &out), OK);
    assert_int_equal(base64_decode(BYTES_LITERAL("_w"), BASE64_URL, &out), OK);
    assert_int_equal(base64_decode(BYTES_LITERAL("-/AA"), BASE64_EITHER, &out), ERROR_INVALID);
    assert_int_equal(base64_decode(BYTES_LITERAL("AAAAAAAA"), BASE64_EITHER, &out),
                     ERROR_TOO_LARGE);
    buffer_release(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_evidence__each_kind_of_key_verifies_simple_signing),
        T(test_evidence__another_subject_is_refused),
        T(test_evidence__a_stranger_is_refused),
        T(test_evidence__duplicate_members_are_refused),
        T(test_evidence__a_revoked_key_is_refused),
        T(test_evidence__an_expired_key_is_refused),
        T(test_evidence__cut_base64_is_refused),
        T(test_evidence__huge_annotations_are_refused),
        T(test_evidence__a_huge_layer_is_refused_before_it_is_fetched),
        T(test_evidence__a_layer_without_a_digest_is_refused),
        T(test_evidence__a_hundred_signatures_and_no_more),
        T(test_attestation__any_type_is_kept_as_signed),
        T(test_attestation__a_bundle_holds_the_same),
        T(test_attestation__provenance_by_its_builder),
        T(test_attestation__provenance_of_another_builder),
        T(test_attestation__provenance_without_a_grant),
        T(test_attestation__provenance_that_is_malformed),
        T(test_attestation__a_summary_that_passed),
        T(test_attestation__a_summary_that_failed),
        T(test_attestation__a_summary_by_another),
        T(test_attestation__another_subject_is_refused),
        T(test_attestation__deep_json_is_refused),
        T(test_bundle__the_manifest_itself_is_signed),
        T(test_fact__survives_packing_and_is_checked_in_apply),
        T(test_trust__weak_and_unknown_keys_are_refused),
        T(test_base64__is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
