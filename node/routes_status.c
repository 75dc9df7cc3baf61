#include "node/routes_status.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/cluster_view.h"
#include "node/control.h"
#include "node/node.h"
#include "node/worker.h"

#include <stdlib.h>

/* Liveness, readiness, metrics, and the cluster as this node knows it. None of them waits for the
 * log: they must answer when the cluster does not. */

static void handle_health(struct exchange *exchange)
{
    exchange_answer(exchange, 200, "text/plain; charset=utf-8", BYTES_LITERAL("ok\n"));
}

/* Ready: in contact with a quorum and caught up enough to serve linearizable reads. */
static void handle_ready(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct consensus_status status;

    control_status(worker->control, &status);
    if (node_is_stopping(worker->node)) {
        exchange_answer(exchange, 503, "text/plain; charset=utf-8", BYTES_LITERAL("stopping\n"));
    } else if (!status.has_quorum) {
        exchange_answer(
            exchange, 503, "text/plain; charset=utf-8",
            BYTES_LITERAL("no quorum: too few members reachable, or an election is under way\n"));
    } else {
        exchange_answer(exchange, 200, "text/plain; charset=utf-8", BYTES_LITERAL("ready\n"));
    }
}

static void handle_cluster(struct exchange *exchange)
{
    struct cluster_view view;

    cluster_view_take(exchange_worker(exchange), &view);
    exchange_answer_json(exchange, 200, cluster_view_json(&view));
}

static void handle_metrics(struct exchange *exchange)
{
    struct cluster_view view;
    struct buffer text;

    cluster_view_take(exchange_worker(exchange), &view);
    buffer_init(&text, 1u << 20);
    cluster_view_metrics(&view, &text);
    exchange_answer(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_view(&text));
    buffer_release(&text);
}

const struct route routes_status[] = {
    {HTTP_GET_ | HTTP_HEAD_, "/healthz", ACCESS_PUBLIC, handle_health},
    {HTTP_GET_ | HTTP_HEAD_, "/readyz", ACCESS_PUBLIC, handle_ready},
    {HTTP_GET_ | HTTP_HEAD_, "/metrics", ACCESS_PUBLIC, handle_metrics},
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/cluster", ACCESS_PUBLIC, handle_cluster},
    {0, NULL, 0, NULL},
};
