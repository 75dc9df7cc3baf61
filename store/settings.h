#ifndef STORE_SETTINGS_H
#define STORE_SETTINGS_H

#include "store/catalog.h"

/* How many nodes content is on. copies is for the cluster, since content of all repositories is
 * shared; write_quorum may differ for repositories by pattern. Kept in the replicated state: every
 * node plans with the same numbers. */

#define COPIES_DEFAULT       3u
#define WRITE_QUORUM_DEFAULT 2u
#define COPIES_MAX           9u

struct replication_setting {
    unsigned copies;       /* Nodes that are to hold the content. */
    unsigned write_quorum; /* Durable copies before a push is answered; at most copies. */
};

/* What holds for a repository: of the patterns that match, the longest (the first of equally long
 * ones, bytewise); else the cluster's (repository empty: the cluster's). glob may be NULL; borrowed
 * from the transaction, empty for the cluster's. A cluster with fewer members than the numbers say
 * does what it can: see setting_for_members(). */
void catalog_setting(struct catalog_txn *txn, struct bytes repository,
                     struct replication_setting *out, struct bytes *glob);
/* Both numbers cut to the number of members. */
struct replication_setting setting_for_members(struct replication_setting setting,
                                               size_t n_members);

typedef bool (*catalog_visit_setting)(void *data, struct bytes glob,
                                      const struct replication_setting *setting);
/* Those of patterns, bytewise. */
void catalog_settings(struct catalog_txn *txn, catalog_visit_setting visit, void *data);

/* glob empty: the cluster's own. copies 0: back to what holds without it. */
void command_settings_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes glob, const struct replication_setting *setting);

#endif
