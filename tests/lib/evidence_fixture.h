#ifndef TESTS_LIB_EVIDENCE_FIXTURE_H
#define TESTS_LIB_EVIDENCE_FIXTURE_H

/* Evidence made on the spot: keys, signatures, envelopes and manifests. */
#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "promotion/evidence.h"
#include "tests/lib/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#define SIMPLE  "application/vnd.dev.cosign.simplesigning.v1+json"
#define DSSE    "application/vnd.dsse.envelope.v1+json"
#define BUNDLE  "application/vnd.dev.sigstore.bundle.v0.3+json"
#define IN_TOTO "application/vnd.in-toto+json"
#define NOW_MS  1800000000000ULL

struct evidence_fixture {
    struct digest subject;
    char subject_text[DIGEST_TEXT_MAX];
    struct bytes blobs[128]; /* Taken. */
    size_t n_blobs;
    json_t *document, *layers;
    struct evidence_facts facts;
    struct reason why;
};

static const char subject_manifest[] = "{\"schemaVersion\":2}";

static inline char *base64_of(struct bytes bytes)
{
    char *text = memory_alloc(bytes.size * 2 + 8);

    EVP_EncodeBlock((unsigned char *)text, bytes.data, (int)bytes.size);
    return text;
}

/* Keep a blob; its descriptor is what a layer needs. */
static inline json_t *fixture_blob(struct evidence_fixture *fixture, const char *media_type,
                                   struct bytes content)
{
    struct digest digest;
    char text[DIGEST_TEXT_MAX];

    CHECK(fixture->n_blobs < 128);
    fixture->blobs[fixture->n_blobs++] =
        bytes_of(memory_copy(content.data, content.size), content.size);
    digest_of(DIGEST_SHA256, content, &digest);
    digest_format(&digest, text);
    return json_pack("{s:s,s:s,s:I}", "mediaType", media_type, "digest", text, "size",
                     (json_int_t)content.size);
}

static inline void evidence_setup(struct evidence_fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    digest_of(DIGEST_SHA256, bytes_of_string(subject_manifest), &fixture->subject);
    digest_format(&fixture->subject, fixture->subject_text);
    fixture->document = json_pack("{s:{}}", "keys");
    fixture->layers = json_array();
    json_decref(fixture_blob(fixture, "", bytes_of_string(subject_manifest)));
    evidence_facts_init(&fixture->facts);
}

static inline void evidence_teardown(struct evidence_fixture *fixture)
{
    for (size_t i = 0; i < fixture->n_blobs; i++) {
        free((void *)(uintptr_t)fixture->blobs[i].data);
    }
    json_decref(fixture->document);
    json_decref(fixture->layers);
    evidence_facts_release(&fixture->facts);
}

/* A key under this id in the trust; its entry for more settings (borrowed). */
static inline json_t *fixture_trust(struct evidence_fixture *fixture, const char *id, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    json_t *entry;
    char *pem;
    long size;

    CHECK(PEM_write_bio_PUBKEY(bio, key) == 1);
    size = BIO_get_mem_data(bio, &pem);
    entry = json_pack("{s:s%}", "pem", pem, (size_t)size);
    json_object_set_new(json_object_get(fixture->document, "keys"), id, entry);
    BIO_free(bio);
    return entry;
}

static inline char *sign_base64(EVP_PKEY *key, const char *hash, struct bytes message)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[1024];
    size_t size = sizeof signature;

    CHECK(EVP_DigestSignInit_ex(context, NULL, hash, NULL, NULL, key, NULL) == 1);
    CHECK(EVP_DigestSign(context, signature, &size, message.data, message.size) == 1);
    EVP_MD_CTX_free(context);
    return base64_of(bytes_of(signature, size));
}

/* A layer with simple signing; the caller may spoil it (borrowed). */
static inline json_t *fixture_cosign(struct evidence_fixture *fixture, EVP_PKEY *key,
                                     const char *hash, const char *payload)
{
    json_t *layer = fixture_blob(fixture, SIMPLE, bytes_of_string(payload));
    char *signature = sign_base64(key, hash, bytes_of_string(payload));

    json_object_set_new(layer, "annotations",
                        json_pack("{s:s}", "dev.cosignproject.cosign/signature", signature));
    json_array_append_new(fixture->layers, layer);
    free(signature);
    return layer;
}

/* An envelope around a statement, signed by n keys. */
static inline json_t *make_envelope(const char *statement, EVP_PKEY *const *keys, size_t n)
{
    char *payload = base64_of(bytes_of_string(statement));
    json_t *signatures = json_array(), *envelope;
    struct buffer message;

    buffer_init(&message, (size_t)4 * 1024 * 1024);
    buffer_print(&message, "DSSEv1 %zu %s %zu ", strlen(IN_TOTO), IN_TOTO, strlen(statement));
    buffer_append_string(&message, statement);
    for (size_t i = 0; i < n; i++) {
        char *signature = sign_base64(keys[i], "SHA256", buffer_view(&message));

        json_array_append_new(signatures, json_pack("{s:s,s:s}", "keyid", "", "sig", signature));
        free(signature);
    }
    envelope = json_pack("{s:s,s:s,s:o}", "payloadType", IN_TOTO, "payload", payload, "signatures",
                         signatures);
    buffer_release(&message);
    free(payload);
    return envelope;
}

/* A layer that holds the JSON (taken). */
static inline void fixture_layer(struct evidence_fixture *fixture, const char *media_type,
                                 json_t *content)
{
    char *text = json_dumps(content, JSON_COMPACT);

    json_array_append_new(fixture->layers,
                          fixture_blob(fixture, media_type, bytes_of_string(text)));
    free(text);
    json_decref(content);
}

static inline enum error fixture_fetch(void *data, const struct digest *digest, size_t max,
                                       struct buffer *out, struct reason *why)
{
    struct evidence_fixture *fixture = data;
    struct digest actual;

    (void)why;
    for (size_t i = 0; i < fixture->n_blobs; i++) {
        digest_of(DIGEST_SHA256, fixture->blobs[i], &actual);
        if (digest_equal(&actual, digest)) {
            if (fixture->blobs[i].size > max) {
                return ERROR_TOO_LARGE;
            }
            buffer_append(out, fixture->blobs[i]);
            return OK;
        }
    }
    return ERROR_BLOB_UNKNOWN;
}

/* Verify all layers as one manifest, with the trust as it stands. */
static inline enum error fixture_verify(struct evidence_fixture *fixture)
{
    json_t *manifest = json_pack("{s:i,s:O}", "schemaVersion", 2, "layers", fixture->layers);
    char *text = json_dumps(manifest, JSON_COMPACT);
    struct evidence_source source = {.data = fixture,
                                     .fetch = fixture_fetch,
                                     .subject = fixture->subject,
                                     .manifest = bytes_of_string(text),
                                     .now_ms = NOW_MS};
    struct trust *trust;
    enum error error;

    digest_of(DIGEST_SHA256, source.manifest, &source.evidence);
    error = trust_open(fixture->document, 7, &trust, &fixture->why);
    CHECK(error == OK);
    error = evidence_verify(&source, trust, &fixture->facts, &fixture->why);
    trust_free(trust);
    free(text);
    json_decref(manifest);
    return error;
}

#endif
