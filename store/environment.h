#ifndef STORE_ENVIRONMENT_H
#define STORE_ENVIRONMENT_H

#include "store/table.h"

#include <lmdb.h>

/* One LMDB file with all tables, counted by who uses it. A catalog has one at a time; restoring a
 * snapshot fills a new one beside it and then swaps, so that readers see the old state whole until
 * the new one is whole and checked. Private to store/. */

struct environment {
    MDB_env *mdb;
    MDB_dbi tables[TABLE_N];
    MDB_dbi local; /* What may differ between nodes: see struct local_record. */
    char *directory;
    char *name; /* The file's, in directory; its lock file is beside it. */
    /* Private to the catalog, under its lock. */
    unsigned references;
    bool is_obsolete; /* The last reference removes the files. */
};

/* How far this node has applied (entries without commands count too) and the state's hash. */
struct local_record {
    uint64_t applied_index;
    uint64_t hash[4];
};

/* Open or make directory/name. ERROR_IO, ERROR_FULL, ERROR_CORRUPT. references is 1 afterwards. */
enum error environment_open(const char *directory, const char *name, struct environment **out,
                            struct reason *why) MUST_USE;
/* Close; also remove the files when it is obsolete. No transaction may be open. */
void environment_close(struct environment *environment);
/* Remove the files of an environment that is not open. */
void environment_remove(const char *directory, const char *name);
/* Write everything to disk: for a clean stop. ERROR_IO. */
enum error environment_sync(struct environment *environment, struct reason *why) MUST_USE;

/* Transactions; what LMDB cannot do here stops the node. The hash is loaded from the local record.
 */
void environment_begin(struct environment *environment, bool is_write, struct catalog_txn *txn);
void environment_abort(struct catalog_txn *txn);
/* Store the local record with the transaction's hash, and commit. */
void environment_commit(struct catalog_txn *txn, uint64_t applied_index);
void environment_local(struct catalog_txn *txn, struct local_record *out);

#endif
