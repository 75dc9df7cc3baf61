/* Fibers are stacks of their own: swapcontext() enters each for the first time, and from then on
 * _setjmp()/_longjmp() change between them, which costs no system call. Built without
 * _FORTIFY_SOURCE, whose longjmp takes the change of stacks for an attack. */
#include "tests/sim/world/engine.h"

#include "base/assert.h"
#include "base/memory.h"
#include "tests/sim/world/host.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SWITCH_BEGIN(save, stack, size) __sanitizer_start_switch_fiber(save, stack, size)
#define SWITCH_END(save, stack, size)   __sanitizer_finish_switch_fiber(save, stack, size)
#else
#define SWITCH_BEGIN(save, stack, size) ((void)(save))
#define SWITCH_END(save, stack, size)   ((void)(save))
#endif

#define STACK_SIZE (512u * 1024)
#define FIBERS_MAX 256u

struct event {
    uint64_t at, order;
    void (*run)(void *data, uint64_t word);
    void *data;
    uint64_t word;
};

enum fiber_state { FIBER_FREE, FIBER_NEW, FIBER_WAITING, FIBER_RUNNING };

struct fiber {
    enum fiber_state state;
    struct host *host;
    void (*main)(void *data);
    void *data;
    const void *channel;
    uint64_t ticket; /* Of the one event that may resume it; older ones are void. */
    uint8_t *stack;
    void *fake_stack; /* The address sanitizer's. */
    jmp_buf place;
    ucontext_t context;
};

struct engine {
    uint64_t now, order, steps, trace, chance;
    struct event *events; /* A heap. */
    size_t n_events, capacity;
    struct fiber fibers[FIBERS_MAX];
    struct fiber *current;
    jmp_buf scheduler;
    void *scheduler_fake;
    const void *scheduler_stack;
    size_t scheduler_size;
    ucontext_t back;
};

static struct engine engine;

/* --- chance and trace ------------------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t draw(uint64_t low, uint64_t high)
{
    PRE(low <= high);
    engine.chance += 0x9e3779b97f4a7c15u;
    return low + mix(engine.chance) % (high - low + 1);
}

bool one_in(uint64_t n)
{
    return draw(1, n) == 1;
}

void engine_trace_add(uint64_t value)
{
    engine.trace = (engine.trace ^ value) * 0x100000001b3u;
    engine.trace ^= engine.trace >> 29;
}

uint64_t engine_trace_hash(void)
{
    return engine.trace;
}

uint64_t engine_steps(void)
{
    return engine.steps;
}

uint64_t engine_now(void)
{
    return engine.now;
}

void engine_reset(uint64_t seed)
{
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        engine.fibers[i].state = FIBER_FREE;
        engine.fibers[i].ticket++;
    }
    engine.n_events = 0;
    engine.now = engine.order = engine.steps = 0;
    engine.chance = mix(seed + 0x1234567);
    engine.trace = 0xcbf29ce484222325u;
    engine.current = NULL;
}

/* --- events ---------------------------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void sift_up(size_t i)
{
    struct event moved = engine.events[i];

    while (i > 0 && is_before(&moved, &engine.events[(i - 1) / 2])) {
        engine.events[i] = engine.events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    engine.events[i] = moved;
}

static void sift_down(size_t i)
{
    struct event moved = engine.events[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= engine.n_events) {
            break;
        }
        if (child + 1 < engine.n_events &&
            is_before(&engine.events[child + 1], &engine.events[child])) {
            child++;
        }
        if (!is_before(&engine.events[child], &moved)) {
            break;
        }
        engine.events[i] = engine.events[child];
        i = child;
    }
    engine.events[i] = moved;
}

void engine_at(uint64_t at_us, void (*run)(void *data, uint64_t word), void *data, uint64_t word)
{
    if (engine.n_events == engine.capacity) {
        engine.capacity = engine.capacity == 0 ? 1024 : engine.capacity * 2;
        engine.events = memory_resize(engine.events, engine.capacity * sizeof *engine.events);
    }
    engine.events[engine.n_events] = (struct event){.at = at_us > engine.now ? at_us : engine.now,
                                                    .order = engine.order++,
                                                    .run = run,
                                                    .data = data,
                                                    .word = word};
    sift_up(engine.n_events++);
}

void engine_run(uint64_t until_us)
{
    PRE(engine.current == NULL);
    while (engine.n_events > 0 && engine.events[0].at <= until_us) {
        struct event event = engine.events[0];

        engine.events[0] = engine.events[--engine.n_events];
        if (engine.n_events > 0) {
            sift_down(0);
        }
        engine.now = event.at;
        engine.steps++;
        event.run(event.data, event.word);
    }
    engine.now = engine.now < until_us ? until_us : engine.now;
}

/* --- fibers ---------------------------------------------------------------------------------- */

