#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H

#include "store/catalog.h"

/* What the commands on content share: records of repositories, blobs, manifests and tags, changed
 * in ways that keep the derived tables (reference counts, holder index, tags by digest, referrers,
 * tag intervals) in step. Nothing in here asks the write rule; its callers do. Private to store/.
 */

/* Keys of one, two or three parts. */
struct table_key key_of_name(struct bytes name);
struct table_key key_of_names(struct bytes first, struct bytes second);
struct table_key key_of_digest(const struct digest *digest);
struct table_key key_of_name_digest(struct bytes name, const struct digest *digest);
/* The packed digest that ends a key, as table_key_add_digest() put it after a first part of
 * prefix_size bytes. */
void key_last_digest(struct bytes key, size_t prefix_size, struct digest *out);

/* Stops the node, naming the table, when a record of ours did not decode. */
void record_check(const struct unpacker *in, enum table table);

/* --- repositories and links (content.c) ------------------------------------------------------ */

/* Fails the outcome when the grammar refuses the name. */
bool repository_check(struct bytes repository, struct outcome *outcome);
/* Fails the outcome (ERROR_PROMOTION_ONLY) unless people may write to the repository. */
bool repository_check_open(struct catalog_txn *txn, struct bytes repository,
                           struct outcome *outcome);
void repository_make(struct catalog_txn *txn, struct bytes repository, uint64_t time_ms);
void link_make(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
               uint64_t time_ms);
/* It must be linked, and the content's record still there: it says how much room comes back. */
void link_remove(struct catalog_txn *txn, struct bytes repository, const struct digest *digest);
/* Live manifests of the repository that refer to the digest, and change by one. */
uint64_t reference_count(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest);
void reference_count_add(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest, int change);

/* --- blobs and who holds them (holders.c) ---------------------------------------------------- */

/* Make the record or add holders to it. */
void blob_register(struct catalog_txn *txn, const struct digest *digest, uint64_t size,
                   const uint64_t *holders, size_t n_holders, uint64_t time_ms);
void blob_set_holder(struct catalog_txn *txn, const struct digest *digest, uint64_t node,
                     bool present);
/* Read [node, ...] of a command; at most HOLDERS_MAX. */
size_t holders_unpack(struct unpacker *in, uint64_t holders[HOLDERS_MAX]);
void holders_pack(struct buffer *out, const uint64_t *holders, size_t n);

/* --- manifests (manifest.c) ------------------------------------------------------------------ */

/* Facts that follow from a manifest's bytes and media type; references packed. */
void manifest_make(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
                   const struct manifest_record *facts, uint64_t time_ms);
/* Remove it from the repository, with its referrer record; not its tags. It must be there. */
void manifest_remove(struct catalog_txn *txn, struct bytes repository, const struct digest *digest);
/* References as in a command or record: check that they decode, at most REFERENCES_MAX. */
enum error references_check(struct bytes packed);
void references_pack(struct buffer *out, const struct reference *references, size_t n);

/* --- tags (tags.c) --------------------------------------------------------------------------- */

/* Point the tag at a manifest of the repository; nothing changes when it does already. */
void tag_set(const struct command_context *context, struct bytes repository, struct bytes tag,
             const struct digest *digest);
/* ERROR_MANIFEST_UNKNOWN when there is no such tag. */
enum error tag_clear(const struct command_context *context, struct bytes repository,
                     struct bytes tag) MUST_USE;
/* Clear all tags that point at the digest. */
void tags_clear_of(const struct command_context *context, struct bytes repository,
                   const struct digest *digest);

#endif
