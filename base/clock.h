#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdint.h>

/* Milliseconds and nanoseconds of the monotonic clock: for time-outs, leases and measurements. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);
/* Milliseconds since 1970 of the wall clock: for stamps that people read, never for ordering. */
uint64_t clock_wall_ms(void);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 in UTC with milliseconds: 2026-11-23T18:00:00.123Z. */
void clock_format(uint64_t wall_ms, char text[CLOCK_TEXT_MAX]);

/* Reads what clock_format() writes, the milliseconds may be left out: "2026-12-24T18:00:00Z" (RFC
 * 3339, UTC only). ERROR_INVALID for anything else, a 30th of February and years before 1970
 * included. */
enum error clock_parse(struct bytes text, uint64_t *wall_ms) MUST_USE;

#endif
