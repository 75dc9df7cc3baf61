/* Depth first over the calls that could come next: one that began before any that is not in the
 * order yet has ended. A set of (operations in the order, value) that was seen before is not
 * entered again. Calls and returns stand in one linked list by time, and a call that is in the
 * order is taken out of it together with its return, so that the search looks only at what overlaps
 * and a history of n operations costs about n steps where it is in order. */
#include "node/drill_search.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

struct event {
    uint64_t time_us;
    const struct drill_operation *operation;
    size_t number; /* Of the operation. */
    bool is_return;
    struct event *pair; /* Call and return; NULL: it never returns. */
    struct event *before, *after;
};

struct step {
    struct event *call;
    uint64_t value; /* Before it. */
};

struct search {
    struct event *events, head;
    struct step *steps; /* The order so far. */
    size_t n_steps, n_open, n_words;
    uint64_t *placed; /* A bit for each operation that is in the order. */
    uint64_t value;
    /* Hashes of states that were entered, open addressing, 0: free. */
    uint64_t *seen;
    size_t seen_size, n_seen, states_max;
};

static int compare_events(const void *left, const void *right)
{
    const struct event *a = left, *b = right;

    if (a->time_us != b->time_us) {
        return a->time_us < b->time_us ? -1 : 1;
    }
    /* At one time: calls first, so that what only may overlap does. */
    return (int)a->is_return - (int)b->is_return;
}

/* --- the list --------------------------------------------------------------------------------- */

static void unlink_event(struct event *event)
{
    event->before->after = event->after;
    if (event->after != NULL) {
        event->after->before = event->before;
    }
}

static void link_again(struct event *event)
{
    event->before->after = event;
    if (event->after != NULL) {
        event->after->before = event;
    }
}

static void link_events(struct search *search, const struct drill_operation *operations, size_t n)
{
    struct event **calls = memory_zero((n + 1) * sizeof(struct event *));
    struct event *last = &search->head;
    size_t n_events = 0;

    for (size_t i = 0; i < n; i++) {
        search->events[n_events++] =
            (struct event){.time_us = operations[i].from_us, .operation = &operations[i], i};
        if (operations[i].to_us != UINT64_MAX) {
            search->events[n_events++] =
                (struct event){operations[i].to_us, &operations[i], i, true, NULL, NULL, NULL};
            search->n_open++;
        }
    }
    qsort(search->events, n_events, sizeof *search->events, compare_events);
    for (size_t i = 0; i < n_events; i++) {
        struct event *event = &search->events[i];

        if (event->is_return) {
            event->pair = calls[event->number];
            event->pair->pair = event;
        } else {
            calls[event->number] = event;
        }
        event->before = last;
        last->after = event;
        last = event;
    }
    free(calls);
}

/* --- states ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

/* 64 bits stand for the state: that two of a few million meet is less likely than a broken disk,
 * and would at worst cut off a branch of the search, which then finds fault, not none. */
static uint64_t state_hash(const struct search *search)
{
    uint64_t hash = mix(0x51ed2701, search->value);

    for (size_t i = 0; i < search->n_words; i++) {
        hash = mix(hash, search->placed[i] + i);
    }
    return hash == 0 ? 1 : hash;
}

static void seen_insert(struct search *search, uint64_t hash)
{
    size_t at = hash & (search->seen_size - 1);

    while (search->seen[at] != 0) {
        at = (at + 1) & (search->seen_size - 1);
    }
    search->seen[at] = hash;
}

static void seen_grow(struct search *search)
{
    uint64_t *old = search->seen;
    size_t size = search->seen_size;

    search->seen_size = size == 0 ? 1024 : 2 * size;
    search->seen = memory_zero(search->seen_size * sizeof *search->seen);
    for (size_t i = 0; i < size; i++) {
        if (old[i] != 0) {
            seen_insert(search, old[i]);
        }
    }
    free(old);
}

/* False: this state was entered before. */
static bool enter(struct search *search)
{
    uint64_t hash = state_hash(search);
    size_t at;

    if (2 * (search->n_seen + 1) > search->seen_size) {
        seen_grow(search);
    }
    for (at = hash & (search->seen_size - 1); search->seen[at] != 0;
         at = (at + 1) & (search->seen_size - 1)) {
        if (search->seen[at] == hash) {
            return false;
        }
    }
    search->seen[at] = hash;
    search->n_seen++;
    return true;
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool fits(const struct search *search, const struct drill_operation *operation)
{
    switch (operation->kind) {
    case DRILL_PUSH:
        return true;
    case DRILL_SWAP:
        return operation->expected == search->value;
    case DRILL_READ:
        return operation->value == search->value;
    case DRILL_LIST:
        break;
    }
    IMPOSSIBLE("lists are not searched");
}

static void flip(struct search *search, size_t number)
{
    search->placed[number / 64] ^= (uint64_t)1 << (number % 64);
}

/* Put the call into the order if the value allows it and the state is new. */
static bool place(struct search *search, struct event *call)
{
    uint64_t before = search->value;

    if (!fits(search, call->operation)) {
        return false;
    }
    flip(search, call->number);
    search->value = call->operation->value;
    if (!enter(search)) {
        flip(search, call->number);
        search->value = before;
        return false;
    }
    search->steps[search->n_steps++] = (struct step){call, before};
    unlink_event(call);
    if (call->pair != NULL) {
        unlink_event(call->pair);
        search->n_open--;
    }
    return true;
}

static struct event *take_back(struct search *search)
{
    const struct step *step = &search->steps[--search->n_steps];
    struct event *call = step->call;

    if (call->pair != NULL) {
        link_again(call->pair);
        search->n_open++;
    }
    link_again(call);
    flip(search, call->number);
    search->value = step->value;
    return call;
}

static enum drill_order run(struct search *search)
{
    struct event *event = search->head.after;

    while (search->n_open > 0) {
        if (search->n_seen > search->states_max) {
            return DRILL_ORDER_UNDECIDED;
        }
        if (event != NULL && !event->is_return) {
            event = place(search, event) ? search->head.after : event->after;
        } else if (search->n_steps == 0) {
            return DRILL_ORDER_NONE;
        } else {
            event = take_back(search)->after;
        }
    }
    return DRILL_ORDER_FOUND;
}

enum drill_order drill_search(const struct drill_operation *operations, size_t n, size_t states_max)
{
    struct search search = {.value = DRILL_VALUE_ABSENT, .states_max = states_max};
    enum drill_order order;

    search.n_words = n / 64 + 1;
    search.placed = memory_zero(search.n_words * sizeof *search.placed);
    search.events = memory_zero((2 * n + 1) * sizeof *search.events);
    search.steps = memory_zero((n + 1) * sizeof *search.steps);
    link_events(&search, operations, n);
    order = run(&search);
    free(search.seen);
    free(search.steps);
    free(search.events);
    free(search.placed);
    return order;
}
