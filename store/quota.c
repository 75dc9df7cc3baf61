/* Usage and quotas.
 *   TABLE_USAGE   repository -> [bytes, tags]; absent when nothing is in it
 *   TABLE_QUOTAS  pattern -> [max bytes, max tags, bytes, tags]
 * Sums are kept beside each quota, so that a push costs a step per quota however many repositories
 * there are; only setting a quota walks them. Which quota a command grew past is remembered in the
 * catalog until its end (the control thread only). */
#include "store/quota.h"

#include "base/assert.h"
#include "store/apply.h"
#include "store/catalog_state.h"
#include "store/content.h"

/* --- records ---------------------------------------------------------------------------------- */

void catalog_usage(struct catalog_txn *txn, struct bytes repository, struct usage *out)
{
    struct table_key key = key_of_name(repository);
    struct unpacker in;
    struct bytes value;

    *out = (struct usage){0};
    if (table_get(txn, TABLE_USAGE, table_key_view(&key), &value) != OK) {
        return;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    out->bytes = unpack_uint(&in);
    out->tags = unpack_uint(&in);
    record_check(&in, TABLE_USAGE);
}

static void quota_unpack(struct bytes value, struct quota *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 4);
    out->max_bytes = unpack_uint(&in);
    out->max_tags = unpack_uint(&in);
    out->used.bytes = unpack_uint(&in);
    out->used.tags = unpack_uint(&in);
    record_check(&in, TABLE_QUOTAS);
}

