#include "promotion/drill.h"

#include "base/assert.h"
#include "base/json.h"
#include "promotion/apply.h"
#include "promotion/audit.h"

/* TABLE_DRILLS: "k" -> the signing key, "r" id -> a record. */

#define RECORD_FIELDS 8

/* --- records ---------------------------------------------------------------------------------- */

static void record_key(struct bytes id, struct table_key *key)
{
    table_key_init(key);
    table_key_add(key, BYTES_LITERAL("r"));
    table_key_add(key, id);
}

static void write_record(const struct drill_record *record, struct buffer *out)
{
    pack_array(out, RECORD_FIELDS);
    pack_string(out, record->actor);
    pack_uint(out, record->time_ms);
    pack_uint(out, record->index);
    pack_bool(out, record->is_passed);
    pack_array(out, record->n_facts);
    for (size_t i = 0; i < record->n_facts; i++) {
        pack_array(out, 3);
        pack_string(out, record->facts[i].kind);
        pack_uint(out, record->facts[i].write_gap_ms);
        pack_uint(out, record->facts[i].read_gap_ms);
    }
    pack_string(out, record->document);
    pack_bin(out, record->signature);
    pack_nil(out);
}

static void read_record(struct bytes id, struct bytes value, struct drill_record *out)
{
    struct unpacker in;
    bool is_whole;

    *out = (struct drill_record){.id = id};
    unpack_start(&in, value);
    unpack_array_of(&in, RECORD_FIELDS);
    out->actor = unpack_string(&in, ACTOR_MAX);
    out->time_ms = unpack_uint(&in);
    out->index = unpack_uint(&in);
    out->is_passed = unpack_bool(&in);
    out->n_facts = unpack_array(&in);
    CHECK(out->n_facts <= DRILL_KINDS_MAX);
    for (size_t i = 0; i < out->n_facts; i++) {
        unpack_array_of(&in, 3);
        out->facts[i].kind = unpack_string(&in, DRILL_KIND_MAX);
        out->facts[i].write_gap_ms = unpack_uint(&in);
        out->facts[i].read_gap_ms = unpack_uint(&in);
    }
    out->document = unpack_string(&in, DRILL_DOCUMENT_MAX);
    out->signature = unpack_bin(&in, SIGNATURE_SIZE);
    is_whole = unpack_nil(&in) && unpack_end(&in) == OK;
    CHECK(is_whole);
}

enum error drill_find(struct catalog_txn *txn, struct bytes id, struct drill_record *out)
{
    struct table_key key;
    struct bytes value;
    enum error error;

    if (id.size != PROMOTION_ID_SIZE) {
        return ERROR_NOT_FOUND;
    }
    record_key(id, &key);
    error = table_get(txn, TABLE_DRILLS, table_key_view(&key), &value);
    if (error == OK) {
        read_record(id, value, out);
    }
    return error;
}

struct listing {
    drill_visit visit;
    void *data;
};

static bool visit_record(void *data, struct bytes key, struct bytes value)
{
    struct listing *listing = data;
    struct drill_record record;

    if (!bytes_starts_with(key, bytes_of("r", 2))) {
        return false;
    }
    read_record(bytes_slice(key, 2, key.size), value, &record);
    return listing->visit(listing->data, &record);
}

void drill_list(struct catalog_txn *txn, drill_visit visit, void *data)
{
    struct listing listing = {visit, data};

    table_scan(txn, TABLE_DRILLS, bytes_of("r", 2), visit_record, &listing);
}

/* --- documents -------------------------------------------------------------------------------- */

static enum error add_step(const json_t *step, struct drill_record *out, struct reason *why)
{
    const char *kind = json_member_string(step, "kind");
    int64_t write_gap = json_member_int(step, "write_gap_ms", -1);
    int64_t read_gap = json_member_int(step, "read_gap_ms", -1);
    struct drill_fact *fact;
    size_t i = 0;

    if (kind == NULL || kind[0] == '\0' || strlen(kind) > DRILL_KIND_MAX || write_gap < 0 ||
        read_gap < 0) {
        return fail(why, ERROR_INVALID,
                    "each of \"steps\" needs \"kind\", \"write_gap_ms\" and \"read_gap_ms\"");
    }
    while (i < out->n_facts && !bytes_equal_string(out->facts[i].kind, kind)) {
        i++;
    }
    if (i == DRILL_KINDS_MAX) {
        return fail(why, ERROR_INVALID, "a drill has at most %d kinds", DRILL_KINDS_MAX);
    }
    fact = &out->facts[i];
    if (i == out->n_facts) {
        out->n_facts++;
        *fact = (struct drill_fact){.kind = bytes_of_string(kind)};
    }
    fact->write_gap_ms = (uint64_t)write_gap > fact->write_gap_ms ? (uint64_t)write_gap
                                                                  : fact->write_gap_ms;
    fact->read_gap_ms = (uint64_t)read_gap > fact->read_gap_ms ? (uint64_t)read_gap
                                                               : fact->read_gap_ms;
    return OK;
}

enum error drill_facts_read(const json_t *document, struct drill_record *out, struct reason *why)
{
    static const char *const counts[] = {"lost", "stale", "not_linearizable"};
    const json_t *steps = json_object_get(document, "steps"), *step;
    const json_t *passed = json_object_get(document, "passed");
    enum error error = OK;
    size_t i;

    if (!json_is_boolean(passed) || json_array_size(steps) == 0) {
        return fail(why, ERROR_INVALID,
                    "a drill's result needs \"passed\" and \"steps\", as `caisson drill` makes it");
    }
    out->is_passed = json_is_true(passed);
    out->n_facts = 0;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int64_t count = json_member_int(document, counts[i], -1);

