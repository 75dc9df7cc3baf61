#include "promotion/byte_size.h"

#include <stdio.h>

#define BYTE_SIZE_MAX ((uint64_t)1 << 53)

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"KiB", 1024},
    {"MB", 1000 * 1000},
    {"MiB", 1024 * 1024},
    {"GB", 1000 * 1000 * 1000},
    {"GiB", 1024 * 1024 * 1024},
    {"TB", (uint64_t)1000 * 1000 * 1000 * 1000},
    {"TiB", (uint64_t)1024 * 1024 * 1024 * 1024},
};

enum error byte_size_parse(struct bytes text, uint64_t *size, struct reason *why)
{
    size_t digits = 0, i;
    uint64_t number;

    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    if (bytes_to_uint(bytes_slice(text, 0, digits), &number) == OK) {
        struct bytes unit = bytes_slice(text, digits, text.size);

        for (i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (!bytes_equal_string(unit, units[i].name)) {
                continue;
            }
            if (number > BYTE_SIZE_MAX / units[i].bytes) {
                return fail(why, ERROR_RANGE, "\"%.*s\" is more than 8 PiB", BYTES_ARG(text));
            }
            *size = number * units[i].bytes;
            return OK;
        }
    }
    return fail(why, ERROR_INVALID,
                "\"%.*s\" is no amount of data: write a whole number and one of B, kB, MB, GB, TB, "
                "KiB, MiB, GiB, TiB, such as \"2GiB\"",
                text.size > 40 ? 40 : (int)text.size, (const char *)text.data);
}

void byte_size_format(uint64_t size, char text[BYTE_SIZE_TEXT_MAX])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    uint64_t whole = size, rest = 0;
    size_t unit = 0;

    while (whole >= 1024 && unit + 1 < sizeof names / sizeof names[0]) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (unit == 0) {
        snprintf(text, BYTE_SIZE_TEXT_MAX, "%llu B", (unsigned long long)whole);
    } else {
        snprintf(text, BYTE_SIZE_TEXT_MAX, "%llu.%llu %s", (unsigned long long)whole,
                 (unsigned long long)(rest * 10 / 1024), names[unit]);
    }
}
