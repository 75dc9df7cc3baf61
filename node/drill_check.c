#include "node/drill_check.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/drill_search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int compare_start(const void *left, const void *right)
{
    const struct drill_operation *a = left, *b = right;

    if (a->from_us != b->from_us) {
        return a->from_us < b->from_us ? -1 : 1;
    }
    return a->to_us < b->to_us ? -1 : a->to_us > b->to_us;
}

static bool is_write(const struct drill_operation *operation)
{
    return operation->kind == DRILL_PUSH || operation->kind == DRILL_SWAP;
}

static void tell(struct drill_check *check, const struct drill_operation *read, const char *what)
{
    if (check->first[0] == '\0') {
        snprintf(check->first, sizeof check->first,
                 "%s of canary-%u at node %u, %" PRIu64 ".%03" PRIu64 " s into the drill: %s",
                 drill_kind_name(read->kind), read->key, read->node + 1, read->from_us / 1000000,
                 read->from_us / 1000 % 1000, what);
    }
}

/* --- stale and lost --------------------------------------------------------------------------- */

/* The acknowledged and the unanswered writes of one tag, in the order of their starts. */
struct writes {
    const struct drill_operation **all;
    size_t n;
};

/* When the write of a value was acknowledged; UINT64_MAX: never, or there is no such write. */
static uint64_t acknowledged_us(const struct writes *writes, uint64_t value)
{
    for (size_t i = 0; i < writes->n; i++) {
        if (writes->all[i]->value == value) {
            return writes->all[i]->outcome == DRILL_DONE ? writes->all[i]->to_us : UINT64_MAX;
        }
    }
    return UINT64_MAX;
}

/* Is there an acknowledged write that came wholly after what the read shows, and wholly before it?
 */
static bool is_overtaken(const struct writes *writes, const struct drill_operation *read)
{
    bool is_absent = read->value == DRILL_VALUE_ABSENT;
    uint64_t since = is_absent ? 0 : acknowledged_us(writes, read->value);

    for (size_t i = 0; since != UINT64_MAX && i < writes->n; i++) {
        const struct drill_operation *write = writes->all[i];

        if (write->from_us >= read->from_us) {
            return false; /* They are in the order of their starts. */
        }
        if (write->outcome == DRILL_DONE && write->value != read->value &&
            (is_absent || write->from_us > since) && write->to_us < read->from_us) {
            return true;
        }
    }
    return false;
}

static void check_reads(const struct drill_history *history, unsigned key,
                        const struct drill_operation **memory, struct drill_check *out)
{
    struct writes writes = {memory, 0};

    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *write = &history->operations[i];

        if (is_write(write) && write->key == key && write->outcome != DRILL_REFUSED) {
            memory[writes.n++] = write;
        }
    }
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *read = &history->operations[i];

        if (read->kind != DRILL_READ || read->key != key || read->outcome != DRILL_DONE ||
            !is_overtaken(&writes, read)) {
            continue;
        }
        out->lost += read->is_final;
        out->stale += !read->is_final;
        tell(out, read,
             read->is_final ? "an acknowledged write is not there any more"
                            : "it shows what an acknowledged write had replaced before");
    }
}

/* Canary tags are never deleted while a drill runs: once one was acknowledged, every list has it.
 */
static void check_list(const struct drill_operation *list, const uint64_t *since_us,
                       struct drill_check *out)
{
    for (unsigned key = 0; key < DRILL_KEYS_MAX; key++) {
        if (since_us[key] < list->from_us && (list->keys & (uint64_t)1 << key) == 0) {
            struct drill_operation at = *list;

            at.key = key;
            out->stale += !list->is_final;
            out->lost += list->is_final;
            tell(out, &at, "a tag that was acknowledged is not listed");
        }
    }
}

static void check_lists(const struct drill_history *history, struct drill_check *out)
{
    uint64_t since_us[DRILL_KEYS_MAX];

    for (size_t key = 0; key < DRILL_KEYS_MAX; key++) {
        since_us[key] = UINT64_MAX;
    }
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *write = &history->operations[i];

        if (is_write(write) && write->outcome == DRILL_DONE &&
            write->to_us < since_us[write->key]) {
            since_us[write->key] = write->to_us;
        }
    }
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];

        if (operation->kind == DRILL_LIST && operation->outcome == DRILL_DONE) {
            check_list(operation, since_us, out);
        }
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool is_seen(const struct drill_history *history, const struct drill_operation *write)
{
    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *other = &history->operations[i];

        if (other->key == write->key && other->outcome == DRILL_DONE &&
            ((other->kind == DRILL_READ && other->value == write->value) ||
             (other->kind == DRILL_SWAP && other->expected == write->value))) {
            return true;
        }
    }
    return false;
}

/* The operations of a tag that say something: what was answered, and writes without an answer that
 * somebody saw (one that nobody saw may as well not have happened). */
static size_t collect(const struct drill_history *history, unsigned key,
                      struct drill_operation *out)
{
    size_t n = 0;

    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];

        if (operation->key != key || operation->kind == DRILL_LIST ||
            operation->outcome == DRILL_REFUSED) {
            continue;
        }
        if (operation->outcome == DRILL_DONE) {
            out[n++] = *operation;
        } else if (is_write(operation) && is_seen(history, operation)) {
            out[n] = *operation;
            out[n++].to_us = UINT64_MAX;
        }
    }
    return n;
}

static void check_key(const struct drill_history *history, unsigned key,
                      struct drill_operation *memory, struct drill_check *out)
{
    size_t n = collect(history, key, memory);

    switch (drill_search(memory, n, DRILL_SEARCH_MAX)) {
    case DRILL_ORDER_FOUND:
        break;
    case DRILL_ORDER_NONE:
        out->broken++;
        if (out->first[0] == '\0') {
            snprintf(out->first, sizeof out->first,
                     "no order of the %zu operations on canary-%u explains what they saw", n, key);
        }
        break;
    case DRILL_ORDER_UNDECIDED:
        out->undecided++;
        break;
    }
}

void drill_check(struct drill_history *history, struct drill_check *out)
{
    struct drill_operation *memory = memory_alloc((history->n + 1) * sizeof *memory);
    const struct drill_operation **pointers = memory_alloc((history->n + 1) * sizeof(void *));

    *out = (struct drill_check){.lost = 0};
    if (history->n > 0) {
        qsort(history->operations, history->n, sizeof *history->operations, compare_start);
    }
    for (unsigned key = 0; key < DRILL_KEYS_MAX; key++) {
        check_reads(history, key, pointers, out);
    }
    check_lists(history, out);
    for (unsigned key = 0; key < DRILL_KEYS_MAX; key++) {
        check_key(history, key, memory, out);
    }
    free(pointers);
    free(memory);
}

bool drill_check_passed(const struct drill_check *check)
{
    return check->lost == 0 && check->stale == 0 && check->broken == 0 && check->undecided == 0;
}
