#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H

#include "store/catalog.h"

/* Room by repository: what each uses, counted as commands are applied, and quotas over patterns of
 * repositories. Content that a repository refers to more than once counts once in it; content of
 * two repositories counts in each. A quota sums over the repositories that its pattern matches. A
 * command that makes any of them use more than its quota allows is refused as a whole
 * (ERROR_DENIED) and leaves no trace; what is over when a quota is set may stay, and only shrink.
 */

#define QUOTA_NONE UINT64_MAX
#define QUOTAS_MAX 1000

struct usage {
    uint64_t bytes; /* Blobs and manifests. */
    uint64_t tags;
};

struct quota {
    uint64_t max_bytes, max_tags; /* QUOTA_NONE: unbounded. */
    struct usage used;            /* Of the repositories that match. */
};

void catalog_usage(struct catalog_txn *txn, struct bytes repository, struct usage *out);
/* By its very pattern. ERROR_NOT_FOUND. */
enum error catalog_quota(struct catalog_txn *txn, struct bytes glob, struct quota *out) MUST_USE;
typedef bool (*catalog_visit_quota)(void *data, struct bytes glob, const struct quota *quota);
void catalog_quotas(struct catalog_txn *txn, catalog_visit_quota visit, void *data);
/* Would so many more bytes of content be refused? ERROR_DENIED with the sentence of the refusal. A
 * look ahead that spares work; apply decides. Content that the repository links needs no room. */
enum error catalog_quota_room(struct catalog_txn *txn, struct bytes repository,
                              const struct digest *digest, uint64_t size,
                              struct reason *why) MUST_USE;

/* used is ignored. */
void command_quota_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                       struct bytes glob, const struct quota *quota);
void command_quota_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes glob);

/* --- for the catalog's own files -------------------------------------------------------------- */

/* Content came to or left a repository. */
void usage_add(struct catalog_txn *txn, struct bytes repository, int64_t bytes, int64_t tags);
/* At the end of a command: fails the outcome when it grew past a quota. */
void quota_check(struct catalog_txn *txn, struct outcome *outcome);

#endif
