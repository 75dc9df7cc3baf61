#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds and nanoseconds of the monotonic clock: for time-outs, leases and measurements. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void);
/* Milliseconds since 1970 of the wall clock: for stamps that people read, never for ordering. */
uint64_t clock_wall_ms(void);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 in UTC with milliseconds: 2026-11-23T18:00:00.123Z. */
void clock_format(uint64_t wall_ms, char text[CLOCK_TEXT_MAX]);

#endif
