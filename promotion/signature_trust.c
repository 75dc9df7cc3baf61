#include "promotion/trust.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

/* The keys of a trust, and verifying with them. The kind of the key alone decides how: nothing that
 * comes with a signature chooses an algorithm. */

#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   8192
#define SPKI_MAX       4096
#define ED25519_SIZE   32
#define ECDSA_HALF_MAX 48

struct trust_key {
    const char *id;
    const json_t *entry;
    EVP_PKEY *key;
    const char *hash; /* NULL: Ed25519. */
    size_t raw_size;  /* Of r and s together; 0: not ECDSA. */
    struct digest spki;
    uint64_t not_after_ms;
    bool is_revoked;
};

struct trust {
    json_t *document;
    uint64_t revision;
    struct trust_key *keys;
    size_t n_keys;
};

/* Points of small order (RFC 8032, section 5.1.7: cofactor 8), for which signatures can be made
 * that fit any message. The sign bit is not compared. */
static bool is_low_order(const uint8_t point[ED25519_SIZE])
{
    static const uint8_t order_8[2][ED25519_SIZE] = {
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
         0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
         0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
         0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
         0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    };
    uint8_t y[ED25519_SIZE];
    bool is_small = true, is_near_p = true;
    size_t i;

    memcpy(y, point, sizeof y);
    y[ED25519_SIZE - 1] &= 0x7f;
    for (i = 1; i < ED25519_SIZE; i++) {
        is_small = is_small && y[i] == 0;
        is_near_p = is_near_p && y[i] == (i == ED25519_SIZE - 1 ? 0x7f : 0xff);
    }
    /* 0, 1, and p - 1, p, p + 1, where p ends (begins, in this order of bytes) with 0xed. */
    return (is_small && y[0] <= 1) || (is_near_p && y[0] >= 0xec && y[0] <= 0xee) ||
           memcmp(y, order_8[0], sizeof y) == 0 || memcmp(y, order_8[1], sizeof y) == 0;
}

static enum error check_ed25519(struct trust_key *key, const char *hash, struct reason *why)
{
    uint8_t raw[ED25519_SIZE];
    size_t size = sizeof raw;

    if (hash != NULL) {
        return fail(why, ERROR_INVALID, "an Ed25519 key has no hash of its own; leave hash out");
    }
    if (EVP_PKEY_get_raw_public_key(key->key, raw, &size) != 1 || size != sizeof raw ||
        is_low_order(raw)) {
        return fail(why, ERROR_INVALID, "this Ed25519 key is of small order: anybody can sign");
    }
    key->hash = NULL;
    return OK;
}

static enum error check_ec(struct trust_key *key, struct reason *why)
{
    char group[32] = "";
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->key, NULL);
    bool is_on_curve;

    CHECK(context != NULL);
    is_on_curve = EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    if (!is_on_curve || EVP_PKEY_get_group_name(key->key, group, sizeof group, NULL) != 1) {
        return fail(why, ERROR_INVALID, "the EC key is not a point of a named curve");
    }
    if (strcmp(group, "prime256v1") == 0) {
        key->raw_size = 64;
    } else if (strcmp(group, "secp384r1") == 0) {
        key->raw_size = 96;
    } else {
        return fail(why, ERROR_INVALID, "the curve %s is not taken; use P-256 or P-384", group);
    }
    return OK;
}

static enum error check_kind(struct trust_key *key, const char *hash, struct reason *why)
{
    int bits = EVP_PKEY_get_bits(key->key);

    key->hash = hash == NULL ? "sha256" : hash;
    switch (EVP_PKEY_get_base_id(key->key)) {
    case EVP_PKEY_ED25519:
        return check_ed25519(key, hash, why);
    case EVP_PKEY_EC:
        return check_ec(key, why);
    case EVP_PKEY_RSA:
        if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
            return fail(why, ERROR_INVALID, "an RSA key of %d bits is not taken; use %d to %d",
                        bits, RSA_BITS_MIN, RSA_BITS_MAX);
        }
        return OK;
    default:
        return fail(why, ERROR_INVALID,
                    "this kind of key is not taken; use ECDSA (P-256, P-384), RSA or Ed25519");
    }
}

static void digest_key(struct trust_key *key)
{
    uint8_t spki[SPKI_MAX], *end = spki;
    int size = i2d_PUBKEY(key->key, NULL);

    CHECK(size > 0 && size <= SPKI_MAX);
    CHECK(i2d_PUBKEY(key->key, &end) == size);
    digest_of(DIGEST_SHA256, bytes_of(spki, (size_t)size), &key->spki);
}

static enum error open_key(const char *id, const json_t *entry, struct trust_key *key,
                           struct reason *why)
{
    const char *pem = json_member_string(entry, "pem");
    const char *not_after = json_member_string(entry, "notAfter");
    BIO *input = BIO_new_mem_buf(pem, -1);
    enum error error;

    CHECK(input != NULL);
    key->id = id;
    key->entry = entry;
    key->is_revoked = json_is_true(json_object_get(entry, "revoked"));
    key->key = PEM_read_bio_PUBKEY(input, NULL, NULL, NULL);
    BIO_free(input);
    ERR_clear_error();
    error = key->key == NULL ? fail(why, ERROR_INVALID, "pem holds no public key")
                             : check_kind(key, json_member_string(entry, "hash"), why);
    if (error == OK && not_after != NULL) {
        error = clock_parse(bytes_of_string(not_after), &key->not_after_ms);
    }
    if (error != OK) {
        reason_prefix(why, "key %s", id);
        return error;
    }
    digest_key(key);
    return OK;
}

