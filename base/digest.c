#include "base/digest.h"

#include "base/assert.h"

#include <openssl/evp.h>

static const struct {
    enum digest_algorithm algorithm;
    const char *name;
    uint8_t size;
} algorithms[] = {{DIGEST_SHA256, "sha256", 32}, {DIGEST_SHA512, "sha512", 64}};

static const EVP_MD *digest_md(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? EVP_sha512() : EVP_sha256();
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_algorithm_text(struct bytes text)
{
    bool separator = true;
    size_t i;

    for (i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!is_word && (separator || (c != '+' && c != '.' && c != '_' && c != '-'))) {
            return false;
        }
        separator = !is_word;
    }
    return !separator;
}

static bool is_encoded_text(struct bytes text)
{
    size_t i;

    for (i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '=' || c == '_' || c == '-')) {
            return false;
        }
    }
    return text.size > 0;
}

static enum error digest_parse_hex(struct bytes hex, struct digest *out)
{
    size_t i;

    if (hex.size != (size_t)out->size * 2) {
        return ERROR_INVALID;
    }
    for (i = 0; i < out->size; i++) {
        int high = hex_value(hex.data[2 * i]), low = hex_value(hex.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return ERROR_INVALID;
        }
        out->raw[i] = (uint8_t)(high << 4 | low);
    }
    return OK;
}

enum error digest_parse(struct bytes text, struct digest *out)
{
    ptrdiff_t colon = bytes_find(text, ':');
    struct bytes name, rest;
    size_t i;

    *out = (struct digest){0};
    if (colon < 0) {
        return ERROR_INVALID;
    }
    name = bytes_slice(text, 0, (size_t)colon);
    rest = bytes_slice(text, (size_t)colon + 1, text.size);
    if (!is_algorithm_text(name) || !is_encoded_text(rest)) {
        return ERROR_INVALID;
    }
    for (i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        if (bytes_equal_string(name, algorithms[i].name)) {
            out->algorithm = (uint8_t)algorithms[i].algorithm;
            out->size = algorithms[i].size;
            return digest_parse_hex(rest, out);
        }
    }
    return ERROR_UNSUPPORTED;
}

enum error digest_unpack(struct bytes packed, struct digest *out)
{
    size_t i;

    *out = (struct digest){0};
    for (i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        if (packed.size == algorithms[i].size + 1u &&
            packed.data[0] == (uint8_t)algorithms[i].algorithm) {
            out->algorithm = packed.data[0];
            out->size = algorithms[i].size;
            memcpy(out->raw, packed.data + 1, out->size);
            return OK;
        }
    }
    return ERROR_INVALID;
}

size_t digest_pack(const struct digest *digest, uint8_t packed[DIGEST_RAW_MAX + 1])
{
    PRE(digest->algorithm != 0);
    packed[0] = digest->algorithm;
    memcpy(packed + 1, digest->raw, digest->size);
    return digest->size + 1u;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? "sha512" : "sha256";
}

void digest_format_hex(const struct digest *digest, char text[DIGEST_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < digest->size; i++) {
        text[2 * i] = digits[digest->raw[i] >> 4];
        text[2 * i + 1] = digits[digest->raw[i] & 15];
    }
    text[2 * i] = '\0';
}

void digest_format(const struct digest *digest, char text[DIGEST_TEXT_MAX])
{
    PRE(digest->algorithm != 0);
    memcpy(text, digest_algorithm_name(digest->algorithm), 6);
    text[6] = ':';
    digest_format_hex(digest, text + 7);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->algorithm == b->algorithm && memcmp(a->raw, b->raw, a->size) == 0;
}

void digest_of(enum digest_algorithm algorithm, struct bytes content, struct digest *out)
{
    unsigned size = 0;

    *out = (struct digest){.algorithm = (uint8_t)algorithm};
    CHECK(EVP_Digest(content.data, content.size, out->raw, &size, digest_md(algorithm), NULL) == 1);
    out->size = (uint8_t)size;
}

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm)
{
    hasher->algorithm = algorithm;
    hasher->context = EVP_MD_CTX_new();
    CHECK(hasher->context != NULL);
    CHECK(EVP_DigestInit_ex(hasher->context, digest_md(algorithm), NULL) == 1);
}

void hasher_update(struct hasher *hasher, struct bytes bytes)
{
    CHECK(EVP_DigestUpdate(hasher->context, bytes.data, bytes.size) == 1);
}

void hasher_peek(const struct hasher *hasher, struct digest *out)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    unsigned size = 0;

    CHECK(copy != NULL && EVP_MD_CTX_copy_ex(copy, hasher->context) == 1);
    *out = (struct digest){.algorithm = (uint8_t)hasher->algorithm};
    CHECK(EVP_DigestFinal_ex(copy, out->raw, &size) == 1);
    out->size = (uint8_t)size;
    EVP_MD_CTX_free(copy);
}

void hasher_digest(struct hasher *hasher, struct bytes content, struct digest *out)
{
    unsigned size = 0;

    *out = (struct digest){.algorithm = (uint8_t)hasher->algorithm};
    CHECK(EVP_DigestInit_ex(hasher->context, NULL, NULL) == 1);
    CHECK(EVP_DigestUpdate(hasher->context, content.data, content.size) == 1);
    CHECK(EVP_DigestFinal_ex(hasher->context, out->raw, &size) == 1);
    CHECK(EVP_DigestInit_ex(hasher->context, NULL, NULL) == 1);
    out->size = (uint8_t)size;
}

void hasher_release(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    hasher->context = NULL;
}
