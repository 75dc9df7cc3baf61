#include "store/content.h"

#include "base/assert.h"
#include "store/quota.h"

/* --- keys and records ------------------------------------------------------------------------ */

struct table_key key_of_name(struct bytes name)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add(&key, name);
    return key;
}

struct table_key key_of_names(struct bytes first, struct bytes second)
{
    struct table_key key = key_of_name(first);

    table_key_add(&key, second);
    return key;
}

struct table_key key_of_digest(const struct digest *digest)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add_digest(&key, digest);
    return key;
}

struct table_key key_of_name_digest(struct bytes name, const struct digest *digest)
{
    struct table_key key = key_of_name(name);

    table_key_add_digest(&key, digest);
    return key;
}

void key_last_digest(struct bytes key, size_t prefix_size, struct digest *out)
{
    enum error error = digest_unpack(bytes_slice(key, prefix_size + 1, key.size), out);

    if (error != OK) {
        fail_stop("the catalog is damaged: a key does not end in a digest");
    }
}

void record_check(const struct unpacker *in, enum table table)
{
    static const char *const names[TABLE_N] = {
#define X(id, name) name,
        TABLE_LIST(X)
#undef X
    };

    PRE(table < TABLE_N);
    if (unpack_end(in) != OK) {
        fail_stop("the catalog is damaged: a record of table %s does not decode", names[table]);
    }
}

/* --- repositories ---------------------------------------------------------------------------- */

bool repository_check(struct bytes repository, struct outcome *outcome)
{
    if (!repository_name_is_valid(repository)) {
        (void)outcome_fail(outcome, ERROR_INVALID, "not a repository name");
        return false;
    }
    return true;
}

bool repository_check_open(struct catalog_txn *txn, struct bytes repository,
                           struct outcome *outcome)
{
    struct write_rule rule = {.mode = WRITE_PROMOTION_ONLY};

    if (!repository_check(repository, outcome)) {
        return false;
    }
    catalog_write_rule(txn, repository, &rule);
    if (rule.mode == WRITE_OPEN) {
        return true;
    }
    (void)outcome_fail(outcome, ERROR_PROMOTION_ONLY,
                       "repository " BYTES_FMT " takes only promotions of pipeline " BYTES_FMT
                       " (stage " BYTES_FMT "): use 'caisson promote ... --to " BYTES_FMT "'",
                       BYTES_ARG(repository), BYTES_ARG(rule.pipeline), BYTES_ARG(rule.stage),
                       BYTES_ARG(rule.stage));
    return false;
}

/* TABLE_REPOSITORIES: name -> [created_ms]. */
void repository_make(struct catalog_txn *txn, struct bytes repository, uint64_t time_ms)
{
    struct table_key key = key_of_name(repository);
    struct bytes present;
    struct buffer value;

    if (table_get(txn, TABLE_REPOSITORIES, table_key_view(&key), &present) == OK) {
        return;
    }
    buffer_init(&value, 32);
    pack_array(&value, 1);
    pack_uint(&value, time_ms);
    table_put(txn, TABLE_REPOSITORIES, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

static uint64_t content_size(struct catalog_txn *txn, const struct digest *digest)
{
    struct blob_record blob;
    enum error error = catalog_blob(txn, digest, &blob);

    CHECK(error == OK); /* Only what the registry has is linked. */
    return blob.size;
}

/* TABLE_LINKS: repository, digest -> [linked_ms]. */
void link_make(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
               uint64_t time_ms)
{
    struct table_key key = key_of_name_digest(repository, digest);
    struct buffer value;

    if (catalog_link(txn, repository, digest) != OK) {
        usage_add(txn, repository, (int64_t)content_size(txn, digest), 0);
    }
    repository_make(txn, repository, time_ms);
    buffer_init(&value, 32);
    pack_array(&value, 1);
    pack_uint(&value, time_ms);
    table_put(txn, TABLE_LINKS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

void link_remove(struct catalog_txn *txn, struct bytes repository, const struct digest *digest)
{
    struct table_key key = key_of_name_digest(repository, digest);
    enum error error = table_delete(txn, TABLE_LINKS, table_key_view(&key));

    CHECK(error == OK);
    usage_add(txn, repository, -(int64_t)content_size(txn, digest), 0);
}

/* --- reference counts ------------------------------------------------------------------------ */

/* TABLE_REFERENCE_COUNTS: repository, digest -> number, absent for 0. Counted apart from the links,
 * because a manifest may refer to what is not (yet) linked. */
uint64_t reference_count(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest)
{
    struct table_key key = key_of_name_digest(repository, digest);
    struct unpacker in;
    struct bytes value;
    uint64_t count;

    if (table_get(txn, TABLE_REFERENCE_COUNTS, table_key_view(&key), &value) != OK) {
        return 0;
    }
    unpack_start(&in, value);
    count = unpack_uint(&in);
    record_check(&in, TABLE_REFERENCE_COUNTS);
    return count;
}

void reference_count_add(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest, int change)
{
    struct table_key key = key_of_name_digest(repository, digest);
    uint64_t count = reference_count(txn, repository, digest);
    struct buffer value;

    PRE(change == 1 || change == -1);
    CHECK(change > 0 || count > 0);
    count = change > 0 ? count + 1 : count - 1;
    if (count == 0) {
        enum error error = table_delete(txn, TABLE_REFERENCE_COUNTS, table_key_view(&key));

        CHECK(error == OK);
        return;
    }
    buffer_init(&value, 16);
    pack_uint(&value, count);
    table_put(txn, TABLE_REFERENCE_COUNTS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}
