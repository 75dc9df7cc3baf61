#ifndef STORE_CHANGES_H
#define STORE_CHANGES_H

#include "store/table.h"

/* Which records changed lately, for those who would otherwise look at everything again and again
 * (promotion/watch.h). Kept in memory and only for a while: who reads too late is told to look at
 * everything. A change is there once its entry can be read, never before. The records that every
 * command writes (results, state) are left out. */

struct change {
    enum table table;
    uint64_t head; /* change_head() of its key. */
    uint64_t key;  /* change_key() of it. */
};

/* A hash of a key, and of its first part: the name before the first NUL, or the digest that it
 * begins with. Different keys may share one: look at a little too much, never at too little. */
uint64_t change_key(struct bytes key);
uint64_t change_head(struct bytes key);

/* Changes since *cursor (0: none read yet), oldest first, and move it on; any thread. False: some
 * are not known any more (a snapshot was restored, or there were too many). Then *cursor is at the
 * end. */
typedef void (*change_visit)(void *data, const struct change *change);
bool catalog_changes(struct catalog *catalog, uint64_t *cursor, change_visit visit, void *data);

/* Call cb, on the control thread, after each entry that changed something; NULL: no more, and none
 * runs after this returned. It must only wake somebody up. */
void catalog_on_change(struct catalog *catalog, void (*cb)(void *data), void *data);

/* --- private to store/ ------------------------------------------------------------------------ */

#define CHANGES_KEPT 8192u /* A power of two. */

struct changes {
    /* Of the entry that is being applied; the control thread only. */
    struct change *pending;
    size_t n_pending;
    bool is_cut; /* More than are kept. */
    /* Under the catalog's lock. Numbers count up from 1; the newest CHANGES_KEPT are kept. */
    struct change *ring;
    uint64_t first, end; /* first <= number < end are known. */
    void (*cb)(void *data);
    void *data;
};

void changes_init(struct changes *changes);
void changes_release(struct changes *changes);
void changes_note(struct changes *changes, enum table table, struct bytes key);
/* The entry is committed: let readers have its changes. */
void changes_publish(struct catalog *catalog);
/* Nothing that was known about what changed holds any more. */
void changes_forget(struct catalog *catalog);

#endif
