/* Order of a turn, as libuv's: timers, idle, poll, check, closing. Threads, mutexes, conditions and
 * semaphores are those of fibers: nothing runs at the same time, and they change hands only where
 * the real ones would block. */
#include "tests/sim/world/loop.h"

#include "base/assert.h"
#include "base/memory.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/host.h"

#include <stdlib.h>
#include <string.h>

/* What the pool of a host takes to start a piece of work. */
#define POOL_DELAY_MAX_US 300u

struct host *loop_host(const uv_loop_t *uv)
{
    return container_of((uv_loop_t *)(uintptr_t)uv, struct host, loop.uv);
}

static struct loop *loop_of(const uv_loop_t *uv)
{
    return &loop_host(uv)->loop;
}

void loop_open(struct loop *loop)
{
    struct loop_task *tasks = loop->tasks;
    size_t capacity = loop->tasks_capacity;

    memset(loop, 0, sizeof *loop);
    loop->tasks = tasks;
    loop->tasks_capacity = capacity;
    loop->now_ms = engine_now() / 1000;
}

void loop_post(struct host *host, void (*run)(void *data, uint64_t word), void *data, uint64_t word)
{
    struct loop *loop = &host->loop;

    if (loop->n_tasks == loop->tasks_capacity) {
        loop->tasks_capacity = loop->tasks_capacity == 0 ? 64 : loop->tasks_capacity * 2;
        loop->tasks = memory_resize(loop->tasks, loop->tasks_capacity * sizeof *loop->tasks);
    }
    loop->tasks[loop->n_tasks++] = (struct loop_task){run, data, word};
    fiber_wake(loop);
}

void loop_stop(struct host *host)
{
    host->loop.is_stopped = true;
    fiber_wake(&host->loop);
}

/* --- a turn ---------------------------------------------------------------------------------- */

static uv_timer_t *next_timer(const struct loop *loop)
{
    uv_timer_t *next = NULL;

    for (size_t i = 0; i < loop->n_timers; i++) {
        uv_timer_t *timer = loop->timers[i];

        if (next == NULL || timer->timeout < next->timeout ||
            (timer->timeout == next->timeout && timer->start_id < next->start_id)) {
            next = timer;
        }
    }
    return next;
}

static void run_timers(struct loop *loop)
{
    uv_timer_t *timer = next_timer(loop);

    while (timer != NULL && timer->timeout <= loop->now_ms) {
        uv_timer_stop(timer);
        if (timer->repeat != 0) {
            uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat);
        }
        timer->timer_cb(timer);
        timer = next_timer(loop);
    }
}

static void run_idles(struct loop *loop)
{
    uv_idle_t *idles[LOOP_HANDLES_MAX];
    size_t n = loop->n_idles;

    memcpy(idles, loop->idles, n * sizeof *idles);
    for (size_t i = 0; i < n; i++) {
        idles[i]->idle_cb(idles[i]);
    }
}

static bool has_work(const struct loop *loop)
{
    for (size_t i = 0; i < loop->n_asyncs; i++) {
        if (loop->asyncs[i]->pending != 0) {
            return true;
        }
    }
    return loop->is_stopped || loop->n_idles > 0 || loop->n_closing > 0 || loop->n_tasks > 0;
}

static void poll_events(struct loop *loop)
{
    uv_timer_t *timer = next_timer(loop);
    struct loop_task *tasks;
    size_t n;

    if (!has_work(loop)) {
        fiber_wait_until(loop, timer == NULL ? UINT64_MAX : timer->timeout * 1000);
    }
    loop->now_ms = engine_now() / 1000;
    for (size_t i = 0; i < loop->n_asyncs; i++) {
        uv_async_t *async = loop->asyncs[i];

        if (async->pending != 0) {
            async->pending = 0;
            async->async_cb(async);
        }
    }
    /* What is posted meanwhile waits for the next turn. */
    tasks = loop->tasks;
    n = loop->n_tasks;
    loop->tasks = NULL;
    loop->n_tasks = loop->tasks_capacity = 0;
    for (size_t i = 0; i < n; i++) {
        tasks[i].run(tasks[i].data, tasks[i].word);
    }
    free(tasks);
}

static void run_closing(struct loop *loop)
{
    uv_handle_t *closing[LOOP_HANDLES_MAX];
    size_t n = loop->n_closing;

    memcpy(closing, loop->closing, n * sizeof *closing);
    loop->n_closing = 0;
    for (size_t i = 0; i < n; i++) {
        if (closing[i]->close_cb != NULL) {
            closing[i]->close_cb(closing[i]);
        }
    }
}

