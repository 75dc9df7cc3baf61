#include "node/worker.h"

#include "base/assert.h"
#include "node/http.h"
#include "node/manifest_load.h"
#include "node/peers.h"

/* How often a closing worker looks whether everything under way came to its end. */
#define SETTLE_TICK_MS 10

void worker_init(struct worker *worker, unsigned number)
{
    worker->number = number;
    worker->manifests = manifest_cache_open();
    CHECK(uv_loop_init(&worker->loop) == 0);
    mailbox_init(&worker->mailbox, &worker->loop);
    CHECK(uv_timer_init(&worker->loop, &worker->settle_timer) == 0);
}

enum error worker_open(struct worker *worker, const struct peers_options *peers,
                       struct http_listener_options *clients,
                       struct http_listener_options *internal, struct reason *why)
{
    struct peers_options options = *peers;
    enum error rv;

    options.loop = &worker->loop;
    rv = peers_open(&options, &worker->peers, why);
    if (rv != OK) {
        return rv;
    }
    clients->worker = worker;
    rv = http_listener_open(clients, &worker->clients, why);
    if (rv != OK) {
        return rv;
    }
    internal->worker = worker;
    return http_listener_open(internal, &worker->internal, why);
}

static void worker_run(void *data)
{
    struct worker *worker = data;

    CHECK(uv_run(&worker->loop, UV_RUN_DEFAULT) == 0);
}

void worker_start(struct worker *worker)
{
    CHECK(uv_thread_create(&worker->thread, worker_run, worker) == 0);
}

/* --- drain ------------------------------------------------------------------------------------ */

/* A handler may outlive its connection, a copy its request; what they use ends after this. */
static void drain_settle_cb(uv_timer_t *timer)
{
    struct worker *worker = container_of(timer, struct worker, settle_timer);

    if (worker->exchanges_pending == 0 && worker->copies_pending == 0) {
        uv_timer_stop(timer);
        worker->done_cb(worker);
    } else if (uv_now(&worker->loop) >= worker->drain_deadline_ms) {
        peers_cancel(worker->peers);
    }
}

static void drained_cb(void *data)
{
    struct worker *worker = data;

    CHECK(worker->closing > 0);
    if (--worker->closing == 0) {
        CHECK(uv_timer_start(&worker->settle_timer, drain_settle_cb, 0, SETTLE_TICK_MS) == 0);
    }
}

static void drain_run(struct task *task)
{
    struct worker *worker = container_of(task, struct worker, task);

    worker->closing = 2;
    worker->drain_deadline_ms = uv_now(&worker->loop) + worker->drain_ms;
    http_listener_close(worker->clients, worker->drain_ms, drained_cb, worker);
    http_listener_close(worker->internal, worker->drain_ms, drained_cb, worker);
}

void worker_drain(struct worker *worker, void (*done_cb)(struct worker *worker))
{
    worker->done_cb = done_cb;
    worker->task.run = drain_run;
    mailbox_post(&worker->mailbox, &worker->task);
}

/* --- close ------------------------------------------------------------------------------------ */

static void peers_closed_cb(void *data)
{
    struct worker *worker = data;

    CHECK(worker->control_pending == 0);
    worker->done_cb(worker);
    uv_close((uv_handle_t *)&worker->settle_timer, NULL);
    mailbox_close(&worker->mailbox);
}

/* An answer from the control thread must find the mailbox open. */
static void settle_timer_cb(uv_timer_t *timer)
{
    struct worker *worker = container_of(timer, struct worker, settle_timer);

    if (worker->control_pending > 0) {
        return;
    }
    uv_timer_stop(timer);
    peers_close(worker->peers, peers_closed_cb, worker);
}

static void close_run(struct task *task)
{
    struct worker *worker = container_of(task, struct worker, task);

    CHECK(uv_timer_start(&worker->settle_timer, settle_timer_cb, 0, SETTLE_TICK_MS) == 0);
}

void worker_close(struct worker *worker, void (*done_cb)(struct worker *worker))
{
    worker->done_cb = done_cb;
    worker->task.run = close_run;
    mailbox_post(&worker->mailbox, &worker->task);
}

void worker_join(struct worker *worker)
{
    CHECK(uv_thread_join(&worker->thread) == 0);
    CHECK(uv_loop_close(&worker->loop) == 0);
    manifest_cache_close(worker->manifests);
}
