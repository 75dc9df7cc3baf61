#include "promotion/idempotency.h"

#include "base/assert.h"
#include "base/pack.h"

/* TABLE_PROMOTION_KEYS: "k", actor, key -> [id, request hash, time], and by age "t", time, actor,
 * key -> "". */

#define FORGOTTEN_AT_ONCE 4u

static struct table_key name_of(struct bytes actor, struct bytes key)
{
    struct table_key name;

    table_key_init(&name);
    table_key_add(&name, BYTES_LITERAL("k"));
    table_key_add(&name, actor);
    table_key_add(&name, key);
    return name;
}

static struct table_key age_of(uint64_t time_ms, struct bytes actor, struct bytes key)
{
    struct table_key age;

    table_key_init(&age);
    table_key_add(&age, BYTES_LITERAL("t"));
    table_key_add_uint(&age, time_ms);
    table_key_add(&age, actor);
    table_key_add(&age, key);
    return age;
}

static enum error find(struct catalog_txn *txn, const struct table_key *name, struct bytes *id,
                       struct digest *request_hash, uint64_t *time_ms)
{
    struct unpacker in;
    struct bytes value;

    if (table_get(txn, TABLE_PROMOTION_KEYS, table_key_view(name), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 3);
    *id = unpack_string(&in, PROMOTION_ID_SIZE);
    unpack_digest(&in, request_hash);
    *time_ms = unpack_uint(&in);
    CHECK(unpack_end(&in) == OK);
    return OK;
}

enum error idempotency_find(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                            uint64_t now_ms, struct bytes *id, struct digest *request_hash)
{
    struct table_key name = name_of(actor, key);
    uint64_t time_ms;
    enum error error = find(txn, &name, id, request_hash, &time_ms);

    return error == OK && time_ms + IDEMPOTENCY_KEPT_MS <= now_ms ? ERROR_NOT_FOUND : error;
}

struct old_keys {
    uint64_t before_ms;
    struct table_key ages[FORGOTTEN_AT_ONCE];
    size_t n;
};

/* "t", NUL, eight bytes of time big-endian, NUL, actor, NUL, key. */
#define AGE_TIME_AT  2u
#define AGE_NAMES_AT (AGE_TIME_AT + 8u + 1u)

static bool visit_age(void *data, struct bytes key, struct bytes value)
{
    struct old_keys *old = data;
    uint64_t time_ms = 0;
    size_t i;

    (void)value;
    if (key.data[0] != 't') {
        return false;
    }
    CHECK(key.size > AGE_NAMES_AT);
    for (i = 0; i < 8; i++) {
        time_ms = time_ms << 8 | key.data[AGE_TIME_AT + i];
    }
    if (time_ms > old->before_ms) {
        return false;
    }
    table_key_init(&old->ages[old->n]);
    memcpy(old->ages[old->n].data, key.data, key.size);
    old->ages[old->n++].size = key.size;
    return old->n < FORGOTTEN_AT_ONCE;
}

static void forget(struct catalog_txn *txn, const struct table_key *age)
{
    struct bytes names = bytes_slice(table_key_view(age), AGE_NAMES_AT, age->size);
    ptrdiff_t end = bytes_find(names, 0);
    struct table_key name;
    enum error error;

    CHECK(end > 0);
    name = name_of(bytes_slice(names, 0, (size_t)end),
                   bytes_slice(names, (size_t)end + 1, names.size));
    error = table_delete(txn, TABLE_PROMOTION_KEYS, table_key_view(&name));
    CHECK(error == OK);
    error = table_delete(txn, TABLE_PROMOTION_KEYS, table_key_view(age));
    CHECK(error == OK);
}

void idempotency_save(struct catalog_txn *txn, struct bytes actor, struct bytes key,
                      uint64_t now_ms, struct bytes id, const struct digest *request_hash)
{
    struct table_key name = name_of(actor, key), age = age_of(now_ms, actor, key);
    struct old_keys old = {0};
    struct digest earlier_hash;
    struct bytes earlier;
    struct buffer value;
    uint64_t time_ms;
    size_t i;

    if (now_ms > IDEMPOTENCY_KEPT_MS) {
        struct table_key oldest;

        old.before_ms = now_ms - IDEMPOTENCY_KEPT_MS;
        table_key_init(&oldest);
        table_key_add(&oldest, BYTES_LITERAL("t"));
        table_scan(txn, TABLE_PROMOTION_KEYS, table_key_view(&oldest), visit_age, &old);
    }
    for (i = 0; i < old.n; i++) {
        forget(txn, &old.ages[i]);
    }
    /* This very key, when it is old, but was not its turn yet. */
    if (find(txn, &name, &earlier, &earlier_hash, &time_ms) == OK) {
        struct table_key same = age_of(time_ms, actor, key);

        forget(txn, &same);
    }
    buffer_init(&value, 256);
    pack_array(&value, 3);
    pack_string(&value, id);
    pack_digest(&value, request_hash);
    pack_uint(&value, now_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_PROMOTION_KEYS, table_key_view(&name), buffer_view(&value));
    table_put(txn, TABLE_PROMOTION_KEYS, table_key_view(&age), BYTES_NONE);
    buffer_release(&value);
}
