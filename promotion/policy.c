#include "promotion/policy.h"

#include "base/assert.h"
#include "base/pack.h"

/* TABLE_PIPELINES: "p" name -> the record in force, "r" name number -> each record. */

#define POLICY_FIELDS       6
#define POLICY_DOCUMENT_MAX ((size_t)PIPELINE_SIZE_MAX * 6)

static void read_record(struct bytes value, struct policy_record *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, POLICY_FIELDS);
    out->number = unpack_uint(&in);
    unpack_digest(&in, &out->revision);
    out->document = unpack_string(&in, POLICY_DOCUMENT_MAX);
    out->time_ms = unpack_uint(&in);
    out->index = unpack_uint(&in);
    out->actor = unpack_string(&in, ACTOR_MAX);
    CHECK(unpack_end(&in) == OK);
}

static enum error find(struct catalog_txn *txn, const struct table_key *key,
                       struct policy_record *out)
{
    struct bytes value;
    enum error error = table_get(txn, TABLE_PIPELINES, table_key_view(key), &value);

    if (error == OK) {
        read_record(value, out);
    }
    return error;
}

enum error policy_find(struct catalog_txn *txn, struct bytes name, struct policy_record *out)
{
    struct table_key key;

    if (!pipeline_name_is_valid(name)) {
        return ERROR_NOT_FOUND;
    }
    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("p"));
    table_key_add(&key, name);
    return find(txn, &key, out);
}

enum error policy_find_number(struct catalog_txn *txn, struct bytes name, uint64_t number,
                              struct policy_record *out)
{
    struct table_key key;

    if (!pipeline_name_is_valid(name)) {
        return ERROR_NOT_FOUND;
    }
    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("r"));
    table_key_add(&key, name);
    table_key_add_uint(&key, number);
    return find(txn, &key, out);
}

enum error policy_load(struct catalog_txn *txn, struct bytes name, struct pipeline **out,
                       struct reason *why)
{
    struct policy_record record;
    enum error error = policy_find(txn, name, &record);

    if (error != OK) {
        return fail(why, error,
                    "there is no pipeline \"%.*s\": see `caisson pipeline list`, or make it with "
                    "`caisson pipeline apply -f FILE`",
                    name.size > 64 ? 64 : (int)name.size, (const char *)name.data);
    }
    return pipeline_parse(record.document, name, out, why);
}

struct policy_listing {
    policy_visit visit;
    void *data;
};

static bool visit_policy(void *data, struct bytes key, struct bytes value)
{
    struct policy_listing *listing = data;
    struct policy_record record;

    if (!bytes_starts_with(key, bytes_of("p", 2))) {
        return false;
    }
    read_record(value, &record);
    return listing->visit(listing->data, bytes_slice(key, 2, key.size), &record);
}

void policy_list(struct catalog_txn *txn, policy_visit visit, void *data)
{
    struct policy_listing listing = {visit, data};

    table_scan(txn, TABLE_PIPELINES, bytes_of("p", 2), visit_policy, &listing);
}

struct overlap {
    const struct pipeline *pipeline;
    enum error error;
    struct reason *why;
};

static void compare_stages(struct overlap *overlap, const struct pipeline *other)
{
    size_t i, k;

    for (i = 0; i < overlap->pipeline->n_stages; i++) {
        for (k = 0; k < other->n_stages; k++) {
            const struct stage *ours = &overlap->pipeline->stages[i], *theirs = &other->stages[k];

            if (repository_pattern_overlap(&ours->repos, &theirs->repos)) {
                overlap->error =
                    fail(overlap->why, ERROR_INVALID,
                         "stage %s: repos \"%.*s\" overlap \"%.*s\" of pipeline %s: a repository "
                         "belongs to one pipeline",
                         ours->name, BYTES_ARG(ours->repos.text), BYTES_ARG(theirs->repos.text),
                         other->name);
                return;
            }
        }
    }
}

static bool visit_other(void *data, struct bytes name, const struct policy_record *record)
{
    struct overlap *overlap = data;
    struct pipeline *other;

    if (bytes_equal_string(name, overlap->pipeline->name)) {
        return true;
    }
    overlap->error = pipeline_parse(record->document, name, &other, overlap->why);
    if (overlap->error == OK) {
        compare_stages(overlap, other);
        pipeline_release(other);
    }
    return overlap->error == OK;
}

enum error policy_check(struct catalog_txn *txn, const struct pipeline *pipeline,
                        struct reason *why)
{
    struct overlap overlap = {pipeline, OK, why};

    policy_list(txn, visit_other, &overlap);
    return overlap.error;
}

static void set_rules(struct catalog_txn *txn, const struct pipeline *pipeline)
{
    struct bytes patterns[STAGES_MAX], stages[STAGES_MAX];
    enum write_mode modes[STAGES_MAX];
    size_t i;

    for (i = 0; i < pipeline->n_stages; i++) {
        patterns[i] = pipeline->stages[i].repos.text;
        stages[i] = bytes_of_string(pipeline->stages[i].name);
        modes[i] = pipeline->stages[i].is_promotion_only ? WRITE_PROMOTION_ONLY : WRITE_OPEN;
    }
    catalog_set_rules(txn, bytes_of_string(pipeline->name), patterns, stages, modes,
                      pipeline->n_stages);
}

uint64_t policy_save(const struct command_context *context, const struct pipeline *pipeline)
{
    struct bytes name = bytes_of_string(pipeline->name);
    struct policy_record before = {0};
    struct buffer document, record;
    struct table_key key;
    uint64_t number;

    number = policy_find(context->txn, name, &before) == OK ? before.number + 1 : 1;
    buffer_init(&document, POLICY_DOCUMENT_MAX);
    pipeline_write(pipeline, &document);
    buffer_init(&record, POLICY_DOCUMENT_MAX + 1024);
    pack_array(&record, POLICY_FIELDS);
    pack_uint(&record, number);
    pack_digest(&record, &pipeline->revision);
    pack_string(&record, buffer_view(&document));
    pack_uint(&record, context->time_ms);
    pack_uint(&record, context->index);
    pack_string(&record, context->actor);
    CHECK(buffer_status(&record) == OK);
    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("p"));
    table_key_add(&key, name);
    table_put(context->txn, TABLE_PIPELINES, table_key_view(&key), buffer_view(&record));
    table_key_init(&key);
    table_key_add(&key, BYTES_LITERAL("r"));
    table_key_add(&key, name);
    table_key_add_uint(&key, number);
    table_put(context->txn, TABLE_PIPELINES, table_key_view(&key), buffer_view(&record));
    buffer_release(&document);
    buffer_release(&record);
    set_rules(context->txn, pipeline);
    return number;
}
