#ifndef PROMOTION_BASE64_H
#define PROMOTION_BASE64_H

#include "base/bytes.h"

/* Base64 as of RFC 4648, to the letter: no white space, no foreign characters, unused bits zero, so
 * that one run of bytes has one text in each form. */

enum base64_form {
    BASE64_STANDARD, /* Section 4: "+" and "/", padded. */
    BASE64_URL,      /* Section 5: "-" and "_", without padding, as JWS writes it. */
    BASE64_EITHER,   /* One alphabet or the other, padding all there or not at all (DSSE). */
};

/* Append the bytes that text stands for. ERROR_INVALID; ERROR_TOO_LARGE when out's limit does not
 * hold them (found before anything is decoded). */
enum error base64_decode(struct bytes text, enum base64_form form, struct buffer *out) MUST_USE;
/* Append the text of bytes, standard and padded. */
void base64_encode(struct bytes bytes, struct buffer *out);

#endif
