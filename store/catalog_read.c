#include "base/assert.h"
#include "store/catalog_state.h"
#include "store/content.h"

void catalog_read(struct catalog *catalog, struct catalog_txn *txn)
{
    *txn = (struct catalog_txn){.catalog = catalog};
    environment_begin(catalog_hold_environment(catalog), false, txn);
}

void catalog_done(struct catalog_txn *txn)
{
    PRE(!txn->is_write);
    environment_abort(txn);
    catalog_drop_environment(txn->catalog, txn->environment);
}

uint64_t catalog_txn_index(struct catalog_txn *txn)
{
    struct local_record local;

    environment_local(txn, &local);
    return local.applied_index;
}

void catalog_txn_hash(struct catalog_txn *txn, char text[65])
{
    state_hash_format(txn->hash, text);
}

void catalog_txn_count_hash(struct catalog_txn *txn, char text[65])
{
    uint64_t hash[4], n;

    table_hash_all(txn, hash, &n);
    state_hash_format(hash, text);
}

enum error catalog_repository_exists(struct catalog_txn *txn, struct bytes repository)
{
    struct bytes value;

    if (!repository_name_is_valid(repository) ||
        table_get(txn, TABLE_REPOSITORIES, repository, &value) != OK) {
        return ERROR_REPOSITORY_UNKNOWN;
    }
    return OK;
}

enum error catalog_link(struct catalog_txn *txn, struct bytes repository,
                        const struct digest *digest)
{
    enum error error = catalog_repository_exists(txn, repository);
    struct table_key key;
    struct bytes value;

    if (error != OK) {
        return error;
    }
    key = key_of_name_digest(repository, digest);
    return table_get(txn, TABLE_LINKS, table_key_view(&key), &value) == OK ? OK
                                                                           : ERROR_BLOB_UNKNOWN;
}

struct names_walk {
    struct bytes last;
    catalog_visit_name visit;
    void *data;
};

static bool repository_visit(void *data, struct bytes key, struct bytes value)
{
    struct names_walk *walk = data;

    (void)value;
    return bytes_equal(key, walk->last) || walk->visit(walk->data, key);
}

void catalog_repositories(struct catalog_txn *txn, struct bytes last, catalog_visit_name visit,
                          void *data)
{
    struct names_walk walk = {bytes_slice(last, 0, NAME_MAX_SIZE), visit, data};

    table_scan(txn, TABLE_REPOSITORIES, walk.last, repository_visit, &walk);
}
