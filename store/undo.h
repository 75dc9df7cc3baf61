#ifndef STORE_UNDO_H
#define STORE_UNDO_H

#include "store/table.h"

/* What the tables held before the changes of the command that is being applied, so that a command
 * that fails leaves no trace even when it had begun to write. Chosen over
 *  - asserting that nothing was written before a failure: the offending entry is in the log, so the
 *    assertion would stop every node, again at every start;
 *  - LMDB's nested transactions: each allocates 2 MiB for its page list and copies every page that
 *    the entry has touched already.
 * Private to store/. */

struct undo {
    struct buffer changes; /* Per change: key, old value, struct undo_mark. */
    bool is_active;
};

void undo_init(struct undo *undo);
void undo_release(struct undo *undo);
/* A command begins: forget what was, keep notes from here. */
void undo_begin(struct undo *undo);
/* old: NULL when there was no record. Called by table_put() and table_delete(). */
void undo_note(struct undo *undo, enum table table, struct bytes key, const struct bytes *old);
/* The command is over: its changes stand, or are taken back in reverse order. */
void undo_keep(struct undo *undo);
void undo_revert(struct undo *undo, struct catalog_txn *txn);

#endif
