/* Linearizability of the operations on each tag, after Wing and Gong with Lowe's memory of what was
 * tried: look for an order that keeps real time and in which every answer is right. An operation
 * without an answer may have happened at any time after it was called, or never. Reads that are
 * right now are taken at once, since they change nothing for the others. */
#include "base/assert.h"
#include "base/memory.h"
#include "tests/sim/world/client.h"
#include "tests/sim/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_MAX 1024u
#define TRIED_SIZE  (1u << 16)
#define TRIED_MAX   (TRIED_SIZE / 2)

struct search {
    const struct operation *history[HISTORY_MAX];
    bool is_taken[HISTORY_MAX];
    uint64_t keys[HISTORY_MAX]; /* What each adds to the hash of what is taken. */
    size_t n, n_left;           /* Left: of those with an answer. */
    uint64_t taken;
    uint64_t *tried;
    size_t n_tried;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) | 1u;
}

/* --- what an operation does to a tag --------------------------------------------------------- */

static bool is_read(const struct operation *operation)
{
    return operation->kind == OPERATION_GET ||
           (operation->outcome == OUTCOME_DONE && operation->error != OK);
}

/* Could it have this answer while the tag is at value? */
static bool is_right(const struct operation *operation, uint64_t value)
{
    bool is_ok = operation->outcome == OUTCOME_UNKNOWN || operation->error == OK;

    switch (operation->kind) {
    case OPERATION_GET:
        return operation->seen == value;
    case OPERATION_PUT_ABSENT:
        return (value == 0) == is_ok;
    case OPERATION_PUT_MATCH:
        return (value == operation->expected) == is_ok;
    case OPERATION_DELETE:
        return (value != 0) == is_ok;
    default:
        return is_ok;
    }
}

static uint64_t after(const struct operation *operation, uint64_t value)
{
    if (is_read(operation)) {
        return value;
    }
    return operation->kind == OPERATION_DELETE ? 0 : operation->value;
}

/* --- the search ------------------------------------------------------------------------------ */

/* False: this was tried before. */
static bool try_first(struct search *search, uint64_t value)
{
    uint64_t key = mix(search->taken ^ mix(value + 1));
    size_t at = key % TRIED_SIZE;

    while (search->tried[at] != 0) {
        if (search->tried[at] == key) {
            return false;
        }
        at = (at + 1) % TRIED_SIZE;
    }
    search->tried[at] = key;
    search->n_tried++;
    return true;
}

static void take(struct search *search, size_t i, bool is_taken)
{
    search->is_taken[i] = is_taken;
    search->taken ^= search->keys[i];
    if (search->history[i]->outcome == OUTCOME_DONE) {
        search->n_left += is_taken ? -(size_t)1 : 1;
    }
}

/* The earliest answer of what is not taken: whatever was called after it comes after it. */
static uint64_t horizon(const struct search *search)
{
    uint64_t earliest = UINT64_MAX;

    for (size_t i = 0; i < search->n; i++) {
        if (!search->is_taken[i] && search->history[i]->return_us < earliest) {
            earliest = search->history[i]->return_us;
        }
    }
    return earliest;
}

static bool find(struct search *search, uint64_t value);

/* Take a read that is right now, and go on: no other choice can be better. */
static bool take_read(struct search *search, uint64_t limit, uint64_t value, bool *result)
{
    for (size_t i = 0; i < search->n && search->history[i]->call_us <= limit; i++) {
        const struct operation *operation = search->history[i];

        if (!search->is_taken[i] && is_read(operation) && is_right(operation, value)) {
            take(search, i, true);
            *result = find(search, value);
            take(search, i, false);
            return true;
        }
    }
    return false;
}

static bool find(struct search *search, uint64_t value)
{
    uint64_t limit;
    bool result;

    if (search->n_left == 0) {
        return true;
    }
    if (search->n_tried >= TRIED_MAX || !try_first(search, value)) {
        return false;
    }
    limit = horizon(search);
    if (take_read(search, limit, value, &result)) {
        return result;
    }
    for (size_t i = 0; i < search->n && search->history[i]->call_us <= limit; i++) {
        const struct operation *operation = search->history[i];

        if (search->is_taken[i] || is_read(operation) || !is_right(operation, value)) {
            continue;
        }
        take(search, i, true);
        result = find(search, after(operation, value));
        take(search, i, false);
        if (result) {
            return true;
        }
    }
    return false;
}

/* --- one tag --------------------------------------------------------------------------------- */

static bool was_seen(const struct clients *clients, uint64_t value)
{
    for (size_t i = 0; i < clients->n; i++) {
        const struct operation *operation = &clients->operations[i];

        if ((operation->kind == OPERATION_GET && operation->seen == value) ||
            (operation->kind == OPERATION_PUT_MATCH && operation->expected == value)) {
            return true;
        }
    }
    return false;
}

/* What says nothing: reads without an answer, and pushes without one that left no trace. */
static bool counts(const struct clients *clients, const struct operation *operation, unsigned tag)
{
    if (operation->kind > OPERATION_GET || operation->tag != tag) {
        return false;
    }
    if (operation->outcome == OUTCOME_DONE) {
        return true;
    }
    return operation->kind != OPERATION_GET &&
           (operation->kind == OPERATION_DELETE || operation->is_in_history ||
            was_seen(clients, operation->value));
}

bool tags_are_linearizable(char *text, size_t size)
{
    const struct clients *clients = &world_current()->clients;
    struct search *search = memory_zero(sizeof *search);
    bool is_good = true;

    search->tried = memory_alloc(TRIED_SIZE * sizeof *search->tried);
    for (unsigned tag = 0; tag < TAGS && is_good; tag++) {
        search->n = search->n_left = search->n_tried = 0;
        search->taken = 0;
        memset(search->tried, 0, TRIED_SIZE * sizeof *search->tried);
        memset(search->is_taken, 0, sizeof search->is_taken);
        for (size_t i = 0; i < clients->n; i++) {
            const struct operation *operation = &clients->operations[i];

            if (counts(clients, operation, tag)) {
                CHECK(search->n < HISTORY_MAX);
                search->keys[search->n] = mix(i + 77);
                search->history[search->n++] = operation;
                search->n_left += operation->outcome == OUTCOME_DONE;
            }
        }
        is_good = find(search, 0);
        if (!is_good) {
            snprintf(text, size, "I-7: the %zu operations on tag %s %s", search->n, tag_names[tag],
                     search->n_tried >= TRIED_MAX ? "are too many to order"
                                                  : "are not linearizable");
        }
    }
    free(search->tried);
    free(search);
    return is_good;
}
