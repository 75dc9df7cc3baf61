#include "store/changes.h"

#include "base/memory.h"
#include "store/catalog_state.h"

#include <stdlib.h>

#define DIGEST_HEAD 33u /* Algorithm and 32 bytes: enough to tell digests apart. */

/* FNV-1a: no secret is needed, since a collision only costs a look. */
static uint64_t hash_of(struct bytes bytes)
{
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < bytes.size; i++) {
        hash = (hash ^ bytes.data[i]) * 1099511628211u;
    }
    return hash;
}

uint64_t change_key(struct bytes key)
{
    return hash_of(key);
}

/* Packed digests begin with the number of their algorithm, names with a printable character. */
uint64_t change_head(struct bytes key)
{
    ptrdiff_t end = bytes_find(key, 0);

    if (key.size >= DIGEST_HEAD && key.data[0] < ' ') {
        return hash_of(bytes_slice(key, 0, DIGEST_HEAD));
    }
    return hash_of(end < 0 ? key : bytes_slice(key, 0, (size_t)end));
}

void changes_init(struct changes *changes)
{
    *changes = (struct changes){.first = 1, .end = 1};
    changes->pending = memory_alloc(CHANGES_KEPT * sizeof *changes->pending);
    changes->ring = memory_alloc(CHANGES_KEPT * sizeof *changes->ring);
}

void changes_release(struct changes *changes)
{
    free(changes->pending);
    free(changes->ring);
}

void changes_note(struct changes *changes, enum table table, struct bytes key)
{
    if (table == TABLE_COMMANDS || table == TABLE_COMMAND_ORDER || table == TABLE_META) {
        return;
    }
    if (changes->n_pending == CHANGES_KEPT) {
        changes->is_cut = true;
        return;
    }
    changes->pending[changes->n_pending++] =
        (struct change){.table = table, .head = change_head(key), .key = change_key(key)};
}

static void forget(struct changes *changes)
{
    /* Also for who is at the end already: a number is left out. */
    changes->end++;
    changes->first = changes->end;
}

static void publish(struct changes *changes)
{
    size_t i;

    if (changes->is_cut) {
        forget(changes);
    } else {
        for (i = 0; i < changes->n_pending; i++) {
            changes->ring[changes->end++ % CHANGES_KEPT] = changes->pending[i];
        }
        if (changes->end - changes->first > CHANGES_KEPT) {
            changes->first = changes->end - CHANGES_KEPT;
        }
    }
    changes->n_pending = 0;
    changes->is_cut = false;
}

void changes_publish(struct catalog *catalog)
{
    struct changes *changes = &catalog->changes;

    if (changes->n_pending == 0) {
        return;
    }
    pthread_mutex_lock(&catalog->lock);
    publish(changes);
    if (changes->cb != NULL) {
        changes->cb(changes->data);
    }
    pthread_mutex_unlock(&catalog->lock);
}

void changes_forget(struct catalog *catalog)
{
    struct changes *changes = &catalog->changes;

    pthread_mutex_lock(&catalog->lock);
    forget(changes);
    changes->n_pending = 0;
    changes->is_cut = false;
    if (changes->cb != NULL) {
        changes->cb(changes->data);
    }
    pthread_mutex_unlock(&catalog->lock);
}

bool catalog_changes(struct catalog *catalog, uint64_t *cursor, change_visit visit, void *data)
{
    struct changes *changes = &catalog->changes;
    bool is_known;

    pthread_mutex_lock(&catalog->lock);
    is_known = *cursor >= changes->first;
    if (!is_known) {
        *cursor = changes->end;
    }
    for (; *cursor < changes->end; (*cursor)++) {
        visit(data, &changes->ring[*cursor % CHANGES_KEPT]);
    }
    pthread_mutex_unlock(&catalog->lock);
    return is_known;
}

void catalog_on_change(struct catalog *catalog, void (*cb)(void *data), void *data)
{
    pthread_mutex_lock(&catalog->lock);
    catalog->changes.cb = cb;
    catalog->changes.data = data;
    pthread_mutex_unlock(&catalog->lock);
}
