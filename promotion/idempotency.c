#include "promotion/idempotency.h"

#include "base/assert.h"
#include "base/pack.h"

/* TABLE_PROMOTION_KEYS: "k", actor, key -> [id, request hash], and by age "t", index, actor,
 * key -> "". An entry may hold several: their names tell them apart. */

static struct table_key name_of(struct bytes actor, struct bytes key)
{
    struct table_key name;

    table_key_init(&name);
    table_key_add(&name, BYTES_LITERAL("k"));
    table_key_add(&name, actor);
    table_key_add(&name, key);
    return name;
}

enum error idempotency_find(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                            struct bytes *id, struct digest *request_hash)
{
    struct table_key name = name_of(actor, key);
    struct unpacker in;
    struct bytes value;

    if (table_get(txn, TABLE_PROMOTION_KEYS, table_key_view(&name), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    *id = unpack_string(&in, PROMOTION_ID_SIZE);
    unpack_digest(&in, request_hash);
    CHECK(unpack_end(&in) == OK);
    return OK;
}

/* "t", NUL, eight bytes of index big-endian, NUL, actor, NUL, key. */
#define AGE_NAMES_AT (2u + 8u + 1u)

static bool visit_oldest(void *data, struct bytes key, struct bytes value)
{
    struct table_key *oldest = data;

    (void)value;
    CHECK(key.data[0] == 't' && key.size > AGE_NAMES_AT);
    memcpy(oldest->data, key.data, key.size);
    oldest->size = key.size;
    return false;
}

static void forget_oldest(struct catalog_txn *txn)
{
    struct table_key from, oldest, name;
    struct bytes names;
    ptrdiff_t end;
    enum error error;

    table_key_init(&from);
    table_key_add(&from, BYTES_LITERAL("t"));
    table_key_init(&oldest);
    table_scan(txn, TABLE_PROMOTION_KEYS, table_key_view(&from), visit_oldest, &oldest);
    names = bytes_slice(table_key_view(&oldest), AGE_NAMES_AT, oldest.size);
    end = bytes_find(names, 0);
    CHECK(end > 0);
    name = name_of(bytes_slice(names, 0, (size_t)end),
                   bytes_slice(names, (size_t)end + 1, names.size));
    error = table_delete(txn, TABLE_PROMOTION_KEYS, table_key_view(&name));
    CHECK(error == OK);
    error = table_delete(txn, TABLE_PROMOTION_KEYS, table_key_view(&oldest));
    CHECK(error == OK);
}

void idempotency_save(struct catalog_txn *txn, struct bytes actor, struct bytes key, uint64_t index,
                      struct bytes id, const struct digest *request_hash)
{
    struct table_key name = name_of(actor, key), age;
    struct buffer value;

    while (table_count(txn, TABLE_PROMOTION_KEYS) >= 2u * IDEMPOTENCY_KEPT) {
        forget_oldest(txn);
    }
    table_key_init(&age);
    table_key_add(&age, BYTES_LITERAL("t"));
    table_key_add_uint(&age, index);
    table_key_add(&age, actor);
    table_key_add(&age, key);
    buffer_init(&value, 256);
    pack_array(&value, 2);
    pack_string(&value, id);
    pack_digest(&value, request_hash);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_PROMOTION_KEYS, table_key_view(&name), buffer_view(&value));
    table_put(txn, TABLE_PROMOTION_KEYS, table_key_view(&age), BYTES_NONE);
    buffer_release(&value);
}
