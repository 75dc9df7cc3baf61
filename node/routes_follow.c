#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/node.h"
#include "node/routes_promotion.h"
#include "node/worker.h"

#include <stdlib.h>

/* GET /promotions/{id}?watch=1: server-sent events, one whenever what a GET would show has changed,
 * until the promotion is closed.
 *
 *   event: promotion      data: the document, in one line
 *   event: end            the last: it is closed, or this node stops ("data: stopping")
 *   : comment             every KEEP_MS, so that both sides know that the other one lives
 *
 * A client that reads slowly is sent the newest state once it has read the rest, not every one. */

#define LOOK_MS       250  /* Between two looks, when something was applied. */
#define LOOK_IDLE_MS  1000 /* When nothing was: gates open with time. */
#define KEEP_MS       10000
#define FOLLOWERS_MAX 200 /* Of a worker. */
#define EVENT_MAX     ((size_t)4 << 20)

struct follower {
    struct exchange *exchange;
    uv_timer_t timer;
    struct digest shown; /* Of the last event's data. */
    uint64_t index;      /* Applied, at the last look. */
    uint64_t looked_ms, sent_ms;
};

static void closed_cb(uv_handle_t *handle)
{
    free(handle->data);
}

static void follower_end(struct follower *follower, const char *last)
{
    exchange_worker(follower->exchange)->followers--;
    if (!exchange_is_gone(follower->exchange)) {
        exchange_write(follower->exchange, bytes_of_string(last));
        exchange_end(follower->exchange);
    }
    exchange_release(follower->exchange);
    uv_close((uv_handle_t *)&follower->timer, closed_cb);
}

/* The event, unless it says what the last one said. */
static void send_event(struct follower *follower, const struct promotion *promotion,
                       const struct evaluation *evaluation)
{
    json_t *document = view_promotion(promotion, evaluation);
    struct digest digest;
    struct buffer text;

    buffer_init(&text, EVENT_MAX);
    buffer_append_string(&text, "event: promotion\ndata: ");
    json_write(&text, document);
    buffer_append_string(&text, "\n\n");
    json_decref(document);
    digest_of(DIGEST_SHA256, buffer_view(&text), &digest);
    if (buffer_status(&text) == OK && !digest_equal(&digest, &follower->shown)) {
        follower->shown = digest;
        follower->sent_ms = clock_monotonic_ms();
        exchange_write(follower->exchange, buffer_view(&text));
    }
    buffer_release(&text);
}

/* False: it is over. */
static bool follower_look(struct follower *follower)
{
    struct worker *worker = exchange_worker(follower->exchange);
    struct evaluation evaluation;
    struct promotion promotion;
    struct catalog_txn txn;
    bool is_open = false;

    follower->index = catalog_applied_index(worker->catalog);
    follower->looked_ms = clock_monotonic_ms();
    catalog_read(worker->catalog, &txn);
    if (promotion_load(&txn, exchange_parameter(follower->exchange, "id"), &promotion) == OK) {
        evaluate_stored(&txn, &promotion, clock_wall_ms(), &evaluation);
        is_open = promotion.state == PROMOTION_OPEN;
        send_event(follower, &promotion, &evaluation);
        promotion_release(&promotion);
    }
    catalog_done(&txn);
    return is_open;
}

static bool is_time(const struct follower *follower)
{
    struct worker *worker = exchange_worker(follower->exchange);

    return exchange_queued(follower->exchange) == 0 &&
           (catalog_applied_index(worker->catalog) != follower->index ||
            clock_monotonic_ms() >= follower->looked_ms + LOOK_IDLE_MS);
}

static void timer_cb(uv_timer_t *timer)
{
    struct follower *follower = timer->data;
    struct exchange *exchange = follower->exchange;

    if (exchange_is_gone(exchange)) {
        follower_end(follower, "");
    } else if (node_is_stopping(exchange_worker(exchange)->node)) {
        follower_end(follower, "event: end\ndata: stopping\n\n");
    } else if (is_time(follower) && !follower_look(follower)) {
        follower_end(follower, "event: end\ndata: closed\n\n");
    } else if (clock_monotonic_ms() >= follower->sent_ms + KEEP_MS &&
               exchange_queued(exchange) == 0) {
        follower->sent_ms = clock_monotonic_ms();
        exchange_write(exchange, BYTES_LITERAL(": still there\n\n"));
    }
}

static void follow(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct follower *follower = memory_zero(sizeof *follower);

    follower->exchange = exchange;
    follower->sent_ms = clock_monotonic_ms();
    uv_timer_init(&worker->loop, &follower->timer);
    follower->timer.data = follower;
    worker->followers++;
    exchange_hold(exchange);
    exchange_set_header(exchange, "Cache-Control", "no-store");
    exchange_start(exchange, 200, "text/event-stream", -1);
    if (follower_look(follower)) {
        uv_timer_start(&follower->timer, timer_cb, LOOK_MS, LOOK_MS);
    } else {
        follower_end(follower, "event: end\ndata: closed\n\n");
    }
}

static void answer_follow(struct exchange *exchange)
{
    struct promotion promotion;
    struct catalog_txn txn;
    bool is_visible = false;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (promotion_load(&txn, exchange_parameter(exchange, "id"), &promotion) == OK) {
        is_visible = promotion_is_visible(exchange, &promotion);
        promotion_release(&promotion);
    }
    catalog_done(&txn);
    if (!is_visible) {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
    } else if (exchange_worker(exchange)->followers >= FOLLOWERS_MAX) {
        exchange_set_header(exchange, "Retry-After", "10");
        exchange_fail_as(exchange, 503, "UNAVAILABLE", NULL,
                         "too many follow promotions here: ask with ?wait= instead, or come back");
    } else {
        follow(exchange);
    }
}

void promotion_follow(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_follow);
}
