#include "base/clock.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;

    CHECK(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000u;
}

uint64_t clock_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000u;
}

void clock_format(uint64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char day[24];

    if (gmtime_r(&seconds, &utc) == NULL ||
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc) == 0) {
        snprintf(day, sizeof day, "0000-00-00T00:00:00");
    }
    snprintf(text, CLOCK_TEXT_MAX, "%s.%03uZ", day, (unsigned)(wall_ms % 1000));
}

/* n digits at text as a number; false when one is no digit. */
static bool parse_digits(const char *text, size_t n, int *out)
{
    size_t i;

    for (*out = 0, i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

/* "2026-12-24T18:00:00" */
static bool parse_date_time(const char *text, struct tm *out)
{
    *out = (struct tm){0};
    return parse_digits(text, 4, &out->tm_year) && text[4] == '-' &&
           parse_digits(text + 5, 2, &out->tm_mon) && text[7] == '-' &&
           parse_digits(text + 8, 2, &out->tm_mday) && text[10] == 'T' &&
           parse_digits(text + 11, 2, &out->tm_hour) && text[13] == ':' &&
           parse_digits(text + 14, 2, &out->tm_min) && text[16] == ':' &&
           parse_digits(text + 17, 2, &out->tm_sec);
}

enum error clock_parse(struct bytes text, uint64_t *wall_ms)
{
    char copy[CLOCK_TEXT_MAX] = "";
    struct tm given, normal;
    int millis = 0;
    time_t seconds;

    if (text.size != 20 && text.size != 24) {
        return ERROR_INVALID;
    }
    memcpy(copy, text.data, text.size);
    if (!parse_date_time(copy, &given) || copy[text.size - 1] != 'Z' ||
        (text.size == 24 && (copy[19] != '.' || !parse_digits(copy + 20, 3, &millis)))) {
        return ERROR_INVALID;
    }
    given.tm_year -= 1900;
    given.tm_mon -= 1;
    normal = given;
    seconds = timegm(&normal);
    /* What timegm() had to put right was no such day or hour. */
    if (seconds < 0 || normal.tm_mday != given.tm_mday || normal.tm_mon != given.tm_mon ||
        normal.tm_hour != given.tm_hour || normal.tm_min != given.tm_min ||
        normal.tm_sec != given.tm_sec) {
        return ERROR_INVALID;
    }
    *wall_ms = (uint64_t)seconds * 1000 + (uint64_t)millis;
    return OK;
}