void loop_run(struct host *host, void (*after_turn)(struct host *host))
{
    struct loop *loop = &host->loop;

    while (!loop->is_stopped) {
        loop->now_ms = engine_now() / 1000;
        run_timers(loop);
        run_idles(loop);
        poll_events(loop);
        for (size_t i = 0; i < loop->n_checks; i++) {
            loop->checks[i]->check_cb(loop->checks[i]);
        }
        run_closing(loop);
        if (after_turn != NULL) {
            after_turn(host);
        }
    }
}

/* --- handles --------------------------------------------------------------------------------- */

#define ADD(list, n, handle)                                                                       \
    do {                                                                                           \
        CHECK((n) < LOOP_HANDLES_MAX);                                                             \
        (list)[(n)++] = (handle);                                                                  \
    } while (0)

#define REMOVE(list, n, handle)                                                                    \
    do {                                                                                           \
        size_t at_ = 0;                                                                            \
        while (at_ < (n) && (list)[at_] != (handle)) {                                             \
            at_++;                                                                                 \
        }                                                                                          \
        if (at_ < (n)) {                                                                           \
            memmove(&(list)[at_], &(list)[at_ + 1], ((n)-at_ - 1) * sizeof *(list));               \
            (n)--;                                                                                 \
        }                                                                                          \
    } while (0)

static void handle_init(uv_loop_t *uv, uv_handle_t *handle, size_t size, uv_handle_type type)
{
    void *data = handle->data;

    memset(handle, 0, size);
    handle->data = data;
    handle->loop = uv;
    handle->type = type;
}

uint64_t uv_now(const uv_loop_t *uv)
{
    return loop_of(uv)->now_ms;
}

void uv_update_time(uv_loop_t *uv)
{
    loop_of(uv)->now_ms = engine_now() / 1000;
}

int uv_timer_init(uv_loop_t *uv, uv_timer_t *timer)
{
    handle_init(uv, (uv_handle_t *)timer, sizeof *timer, UV_TIMER);
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    struct loop *loop = loop_of(timer->loop);

    uv_timer_stop(timer);
    timer->timer_cb = cb;
    timer->timeout = loop->now_ms + timeout;
    timer->repeat = repeat;
    timer->start_id = loop->next_id++;
    ADD(loop->timers, loop->n_timers, timer);
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    struct loop *loop = loop_of(timer->loop);

    REMOVE(loop->timers, loop->n_timers, timer);
    return 0;
}

int uv_idle_init(uv_loop_t *uv, uv_idle_t *idle)
{
    handle_init(uv, (uv_handle_t *)idle, sizeof *idle, UV_IDLE);
    return 0;
}

int uv_idle_start(uv_idle_t *idle, uv_idle_cb cb)
{
    struct loop *loop = loop_of(idle->loop);

    uv_idle_stop(idle);
    idle->idle_cb = cb;
    ADD(loop->idles, loop->n_idles, idle);
    return 0;
}

int uv_idle_stop(uv_idle_t *idle)
{
    struct loop *loop = loop_of(idle->loop);

    REMOVE(loop->idles, loop->n_idles, idle);
    return 0;
}

int uv_check_init(uv_loop_t *uv, uv_check_t *check)
{
    handle_init(uv, (uv_handle_t *)check, sizeof *check, UV_CHECK);
    return 0;
}

int uv_check_start(uv_check_t *check, uv_check_cb cb)
{
    struct loop *loop = loop_of(check->loop);

    REMOVE(loop->checks, loop->n_checks, check);
    check->check_cb = cb;
    ADD(loop->checks, loop->n_checks, check);
    return 0;
}

int uv_async_init(uv_loop_t *uv, uv_async_t *async, uv_async_cb cb)
{
    struct loop *loop = loop_of(uv);

    handle_init(uv, (uv_handle_t *)async, sizeof *async, UV_ASYNC);
    async->async_cb = cb;
    ADD(loop->asyncs, loop->n_asyncs, async);
    return 0;
}

int uv_async_send(uv_async_t *async)
{
    async->pending = 1;
    fiber_wake(loop_of(async->loop));
    return 0;
}