/* The newest key must be no other's: one key under two ids could be revoked under one only. */
static enum error check_distinct(const struct trust *trust, struct reason *why)
{
    const struct trust_key *last = &trust->keys[trust->n_keys - 1];

    for (const struct trust_key *key = trust->keys; key < last; key++) {
        if (digest_equal(&key->spki, &last->spki)) {
            return fail(why, ERROR_INVALID, "the keys %s and %s are the same key", key->id,
                        last->id);
        }
    }
    return OK;
}

enum error trust_open(const json_t *document, uint64_t revision, struct trust **out,
                      struct reason *why)
{
    struct trust *trust;
    enum error error = trust_check(document, "trust", why);
    const char *id;
    json_t *keys, *entry;

    *out = NULL;
    if (error != OK) {
        return error;
    }
    trust = memory_zero(sizeof *trust);
    /* A copy: jansson counts references without locks, and this goes to other threads. */
    trust->document = json_deep_copy(document);
    CHECK(trust->document != NULL);
    trust->revision = revision;
    keys = json_object_get(trust->document, "keys");
    trust->keys = memory_zero(json_object_size(keys) * sizeof *trust->keys);
    json_object_foreach(keys, id, entry)
    {
        error = open_key(id, entry, &trust->keys[trust->n_keys++], why);
        if (error == OK) {
            error = check_distinct(trust, why);
        }
        if (error != OK) {
            trust_free(trust);
            return error;
        }
    }
    *out = trust;
    return OK;
}

void trust_free(struct trust *trust)
{
    if (trust == NULL) {
        return;
    }
    for (size_t i = 0; i < trust->n_keys; i++) {
        EVP_PKEY_free(trust->keys[i].key);
    }
    free(trust->keys);
    json_decref(trust->document);
    free(trust);
}

uint64_t trust_revision(const struct trust *trust)
{
    return trust->revision;
}

static bool verify(const struct trust_key *key, struct bytes message, struct bytes signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_valid;

    CHECK(context != NULL);
    is_valid =
        EVP_DigestVerifyInit_ex(context, NULL, key->hash, NULL, NULL, key->key, NULL) == 1 &&
        EVP_DigestVerify(context, signature.data, signature.size, message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_valid;
}

/* r and s side by side (DSSE's own examples) instead of DER. */
static bool verify_raw(const struct trust_key *key, struct bytes message, struct bytes raw)
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, (int)(raw.size / 2), NULL);
    BIGNUM *s = BN_bin2bn(raw.data + raw.size / 2, (int)(raw.size / 2), NULL);
    uint8_t der[2 * ECDSA_HALF_MAX + 16], *end = der;
    bool is_valid;
    int size;

    CHECK(pair != NULL && r != NULL && s != NULL);
    CHECK(ECDSA_SIG_set0(pair, r, s) == 1);
    size = i2d_ECDSA_SIG(pair, NULL);
    CHECK(size > 0 && (size_t)size <= sizeof der);
    CHECK(i2d_ECDSA_SIG(pair, &end) == size);
    is_valid = verify(key, message, bytes_of(der, (size_t)size));
    ECDSA_SIG_free(pair);
    return is_valid;
}

static bool key_verifies(const struct trust_key *key, const struct signature_claim *claim)
{
    return verify(key, claim->message, claim->signature) ||
           (key->raw_size != 0 && claim->signature.size == key->raw_size &&
            verify_raw(key, claim->message, claim->signature));
}

/* The key verified it; may it? */
static enum error check_time(const struct trust_key *key, uint64_t now_ms, struct refusal *refusal)
{
    char text[CLOCK_TEXT_MAX];

    if (key->is_revoked) {
        return refuse(refusal, "KEY_REVOKED", "it is signed by the key %s, which was revoked",
                      key->id);
    }
    if (key->not_after_ms != 0 && now_ms >= key->not_after_ms) {
        clock_format(key->not_after_ms, text);
        return refuse(refusal, "KEY_EXPIRED",
                      "it is signed by the key %s, which is not believed since %s", key->id, text);
    }
    return OK;
}

enum error trust_verify(const struct trust *trust, const struct signature_claim *claim,
                        uint64_t now_ms, struct signer *out, struct refusal *refusal)
{
    enum error error =
        refuse(refusal, "SIGNATURE_UNTRUSTED",
               "none of the %zu trusted keys verifies the signature; was it changed, "
               "or signed with another key?",
               trust->n_keys);

    for (size_t i = 0; i < trust->n_keys; i++) {
        const struct trust_key *key = &trust->keys[i];

        if (!key_verifies(key, claim)) {
            continue;
        }
        error = check_time(key, now_ms, refusal);
        *out = (struct signer){.kind = SIGNER_KEY,
                               .id = key->id,
                               .grant = key->entry,
                               .key = key->spki,
                               .valid_until_ms = key->not_after_ms};
        return error;
    }
    return error;
}
