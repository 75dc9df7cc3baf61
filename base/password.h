#ifndef BASE_PASSWORD_H
#define BASE_PASSWORD_H

#include "base/bytes.h"

/* Password hashes: scrypt with N=2^14, r=8, p=1 (16 MiB and some 50 ms each: call it in libuv's
 * pool), and the two helpers that checking one needs. Any thread. */

#define PASSWORD_SALT_SIZE 16
#define PASSWORD_HASH_SIZE 32
#define PASSWORD_SIZE_MAX  1024

/* ERROR_INVALID: empty or over PASSWORD_SIZE_MAX. */
enum error password_hash(struct bytes password, const uint8_t salt[PASSWORD_SALT_SIZE],
                         uint8_t hash[PASSWORD_HASH_SIZE]) MUST_USE;
/* Takes the same time wherever the first difference is. */
bool password_hash_equal(const uint8_t a[PASSWORD_HASH_SIZE], const uint8_t b[PASSWORD_HASH_SIZE]);
/* HMAC-SHA256. */
void password_mac(const uint8_t key[32], struct bytes text, uint8_t mac[32]);

#endif
