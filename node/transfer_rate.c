#include "node/transfer_rate.h"

void transfer_rate_add(struct transfer_rate *rate, uint64_t now_ms, uint64_t bytes)
{
    rate->at_ms[rate->next] = now_ms;
    rate->bytes[rate->next] = bytes;
    rate->next = (rate->next + 1) % TRANSFER_RATE_SAMPLES;
    rate->n += rate->n < TRANSFER_RATE_SAMPLES ? 1 : 0;
}

uint64_t transfer_rate_of(const struct transfer_rate *rate, uint64_t now_ms)
{
    unsigned oldest = rate->n < TRANSFER_RATE_SAMPLES ? 0 : rate->next;
    unsigned newest = (rate->next + TRANSFER_RATE_SAMPLES - 1) % TRANSFER_RATE_SAMPLES;

    if (rate->n < 2 || now_ms <= rate->at_ms[oldest] || rate->bytes[newest] < rate->bytes[oldest]) {
        return 0;
    }
    return (rate->bytes[newest] - rate->bytes[oldest]) * 1000 / (now_ms - rate->at_ms[oldest]);
}
