/* Fuzz target: evidence from strangers. The first byte says what the rest is: a layer of each media
 * type as it was pushed; a payload or a statement that a trusted key did sign, since all that is
 * read after the signature would not be reached by chance; the manifest of the evidence; a packed
 * fact. Nothing that was not signed becomes a fact. */
#include "tests/lib/evidence_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const media_types[] = {SIMPLE, DSSE, BUNDLE};

static EVP_PKEY *trusted_key(void)
{
    static EVP_PKEY *key;

    if (key == NULL) {
        key = EVP_EC_gen("P-256");
        CHECK(key != NULL);
    }
    return key;
}

/* As a layer of this media type, with the annotation that cosign keeps a signature in. */
static void verify_layer(struct evidence_fixture *fixture, const char *media_type,
                         struct bytes content)
{
    json_t *layer = fixture_blob(fixture, media_type, content);

    json_object_set_new(layer, "annotations",
                        json_pack("{s:s}", "dev.cosignproject.cosign/signature", "MAYCAQECAQE="));
    json_array_append_new(fixture->layers, layer);
    CHECK(fixture_verify(fixture) == OK);
    CHECK(fixture->facts.n_facts == 0);
}

static void verify_manifest(struct evidence_fixture *fixture, struct bytes manifest)
{
    struct evidence_source source = {.data = fixture,
                                     .fetch = fixture_fetch,
                                     .subject = fixture->subject,
                                     .manifest = manifest,
                                     .now_ms = NOW_MS};
    struct trust *trust;
    enum error error;

    digest_of(DIGEST_SHA256, manifest, &source.evidence);
    error = trust_open(fixture->document, 7, &trust, &fixture->why);
    CHECK(error == OK);
    error = evidence_verify(&source, trust, &fixture->facts, &fixture->why);
    CHECK(error == OK || error == ERROR_UNSUPPORTED);
    CHECK(fixture->facts.n_facts == 0);
    trust_free(trust);
}

static void unpack_fact(struct bytes packed)
{
    struct evidence_fact fact;
    struct unpacker in;
    struct buffer again;

    unpack_start(&in, packed);
    evidence_fact_unpack(&in, &fact);
    if (unpack_end(&in) == OK) {
        buffer_init(&again, EVIDENCE_FACT_MAX);
        evidence_fact_pack(&again, &fact);
        CHECK(buffer_status(&again) == OK);
        buffer_release(&again);
    }
}

/* text: the same with a NUL at its end. */
static void verify_signed(struct evidence_fixture *fixture, bool is_statement, const char *text)
{
    EVP_PKEY *key = trusted_key();

    if (is_statement) {
        fixture_layer(fixture, DSSE, make_envelope(text, &key, 1));
    } else {
        (void)fixture_cosign(fixture, key, "SHA256", text);
    }
    CHECK(fixture_verify(fixture) == OK);
    CHECK(fixture->facts.n_facts + fixture->facts.n_refused == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct evidence_fixture fixture;
    struct bytes rest;
    char *text;

    if (size == 0) {
        return 0;
    }
    rest = bytes_of(data + 1, size - 1);
    text = memory_zero(size);
    memcpy(text, rest.data, rest.size);
    evidence_setup(&fixture);
    (void)fixture_trust(&fixture, "ci", trusted_key());
    switch (data[0] % 7) {
    case 0:
    case 1:
    case 2:
        verify_layer(&fixture, media_types[data[0] % 7], rest);
        break;
    case 3:
    case 4:
        verify_signed(&fixture, data[0] % 7 == 4, text);
        break;
    case 5:
        verify_manifest(&fixture, rest);
        break;
    default:
        unpack_fact(rest);
        break;
    }
    evidence_teardown(&fixture);
    free(text);
    return 0;
}
