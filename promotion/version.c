#include "promotion/version.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_identifier(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* Numbers joined by dots at the start of text: how many bytes they take. */
static size_t parse_numbers(struct bytes text, struct version *out)
{
    size_t used = 0;

    while (out->n < VERSION_PARTS_MAX) {
        size_t from = used;

        while (used < text.size && is_digit(text.data[used])) {
            used++;
        }
        if (bytes_to_uint(bytes_slice(text, from, used - from), &out->parts[out->n]) != OK) {
            return 0;
        }
        out->n++;
        if (used + 1 >= text.size || text.data[used] != '.' || !is_digit(text.data[used + 1])) {
            return used;
        }
        used++;
    }
    return used;
}

/* Identifiers joined by dots, none empty. */
static bool is_identifiers(struct bytes text)
{
    bool is_empty = true;
    size_t i;

    for (i = 0; i < text.size; i++) {
        if (text.data[i] == '.') {
            if (is_empty) {
                return false;
            }
            is_empty = true;
        } else if (is_identifier(text.data[i])) {
            is_empty = false;
        } else {
            return false;
        }
    }
    return !is_empty;
}

static bool parse_semver_rest(struct bytes rest, struct version *out)
{
    ptrdiff_t plus = bytes_find(rest, '+');

    if (out->n != 3) {
        return false;
    }
    if (plus >= 0) {
        if (!is_identifiers(bytes_slice(rest, (size_t)plus + 1, rest.size))) {
            return false;
        }
        rest = bytes_slice(rest, 0, (size_t)plus);
    }
    if (rest.size == 0) {
        return true;
    }
    out->pre_release = bytes_slice(rest, 1, rest.size);
    return rest.data[0] == '-' && is_identifiers(out->pre_release);
}

bool version_parse(enum version_scheme scheme, struct bytes text, struct version *out)
{
    size_t used;

    *out = (struct version){0};
    if (scheme == VERSION_SEMVER && bytes_starts_with(text, BYTES_LITERAL("v"))) {
        text = bytes_slice(text, 1, text.size);
    }
    used = parse_numbers(text, out);
    if (used == 0) {
        return false;
    }
    return scheme == VERSION_SEMVER ? parse_semver_rest(bytes_slice(text, used, text.size), out)
                                    : used == text.size;
}

/* Semver 11.4: numbers by their value and before words, words by their bytes. */
static int compare_identifier(struct bytes a, struct bytes b)
{
    uint64_t x, y;
    bool a_is_number = bytes_to_uint(a, &x) == OK, b_is_number = bytes_to_uint(b, &y) == OK;

    if (a_is_number && b_is_number) {
        return x < y ? -1 : x > y;
    }
    if (a_is_number != b_is_number) {
        return a_is_number ? -1 : 1;
    }
    return bytes_compare(a, b);
}

static struct bytes next_identifier(struct bytes *rest)
{
    ptrdiff_t dot = bytes_find(*rest, '.');
    size_t size = dot < 0 ? rest->size : (size_t)dot;
    struct bytes first = bytes_slice(*rest, 0, size);

    *rest = bytes_slice(*rest, size + 1, rest->size);
    return first;
}

static int compare_pre_release(struct bytes a, struct bytes b)
{
    if (a.size == 0 || b.size == 0) {
        return (a.size == 0) - (b.size == 0); /* A release is later than what leads to it. */
    }
    while (a.size > 0 && b.size > 0) {
        int order = compare_identifier(next_identifier(&a), next_identifier(&b));

        if (order != 0) {
            return order;
        }
    }
    return (a.size > 0) - (b.size > 0);
}

int version_compare(const struct version *a, const struct version *b)
{
    size_t n = a->n > b->n ? a->n : b->n, i;

    for (i = 0; i < n; i++) {
        uint64_t x = i < a->n ? a->parts[i] : 0, y = i < b->n ? b->parts[i] : 0;

        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return compare_pre_release(a->pre_release, b->pre_release);
}
