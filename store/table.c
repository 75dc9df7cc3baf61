#include "store/table.h"

#include "base/assert.h"
#include "base/memory.h"
#include "store/catalog_state.h"

static const char *const names[TABLE_N] = {
#define X(id, name) name,
    TABLE_LIST(X)
#undef X
};

const char *table_name(enum table table)
{
    PRE(table < TABLE_N);
    return names[table];
}

/* --- keys ------------------------------------------------------------------------------------ */

void table_key_init(struct table_key *key)
{
    key->size = 0;
}

void table_key_add(struct table_key *key, struct bytes part)
{
    size_t separator = key->size > 0 ? 1 : 0;

    PRE(part.size + separator <= sizeof key->data - key->size);
    if (separator > 0) {
        key->data[key->size++] = '\0';
    }
    if (part.size > 0) {
        memcpy(key->data + key->size, part.data, part.size);
    }
    key->size += part.size;
}

void table_key_add_digest(struct table_key *key, const struct digest *digest)
{
    uint8_t packed[DIGEST_RAW_MAX + 1];

    table_key_add(key, bytes_of(packed, digest_pack(digest, packed)));
}

void table_key_add_uint(struct table_key *key, uint64_t number)
{
    uint8_t wide[8];
    size_t i;

    for (i = 0; i < sizeof wide; i++) {
        wide[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    table_key_add(key, bytes_of(wide, sizeof wide));
}

struct bytes table_key_view(const struct table_key *key)
{
    return bytes_of(key->data, key->size);
}

/* --- the state hash -------------------------------------------------------------------------- */

/* SHA-256 over table name, NUL, size of key (4 bytes, big-endian), key, value; as four
 * little-endian numbers. scratch is overwritten. */
static void record_hash(struct hasher *hasher, struct buffer *scratch, enum table table,
                        struct bytes key, struct bytes value, uint64_t lanes[4])
{
    struct digest digest;
    size_t i, k;

    buffer_clear(scratch);
    buffer_append_string(scratch, names[table]);
    buffer_append_byte(scratch, 0);
    for (i = 0; i < 4; i++) {
        buffer_append_byte(scratch, (uint8_t)(key.size >> (24 - 8 * i)));
    }
    buffer_append(scratch, key);
    buffer_append(scratch, value);
    CHECK(buffer_status(scratch) == OK);
    hasher_digest(hasher, buffer_view(scratch), &digest);
    for (i = 0; i < 4; i++) {
        lanes[i] = 0;
        for (k = 8; k > 0; k--) {
            lanes[i] = lanes[i] << 8 | digest.raw[8 * i + k - 1];
        }
    }
}

static void hash_add(struct catalog_txn *txn, enum table table, struct bytes key,
                     struct bytes value)
{
    uint64_t lanes[4];
    size_t i;

    record_hash(&txn->catalog->hasher, &txn->catalog->scratch, table, key, value, lanes);
    for (i = 0; i < 4; i++) {
        txn->hash[i] += lanes[i];
    }
}

static void hash_subtract(struct catalog_txn *txn, enum table table, struct bytes key,
                          struct bytes value)
{
    uint64_t lanes[4];
    size_t i;

    record_hash(&txn->catalog->hasher, &txn->catalog->scratch, table, key, value, lanes);
    for (i = 0; i < 4; i++) {
        txn->hash[i] -= lanes[i];
    }
}

void state_hash_format(const uint64_t hash[4], char text[65])
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < 64; i++) {
        text[i] = digits[hash[i / 16] >> (60 - 4 * (i % 16)) & 0x0f];
    }
    text[64] = '\0';
}

/* --- records --------------------------------------------------------------------------------- */

