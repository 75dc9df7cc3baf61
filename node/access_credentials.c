/* The Authorization header of a client: Basic, or nothing. */
#include "node/access.h"
#include "store/catalog.h"

#include <strings.h>

static int base64_value(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Strict but for missing padding. False: malformed, or more than size bytes. */
static bool base64_decode(struct bytes in, uint8_t *out, size_t size, size_t *n)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t i;

    *n = 0;
    while (in.size > 0 && in.data[in.size - 1] == '=') {
        in.size--;
    }
    for (i = 0; i < in.size; i++) {
        int value = base64_value(in.data[i]);

        if (value < 0) {
            return false;
        }
        bits = (bits << 6) | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            if (*n == size) {
                return false;
            }
            out[(*n)++] = (uint8_t)(bits >> n_bits);
        }
    }
    return n_bits < 6;
}

enum error credentials_read(struct bytes header, struct credentials *out)
{
    struct bytes text;
    ptrdiff_t colon;
    size_t n;

    if (header.size == 0) {
        return ERROR_NOT_FOUND;
    }
    if (header.size < 6 || strncasecmp((const char *)header.data, "basic ", 6) != 0) {
        return ERROR_UNAUTHORIZED;
    }
    text = bytes_slice(header, 6, header.size);
    while (text.size > 0 && text.data[0] == ' ') {
        text = bytes_slice(text, 1, text.size);
    }
    if (!base64_decode(text, out->text, sizeof out->text, &n)) {
        return ERROR_UNAUTHORIZED;
    }
    colon = bytes_find(bytes_of(out->text, n), ':');
    if (colon < 0) {
        return ERROR_UNAUTHORIZED;
    }
    out->user = bytes_of(out->text, (size_t)colon);
    out->password = bytes_of(out->text + colon + 1, n - (size_t)colon - 1);
    if (out->user.size == 0 && out->password.size == 0) { /* "Og==" of some clients. */
        return ERROR_NOT_FOUND;
    }
    return out->user.size > 0 && out->user.size <= ACTOR_MAX && out->password.size > 0
               ? OK
               : ERROR_UNAUTHORIZED;
}
