#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/bytes.h"
#include "base/error.h"

/* Content digests as of the OCI image specification ("Digests"): algorithm ":" lower-case hex.
 * sha256 and sha512 are known; the text is checked to the letter, so that a digest that was parsed
 * is safe as a file name. */

enum digest_algorithm { DIGEST_SHA256 = 1, DIGEST_SHA512 = 2 };

#define DIGEST_RAW_MAX  64
#define DIGEST_HEX_MAX  129                  /* 128 and a NUL. */
#define DIGEST_TEXT_MAX (7 + DIGEST_HEX_MAX) /* "sha512:" before it. */

struct digest {
    uint8_t algorithm; /* enum digest_algorithm; 0: none. */
    uint8_t size;      /* Of raw: 32 or 64. */
    uint8_t raw[DIGEST_RAW_MAX];
};

/* ERROR_INVALID: not in the grammar; ERROR_UNSUPPORTED: another algorithm. */
enum error digest_parse(struct bytes text, struct digest *out) MUST_USE;
/* From algorithm and raw bytes, as kept in the catalog (one byte of algorithm, then raw). */
enum error digest_unpack(struct bytes packed, struct digest *out) MUST_USE;
/* The catalog's form, 33 or 65 bytes: valid as long as digest itself (it is its memory). */
size_t digest_pack(const struct digest *digest, uint8_t packed[DIGEST_RAW_MAX + 1]);
void digest_format(const struct digest *digest, char text[DIGEST_TEXT_MAX]);
/* Only the hex part. */
void digest_format_hex(const struct digest *digest, char text[DIGEST_HEX_MAX]);
const char *digest_algorithm_name(enum digest_algorithm algorithm);
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_of(enum digest_algorithm algorithm, struct bytes content, struct digest *out);

/* Hashing as bytes arrive; any thread, one at a time. */
struct hasher {
    /* Private. */
    void *context;
    enum digest_algorithm algorithm;
};

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm);
void hasher_update(struct hasher *hasher, struct bytes bytes);
/* The digest of what came so far; the hasher goes on. */
void hasher_peek(const struct hasher *hasher, struct digest *out);
/* The digest of content alone, after which the hasher stands empty: digest_of() for many small
 * pieces, without what setting up costs each time. */
void hasher_digest(struct hasher *hasher, struct bytes content, struct digest *out);
void hasher_release(struct hasher *hasher);

#endif
