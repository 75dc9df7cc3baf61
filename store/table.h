#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"

#include <stdint.h>

/* The catalog's tables: ordered maps of bytes to bytes in one LMDB environment, read under MVCC by
 * any thread, written only by apply on the control thread. Every put and delete goes through here,
 * which keeps the state hash: the sum over all records (modulo 2^256, in four 64-bit lanes) of
 * SHA-256(table, key, value). It depends on the content alone, not on the way there, so that nodes
 * at the same index must agree and a full count can check it. */

/* Name of each table, in the file and in snapshots: append only, never rename. All of them are part
 * of the state hash; the one record that may differ between nodes (the hash itself, and how far
 * this node has applied) is kept in an LMDB table of its own that has no name here. */
#define TABLE_LIST(X)                                                                              \
    X(TABLE_META, "meta")                                                                          \
    X(TABLE_COMMANDS, "commands")                                                                  \
    X(TABLE_COMMAND_ORDER, "command-order")                                                        \
    X(TABLE_REPOSITORIES, "repositories")                                                          \
    X(TABLE_RULES, "rules")                                                                        \
    X(TABLE_LINKS, "links")                                                                        \
    X(TABLE_BLOBS, "blobs")                                                                        \
    X(TABLE_MANIFESTS, "manifests")                                                                \
    X(TABLE_REPOSITORY_MANIFESTS, "repository-manifests")                                          \
    X(TABLE_TAGS, "tags")                                                                          \
    X(TABLE_TAG_INTERVALS, "tag-intervals")                                                        \
    X(TABLE_REFERRERS, "referrers")                                                                \
    X(TABLE_USERS, "users")                                                                        \
    X(TABLE_MEMBERS, "members")                                                                    \
    X(TABLE_JOIN_TOKENS, "join-tokens")                                                            \
    X(TABLE_PIPELINES, "pipelines")                                                                \
    X(TABLE_PROMOTIONS, "promotions")                                                              \
    X(TABLE_PROMOTION_KEYS, "promotion-keys")                                                      \
    X(TABLE_AUDIT, "audit")                                                                        \
    X(TABLE_REFERENCE_COUNTS, "reference-counts")                                                  \
    X(TABLE_HOLDER_SETS, "holder-sets")                                                            \
    X(TABLE_BLOBS_BY_HOLDERS, "blobs-by-holders")                                                  \
    X(TABLE_TAGS_BY_DIGEST, "tags-by-digest")                                                      \
    X(TABLE_RETIRED_MEMBERS, "retired-members")                                                    \
    X(TABLE_STATUSES, "statuses")                                                                  \
    X(TABLE_HOLDS, "holds")                                                                        \
    X(TABLE_MEMBER_LEVELS, "member-levels")                                                        \
    X(TABLE_DRILLS, "drills")                                                                      \
    X(TABLE_SETTINGS, "settings")                                                                  \
    X(TABLE_USAGE, "usage")                                                                        \
    X(TABLE_QUOTAS, "quotas")

enum table {
#define X(id, name) id,
    TABLE_LIST(X)
#undef X
        TABLE_N
};

#define TABLE_KEY_MAX 500 /* Under LMDB's 511. */

struct catalog;

/* A transaction: a frozen view for readers, a set of changes for apply. On the stack of its user.
 */
struct catalog_txn {
    /* Private. */
    struct catalog *catalog;
    struct environment *environment;
    void *mdb;
    bool is_write;
    uint64_t hash[4];
};

/* Keys are parts joined by a NUL, so that all keys of a repository stand together. A part whose
 * length the reader cannot know (names) must hold no NUL unless it is the last; digests (packed)
 * and numbers have known lengths. Too long a key is the caller's bug: check lengths first. */
struct table_key {
    size_t size;
    uint8_t data[TABLE_KEY_MAX];
};

void table_key_init(struct table_key *key);
void table_key_add(struct table_key *key, struct bytes part);
void table_key_add_digest(struct table_key *key, const struct digest *digest);
/* Eight bytes big-endian: numeric order. */
void table_key_add_uint(struct table_key *key, uint64_t number);
struct bytes table_key_view(const struct table_key *key);

/* ERROR_NOT_FOUND or OK; value is borrowed until the transaction ends or (in a write) the next
 * change. */
enum error table_get(struct catalog_txn *txn, enum table table, struct bytes key,
                     struct bytes *value) MUST_USE;
/* key and value may be borrowed from this very transaction. */
void table_put(struct catalog_txn *txn, enum table table, struct bytes key, struct bytes value);
/* ERROR_NOT_FOUND when there was none. */
enum error table_delete(struct catalog_txn *txn, enum table table, struct bytes key);

/* Records in key order, from the first key >= from, while visit returns true. In a write
 * transaction visit must not change this table. */
typedef bool (*table_visit)(void *data, struct bytes key, struct bytes value);
void table_scan(struct catalog_txn *txn, enum table table, struct bytes from, table_visit visit,
                void *data);
uint64_t table_count(struct catalog_txn *txn, enum table table);

#endif
