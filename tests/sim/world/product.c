/* What the product calls and the simulated world answers: clocks, chance, the log, the end of the
 * process. The linker's --wrap brings the calls here. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "raft/guard.h"
#include "raft/storage.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_START_MS 1700000000000u

#define WRAPPED(result, name, ...)                                                                 \
    result __wrap_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(uint64_t, clock_monotonic_ns, void)
{
    return engine_now() * 1000;
}

WRAPPED(uint64_t, clock_monotonic_ms, void)
{
    return engine_now() / 1000;
}

WRAPPED(uint64_t, clock_wall_ms, void)
{
    const struct host *host = host_current();

    return WALL_START_MS +
           (uint64_t)((int64_t)engine_now() + (host != NULL ? host->clock_offset_us : 0)) / 1000;
}

WRAPPED(void, random_bytes, void *out, size_t size)
{
    uint8_t *at = out;

    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)draw(0, 255);
    }
}

WRAPPED(uint64_t, random_u64, void)
{
    return draw(0, UINT64_MAX - 1);
}

/* Small entries, so that segments are small and roll over. */
enum error __real_storage_open(const struct storage_options *options, struct storage **out,
                               struct reason *why);
enum error __wrap_storage_open(const struct storage_options *options, struct storage **out,
                               struct reason *why);
enum error __wrap_storage_open(const struct storage_options *options, struct storage **out,
                               struct reason *why)
{
    struct storage_options smaller = *options;

    smaller.entry_max = world_current()->entry_max;
    return __real_storage_open(&smaller, out, why);
}

/* --- mistakes on purpose (enum bug) ---------------------------------------------------------- */

static bool has_bug(enum bug bug)
{
    return world_current()->bug == bug;
}

void __real_storage_set_vote(struct storage *storage, raft_id id);
WRAPPED(void, storage_set_vote, struct storage *storage, raft_id id)
{
    if (!has_bug(BUG_VOTE_NOT_KEPT)) {
        __real_storage_set_vote(storage, id);
    }
}

raft_index __real_guard_stored_end(const struct guard *guard);
WRAPPED(raft_index, guard_stored_end, const struct guard *guard)
{
    if (has_bug(BUG_CLAMP_OFF) || has_bug(BUG_GUARD_OFF)) {
        ((struct guard *)(uintptr_t)guard)->checked = UINT64_MAX;
        return UINT64_MAX;
    }
    return __real_guard_stored_end(guard);
}

void __real_guard_recv(struct raft_io *inner, struct raft_message *message);
WRAPPED(void, guard_recv, struct raft_io *inner, struct raft_message *message)
{
    struct guard *guard = inner->data;

    if (has_bug(BUG_GUARD_OFF)) {
        guard->recv(&guard->io, message);
    } else {
        __real_guard_recv(inner, message);
    }
}

/* --- the end of a process -------------------------------------------------------------------- */

static void restart(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life && host->is_wanted) {
        host_start(host);
    }
}

static void die(void *data, uint64_t life)
{
    struct host *host = data;

    if (host->life == life) {
        host_kill(host);
        engine_at(engine_now() + draw(100000, 1500000), restart, host, host->life);
    }
}

_Noreturn void __wrap_fail_stop(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void __wrap_fail_stop(const char *format, ...)
{
    struct host *host = host_current();
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (host == NULL) {
        fprintf(stderr, "fail_stop outside of a host: %s\n", text);
        abort();
    }
    trace_line("h%u: STOPS: %s", host->number, text);
    check_stop(host, text);
    host->paused_until = UINT64_MAX; /* Nothing of it runs any more. */
    engine_at(engine_now(), die, host, host->life);
    fiber_vanish();
}

_Noreturn void __wrap_assert_failed(const char *kind, const char *text, const char *file, int line);
_Noreturn void __wrap_assert_failed(const char *kind, const char *text, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s does not hold: %s\n", file, line, kind, text);
    trace_print_last();
    fprintf(stderr, "seed %llu: %s:%d: %s does not hold: %s\n",
            (unsigned long long)world_current()->seed, file, line, kind, text);
    abort();
}

/* --- the log --------------------------------------------------------------------------------- */

#define TRACE_LINES 200u
#define TRACE_WIDTH 240u

struct trace {
    char lines[TRACE_LINES][TRACE_WIDTH];
    uint64_t n;
    bool is_printed, has_messages;
};

static struct trace trace;

void trace_reset(void)
{
    trace.n = 0;
}

void trace_print_as_it_comes(bool is_wanted, bool messages)
{
    trace.is_printed = is_wanted;
    trace.has_messages = messages;
}

bool trace_messages_wanted(void)
{
    return trace.has_messages;
}

void trace_print_last(void)
{
    for (uint64_t i = trace.n > TRACE_LINES ? trace.n - TRACE_LINES : 0; i < trace.n; i++) {
        fprintf(stderr, "%s\n", trace.lines[i % TRACE_LINES]);
    }
}

static void trace_add(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static void trace_add(const char *format, va_list args)
{
    char *line = trace.lines[trace.n++ % TRACE_LINES];
    int n = snprintf(line, TRACE_WIDTH, "%10.3f ", (double)engine_now() / 1000.0);

    vsnprintf(line + n, TRACE_WIDTH - (size_t)n, format, args);
    if (trace.is_printed) {
        fprintf(stderr, "%s\n", line);
    }
}

void trace_line(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    trace_add(format, args);
    va_end(args);
}

WRAPPED(int, log_enabled, enum log_level level)
{
    return level > LOG_LEVEL_DEBUG;
}

void __wrap_log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void __wrap_log_line(enum log_level level, const char *format, ...)
{
    const struct host *host = host_current();
    char text[TRACE_WIDTH];
    va_list args;

    (void)level;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    trace_line("h%u: %s", host != NULL ? host->number : 99, text);
}
