#include "promotion/duration.h"

#include <stdio.h>

#define DURATION_MS_MAX (UINT64_C(3650) * 24 * 3600 * 1000)

static const struct unit {
    const char *name;
    uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

#define UNITS_N (sizeof units / sizeof units[0])

static size_t digits(struct bytes text)
{
    size_t n = 0;

    while (n < text.size && text.data[n] >= '0' && text.data[n] <= '9') {
        n++;
    }
    return n;
}

static size_t letters(struct bytes text)
{
    size_t n = 0;

    while (n < text.size && (text.data[n] < '0' || text.data[n] > '9')) {
        n++;
    }
    return n;
}

static enum error refuse(struct bytes text, struct reason *why)
{
    return fail(why, ERROR_INVALID,
                "\"" BYTES_FMT "\" is not a duration: write for example \"24h\", \"1h30m\", "
                "\"90s\" or \"7d\"",
                text.size > 40 ? 40 : (int)text.size, (const char *)text.data);
}

enum error duration_parse(struct bytes text, uint64_t *ms, struct reason *why)
{
    struct bytes rest = text;
    uint64_t total = 0;
    size_t next_unit = 0;

    while (rest.size > 0) {
        size_t n = digits(rest), size, unit;
        uint64_t count;

        if (n == 0 || n > 9 || bytes_to_uint(bytes_slice(rest, 0, n), &count) != OK) {
            return refuse(text, why);
        }
        rest = bytes_slice(rest, n, rest.size);
        size = letters(rest);
        for (unit = next_unit; unit < UNITS_N; unit++) {
            if (bytes_equal_string(bytes_slice(rest, 0, size), units[unit].name)) {
                break;
            }
        }
        if (unit == UNITS_N) {
            return refuse(text, why);
        }
        rest = bytes_slice(rest, size, rest.size);
        next_unit = unit + 1;
        total += count * units[unit].ms;
        if (total > DURATION_MS_MAX) {
            return fail(why, ERROR_RANGE, "a duration is at most ten years (3650d)");
        }
    }
    if (total == 0) {
        return refuse(text, why);
    }
    *ms = total;
    return OK;
}

void duration_format(uint64_t ms, char text[DURATION_TEXT_MAX])
{
    size_t used = 0, parts = 0, i;

    for (i = 0; i < UNITS_N && parts < 2; i++) {
        uint64_t count = ms / units[i].ms;

        /* Milliseconds only where there is nothing larger. */
        if (count == 0 || (units[i].ms == 1 && parts > 0)) {
            parts += parts > 0;
            continue;
        }
        ms %= units[i].ms;
        used += (size_t)snprintf(text + used, DURATION_TEXT_MAX - used, "%llu%s",
                                 (unsigned long long)count, units[i].name);
        parts++;
    }
    if (used == 0) {
        snprintf(text, DURATION_TEXT_MAX, "0s");
    }
}