struct host *host_current(void)
{
    return engine.current != NULL ? engine.current->host : NULL;
}

/* Back to the scheduler; returns when the fiber is resumed. */
static void leave(struct fiber *fiber)
{
    SWITCH_BEGIN(&fiber->fake_stack, engine.scheduler_stack, engine.scheduler_size);
    if (_setjmp(fiber->place) == 0) {
        _longjmp(engine.scheduler, 1);
    }
    SWITCH_END(fiber->fake_stack, &engine.scheduler_stack, &engine.scheduler_size);
}

static void enter_main(void)
{
    struct fiber *fiber = engine.current;

    SWITCH_END(NULL, &engine.scheduler_stack, &engine.scheduler_size);
    fiber->main(fiber->data);
    fiber->state = FIBER_FREE;
    leave(fiber);
    abort(); /* Nobody resumes what is done. */
}

static void enter(struct fiber *fiber)
{
    bool is_new = fiber->state == FIBER_NEW;

    fiber->state = FIBER_RUNNING;
    engine.current = fiber;
    SWITCH_BEGIN(&engine.scheduler_fake, fiber->stack, STACK_SIZE);
    if (_setjmp(engine.scheduler) == 0) {
        if (is_new) {
            setcontext(&fiber->context);
        }
        _longjmp(fiber->place, 1);
    }
    SWITCH_END(engine.scheduler_fake, NULL, NULL);
    engine.current = NULL;
}

static void resume(void *data, uint64_t ticket)
{
    struct fiber *fiber = data;

    if (fiber->ticket != ticket) {
        return;
    }
    if (fiber->host->paused_until > engine.now) {
        engine_at(fiber->host->paused_until, resume, fiber, ticket);
        return;
    }
    fiber->ticket++;
    engine_trace_add(engine.now ^ ((uint64_t)fiber->host->number << 56));
    enter(fiber);
}

static struct fiber *fiber_take(void)
{
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        if (engine.fibers[i].state == FIBER_FREE) {
            return &engine.fibers[i];
        }
    }
    IMPOSSIBLE("more fibers than there can be");
}

void fiber_start(struct host *host, void (*main)(void *data), void *data)
{
    struct fiber *fiber = fiber_take();

    if (fiber->stack == NULL) {
        fiber->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(fiber->stack != MAP_FAILED);
    }
    fiber->state = FIBER_NEW;
    fiber->host = host;
    fiber->main = main;
    fiber->data = data;
    fiber->channel = NULL;
    CHECK(getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_SIZE;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, enter_main, 0);
    engine_at(engine.now, resume, fiber, fiber->ticket);
}

void fiber_wait_until(const void *channel, uint64_t at_us)
{
    struct fiber *fiber = engine.current;

    PRE(fiber != NULL);
    fiber->channel = channel;
    fiber->state = FIBER_WAITING;
    if (at_us != UINT64_MAX) {
        engine_at(at_us, resume, fiber, fiber->ticket);
    }
    leave(fiber);
    fiber->channel = NULL;
}

void fiber_wait(const void *channel)
{
    fiber_wait_until(channel, UINT64_MAX);
}

void fiber_sleep(uint64_t us)
{
    fiber_wait_until(NULL, engine.now + us);
}

void fiber_wake(const void *channel)
{
    PRE(channel != NULL);
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        struct fiber *fiber = &engine.fibers[i];

        if (fiber->state == FIBER_WAITING && fiber->channel == channel) {
            fiber->channel = NULL;
            fiber->ticket++; /* Its time-out is void. */
            engine_at(engine.now, resume, fiber, fiber->ticket);
        }
    }
}

void fibers_drop(struct host *host)
{
    PRE(engine.current == NULL);
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        struct fiber *fiber = &engine.fibers[i];

        if (fiber->state != FIBER_FREE && fiber->host == host) {
            fiber->state = FIBER_FREE;
            fiber->ticket++;
        }
    }
}

void fiber_vanish(void)
{
    struct fiber *fiber = engine.current;

    PRE(fiber != NULL);
    fiber->state = FIBER_FREE;
    fiber->ticket++;
    leave(fiber);
    abort(); /* Nobody resumes what is done. */
}
