#include "promotion/signature.h"

#include "base/assert.h"

#include <openssl/evp.h>

void signature_make_key(uint8_t private_key[SIGNATURE_KEY_SIZE],
                        uint8_t public_key[SIGNATURE_KEY_SIZE])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    size_t private_size = SIGNATURE_KEY_SIZE, public_size = SIGNATURE_KEY_SIZE;
    bool is_read;

    CHECK(key != NULL);
    is_read = EVP_PKEY_get_raw_private_key(key, private_key, &private_size) == 1 &&
              EVP_PKEY_get_raw_public_key(key, public_key, &public_size) == 1;
    CHECK(is_read && private_size == SIGNATURE_KEY_SIZE && public_size == SIGNATURE_KEY_SIZE);
    EVP_PKEY_free(key);
}

void signature_sign(const uint8_t private_key[SIGNATURE_KEY_SIZE], struct bytes message,
                    uint8_t out[SIGNATURE_SIZE])
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, SIGNATURE_KEY_SIZE);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = SIGNATURE_SIZE;
    bool is_signed;

    CHECK(key != NULL && context != NULL);
    is_signed = EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(context, out, &size, message.data, message.size) == 1;
    CHECK(is_signed && size == SIGNATURE_SIZE);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

bool signature_is_valid(struct bytes public_key, struct bytes message, struct bytes signature)
{
    EVP_PKEY *key;
    EVP_MD_CTX *context;
    bool is_valid;

    if (public_key.size != SIGNATURE_KEY_SIZE || signature.size != SIGNATURE_SIZE) {
        return false;
    }
    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key.data, public_key.size);
    context = EVP_MD_CTX_new();
    CHECK(context != NULL);
    is_valid =
        key != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(context, signature.data, signature.size, message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return is_valid;
}
