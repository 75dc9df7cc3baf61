#ifndef STORE_CATALOG_STATE_H
#define STORE_CATALOG_STATE_H

#include "store/catalog.h"
#include "store/changes.h"
#include "store/environment.h"
#include "store/undo.h"

#include <pthread.h>

/* The inside of a catalog, for the files of store/ that share it. */

/* Where the apply loop stands, kept as record "state" of TABLE_META and so in the state hash. */
struct apply_state {
    uint64_t index, term;   /* Of the last entry that brought commands. */
    uint64_t time_ms;       /* Given to the last command. */
    uint64_t next_sequence; /* Of stored results: TABLE_COMMAND_ORDER's key. */
};

/* The first quota that the command of now grew past; see store/quota.h. */
struct quota_breach {
    uint8_t glob[NAME_MAX_SIZE];
    size_t size; /* 0: none. */
};

struct catalog {
    char *directory;
    const struct command_row *const *rows;
    size_t n_rows;
    /* Readers take and drop references to current under the lock; the control thread changes it. */
    pthread_mutex_t lock;
    struct environment *current;
    /* Below: the control thread only. */
    uint64_t n_environments; /* Numbers their files. */
    uint64_t applied_index;  /* Atomic: any thread may ask. */
    struct apply_state state;
    struct undo undo;
    struct changes changes; /* Published under the lock: store/changes.h. */
    struct quota_breach breach;
    struct buffer scratch; /* Copies of keys and values on their way into LMDB. */
    struct hasher hasher;  /* Of records, for the state hash. */
};

/* A reference to the environment of now; any thread. The last one to go closes an obsolete one. */
struct environment *catalog_hold_environment(struct catalog *catalog);
void catalog_drop_environment(struct catalog *catalog, struct environment *environment);
/* A new, empty environment beside the current one. ERROR_IO, ERROR_FULL. */
enum error catalog_new_environment(struct catalog *catalog, struct environment **out,
                                   struct reason *why) MUST_USE;
/* Make it the current one; the old one goes when its last reader does. */
void catalog_swap_environment(struct catalog *catalog, struct environment *environment);
/* Read state and applied index from the current environment. */
void catalog_load_state(struct catalog *catalog);

/* Add a record to an environment that is being filled in key order, and to its hash. ERROR_CORRUPT
 * when the keys are out of order. */
enum error table_fill(struct catalog_txn *txn, enum table table, struct bytes key,
                      struct bytes value) MUST_USE;
/* Sum of all records' hashes, counted anew; *n: how many. */
void table_hash_all(struct catalog_txn *txn, uint64_t hash[4], uint64_t *n);
const char *table_name(enum table table);
void state_hash_format(const uint64_t hash[4], char text[65]);

#endif
