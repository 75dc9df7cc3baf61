#include "node/consistency.h"

#include "base/memory.h"
#include "node/control.h"
#include "node/worker.h"
#include "store/catalog.h"

#include <stdlib.h>

struct freshen {
    struct control_read read;
    struct exchange *exchange;
    bool wants_latest; /* Still to be confirmed with a quorum. */
    uint64_t minimum;  /* Waited for now; 0: the quorum is. */
    void (*cb)(struct exchange *exchange);
};

static void freshen_next(struct freshen *freshen);

static void fail_freshen(const struct freshen *freshen, enum error status)
{
    struct reason why;

    if (status == OK) {
        (void)fail(&why, ERROR_CANCELED, "the client has gone");
    } else if (freshen->minimum > 0) {
        (void)fail(&why, ERROR_UNAVAILABLE,
                   "X-Min-Raft-Index: this node has not reached index %llu within %d s; try again, "
                   "or ask another node",
                   (unsigned long long)freshen->minimum, CONTROL_READ_TIMEOUT_MS / 1000);
    } else {
        (void)fail(&why, ERROR_UNAVAILABLE,
                   "this node cannot confirm with a quorum that its data is the newest; try again, "
                   "or read with ?consistency=stale");
    }
    exchange_fail(freshen->exchange, status == OK ? ERROR_CANCELED : ERROR_UNAVAILABLE, &why);
}

static void freshen_cb(struct control_read *read, enum error status)
{
    struct freshen *freshen = read->data;
    struct exchange *exchange = freshen->exchange;

    if (status == OK && !exchange_is_gone(exchange)) {
        freshen_next(freshen);
        return;
    }
    fail_freshen(freshen, status);
    free(freshen);
    exchange_release(exchange);
}

static void freshen_next(struct freshen *freshen)
{
    struct exchange *exchange = freshen->exchange;

    if (freshen->wants_latest) {
        freshen->wants_latest = false;
        freshen->minimum = 0;
        control_read(exchange_worker(exchange), &freshen->read, freshen_cb);
        return;
    }
    freshen->cb(exchange);
    free(freshen);
    exchange_release(exchange);
}

void catalog_freshen(struct exchange *exchange, enum freshness freshness,
                     void (*cb)(struct exchange *exchange))
{
    struct bytes minimum = exchange_header(exchange, "X-Min-Raft-Index");
    struct bytes wish;
    struct freshen *freshen;
    uint64_t index = 0;

    if (minimum.size > 0 && bytes_to_uint(minimum, &index) != OK) {
        exchange_fail_as(exchange, 400, "UNSUPPORTED", NULL,
                         "X-Min-Raft-Index must be a decimal number");
        return;
    }
    if (exchange_query(exchange, "consistency", 0, &wish)) {
        if (!bytes_equal_string(wish, "stale")) {
            exchange_fail_as(exchange, 400, "UNSUPPORTED", NULL,
                             "consistency is \"stale\" (what this node has), or left out (the "
                             "newest)");
            return;
        }
        freshness = FRESH_LOCAL;
        exchange_set_header(exchange, "X-Caisson-Consistency", "stale");
    }
    freshen = memory_zero(sizeof *freshen);
    freshen->exchange = exchange;
    freshen->read.data = freshen;
    freshen->wants_latest = freshness == FRESH_LATEST;
    freshen->minimum = index;
    freshen->cb = cb;
    exchange_hold(exchange);
    if (index > 0) {
        control_wait_applied(exchange_worker(exchange), &freshen->read, index, freshen_cb);
    } else {
        freshen_next(freshen);
    }
}

void exchange_set_index(struct exchange *exchange, uint64_t index)
{
    exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)index);
}

void catalog_set_index(struct exchange *exchange, struct catalog_txn *txn)
{
    exchange_set_index(exchange, catalog_txn_index(txn));
}
