#include "promotion/policy_change.h"

#include "base/assert.h"
#include "base/pack.h"

/* TABLE_PIPELINES: "c" name -> [revision, base, document, author, time, until, [person, ...]]. */

#define CHANGE_FIELDS     7
#define EXPIRE_DEFAULT_MS ((uint64_t)7 * 24 * 3600 * 1000)
#define DOCUMENT_MAX      ((size_t)PIPELINE_SIZE_MAX * 6)

static struct table_key key_of(struct bytes name)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("c"));
    table_key_add(&key, name);
    return key;
}

static void read_change(struct bytes value, struct policy_change *out)
{
    struct unpacker in;
    size_t i;

    unpack_start(&in, value);
    unpack_array_of(&in, CHANGE_FIELDS);
    unpack_digest(&in, &out->revision);
    unpack_digest(&in, &out->base);
    out->document = unpack_string(&in, DOCUMENT_MAX);
    out->author = unpack_string(&in, ACTOR_MAX);
    out->time_ms = unpack_uint(&in);
    out->until_ms = unpack_uint(&in);
    out->n_people = unpack_array(&in);
    CHECK(out->n_people <= CHANGE_PEOPLE_MAX);
    for (i = 0; i < out->n_people; i++) {
        out->people[i] = unpack_string(&in, ACTOR_MAX);
    }
    CHECK(unpack_end(&in) == OK);
}

enum error policy_change_find(struct catalog_txn *txn, struct bytes name, uint64_t now_ms,
                              struct policy_change *out)
{
    struct policy_record record;
    struct table_key key;
    struct bytes value;

    if (policy_find(txn, name, &record) != OK) {
        return ERROR_NOT_FOUND;
    }
    key = key_of(name);
    if (table_get(txn, TABLE_PIPELINES, table_key_view(&key), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    read_change(value, out);
    return digest_equal(&out->base, &record.revision) && now_ms < out->until_ms ? OK
                                                                                : ERROR_NOT_FOUND;
}

unsigned policy_change_count(const struct policy_change *change, const struct people_rule *rule)
{
    unsigned n = 0;
    size_t i;

    for (i = 0; i < change->n_people; i++) {
        n += people_have(rule, change->people[i]);
    }
    return n;
}

void policy_change_save(struct catalog_txn *txn, struct bytes name,
                        const struct policy_change *change)
{
    struct table_key key = key_of(name);
    struct buffer value;
    size_t i;

    buffer_init(&value, DOCUMENT_MAX + (size_t)CHANGE_PEOPLE_MAX * (ACTOR_MAX + 8) + 1024);
    pack_array(&value, CHANGE_FIELDS);
    pack_digest(&value, &change->revision);
    pack_digest(&value, &change->base);
    pack_string(&value, change->document);
    pack_string(&value, change->author);
    pack_uint(&value, change->time_ms);
    pack_uint(&value, change->until_ms);
    pack_array(&value, change->n_people);
    for (i = 0; i < change->n_people; i++) {
        pack_string(&value, change->people[i]);
    }
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_PIPELINES, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

void policy_change_drop(struct catalog_txn *txn, struct bytes name)
{
    struct table_key key = key_of(name);

    (void)table_delete(txn, TABLE_PIPELINES, table_key_view(&key));
}

enum error policy_changes_parse(const json_t *object, const json_t *groups, struct pipeline *out,
                                struct reason *why)
{
    static const char *const allowed[] = {"group", "users", "min", "expire", NULL};
    enum error error;

    if (object == NULL) {
        return OK;
    }
    out->changes_ms = EXPIRE_DEFAULT_MS;
    error = document_check_members(object, "changes", allowed, NULL, why);
    if (error == OK) {
        error = people_parse(object, "changes", groups, &out->changes, why);
    }
    if (error == OK && out->changes.users == NULL) {
        error = fail(why, ERROR_INVALID,
                     "changes: say who has to agree: a group, or a list of users, and how many of "
                     "them (min)");
    }
    if (error == OK) {
        error = document_duration(object, "changes", "expire", &out->changes_ms, why);
        error = error == ERROR_NOT_FOUND ? OK : error;
    }
    if (error == OK && out->changes_ms == 0) {
        error = fail(why, ERROR_INVALID, "changes: expire must be more than nothing");
    }
    return error;
}

enum error policy_result_read(struct bytes body, struct policy_result *out)
{
    struct unpacker in;

    unpack_start(&in, body);
    unpack_array_of(&in, 4);
    out->number = unpack_uint(&in);
    unpack_digest(&in, &out->revision);
    out->given = unpack_uint(&in);
    out->wanted = unpack_uint(&in);
    return unpack_end(&in);
}

void command_pipeline_decide(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes name, const struct digest *revision, bool is_approval)
{
    command_begin(out, COMMAND_PIPELINE_DECIDE, id, actor);
    pack_array(out, 3);
    pack_string(out, name);
    pack_digest(out, revision);
    pack_bool(out, is_approval);
}
