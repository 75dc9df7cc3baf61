#ifndef PROMOTION_TRUST_H
#define PROMOTION_TRUST_H

#include "base/bytes.h"
#include "base/digest.h"
#include "promotion/refusal.h"

#include <jansson.h>

/* Whom signatures are believed from: keys by their id. A JSON object (docs/promotion.md,
 * "Evidence"):
 *
 *   {"keys": {"ci": {"pem": "-----BEGIN PUBLIC KEY-----...",   ECDSA P-256 or P-384, RSA of 2048
 *                                                              bits or more, or Ed25519
 *                    "hash": "sha256" | "sha384" | "sha512",   default sha256; not for Ed25519
 *                    "notAfter": "2027-01-01T00:00:00Z",       not believed from then on
 *                    "revoked": true,                          never believed again
 *                    "builders": ["https://..."],              whose provenance it may sign
 *                    "verifiers": ["https://..."],             whose summaries (VSA) it may sign
 *                    "scanners": ["https://..."]}}}            whose reports; left out: any
 *
 * Certificates that come with a signature are not looked at: a key that signs is listed here. */

struct trust;

#define TRUST_KEYS_MAX     64
#define TRUST_ID_MAX       64
#define TRUST_ISSUER_MAX   255
#define TRUST_IDENTITY_MAX 511

enum signer_kind { SIGNER_NONE, SIGNER_KEY, SIGNER_CERTIFICATE };

/* Is the document of the right shape? Pure (it looks into no PEM), so that apply may ask.
 * ERROR_INVALID with a sentence that begins with place. */
enum error trust_check(const json_t *document, const char *place, struct reason *why) MUST_USE;
/* Read the keys: for who verifies, never in apply. revision: the number that facts
 * carry, and that changes whenever the document does. ERROR_INVALID with a sentence: wrong shape,
 * an unreadable PEM, a weak or unknown kind of key. *out is the caller's (trust_free). */
enum error trust_open(const json_t *document, uint64_t revision, struct trust **out,
                      struct reason *why) MUST_USE;
void trust_free(struct trust *trust);
uint64_t trust_revision(const struct trust *trust);

struct signature_claim {
    struct bytes message, signature;
};

/* Who signed. */
struct signer {
    enum signer_kind kind;
    const char *id;          /* In the trust, borrowed from it. */
    const json_t *grant;     /* Its entry there, borrowed. */
    struct digest key;       /* SHA-256 of its SubjectPublicKeyInfo. */
    uint64_t valid_until_ms; /* 0: until the trust changes. */
};

/* Does a trusted signer's key verify the claim at this time? ERROR_DENIED with the refusal. */
enum error trust_verify(const struct trust *trust, const struct signature_claim *claim,
                        uint64_t now_ms, struct signer *out, struct refusal *refusal) MUST_USE;
/* Is text among the texts of the list that the signer's entry has under key? missing: the answer
 * when there is no such list. */
bool signer_is_granted(const struct signer *signer, const char *key, const char *text,
                       bool missing);

#endif
