#include "store/environment.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* MDB_NOSYNC, MDB_NOMETASYNC: the log is what is durable (store/catalog.c says what that means for
 * opening). MDB_NOTLS: a reader's slot belongs to the transaction, so that a snapshot may be begun
 * on one thread and written on another. No MDB_WRITEMAP: with it a full disk is a SIGBUS in the
 * middle of a command instead of an error at the commit, and a stray pointer could write into the
 * file; what it would save is one copy of the changed pages. */
#define ENVIRONMENT_FLAGS   (MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOTLS)
#define ENVIRONMENT_SIZE    ((size_t)64 << 30) /* Address space; the file grows as it is filled. */
#define ENVIRONMENT_READERS 1024
#define ENVIRONMENT_MODE    0600

static const char *const table_names[TABLE_N] = {
#define X(id, name) name,
    TABLE_LIST(X)
#undef X
};

static enum error error_from_mdb(int code)
{
    switch (code) {
    case 0:
        return OK;
    case MDB_NOTFOUND:
        return ERROR_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
        return ERROR_FULL;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_VERSION_MISMATCH:
    case MDB_PAGE_NOTFOUND:
        return ERROR_CORRUPT;
    default:
        return ERROR_IO;
    }
}

static char *environment_path(const char *directory, const char *name, const char *suffix)
{
    size_t size = strlen(directory) + strlen(name) + strlen(suffix) + 2;
    char *path = memory_alloc(size);

    snprintf(path, size, "%s/%s%s", directory, name, suffix);
    return path;
}

static int open_tables(struct environment *environment)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(environment->mdb, NULL, 0, &txn);
    size_t i;

    if (code != 0) {
        return code;
    }
    for (i = 0; i < TABLE_N && code == 0; i++) {
        code = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &environment->tables[i]);
    }
    if (code == 0) {
        code = mdb_dbi_open(txn, "local", MDB_CREATE, &environment->local);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_file(struct environment *environment)
{
    char *path = environment_path(environment->directory, environment->name, "");
    int code = mdb_env_create(&environment->mdb);

    if (code == 0) {
        code = mdb_env_set_mapsize(environment->mdb, ENVIRONMENT_SIZE);
    }
    if (code == 0) {
        code = mdb_env_set_maxdbs(environment->mdb, TABLE_N + 1);
    }
    if (code == 0) {
        code = mdb_env_set_maxreaders(environment->mdb, ENVIRONMENT_READERS);
    }
    if (code == 0) {
        code = mdb_env_open(environment->mdb, path, ENVIRONMENT_FLAGS, ENVIRONMENT_MODE);
    }
    if (code == 0) {
        code = open_tables(environment);
    }
    free(path);
    return code;
}

enum error environment_open(const char *directory, const char *name, struct environment **out,
                            struct reason *why)
{
    struct environment *environment = memory_zero(sizeof *environment);
    int code;

    environment->directory = memory_string(directory);
    environment->name = memory_string(name);
    environment->references = 1;
    code = open_file(environment);
    if (code != 0) {
        enum error error = error_from_mdb(code);

        environment_close(environment);
        return fail(why, error, "cannot open the catalog %s/%s: %s", directory, name,
                    mdb_strerror(code));
    }
    *out = environment;
    return OK;
}

void environment_close(struct environment *environment)
{
    if (environment->mdb != NULL) {
        mdb_env_close(environment->mdb);
    }
    if (environment->is_obsolete) {
        environment_remove(environment->directory, environment->name);
    }
    free(environment->directory);
    free(environment->name);
    free(environment);
}

void environment_remove(const char *directory, const char *name)
{
    char *data = environment_path(directory, name, "");
    char *lock = environment_path(directory, name, "-lock");

    unlink(data);
    unlink(lock);
    free(data);
    free(lock);
}

enum error environment_sync(struct environment *environment, struct reason *why)
{
    int code = mdb_env_sync(environment->mdb, 1);

    if (code != 0) {
        return fail(why, ERROR_IO, "cannot sync the catalog %s/%s: %s", environment->directory,
                    environment->name, mdb_strerror(code));
    }
    return OK;
}

/* --- transactions ---------------------------------------------------------------------------- */

#define LOCAL_KEY "local"

static MDB_val local_key(void)
{
    return (MDB_val){sizeof LOCAL_KEY - 1, (void *)(uintptr_t)LOCAL_KEY};
}

void environment_local(struct catalog_txn *txn, struct local_record *out)
{
    MDB_val key = local_key(), value;
    int code = mdb_get(txn->mdb, txn->environment->local, &key, &value);

    *out = (struct local_record){0};
    if (code == MDB_NOTFOUND) {
        return;
    }
    if (code != 0 || value.mv_size != sizeof *out) {
        fail_stop("the catalog's own record in %s cannot be read: %s", txn->environment->directory,
                  code != 0 ? mdb_strerror(code) : "wrong size");
    }
    memcpy(out, value.mv_data, sizeof *out);
}

void environment_begin(struct environment *environment, bool is_write, struct catalog_txn *txn)
{
    struct local_record local;
    MDB_txn *mdb = NULL;
    int code = mdb_txn_begin(environment->mdb, NULL, is_write ? 0 : MDB_RDONLY, &mdb);

    if (code != 0) {
        fail_stop("cannot begin a transaction on the catalog in %s: %s", environment->directory,
                  mdb_strerror(code));
    }
    txn->environment = environment;
    txn->mdb = mdb;
    txn->is_write = is_write;
    environment_local(txn, &local);
    memcpy(txn->hash, local.hash, sizeof txn->hash);
}

void environment_abort(struct catalog_txn *txn)
{
    PRE(txn->mdb != NULL);
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
}

void environment_commit(struct catalog_txn *txn, uint64_t applied_index)
{
    struct local_record local = {.applied_index = applied_index};
    MDB_val key = local_key(), value = {sizeof local, &local};
    int code;

    PRE(txn->is_write && txn->mdb != NULL);
    memcpy(local.hash, txn->hash, sizeof local.hash);
    code = mdb_put(txn->mdb, txn->environment->local, &key, &value, 0);
    if (code == 0) {
        FAILPOINT("catalog.before_commit");
        code = mdb_txn_commit(txn->mdb);
        FAILPOINT("catalog.after_commit");
    }
    if (code != 0) {
        fail_stop("cannot commit to the catalog in %s: %s", txn->environment->directory,
                  mdb_strerror(code));
    }
    txn->mdb = NULL;
}
