/* Tags: where each points now, which of them point at a manifest, and the history of all of them.
 * Every change of a tag closes its open interval and opens the next; intervals are never removed.
 */

#include "base/assert.h"
#include "store/content.h"
#include "store/quota.h"

/* TABLE_TAGS: repository, tag -> [digest, index, time_ms, actor]. */
enum error catalog_tag(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                       struct tag_record *out)
{
    enum error error = catalog_repository_exists(txn, repository);
    struct table_key key;
    struct unpacker in;
    struct bytes value;

    if (error != OK) {
        return error;
    }
    if (!tag_is_valid(tag)) {
        return ERROR_MANIFEST_UNKNOWN;
    }
    key = key_of_names(repository, tag);
    if (table_get(txn, TABLE_TAGS, table_key_view(&key), &value) != OK) {
        return ERROR_MANIFEST_UNKNOWN;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 4);
    unpack_digest(&in, &out->digest);
    out->index = unpack_uint(&in);
    out->time_ms = unpack_uint(&in);
    out->actor = unpack_string(&in, ACTOR_MAX);
    record_check(&in, TABLE_TAGS);
    return OK;
}

static void tag_put(const struct command_context *context, const struct table_key *key,
                    const struct digest *digest)
{
    struct buffer value;

    buffer_init(&value, 512);
    pack_array(&value, 4);
    pack_digest(&value, digest);
    pack_uint(&value, context->index);
    pack_uint(&value, context->time_ms);
    pack_string(&value, context->actor);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_TAGS, table_key_view(key), buffer_view(&value));
    buffer_release(&value);
}

/* TABLE_TAGS_BY_DIGEST: repository, digest, tag -> (nothing). */
static struct table_key by_digest_key(struct bytes repository, const struct digest *digest,
                                      struct bytes tag)
{
    struct table_key key = key_of_name_digest(repository, digest);

    table_key_add(&key, tag);
    return key;
}

/* --- intervals ------------------------------------------------------------------------------- */

/* TABLE_TAG_INTERVALS: repository, tag, from_ms -> [digest, from_index, from_ms, actor, promotion,
 * to_index, to_ms, actor, promotion]. Times differ from command to command, so they tell intervals
 * of one entry apart, as its index would not. */
static struct table_key interval_key(struct bytes repository, struct bytes tag, uint64_t from_ms)
{
    struct table_key key = key_of_names(repository, tag);

    table_key_add_uint(&key, from_ms);
    return key;
}

static void interval_unpack(struct bytes value, struct tag_interval *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 9);
    unpack_digest(&in, &out->digest);
    out->from_index = unpack_uint(&in);
    out->from_ms = unpack_uint(&in);
    out->from_actor = unpack_string(&in, SIZE_MAX);
    out->from_promotion = unpack_string(&in, SIZE_MAX);
    out->to_index = unpack_uint(&in);
    out->to_ms = unpack_uint(&in);
    out->to_actor = unpack_string(&in, SIZE_MAX);
    out->to_promotion = unpack_string(&in, SIZE_MAX);
    record_check(&in, TABLE_TAG_INTERVALS);
}

