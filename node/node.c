#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/client_tls.h"
#include "node/config.h"
#include "node/node_private.h"
#include "node/repair.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The running node and how it stops. A stop goes step by step, each waiting for all workers; a
 * second signal ends the process at once, which is safe: the log is what is durable. */

enum stop_step {
    STOP_NOT,
    STOP_DRAIN, /* Leadership is on its way elsewhere; requests under way finish. */
    STOP_TASKS, /* Repair, promoter and upload sessions end. */
    STOP_CLOSE, /* Workers end their loops. */
    STOP_LOG,   /* The log closes. */
    STOP_DONE,
};

static void stop_enter(struct node *node, enum stop_step step);

/* --- one step done ---------------------------------------------------------------------------- */

static void stop_worker_done(struct task *task)
{
    struct node *node = container_of(task, struct stop_task, task)->node;

    CHECK(node->stop_waiting > 0);
    if (--node->stop_waiting == 0) {
        stop_enter(node, (enum stop_step)(node->stop_step + 1));
    }
}

/* On a worker's thread. */
static void stop_done_cb(struct worker *worker)
{
    struct stop_task *done = &worker->node->stop_tasks[worker->number];

    done->node = worker->node;
    done->task.run = stop_worker_done;
    mailbox_post(&worker->node->mailbox, &done->task);
}

static void stop_log_closed_cb(void *data)
{
    struct node *node = data;

    stop_enter(node, STOP_DONE);
}

/* --- the steps -------------------------------------------------------------------------------- */

static void stop_drain(struct node *node)
{
    struct reason why = {""};
    unsigned i;

    repair_quiet(node->repair);
    /* Only a leader with somebody to hand over to succeeds; else the stop goes on without. */
    if (consensus_transfer(node->consensus, 0, &why) == OK) {
        LOG_INFO("stopping: handing leadership over");
    }
    control_wind_down(node->control, false);
    node->stop_waiting = node->n_workers;
    for (i = 0; i < node->n_workers; i++) {
        worker_drain(&node->workers[i], stop_done_cb);
    }
}

static void stop_close(struct node *node)
{
    unsigned i;

    node->stop_waiting = node->n_workers;
    for (i = 0; i < node->n_workers; i++) {
        worker_close(&node->workers[i], stop_done_cb);
    }
}

static void stop_finish(struct node *node)
{
    uv_close((uv_handle_t *)&node->terminate, NULL);
    uv_close((uv_handle_t *)&node->interrupt, NULL);
    uv_close((uv_handle_t *)&node->hangup, NULL);
    mailbox_close(&node->mailbox);
}

static void stop_enter(struct node *node, enum stop_step step)
{
    node->stop_step = (int)step;
    switch (step) {
    case STOP_DRAIN:
        stop_drain(node);
        break;
    case STOP_TASKS:
        /* No client waits any more. */
        control_wind_down(node->control, true);
        node->stop_waiting = 1;
        node_tasks_close(node, stop_done_cb);
        break;
    case STOP_CLOSE:
        stop_close(node);
        break;
    case STOP_LOG:
        node_workers_close(node);
        control_stop(node->control, stop_log_closed_cb, node);
        break;
    case STOP_DONE:
        stop_finish(node);
        break;
    case STOP_NOT:
        IMPOSSIBLE("a stop that does not stop");
    }
}

static void stop_signal_cb(uv_signal_t *signal, int number)
{
    struct node *node = signal->data;

    if (node->stop_step != STOP_NOT) {
        LOG_WARN("second signal %d: ending at once", number);
        _exit(128 + number);
    }
    LOG_INFO("signal %d: stopping", number);
    node->is_stopping = true;
    stop_enter(node, STOP_DRAIN);
}

static void reload_signal_cb(uv_signal_t *signal, int number)
{
    struct node *node = signal->data;

    (void)number;
    if (node->stop_step == STOP_NOT) {
        client_tls_reload(&node->reload, &node->loop, node->config, node->client_tls);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void process_setup(void)
{
    /* Peers and clients that vanish are write errors, not signals. */
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    umask(077);
    /* Before libuv's pool exists: slow disk reads, hashing and syncs must not wait for each other.
     */
    CHECK(setenv("UV_THREADPOOL_SIZE", "16", 0) == 0);
}

static void loop_setup(struct node *node)
{
    CHECK(uv_loop_init(&node->loop) == 0);
    mailbox_init(&node->mailbox, &node->loop);
    CHECK(uv_signal_init(&node->loop, &node->terminate) == 0);
    CHECK(uv_signal_init(&node->loop, &node->interrupt) == 0);
    CHECK(uv_signal_init(&node->loop, &node->hangup) == 0);
}

/* Until here a signal ends the process: a join may wait for minutes, and there is nothing to hand
 * over yet. */
static void signals_setup(struct node *node)
{
    node->terminate.data = node->interrupt.data = node;
    CHECK(uv_signal_start(&node->terminate, stop_signal_cb, SIGTERM) == 0);
    CHECK(uv_signal_start(&node->interrupt, stop_signal_cb, SIGINT) == 0);
    node->hangup.data = node;
    CHECK(uv_signal_start(&node->hangup, reload_signal_cb, SIGHUP) == 0);
}

static enum error node_open(struct node *node, struct reason *why)
{
    enum error rv = node_state_open(node, why);

    if (rv != OK) {
        return rv;
    }
    signals_setup(node);
    return node_workers_open(node, why);
}

int node_run(const struct config *config)
{
    struct node *node = memory_zero(sizeof *node);
    struct reason why = {""};
    enum error rv;

    node->config = config;
    node->started_ms = clock_monotonic_ms();
    process_setup();
    log_setup(config->log_level, config->name);
    loop_setup(node);
    rv = node_open(node, &why);
    if (rv != OK) {
        fprintf(stderr, "caisson: cannot start: %s\n",
                why.text[0] != '\0' ? why.text : error_text(rv));
        /* Files may be half open and threads under way: the process is the unit of cleaning up. */
        return 1;
    }
    CHECK(uv_run(&node->loop, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&node->loop) == 0);
    node_state_close(node);
    LOG_INFO("stopped");
    free(node);
    return 0;
}

/* --- what handlers ask ------------------------------------------------------------------------ */

bool node_is_stopping(const struct node *node)
{
    return node->is_stopping;
}

uint64_t node_started_ms(const struct node *node)
{
    return node->started_ms;
}
