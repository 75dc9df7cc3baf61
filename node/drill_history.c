#include "node/drill_history.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

void drill_history_init(struct drill_history *history)
{
    int rv = uv_mutex_init(&history->lock);

    CHECK(rv == 0);
    history->operations = NULL;
    history->n = history->capacity = 0;
    history->dropped = 0;
}

void drill_history_release(struct drill_history *history)
{
    free(history->operations);
    history->operations = NULL;
    uv_mutex_destroy(&history->lock);
}

void drill_history_add(struct drill_history *history, const struct drill_operation *operation)
{
    PRE(operation->key < DRILL_KEYS_MAX);
    uv_mutex_lock(&history->lock);
    if (history->n == DRILL_OPERATIONS_MAX) {
        history->dropped++;
    } else {
        if (history->n == history->capacity) {
            history->capacity = history->capacity == 0 ? 1024 : 2 * history->capacity;
            history->operations =
                memory_resize(history->operations, history->capacity * sizeof *history->operations);
        }
        history->operations[history->n++] = *operation;
    }
    uv_mutex_unlock(&history->lock);
}

const char *drill_kind_name(enum drill_kind kind)
{
    switch (kind) {
    case DRILL_PUSH:
        return "push";
    case DRILL_SWAP:
        return "swap";
    case DRILL_READ:
        return "read";
    case DRILL_LIST:
        return "list";
    }
    IMPOSSIBLE("no such kind of operation");
}

const char *drill_outcome_name(enum drill_outcome outcome)
{
    switch (outcome) {
    case DRILL_DONE:
        return "done";
    case DRILL_REFUSED:
        return "refused";
    case DRILL_FAILED:
        return "failed";
    }
    IMPOSSIBLE("no such outcome");
}

void drill_operation_write(const struct drill_operation *operation, const char *const *nodes,
                           struct buffer *out)
{
    json_t *object =
        json_pack("{s:s, s:s, s:i, s:s, s:I, s:I}", "kind", drill_kind_name(operation->kind),
                  "outcome", drill_outcome_name(operation->outcome), "client",
                  (int)operation->client, "node", nodes[operation->node], "from_us",
                  (json_int_t)operation->from_us, "to_us", (json_int_t)operation->to_us);

    if (operation->kind == DRILL_LIST) {
        json_object_set_new(object, "tags", json_integer((json_int_t)operation->keys));
    } else {
        json_object_set_new(object, "tag", json_sprintf("canary-%u", operation->key));
        json_object_set_new(object, "value", json_integer((json_int_t)operation->value));
    }
    if (operation->kind == DRILL_SWAP) {
        json_object_set_new(object, "expected", json_integer((json_int_t)operation->expected));
    }
    if (operation->status != 0) {
        json_object_set_new(object, "status", json_integer(operation->status));
    }
    if (operation->error[0] != '\0') {
        json_object_set_new(object, "error", json_string(operation->error));
    }
    if (operation->is_final) {
        json_object_set_new(object, "final", json_true());
    }
    json_write(out, object);
    buffer_append_byte(out, '\n');
    json_decref(object);
}
