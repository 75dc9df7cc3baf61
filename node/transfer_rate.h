#ifndef NODE_TRANSFER_RATE_H
#define NODE_TRANSFER_RATE_H

#include <stdint.h>

/* Bytes per second over the last seconds, from a counter that is looked at now and then. Pure. */

#define TRANSFER_RATE_SAMPLES 8

struct transfer_rate {
    /* Private. */
    uint64_t at_ms[TRANSFER_RATE_SAMPLES], bytes[TRANSFER_RATE_SAMPLES];
    unsigned n, next;
};

void transfer_rate_add(struct transfer_rate *rate, uint64_t now_ms, uint64_t bytes);
uint64_t transfer_rate_of(const struct transfer_rate *rate, uint64_t now_ms);

#endif
