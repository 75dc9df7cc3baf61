#ifndef PROMOTION_SIGNATURE_H
#define PROMOTION_SIGNATURE_H

#include "base/bytes.h"

/* Ed25519 (RFC 8032): raw keys and signatures. */

#define SIGNATURE_KEY_SIZE 32 /* Private and public. */
#define SIGNATURE_SIZE     64

/* A new key pair; for who proposes, never in apply. */
void signature_make_key(uint8_t private_key[SIGNATURE_KEY_SIZE],
                        uint8_t public_key[SIGNATURE_KEY_SIZE]);
void signature_sign(const uint8_t private_key[SIGNATURE_KEY_SIZE], struct bytes message,
                    uint8_t out[SIGNATURE_SIZE]);
/* False also for sizes that are not those above. */
bool signature_is_valid(struct bytes public_key, struct bytes message, struct bytes signature);

#endif