static void quota_store(struct catalog_txn *txn, struct bytes glob, const struct quota *quota)
{
    struct table_key key = key_of_name(glob);
    struct buffer value;

    buffer_init(&value, 64);
    pack_array(&value, 4);
    pack_uint(&value, quota->max_bytes);
    pack_uint(&value, quota->max_tags);
    pack_uint(&value, quota->used.bytes);
    pack_uint(&value, quota->used.tags);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_QUOTAS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

enum error catalog_quota(struct catalog_txn *txn, struct bytes glob, struct quota *out)
{
    struct table_key key = key_of_name(glob);
    struct bytes value;

    if (glob.size == 0 || glob.size > NAME_MAX_SIZE ||
        table_get(txn, TABLE_QUOTAS, table_key_view(&key), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    quota_unpack(value, out);
    return OK;
}

struct quota_walk {
    catalog_visit_quota visit;
    void *data;
};

static bool quotas_visit(void *data, struct bytes key, struct bytes value)
{
    const struct quota_walk *walk = data;
    struct quota quota;

    quota_unpack(value, &quota);
    return walk->visit(walk->data, key, &quota);
}

void catalog_quotas(struct catalog_txn *txn, catalog_visit_quota visit, void *data)
{
    struct quota_walk walk = {visit, data};

    table_scan(txn, TABLE_QUOTAS, BYTES_NONE, quotas_visit, &walk);
}

/* --- counting --------------------------------------------------------------------------------- */

static void add(uint64_t *number, int64_t change)
{
    CHECK(change >= 0 || *number >= (uint64_t)-change);
    *number += (uint64_t)change;
}

static void usage_store(struct catalog_txn *txn, struct bytes repository, const struct usage *usage)
{
    struct table_key key = key_of_name(repository);
    struct buffer value;

    if (usage->bytes == 0 && usage->tags == 0) {
        enum error error = table_delete(txn, TABLE_USAGE, table_key_view(&key));

        CHECK(error == OK); /* Something was in it until now. */
        return;
    }
    buffer_init(&value, 32);
    pack_array(&value, 2);
    pack_uint(&value, usage->bytes);
    pack_uint(&value, usage->tags);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_USAGE, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

/* The next quota after a pattern (exclusive) that matches: a walk that may write between steps. */
struct next_quota {
    struct bytes repository, after;
    uint8_t glob[NAME_MAX_SIZE];
    size_t size;
    struct quota quota;
};

static bool next_visit(void *data, struct bytes glob, const struct quota *quota)
{
    struct next_quota *next = data;

    if (bytes_equal(glob, next->after) || !repository_glob_match(glob, next->repository)) {
        return true;
    }
    CHECK(glob.size <= sizeof next->glob);
    memcpy(next->glob, glob.data, glob.size);
    next->size = glob.size;
    next->quota = *quota;
    return false;
}

static bool quota_next(struct catalog_txn *txn, struct bytes repository, struct next_quota *next)
{
    uint8_t copy[NAME_MAX_SIZE];
    struct quota_walk walk = {next_visit, next};

    memcpy(copy, next->glob, next->size);
    next->repository = repository;
    next->after = bytes_of(copy, next->size);
    next->size = 0;
    table_scan(txn, TABLE_QUOTAS, next->after, quotas_visit, &walk);
    return next->size > 0;
}

static void quota_watch(struct catalog_txn *txn, struct bytes glob, const struct quota *quota,
                        int64_t bytes, int64_t tags)
{
    struct quota_breach *breach = &txn->catalog->breach;

    if (breach->size == 0 && ((bytes > 0 && quota->used.bytes > quota->max_bytes) ||
                              (tags > 0 && quota->used.tags > quota->max_tags))) {
        memcpy(breach->glob, glob.data, glob.size);
        breach->size = glob.size;
    }
}

void usage_add(struct catalog_txn *txn, struct bytes repository, int64_t bytes, int64_t tags)
{
    struct next_quota next = {.size = 0};
    struct usage usage;

    if (bytes == 0 && tags == 0) {
        return;
    }
    catalog_usage(txn, repository, &usage);
    add(&usage.bytes, bytes);
    add(&usage.tags, tags);
    usage_store(txn, repository, &usage);
    while (quota_next(txn, repository, &next)) {
        struct bytes glob = bytes_of(next.glob, next.size);

        add(&next.quota.used.bytes, bytes);
        add(&next.quota.used.tags, tags);
        quota_store(txn, glob, &next.quota);
        quota_watch(txn, glob, &next.quota, bytes, tags);
    }
}

/* --- refusing --------------------------------------------------------------------------------- */

static enum error refuse_bytes(struct bytes glob, const struct quota *quota, struct reason *why)
{
    return fail(why, ERROR_DENIED,
                "the quota of " BYTES_FMT " is %llu bytes, and with this it would hold %llu: "
                "delete tags or manifests that are not needed, or ask an administrator for more "
                "(caisson quota set)",
                BYTES_ARG(glob), (unsigned long long)quota->max_bytes,
                (unsigned long long)quota->used.bytes);
}

void quota_check(struct catalog_txn *txn, struct outcome *outcome)
{
    struct quota_breach *breach = &txn->catalog->breach;
    struct bytes glob = bytes_of(breach->glob, breach->size);
    struct quota quota;

    if (breach->size == 0 || catalog_quota(txn, glob, &quota) != OK) {
        return;
    }
    if (quota.used.bytes > quota.max_bytes) {
        outcome->error = refuse_bytes(glob, &quota, &outcome->why);
    } else if (quota.used.tags > quota.max_tags) {
        (void)outcome_fail(outcome, ERROR_DENIED,
                           "the quota of " BYTES_FMT " is %llu tags, and they are used up: delete "
                           "tags that are not needed, or ask an administrator for more (caisson "
                           "quota set)",
                           BYTES_ARG(glob), (unsigned long long)quota.max_tags);
    }
}

struct room_walk {
    struct bytes repository;
    uint64_t size;
    struct reason *why;
    enum error error;
};

static bool room_visit(void *data, struct bytes glob, const struct quota *quota)
{
    struct room_walk *walk = data;
    struct quota after = *quota;

    if (!repository_glob_match(glob, walk->repository)) {
        return true;
    }
    after.used.bytes += walk->size;
    if (after.used.bytes <= quota->max_bytes) {
        return true;
    }
    walk->error = refuse_bytes(glob, &after, walk->why);
    return false;
}

enum error catalog_quota_room(struct catalog_txn *txn, struct bytes repository,
                              const struct digest *digest, uint64_t size, struct reason *why)
{
    struct room_walk walk = {repository, size, why, OK};

    if (size > 0 && catalog_link(txn, repository, digest) != OK) {
        catalog_quotas(txn, room_visit, &walk);
    }
    return walk.error;
}

/* --- quota.put: [pattern, max bytes, max tags], quota.delete: [pattern] ------------------------
 */

void command_quota_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                       struct bytes glob, const struct quota *quota)
{
    command_begin(out, COMMAND_QUOTA_PUT, id, actor);
    pack_array(out, 3);
    pack_string(out, glob);
    pack_uint(out, quota->max_bytes);
    pack_uint(out, quota->max_tags);
}

void command_quota_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes glob)
{
    command_begin(out, COMMAND_QUOTA_DELETE, id, actor);
    pack_array(out, 1);
    pack_string(out, glob);
}

struct sum_walk {
    struct bytes glob;
    struct usage sum;
};

static bool sum_visit(void *data, struct bytes key, struct bytes value)
{
    struct sum_walk *walk = data;
    struct unpacker in;

    if (repository_glob_match(walk->glob, key)) {
        unpack_start(&in, value);
        unpack_array_of(&in, 2);
        walk->sum.bytes += unpack_uint(&in);
        walk->sum.tags += unpack_uint(&in);
        record_check(&in, TABLE_USAGE);
    }
    return true;
}

void apply_quota_put(const struct command_context *context, struct unpacker *body,
                     struct outcome *outcome)
{
    struct quota quota = {0}, present;
    struct sum_walk walk = {.sum = {0}};

    unpack_array_of(body, 3);
    walk.glob = unpack_string(body, NAME_MAX_SIZE);
    quota.max_bytes = unpack_uint(body);
    quota.max_tags = unpack_uint(body);
    if (!body_check(body, outcome)) {
        return;
    }
    if (walk.glob.size == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID, "a quota needs a pattern of repositories");
        return;
    }
    if (catalog_quota(context->txn, walk.glob, &present) == OK) {
        walk.sum = present.used;
    } else if (table_count(context->txn, TABLE_QUOTAS) >= QUOTAS_MAX) {
        (void)outcome_fail(outcome, ERROR_DENIED, "there are %d quotas, which is the most",
                           QUOTAS_MAX);
        return;
    } else {
        table_scan(context->txn, TABLE_USAGE, BYTES_NONE, sum_visit, &walk);
    }
    quota.used = walk.sum;
    quota_store(context->txn, walk.glob, &quota);
}

void apply_quota_delete(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct table_key key;
    struct quota quota;
    struct bytes glob;
    enum error error;

    unpack_array_of(body, 1);
    glob = unpack_string(body, NAME_MAX_SIZE);
    if (!body_check(body, outcome)) {
        return;
    }
    if (catalog_quota(context->txn, glob, &quota) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no quota of " BYTES_FMT,
                           BYTES_ARG(glob));
        return;
    }
    key = key_of_name(glob);
    error = table_delete(context->txn, TABLE_QUOTAS, table_key_view(&key));
    CHECK(error == OK);
}
