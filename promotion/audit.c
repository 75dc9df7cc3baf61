#include "promotion/audit.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/pack.h"

#define AUDIT_FIELDS     9
#define AUDIT_RECORD_MAX (AUDIT_DETAILS_MAX + 4096)

static struct table_key audit_key(uint64_t number)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add_uint(&key, number);
    return key;
}

static struct digest digest_of_record(struct catalog_txn *txn, uint64_t number)
{
    struct digest digest = {0};
    struct table_key key = audit_key(number);
    struct bytes value;

    if (number > 0) {
        CHECK(table_get(txn, TABLE_AUDIT, table_key_view(&key), &value) == OK);
        digest_of(DIGEST_SHA256, value, &digest);
    }
    return digest;
}

static void pack_details(struct buffer *out, json_t *details_taken)
{
    struct buffer text;

    buffer_init(&text, AUDIT_DETAILS_MAX);
    if (details_taken != NULL) {
        json_write(&text, details_taken);
        json_decref(details_taken);
    }
    if (buffer_status(&text) != OK) {
        buffer_clear(&text);
        buffer_append_string(&text, "{\"truncated\":true}");
    }
    pack_string(out, text.size > 0 ? buffer_view(&text) : BYTES_LITERAL("{}"));
    buffer_release(&text);
}

void audit_append(const struct command_context *context, const char *kind, struct bytes pipeline,
                  struct bytes subject, json_t *details)
{
    uint64_t number = table_count(context->txn, TABLE_AUDIT) + 1;
    struct digest previous = digest_of_record(context->txn, number - 1);
    struct table_key key = audit_key(number);
    struct buffer record;

    buffer_init(&record, AUDIT_RECORD_MAX);
    pack_array(&record, AUDIT_FIELDS);
    pack_uint(&record, number);
    pack_uint(&record, context->time_ms);
    pack_uint(&record, context->index);
    pack_string(&record, context->actor);
    pack_text(&record, kind);
    pack_string(&record, pipeline);
    pack_string(&record, subject);
    pack_details(&record, details);
    pack_digest(&record, &previous);
    CHECK(buffer_status(&record) == OK);
    table_put(context->txn, TABLE_AUDIT, table_key_view(&key), buffer_view(&record));
    buffer_release(&record);
}

struct audit_listing {
    audit_visit visit;
    void *data;
};

static bool visit_record(void *data, struct bytes key, struct bytes value)
{
    struct audit_listing *listing = data;
    struct audit_record record;
    struct unpacker in;

    (void)key;
    unpack_start(&in, value);
    unpack_array_of(&in, AUDIT_FIELDS);
    record.number = unpack_uint(&in);
    record.time_ms = unpack_uint(&in);
    record.index = unpack_uint(&in);
    record.actor = unpack_string(&in, AUDIT_RECORD_MAX);
    record.kind = unpack_string(&in, AUDIT_RECORD_MAX);
    record.pipeline = unpack_string(&in, AUDIT_RECORD_MAX);
    record.subject = unpack_string(&in, AUDIT_RECORD_MAX);
    record.details = unpack_string(&in, AUDIT_DETAILS_MAX);
    unpack_digest(&in, &record.previous);
    CHECK(unpack_end(&in) == OK);
    return listing->visit(listing->data, &record);
}

void audit_list(struct catalog_txn *txn, uint64_t after, audit_visit visit, void *data)
{
    struct audit_listing listing = {visit, data};
    struct table_key from = audit_key(after + 1);

    if (after < UINT64_MAX) {
        table_scan(txn, TABLE_AUDIT, table_key_view(&from), visit_record, &listing);
    }
}
