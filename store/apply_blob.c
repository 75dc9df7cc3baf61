/* Commands on blobs: blob.commit, blob.mount, blob.unlink, blob.holders. */

#include "base/assert.h"
#include "store/apply.h"
#include "store/content.h"

#include <stdio.h>

#define DIGESTS_MAX 10000

/* --- blob.commit: [repository, digest, size, [holder, ...]] ---------------------------------- */

void command_blob_commit(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes repository, const struct digest *digest, uint64_t size,
                         const uint64_t *holders, size_t n_holders)
{
    command_begin(out, COMMAND_BLOB_COMMIT, id, actor);
    pack_array(out, 4);
    pack_string(out, repository);
    pack_digest(out, digest);
    pack_uint(out, size);
    holders_pack(out, holders, n_holders);
}

static bool digest_check(const struct digest *digest, struct outcome *outcome)
{
    if (digest->algorithm == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID, "no digest");
        return false;
    }
    return true;
}

/* The content is what nodes hashed, so another size for the same digest is a bug of one of them. */
static bool size_check(struct catalog_txn *txn, const struct digest *digest, uint64_t size,
                       struct outcome *outcome)
{
    struct blob_record blob;

    if (catalog_blob(txn, digest, &blob) == OK && blob.size != size) {
        (void)outcome_fail(outcome, ERROR_INVALID, "the content has %llu bytes, not %llu",
                           (unsigned long long)blob.size, (unsigned long long)size);
        return false;
    }
    return true;
}

void apply_blob_commit(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    uint64_t size, holders[HOLDERS_MAX];
    struct bytes repository;
    struct digest digest;
    size_t n_holders;

    unpack_array_of(body, 4);
    repository = unpack_string(body, NAME_MAX_SIZE);
    unpack_digest(body, &digest);
    size = unpack_uint(body);
    n_holders = holders_unpack(body, holders);
    if (!body_check(body, outcome) || !digest_check(&digest, outcome) ||
        !repository_check_open(context->txn, repository, outcome) ||
        !size_check(context->txn, &digest, size, outcome)) {
        return;
    }
    blob_register(context->txn, &digest, size, holders, n_holders, context->time_ms);
    link_make(context->txn, repository, &digest, context->time_ms);
}

/* --- blob.mount: [repository, from, digest] -------------------------------------------------- */

void command_blob_mount(struct buffer *out, const struct command_id *id, struct bytes actor,
                        struct bytes repository, struct bytes from, const struct digest *digest)
{
    command_begin(out, COMMAND_BLOB_MOUNT, id, actor);
    pack_array(out, 3);
    pack_string(out, repository);
    pack_string(out, from);
    pack_digest(out, digest);
}

void apply_blob_mount(const struct command_context *context, struct unpacker *body,
                      struct outcome *outcome)
{
    struct bytes repository, from;
    struct blob_record blob;
    struct digest digest;

    unpack_array_of(body, 3);
    repository = unpack_string(body, NAME_MAX_SIZE);
    from = unpack_string(body, NAME_MAX_SIZE);
    unpack_digest(body, &digest);
    if (!body_check(body, outcome) || !digest_check(&digest, outcome) ||
        !repository_check_open(context->txn, repository, outcome)) {
        return;
    }
    if (catalog_blob(context->txn, &digest, &blob) != OK ||
        (from.size > 0 && catalog_link(context->txn, from, &digest) != OK)) {
        (void)outcome_fail(outcome, ERROR_BLOB_UNKNOWN,
                           "nothing to mount: the source has no such "
                           "blob");
        return;
    }
    link_make(context->txn, repository, &digest, context->time_ms);
}

/* --- blob.unlink: [repository, digest] ------------------------------------------------------- */

void command_blob_unlink(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes repository, const struct digest *digest)
{
    command_begin(out, COMMAND_BLOB_UNLINK, id, actor);
    pack_array(out, 2);
    pack_string(out, repository);
    pack_digest(out, digest);
}

void apply_blob_unlink(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    struct bytes repository;
    struct digest digest;
    enum error error;

    unpack_array_of(body, 2);
    repository = unpack_string(body, NAME_MAX_SIZE);
    unpack_digest(body, &digest);
    if (!body_check(body, outcome) || !digest_check(&digest, outcome) ||
        !repository_check_open(context->txn, repository, outcome)) {
        return;
    }
    error = catalog_link(context->txn, repository, &digest);
    if (error != OK) {
        (void)outcome_fail(outcome, error, "repository " BYTES_FMT " has no such blob",
                           BYTES_ARG(repository));
        return;
    }
    if (reference_count(context->txn, repository, &digest) > 0) {
        (void)outcome_fail(outcome, ERROR_DENIED,
                           "a manifest in " BYTES_FMT " refers to the blob: delete that first",
                           BYTES_ARG(repository));
        return;
    }
    link_remove(context->txn, repository, &digest);
}

/* --- blob.holders: [node, present, [digest, ...]] -------------------------------------------- */

void command_blob_holders(struct buffer *out, const struct command_id *id, uint64_t node,
                          const struct digest *digests, size_t n, bool present)
{
    char actor[32];
    size_t i;

    PRE(n <= DIGESTS_MAX);
    snprintf(actor, sizeof actor, "node/%llu", (unsigned long long)node);
    command_begin(out, COMMAND_BLOB_HOLDERS, id, bytes_of_string(actor));
    pack_array(out, 3);
    pack_uint(out, node);
    pack_bool(out, present);
    pack_array(out, n);
    for (i = 0; i < n; i++) {
        pack_digest(out, &digests[i]);
    }
}

/* Digests that the catalog does not know are passed over: what a node finds on its disk may have
 * been let go meanwhile. */
void apply_blob_holders(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct table_key key;
    struct bytes value;
    uint64_t node;
    bool present;
    size_t n, i;

    unpack_array_of(body, 3);
    node = unpack_uint(body);
    present = unpack_bool(body);
    n = unpack_array(body);
    table_key_init(&key);
    table_key_add_uint(&key, node);
    if (table_get(context->txn, TABLE_RETIRED_MEMBERS, table_key_view(&key), &value) == OK) {
        (void)outcome_fail(outcome, ERROR_DENIED, "node %llu has left the cluster",
                           (unsigned long long)node);
        return;
    }
    for (i = 0; i < n && i <= DIGESTS_MAX && unpack_status(body) == OK; i++) {
        struct digest digest;

        unpack_digest(body, &digest);
        if (unpack_status(body) == OK && digest.algorithm != 0) {
            blob_set_holder(context->txn, &digest, node, present);
        }
    }
    (void)body_check(body, outcome);
}