void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
    struct loop *loop = loop_of(handle->loop);

    switch (handle->type) {
    case UV_TIMER:
        REMOVE(loop->timers, loop->n_timers, (uv_timer_t *)handle);
        break;
    case UV_IDLE:
        REMOVE(loop->idles, loop->n_idles, (uv_idle_t *)handle);
        break;
    case UV_CHECK:
        REMOVE(loop->checks, loop->n_checks, (uv_check_t *)handle);
        break;
    case UV_ASYNC:
        REMOVE(loop->asyncs, loop->n_asyncs, (uv_async_t *)handle);
        break;
    default:
        network_close_listener(loop_host(handle->loop), (uv_tcp_t *)handle);
        break;
    }
    handle->close_cb = cb;
    ADD(loop->closing, loop->n_closing, handle);
}

/* --- threads --------------------------------------------------------------------------------- */

struct thread {
    void (*main)(void *data);
    void *data;
    bool is_done;
};

static void thread_main(void *data)
{
    struct thread *thread = data;

    thread->main(thread->data);
    thread->is_done = true;
    fiber_wake(thread);
}

int uv_thread_create(uv_thread_t *tid, uv_thread_cb entry, void *arg)
{
    struct thread *thread = memory_zero(sizeof *thread);

    thread->main = entry;
    thread->data = arg;
    *tid = (uv_thread_t)(uintptr_t)thread;
    fiber_start(host_current(), thread_main, thread);
    return 0;
}

int uv_thread_join(uv_thread_t *tid)
{
    struct thread *thread = (struct thread *)(uintptr_t)*tid;

    while (!thread->is_done) {
        fiber_wait(thread);
    }
    free(thread);
    return 0;
}

/* The first word of a mutex: locked or not. Of a semaphore: its count. */
static unsigned *word_of(void *object)
{
    return object;
}

int uv_mutex_init(uv_mutex_t *mutex)
{
    *word_of(mutex) = 0;
    return 0;
}

void uv_mutex_destroy(uv_mutex_t *mutex)
{
    CHECK(*word_of(mutex) == 0);
}

void uv_mutex_lock(uv_mutex_t *mutex)
{
    while (*word_of(mutex) != 0) {
        fiber_wait(mutex);
    }
    *word_of(mutex) = 1;
}

void uv_mutex_unlock(uv_mutex_t *mutex)
{
    CHECK(*word_of(mutex) == 1);
    *word_of(mutex) = 0;
    fiber_wake(mutex);
}

int uv_cond_init(uv_cond_t *cond)
{
    *word_of(cond) = 0;
    return 0;
}

void uv_cond_destroy(uv_cond_t *cond)
{
    (void)cond;
}

void uv_cond_signal(uv_cond_t *cond)
{
    fiber_wake(cond);
}

void uv_cond_broadcast(uv_cond_t *cond)
{
    fiber_wake(cond);
}

void uv_cond_wait(uv_cond_t *cond, uv_mutex_t *mutex)
{
    uv_mutex_unlock(mutex);
    fiber_wait(cond);
    uv_mutex_lock(mutex);
}

int uv_cond_timedwait(uv_cond_t *cond, uv_mutex_t *mutex, uint64_t timeout_ns)
{
    uv_mutex_unlock(mutex);
    fiber_wait_until(cond, engine_now() + timeout_ns / 1000);
    uv_mutex_lock(mutex);
    return 0;
}

int uv_sem_init(uv_sem_t *sem, unsigned value)
{
    *word_of(sem) = value;
    return 0;
}

void uv_sem_destroy(uv_sem_t *sem)
{
    (void)sem;
}

void uv_sem_post(uv_sem_t *sem)
{
    ++*word_of(sem);
    fiber_wake(sem);
}

void uv_sem_wait(uv_sem_t *sem)
{
    while (*word_of(sem) == 0) {
        fiber_wait(sem);
    }
    --*word_of(sem);
}

/* --- the pool -------------------------------------------------------------------------------- */

struct pool_work {
    struct host *host;
    uv_work_t *work;
};

static void pool_after(void *data, uint64_t word)
{
    uv_work_t *work = data;

    (void)word;
    work->after_work_cb(work, 0);
}

static void pool_main(void *data)
{
    struct pool_work *item = data;

    fiber_sleep(draw(1, POOL_DELAY_MAX_US));
    item->work->work_cb(item->work);
    loop_post(item->host, pool_after, item->work, 0);
    free(item);
}

int uv_queue_work(uv_loop_t *uv, uv_work_t *work, uv_work_cb work_cb, uv_after_work_cb after_cb)
{
    struct pool_work *item = memory_zero(sizeof *item);

    work->loop = uv;
    work->work_cb = work_cb;
    work->after_work_cb = after_cb;
    item->host = loop_host(uv);
    item->work = work;
    fiber_start(item->host, pool_main, item);
    return 0;
}
