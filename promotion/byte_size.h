#ifndef PROMOTION_BYTE_SIZE_H
#define PROMOTION_BYTE_SIZE_H

#include "base/bytes.h"
#include "base/error.h"

/* Amounts of data as people write them in a policy: "2GiB", "500MB", "4096". Units B, kB, MB, GB,
 * TB (of 1,000) and KiB, MiB, GiB, TiB (of 1,024). */

#define BYTE_SIZE_TEXT_MAX 32

/* ERROR_INVALID with a sentence that says what is understood; ERROR_RANGE over 2^53. */
enum error byte_size_parse(struct bytes text, uint64_t *size, struct reason *why) MUST_USE;
/* "1.4 GiB", "873 B". */
void byte_size_format(uint64_t size, char text[BYTE_SIZE_TEXT_MAX]);

#endif
