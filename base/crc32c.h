#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/bytes.h"

/* CRC-32C (Castagnoli, RFC 3720 B.4): 0xe3069283 for "123456789". In hardware where SSE 4.2 is. */
uint32_t crc32c(struct bytes bytes);
/* Go on from an earlier result: crc32c_extend(crc32c(a), b) equals crc32c(a followed by b). */
uint32_t crc32c_extend(uint32_t crc, struct bytes bytes);

#endif
