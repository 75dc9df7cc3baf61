#include "store/undo.h"

#include "base/assert.h"

#define UNDO_KEPT_MAX ((size_t)1 << 20) /* Memory above this is given back after a command. */

struct undo_mark {
    enum table table;
    bool existed;
    size_t key_size, value_size;
};

void undo_init(struct undo *undo)
{
    buffer_init(&undo->changes, (size_t)1 << 40);
    undo->is_active = false;
}

void undo_release(struct undo *undo)
{
    buffer_release(&undo->changes);
}

void undo_begin(struct undo *undo)
{
    PRE(!undo->is_active);
    buffer_clear(&undo->changes);
    undo->is_active = true;
}

void undo_note(struct undo *undo, enum table table, struct bytes key, const struct bytes *old)
{
    struct undo_mark mark = {.table = table, .existed = old != NULL, .key_size = key.size};

    if (!undo->is_active) {
        return;
    }
    buffer_append(&undo->changes, key);
    if (old != NULL) {
        mark.value_size = old->size;
        buffer_append(&undo->changes, *old);
    }
    buffer_append(&undo->changes, bytes_of(&mark, sizeof mark));
    CHECK(buffer_status(&undo->changes) == OK);
}

void undo_keep(struct undo *undo)
{
    PRE(undo->is_active);
    undo->is_active = false;
    if (undo->changes.size > UNDO_KEPT_MAX) {
        buffer_release(&undo->changes);
        undo_init(undo);
    }
}

void undo_revert(struct undo *undo, struct catalog_txn *txn)
{
    size_t left = undo->changes.size;

    PRE(undo->is_active);
    undo->is_active = false; /* What follows is not noted itself. */
    while (left > 0) {
        struct undo_mark mark;
        const uint8_t *start;

        CHECK(left >= sizeof mark);
        left -= sizeof mark;
        memcpy(&mark, undo->changes.data + left, sizeof mark);
        CHECK(left >= mark.key_size + mark.value_size);
        left -= mark.key_size + mark.value_size;
        start = undo->changes.data + left;
        if (mark.existed) {
            table_put(txn, mark.table, bytes_of(start, mark.key_size),
                      bytes_of(start + mark.key_size, mark.value_size));
        } else {
            enum error error = table_delete(txn, mark.table, bytes_of(start, mark.key_size));

            CHECK(error == OK);
        }
    }
    undo->is_active = true;
    undo_keep(undo);
}
