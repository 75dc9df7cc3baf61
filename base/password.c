#include "base/password.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SCRYPT_N      16384
#define SCRYPT_R      8
#define SCRYPT_P      1
#define SCRYPT_MEMORY (64u * 1024 * 1024)

enum error password_hash(struct bytes password, const uint8_t salt[PASSWORD_SALT_SIZE],
                         uint8_t hash[PASSWORD_HASH_SIZE])
{
    if (password.size == 0 || password.size > PASSWORD_SIZE_MAX) {
        return ERROR_INVALID;
    }
    CHECK(EVP_PBE_scrypt((const char *)password.data, password.size, salt, PASSWORD_SALT_SIZE,
                         SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_MEMORY, hash,
                         PASSWORD_HASH_SIZE) == 1);
    return OK;
}

bool password_hash_equal(const uint8_t a[PASSWORD_HASH_SIZE], const uint8_t b[PASSWORD_HASH_SIZE])
{
    return CRYPTO_memcmp(a, b, PASSWORD_HASH_SIZE) == 0;
}

void password_mac(const uint8_t key[32], struct bytes text, uint8_t mac[32])
{
    unsigned size = 32;

    CHECK(HMAC(EVP_sha256(), key, 32, text.data, text.size, mac, &size) != NULL);
    POST(size == 32);
}