static void interval_put(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                         const struct tag_interval *interval)
{
    struct table_key key = interval_key(repository, tag, interval->from_ms);
    struct buffer value;

    buffer_init(&value, 4096);
    pack_array(&value, 9);
    pack_digest(&value, &interval->digest);
    pack_uint(&value, interval->from_index);
    pack_uint(&value, interval->from_ms);
    pack_string(&value, interval->from_actor);
    pack_string(&value, interval->from_promotion);
    pack_uint(&value, interval->to_index);
    pack_uint(&value, interval->to_ms);
    pack_string(&value, interval->to_actor);
    pack_string(&value, interval->to_promotion);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_TAG_INTERVALS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

static void interval_open(const struct command_context *context, struct bytes repository,
                          struct bytes tag, const struct digest *digest)
{
    struct tag_interval interval = {.digest = *digest,
                                    .from_index = context->index,
                                    .from_ms = context->time_ms,
                                    .from_actor = context->actor,
                                    .from_promotion = context->promotion,
                                    .to_actor = BYTES_LITERAL(""),
                                    .to_promotion = BYTES_LITERAL("")};

    interval_put(context->txn, repository, tag, &interval);
}

static void interval_close(const struct command_context *context, struct bytes repository,
                           struct bytes tag, uint64_t from_ms)
{
    struct table_key key = interval_key(repository, tag, from_ms);
    struct tag_interval interval;
    struct bytes value;
    enum error error = table_get(context->txn, TABLE_TAG_INTERVALS, table_key_view(&key), &value);

    CHECK(error == OK);
    interval_unpack(value, &interval);
    CHECK(interval.to_index == 0);
    interval.to_index = context->index;
    interval.to_ms = context->time_ms;
    interval.to_actor = context->actor;
    interval.to_promotion = context->promotion;
    interval_put(context->txn, repository, tag, &interval);
}

/* --- changes --------------------------------------------------------------------------------- */

static void tag_drop_index(const struct command_context *context, struct bytes repository,
                           struct bytes tag, const struct tag_record *record)
{
    struct table_key key = by_digest_key(repository, &record->digest, tag);
    enum error error = table_delete(context->txn, TABLE_TAGS_BY_DIGEST, table_key_view(&key));

    CHECK(error == OK);
    interval_close(context, repository, tag, record->time_ms);
}

void tag_set(const struct command_context *context, struct bytes repository, struct bytes tag,
             const struct digest *digest)
{
    struct manifest_record manifest;
    struct tag_record old;
    struct table_key key;
    enum error error = catalog_manifest(context->txn, repository, digest, &manifest);

    PRE(tag_is_valid(tag));
    CHECK(error == OK); /* A tag never points at what its repository does not hold. */
    if (catalog_tag(context->txn, repository, tag, &old) == OK) {
        if (digest_equal(&old.digest, digest)) {
            return;
        }
        tag_drop_index(context, repository, tag, &old);
    } else {
        usage_add(context->txn, repository, 0, 1);
    }
    key = key_of_names(repository, tag);
    tag_put(context, &key, digest);
    key = by_digest_key(repository, digest, tag);
    table_put(context->txn, TABLE_TAGS_BY_DIGEST, table_key_view(&key), BYTES_NONE);
    interval_open(context, repository, tag, digest);
}

enum error tag_clear(const struct command_context *context, struct bytes repository,
                     struct bytes tag)
{
    struct tag_record old;
    struct table_key key;
    enum error error = catalog_tag(context->txn, repository, tag, &old);

    if (error != OK) {
        return error;
    }
    tag_drop_index(context, repository, tag, &old);
    usage_add(context->txn, repository, 0, -1);
    key = key_of_names(repository, tag);
    return table_delete(context->txn, TABLE_TAGS, table_key_view(&key));
}

struct first_tag {
    uint8_t data[TAG_MAX_SIZE];
    size_t size;
};

static bool first_tag_visit(void *data, struct bytes tag)
{
    struct first_tag *first = data;

    CHECK(tag.size <= sizeof first->data);
    memcpy(first->data, tag.data, tag.size);
    first->size = tag.size;
    return false;
}

void tags_clear_of(const struct command_context *context, struct bytes repository,
                   const struct digest *digest)
{
    for (;;) {
        struct first_tag first = {.size = 0};
        enum error error;

        catalog_tags_of(context->txn, repository, digest, first_tag_visit, &first);
        if (first.size == 0) {
            return;
        }
        error = tag_clear(context, repository, bytes_of(first.data, first.size));
        CHECK(error == OK);
    }
}

void catalog_force_tag(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                       const struct digest *digest, const struct command_context *context)
{
    PRE(txn == context->txn);
    tag_set(context, repository, tag, digest);
}

/* --- reading --------------------------------------------------------------------------------- */

struct tags_walk {
    struct bytes prefix, last; /* prefix with its NUL; last: a whole key to pass over. */
    catalog_visit_name visit;
    void *data;
};

static bool tag_visit(void *data, struct bytes key, struct bytes value)
{
    struct tags_walk *walk = data;

    (void)value;
    if (!bytes_starts_with(key, walk->prefix)) {
        return false;
    }
    if (bytes_equal(key, walk->last)) {
        return true;
    }
    return walk->visit(walk->data, bytes_slice(key, walk->prefix.size, key.size));
}

void catalog_tags(struct catalog_txn *txn, struct bytes repository, struct bytes last,
                  catalog_visit_name visit, void *data)
{
    struct tags_walk walk = {.visit = visit, .data = data};
    struct table_key from;

    if (!repository_name_is_valid(repository)) {
        return;
    }
    from = key_of_names(repository, bytes_slice(last, 0, TAG_MAX_SIZE));
    walk.prefix = bytes_of(from.data, repository.size + 1);
    walk.last = table_key_view(&from);
    table_scan(txn, TABLE_TAGS, walk.last, tag_visit, &walk);
}

void catalog_tags_of(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
                     catalog_visit_name visit, void *data)
{
    struct tags_walk walk = {.visit = visit, .data = data};
    struct table_key from;

    if (!repository_name_is_valid(repository)) {
        return;
    }
    from = by_digest_key(repository, digest, BYTES_NONE); /* Ends in the NUL before the tag. */
    walk.prefix = table_key_view(&from);
    table_scan(txn, TABLE_TAGS_BY_DIGEST, walk.prefix, tag_visit, &walk);
}

struct intervals_walk {
    struct bytes prefix; /* With its NUL. */
    size_t repository_size;
    catalog_visit_interval visit;
    void *data;
};

static bool interval_visit(void *data, struct bytes key, struct bytes value)
{
    struct intervals_walk *walk = data;
    struct tag_interval interval;
    size_t around = walk->repository_size + 1 + 1 + 8; /* Two NULs and the time. */

    if (!bytes_starts_with(key, walk->prefix)) {
        return false;
    }
    CHECK(key.size > around);
    interval_unpack(value, &interval);
    return walk->visit(walk->data, bytes_slice(key, walk->repository_size + 1, key.size - around),
                       &interval);
}

void catalog_tag_intervals(struct catalog_txn *txn, struct bytes repository, struct bytes tag,
                           catalog_visit_interval visit, void *data)
{
    struct intervals_walk walk = {.repository_size = repository.size, .visit = visit, .data = data};
    struct table_key prefix;

    if (!repository_name_is_valid(repository) || (tag.size > 0 && !tag_is_valid(tag))) {
        return;
    }
    prefix = key_of_names(repository, tag);
    if (tag.size > 0) {
        table_key_add(&prefix, BYTES_NONE);
    }
    walk.prefix = table_key_view(&prefix);
    table_scan(txn, TABLE_TAG_INTERVALS, walk.prefix, interval_visit, &walk);
}
