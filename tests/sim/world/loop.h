#ifndef TESTS_SIM_WORLD_LOOP_H
#define TESTS_SIM_WORLD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* A host's event loop: loop.c defines the functions of libuv that raft/ and base/ call, over
 * virtual time, so that the product's own code runs on it unchanged. */

struct host;

#define LOOP_HANDLES_MAX 64

struct loop_task {
    void (*run)(void *data, uint64_t word);
    void *data;
    uint64_t word;
};

struct loop {
    uv_loop_t uv; /* What the product holds. */
    uint64_t now_ms, next_id;
    uv_timer_t *timers[LOOP_HANDLES_MAX];
    size_t n_timers;
    uv_idle_t *idles[LOOP_HANDLES_MAX];
    size_t n_idles;
    uv_check_t *checks[LOOP_HANDLES_MAX];
    size_t n_checks;
    uv_async_t *asyncs[LOOP_HANDLES_MAX];
    size_t n_asyncs;
    uv_handle_t *closing[LOOP_HANDLES_MAX];
    size_t n_closing;
    struct loop_task *tasks; /* Polled next. */
    size_t n_tasks, tasks_capacity;
    bool is_stopped;
};

/* Of a new process: no handles. */
void loop_open(struct loop *loop);
/* Turn until loop_stop(); in a fiber of the host. after_turn may be NULL. */
void loop_run(struct host *host, void (*after_turn)(struct host *host));
void loop_stop(struct host *host);
/* Have run(data, word) called in the loop's next poll phase. From anywhere. */
void loop_post(struct host *host, void (*run)(void *data, uint64_t word), void *data,
               uint64_t word);
struct host *loop_host(const uv_loop_t *uv);

#endif