static MDB_val val_of(struct bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static struct bytes bytes_of_val(const MDB_val *val)
{
    return bytes_of(val->mv_data, val->mv_size);
}

static MDB_dbi dbi_of(const struct catalog_txn *txn, enum table table)
{
    PRE(table < TABLE_N);
    return txn->environment->tables[table];
}

static _Noreturn void table_failed(const struct catalog_txn *txn, enum table table, int code)
{
    fail_stop("table %s of the catalog in %s: %s", names[table], txn->environment->directory,
              mdb_strerror(code));
}

enum error table_get(struct catalog_txn *txn, enum table table, struct bytes key,
                     struct bytes *value)
{
    MDB_val mdb_key = val_of(key), mdb_value;
    int code;

    PRE(key.size > 0 && key.size <= TABLE_KEY_MAX);
    code = mdb_get(txn->mdb, dbi_of(txn, table), &mdb_key, &mdb_value);
    if (code == MDB_NOTFOUND) {
        *value = BYTES_NONE;
        return ERROR_NOT_FOUND;
    }
    if (code != 0) {
        table_failed(txn, table, code);
    }
    *value = bytes_of_val(&mdb_value);
    return OK;
}

/* Take the record that is there out of the hash and note it for the undo. */
static bool forget_old(struct catalog_txn *txn, enum table table, struct bytes key)
{
    struct bytes old;

    if (table_get(txn, table, key, &old) != OK) {
        return false;
    }
    undo_note(&txn->catalog->undo, table, key, &old);
    hash_subtract(txn, table, key, old);
    return true;
}

void table_put(struct catalog_txn *txn, enum table table, struct bytes key, struct bytes value)
{
    struct buffer *scratch = &txn->catalog->scratch;
    MDB_val mdb_key, mdb_value;
    int code;

    PRE(txn->is_write && key.size > 0 && key.size <= TABLE_KEY_MAX);
    if (!forget_old(txn, table, key)) {
        undo_note(&txn->catalog->undo, table, key, NULL);
    }
    changes_note(&txn->catalog->changes, table, key);
    hash_add(txn, table, key, value);
    /* hash_add() left key and value at the end of scratch: copies, for LMDB must not be given
     * memory of pages that it is about to change. */
    mdb_value = (MDB_val){value.size, scratch->data + scratch->size - value.size};
    mdb_key = (MDB_val){key.size, scratch->data + scratch->size - value.size - key.size};
    code = mdb_put(txn->mdb, dbi_of(txn, table), &mdb_key, &mdb_value, 0);
    if (code != 0) {
        table_failed(txn, table, code);
    }
}

enum error table_delete(struct catalog_txn *txn, enum table table, struct bytes key)
{
    struct buffer *scratch = &txn->catalog->scratch;
    MDB_val mdb_key;
    int code;

    PRE(txn->is_write && key.size > 0 && key.size <= TABLE_KEY_MAX);
    if (!forget_old(txn, table, key)) {
        return ERROR_NOT_FOUND;
    }
    changes_note(&txn->catalog->changes, table, key);
    buffer_clear(scratch);
    buffer_append(scratch, key);
    mdb_key = val_of(buffer_view(scratch));
    code = mdb_del(txn->mdb, dbi_of(txn, table), &mdb_key, NULL);
    if (code != 0) {
        table_failed(txn, table, code);
    }
    return OK;
}

enum error table_fill(struct catalog_txn *txn, enum table table, struct bytes key,
                      struct bytes value)
{
    MDB_val mdb_key = val_of(key), mdb_value = val_of(value);
    int code;

    PRE(txn->is_write);
    if (key.size == 0 || key.size > TABLE_KEY_MAX) {
        return ERROR_CORRUPT;
    }
    code = mdb_put(txn->mdb, dbi_of(txn, table), &mdb_key, &mdb_value, MDB_APPEND);
    if (code == MDB_KEYEXIST) {
        return ERROR_CORRUPT;
    }
    if (code != 0) {
        table_failed(txn, table, code);
    }
    hash_add(txn, table, key, value);
    return OK;
}

void table_scan(struct catalog_txn *txn, enum table table, struct bytes from, table_visit visit,
                void *data)
{
    MDB_val key = val_of(from), value;
    MDB_cursor *cursor;
    int code;

    PRE(from.size <= TABLE_KEY_MAX);
    code = mdb_cursor_open(txn->mdb, dbi_of(txn, table), &cursor);
    if (code != 0) {
        table_failed(txn, table, code);
    }
    code = mdb_cursor_get(cursor, &key, &value, from.size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0 && visit(data, bytes_of_val(&key), bytes_of_val(&value))) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (code != 0 && code != MDB_NOTFOUND) {
        table_failed(txn, table, code);
    }
}

uint64_t table_count(struct catalog_txn *txn, enum table table)
{
    MDB_stat stat;
    int code = mdb_stat(txn->mdb, dbi_of(txn, table), &stat);

    if (code != 0) {
        table_failed(txn, table, code);
    }
    return stat.ms_entries;
}

/* --- counting the hash anew ------------------------------------------------------------------ */

struct recount {
    struct buffer scratch; /* Its own: readers run on any thread. */
    struct hasher hasher;
    enum table table;
    uint64_t hash[4];
    uint64_t n;
};

static bool recount_visit(void *data, struct bytes key, struct bytes value)
{
    struct recount *recount = data;
    uint64_t lanes[4];
    size_t i;

    record_hash(&recount->hasher, &recount->scratch, recount->table, key, value, lanes);
    for (i = 0; i < 4; i++) {
        recount->hash[i] += lanes[i];
    }
    recount->n++;
    return true;
}

void table_hash_all(struct catalog_txn *txn, uint64_t hash[4], uint64_t *n)
{
    struct recount recount = {.n = 0};
    unsigned table;

    buffer_init(&recount.scratch, (size_t)1 << 40);
    hasher_init(&recount.hasher, DIGEST_SHA256);
    for (table = 0; table < TABLE_N; table++) {
        recount.table = (enum table)table;
        table_scan(txn, recount.table, BYTES_NONE, recount_visit, &recount);
    }
    buffer_release(&recount.scratch);
    hasher_release(&recount.hasher);
    memcpy(hash, recount.hash, sizeof recount.hash);
    *n = recount.n;
}
