#include "node/holder_notes.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

struct note {
    struct list link;
    uint64_t node;
    struct digest digest;
    bool is_present;
};

void holder_notes_init(struct holder_notes *notes)
{
    CHECK(uv_mutex_init(&notes->lock) == 0);
    list_init(&notes->notes);
    notes->n = 0;
}

void holder_notes_release(struct holder_notes *notes)
{
    LIST_FOR_EACH (item, &notes->notes) {
        list_remove(item);
        free(container_of(item, struct note, link));
    }
    uv_mutex_destroy(&notes->lock);
}

void holder_notes_add(struct holder_notes *notes, uint64_t node, const struct digest *digest,
                      bool is_present)
{
    struct note *note = memory_zero(sizeof *note);

    note->node = node;
    note->digest = *digest;
    note->is_present = is_present;
    uv_mutex_lock(&notes->lock);
    if (notes->n < HOLDER_NOTES_MAX) {
        list_append(&notes->notes, &note->link);
        notes->n++;
        note = NULL;
    }
    uv_mutex_unlock(&notes->lock);
    free(note);
}

size_t holder_notes_take(struct holder_notes *notes, size_t max, uint64_t *node, bool *is_present,
                         struct digest *digests)
{
    size_t n = 0;

    uv_mutex_lock(&notes->lock);
    LIST_FOR_EACH (item, &notes->notes) {
        struct note *note = container_of(item, struct note, link);

        if (n == 0) {
            *node = note->node;
            *is_present = note->is_present;
        }
        if (note->node != *node) {
            continue;
        }
        if (note->is_present != *is_present || n == max) {
            break;
        }
        digests[n++] = note->digest;
        list_remove(item);
        notes->n--;
        free(note);
    }
    uv_mutex_unlock(&notes->lock);
    return n;
}

bool holder_notes_are_empty(struct holder_notes *notes)
{
    bool is_empty;

    uv_mutex_lock(&notes->lock);
    is_empty = notes->n == 0;
    uv_mutex_unlock(&notes->lock);
    return is_empty;
}