        if (count < 0) {
            return fail(why, ERROR_INVALID, "a drill's result needs the number \"%s\"", counts[i]);
        }
        out->is_passed = out->is_passed && count == 0;
    }
    json_array_foreach(steps, i, step)
    {
        error = error == OK ? add_step(step, out, why) : error;
    }
    return error;
}

/* --- drill.result: [id, document, signature] ---------------------------------------------------
 */

void command_drill_result(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes drill, struct bytes document, struct bytes signature)
{
    command_begin(out, COMMAND_DRILL_RESULT, id, actor);
    pack_array(out, 3);
    pack_string(out, drill);
    pack_string(out, document);
    pack_bin(out, signature);
}

struct oldest {
    char id[PROMOTION_ID_SIZE];
    size_t n;
};

static bool visit_oldest(void *data, const struct drill_record *record)
{
    struct oldest *oldest = data;

    if (oldest->n++ == 0) {
        memcpy(oldest->id, record->id.data, sizeof oldest->id);
    }
    return true;
}

static void forget_oldest(struct catalog_txn *txn)
{
    struct oldest oldest = {.n = 0};
    struct table_key key;
    enum error error;

    drill_list(txn, visit_oldest, &oldest);
    if (oldest.n > DRILLS_KEPT) {
        record_key(bytes_of(oldest.id, sizeof oldest.id), &key);
        error = table_delete(txn, TABLE_DRILLS, table_key_view(&key));
        CHECK(error == OK);
    }
}

static void keep_record(const struct command_context *context, const struct drill_record *record)
{
    struct table_key key;
    struct buffer value;

    record_key(record->id, &key);
    buffer_init(&value, 2 * DRILL_DOCUMENT_MAX);
    write_record(record, &value);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_DRILLS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
    forget_oldest(context->txn);
    audit_append(context, "drill.recorded", BYTES_NONE, record->id,
                 json_pack("{s:b}", "passed", (int)record->is_passed));
}

static enum error check_signature(struct catalog_txn *txn, const struct drill_record *record,
                                  struct reason *why)
{
    struct signing_key key;

    if (signing_key_find(txn, &key) != OK ||
        !signature_is_valid(key.public_key, record->document, record->signature)) {
        return fail(why, ERROR_DENIED, "the drill's result is not signed with the cluster's key");
    }
    return OK;
}

void apply_drill_result(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct drill_record record = {
        .time_ms = context->time_ms, .index = context->index, .actor = context->actor};
    struct drill_record old;
    struct reason why = {""};
    json_t *document = NULL;
    enum error error;

    unpack_array_of(body, 3);
    record.id = unpack_string(body, PROMOTION_ID_SIZE);
    record.document = unpack_string(body, DRILL_DOCUMENT_MAX);
    record.signature = unpack_bin(body, SIGNATURE_SIZE);
    if (unpack_end(body) != OK || record.id.size != PROMOTION_ID_SIZE) {
        (void)outcome_fail(outcome, ERROR_INVALID, "drill.result does not decode");
        return;
    }
    error = json_parse(record.document, DRILL_DOCUMENT_MAX, &document, &why);
    if (error == OK) {
        error = drill_facts_read(document, &record, &why);
    }
    if (error == OK) {
        error = check_signature(context->txn, &record, &why);
    }
    if (error == OK && drill_find(context->txn, record.id, &old) == OK) {
        error = fail(&why, ERROR_EXISTS, "a drill with this id is kept already");
    }
    if (error == OK) {
        keep_record(context, &record);
    } else {
        (void)outcome_fail(outcome, error, "%s", why.text);
    }
    json_decref(document);
}

/* --- signing-key.put: [private, public] --------------------------------------------------------
 */

enum error signing_key_find(struct catalog_txn *txn, struct signing_key *out)
{
    struct unpacker in;
    struct bytes value;
    enum error error = table_get(txn, TABLE_DRILLS, BYTES_LITERAL("k"), &value);

    if (error == OK) {
        unpack_start(&in, value);
        unpack_array_of(&in, 2);
        out->private_key = unpack_bin(&in, SIGNATURE_KEY_SIZE);
        out->public_key = unpack_bin(&in, SIGNATURE_KEY_SIZE);
        error = unpack_end(&in);
        CHECK(error == OK);
    }
    return error;
}

void command_signing_key_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes private_key, struct bytes public_key)
{
    command_begin(out, COMMAND_SIGNING_KEY_PUT, id, actor);
    pack_array(out, 2);
    pack_bin(out, private_key);
    pack_bin(out, public_key);
}

void apply_signing_key_put(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome)
{
    struct signing_key key, old;
    struct buffer value;

    unpack_array_of(body, 2);
    key.private_key = unpack_bin(body, SIGNATURE_KEY_SIZE);
    key.public_key = unpack_bin(body, SIGNATURE_KEY_SIZE);
    if (unpack_end(body) != OK || key.private_key.size != SIGNATURE_KEY_SIZE ||
        key.public_key.size != SIGNATURE_KEY_SIZE) {
        (void)outcome_fail(outcome, ERROR_INVALID, "signing-key.put does not decode");
        return;
    }
    if (signing_key_find(context->txn, &old) == OK) {
        return; /* Two nodes made one at a time: the first stays. */
    }
    buffer_init(&value, 128);
    pack_array(&value, 2);
    pack_bin(&value, key.private_key);
    pack_bin(&value, key.public_key);
    table_put(context->txn, TABLE_DRILLS, BYTES_LITERAL("k"), buffer_view(&value));
    buffer_release(&value);
}
