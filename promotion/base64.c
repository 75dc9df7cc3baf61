#include "promotion/base64.h"

/* The six bits of a character, or -1. */
static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+' || c == '-') {
        return 62;
    }
    return c == '/' || c == '_' ? 63 : -1;
}

/* Only characters of one alphabet that the form allows? */
static bool is_one_alphabet(struct bytes text, enum base64_form form)
{
    bool has_standard = false, has_url = false;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (value_of(c) < 0) {
            return false;
        }
        has_standard |= c == '+' || c == '/';
        has_url |= c == '-' || c == '_';
    }
    return !(has_standard && has_url) && !(form == BASE64_STANDARD && has_url) &&
           !(form == BASE64_URL && has_standard);
}

/* Take the padding off; ERROR_INVALID when it is not as the form wants it. */
static enum error strip(struct bytes *text, enum base64_form form)
{
    size_t padding = 0;

    while (padding < 2 && padding < text->size &&
           text->data[text->size - 1 - padding] == (uint8_t)'=') {
        padding++;
    }
    if (padding > 0 && (form == BASE64_URL || text->size % 4 != 0)) {
        return ERROR_INVALID;
    }
    if (form == BASE64_STANDARD && text->size % 4 != 0) {
        return ERROR_INVALID;
    }
    text->size -= padding;
    return text->size % 4 == 1 ? ERROR_INVALID : OK;
}

enum error base64_decode(struct bytes text, enum base64_form form, struct buffer *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    if (strip(&text, form) != OK || !is_one_alphabet(text, form)) {
        return ERROR_INVALID;
    }
    if (text.size / 4 * 3 > out->limit - out->size) {
        return ERROR_TOO_LARGE;
    }
    for (size_t i = 0; i < text.size; i++) {
        bits = (bits << 6 | (uint32_t)value_of(text.data[i])) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            buffer_append_byte(out, (uint8_t)(bits >> n_bits));
        }
    }
    if ((bits & ((1U << n_bits) - 1)) != 0) {
        return ERROR_INVALID;
    }
    return buffer_status(out);
}

void base64_encode(struct bytes bytes, struct buffer *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i, k;

    for (i = 0; i < bytes.size; i += 3) {
        size_t n = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;

        group |= n > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        for (k = 0; k < 4; k++) {
            buffer_append_byte(out, k <= n ? (uint8_t)digits[group >> (18 - 6 * k) & 63] : '=');
        }
    }
}
