#ifndef TESTS_SIM_WORLD_ENGINE_H
#define TESTS_SIM_WORLD_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

/* Virtual time, chance and threads of a simulated cluster. Everything that happens is an event in
 * one queue, ordered by time and then by the order in which it was asked for, so that a seed gives
 * the same run each time. What are threads in the real process are fibers here: they run one at a
 * time and change only where they sleep or wait, which is where the real ones would block. */

struct host;
struct fiber;

/* Forget everything and begin again at time 0 with this seed. */
void engine_reset(uint64_t seed);
/* Microseconds. */
uint64_t engine_now(void);
/* Uniform in [low, high]. */
uint64_t draw(uint64_t low, uint64_t high);
/* True once in n. */
bool one_in(uint64_t n);

/* Have run(data, word) called at a time (not before now), outside any fiber. */
void engine_at(uint64_t at_us, void (*run)(void *data, uint64_t word), void *data, uint64_t word);
/* Run until that time. */
void engine_run(uint64_t until_us);
/* A number that two runs share if and only if the same happened in them. */
uint64_t engine_trace_hash(void);
void engine_trace_add(uint64_t value);
uint64_t engine_steps(void);

/* A thread of a host's; starts at the next event. */
void fiber_start(struct host *host, void (*main)(void *data), void *data);
/* Whose fiber runs; NULL: none does. */
struct host *host_current(void);
void fiber_sleep(uint64_t us);
/* Wait until fiber_wake() with this channel. */
void fiber_wait(const void *channel);
/* The same, but no longer than until that time. */
void fiber_wait_until(const void *channel, uint64_t at_us);
void fiber_wake(const void *channel);
/* The end of all threads of a host, wherever they are; from outside any fiber. */
void fibers_drop(struct host *host);
/* Never go on with the fiber that runs. */
_Noreturn void fiber_vanish(void);

#endif
