/* Drills: what `caisson drill` measured, kept by the cluster. The node that takes a result puts
 * itself in the way: it adds who sent it, signs the whole with the cluster's key and proposes it.
 * The first result of a cluster has that key made. */
#include "node/routes_drill.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/node.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/commands.h"
#include "promotion/drill.h"

#include <stdio.h>
#include <stdlib.h>

/* --- reading ---------------------------------------------------------------------------------- */

static void hex_of(struct bytes bytes, char text[2 * SIGNATURE_SIZE + 1])
{
    for (size_t i = 0; i < bytes.size && i < SIGNATURE_SIZE; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
    }
    text[2 * bytes.size] = '\0';
}

/* What the cluster adds to a report. */
static json_t *record_json(struct catalog_txn *txn, const struct drill_record *record)
{
    char time[CLOCK_TEXT_MAX], key_text[2 * SIGNATURE_SIZE + 1] = "";
    struct signing_key key = {BYTES_NONE, BYTES_NONE};
    bool is_valid = signing_key_find(txn, &key) == OK &&
                    signature_is_valid(key.public_key, record->document, record->signature);

    hex_of(key.public_key, key_text);
    clock_format(record->time_ms, time);
    return json_pack("{s:o, s:s, s:I, s:o, s:b, s:s, s:s}", "id", view_text(record->id), "recorded",
                     time, "index", (json_int_t)record->index, "actor", view_text(record->actor),
                     "passed", (int)record->is_passed, "signature", is_valid ? "valid" : "invalid",
                     "key", key_text);
}

static json_t *report_of(const struct drill_record *record)
{
    json_t *report = NULL;

    return json_parse(record->document, DRILL_DOCUMENT_MAX, &report, NULL) == OK ? report : NULL;
}

struct listing {
    struct catalog_txn *txn;
    json_t *drills;
};

static bool visit_drill(void *data, const struct drill_record *record)
{
    static const char *const keys[] = {"kinds", "started",         "duration_ms", "write_gap_ms",
                                       "lost",  "read_gap_ms",     "errors",      "stale",
                                       "nodes", "not_linearizable"};
    struct listing *listing = data;
    json_t *object = record_json(listing->txn, record), *report = report_of(record);

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_object_set(object, keys[i], json_object_get(report, keys[i]));
    }
    json_decref(report);
    json_array_insert_new(listing->drills, 0, object);
    return true;
}

static void answer_list(struct exchange *exchange)
{
    struct catalog_txn txn;
    struct listing listing = {&txn, json_array()};

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    drill_list(&txn, visit_drill, &listing);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "drills", listing.drills));
}

static void get_drills(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_list);
}

static bool keep_last(void *data, const struct drill_record *record)
{
    *(struct drill_record *)data = *record;
    return true;
}

static void answer_drill(struct exchange *exchange)
{
    struct bytes id = exchange_parameter(exchange, "id");
    struct drill_record record = {.index = 0};
    char signed_text[2 * SIGNATURE_SIZE + 1];
    struct catalog_txn txn;
    json_t *object = NULL;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (bytes_equal_string(id, "latest")) {
        drill_list(&txn, keep_last, &record);
    } else if (drill_find(&txn, id, &record) != OK) {
        record.index = 0;
    }
    if (record.index > 0) {
        hex_of(record.signature, signed_text);
        object = record_json(&txn, &record);
        json_object_set_new(object, "signed", json_string(signed_text));
        json_object_set_new(object, "document", view_text(record.document));
        json_object_set_new(object, "report", report_of(&record));
    }
    catalog_done(&txn);
    if (object != NULL) {
        exchange_answer_json(exchange, 200, object);
    } else {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL,
                         "there is no such drill; `caisson drill list` shows those that are kept");
    }
}

static void get_drill(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_drill);
}

/* --- recording -------------------------------------------------------------------------------- */

struct recording {
    struct exchange *exchange;
    struct control_propose propose;
    char id[PROMOTION_ID_SIZE + 1];
    struct buffer document;
    bool is_key; /* What is proposed now is the key. */
};

static void recording_free(void *data)
{
    struct recording *recording = data;

    buffer_release(&recording->document);
    free(recording);
}

static void propose_next(struct recording *recording);

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct recording *recording = request->data;
    struct exchange *exchange = recording->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else if (recording->is_key) {
        propose_next(recording);
    } else {
        exchange_set_header(exchange, "Location", "/api/v1/drills/%s", recording->id);
        exchange_answer_json(exchange, 201, json_pack("{s:s}", "id", recording->id));
    }
    exchange_release(exchange);
}

/* The key first, if there is none; then the result, signed with it. */
static void propose_next(struct recording *recording)
{
    struct worker *worker = exchange_worker(recording->exchange);
    struct bytes actor = exchange_actor(recording->exchange);
    uint8_t private_key[SIGNATURE_KEY_SIZE], public_key[SIGNATURE_KEY_SIZE];
    uint8_t signature[SIGNATURE_SIZE];
    struct command_id id;
    struct signing_key key;
    struct catalog_txn txn;

    command_id_make(&id);
    recording->propose.data = recording;
    buffer_init(&recording->propose.bytes, COMMAND_SIZE_MAX);
    catalog_read(worker->catalog, &txn);
    recording->is_key = signing_key_find(&txn, &key) != OK;
    if (recording->is_key) {
        signature_make_key(private_key, public_key);
        command_signing_key_put(&recording->propose.bytes, &id, actor,
                                bytes_of(private_key, sizeof private_key),
                                bytes_of(public_key, sizeof public_key));
    } else {
        CHECK(key.private_key.size == sizeof private_key);
        memcpy(private_key, key.private_key.data, sizeof private_key);
        signature_sign(private_key, buffer_view(&recording->document), signature);
        command_drill_result(&recording->propose.bytes, &id, actor, bytes_of_string(recording->id),
                             buffer_view(&recording->document),
                             bytes_of(signature, sizeof signature));
    }
    catalog_done(&txn);
    memory_wipe(private_key, sizeof private_key);
    exchange_hold(recording->exchange);
    control_propose(worker, &recording->propose, proposed_cb);
}

/* The report as it came, with what the sender has no say in. */
static enum error complete(struct recording *recording, json_t *report, struct reason *why)
{
    struct exchange *exchange = recording->exchange;
    struct drill_record facts = {.index = 0};
    enum error error = json_is_object(report)
                           ? drill_facts_read(report, &facts, why)
                           : fail(why, ERROR_INVALID, "the body is a drill's report, as JSON");

    if (error != OK) {
        return error;
    }
    json_object_set_new(report, "id", json_string(recording->id));
    json_object_set_new(report, "recorded_by", view_text(exchange_actor(exchange)));
    json_object_set_new(report, "cluster",
                        json_string(node_cluster(exchange_worker(exchange)->node)));
    json_write(&recording->document, report);
    return buffer_status(&recording->document) == OK
               ? OK
               : fail(why, ERROR_TOO_LARGE, "a drill's report has at most %u bytes",
                      DRILL_DOCUMENT_MAX);
}

static void body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct recording *recording = memory_zero(sizeof *recording);
    struct reason why = {""};
    json_t *report = NULL;
    enum error error;

    recording->exchange = exchange;
    buffer_init(&recording->document, DRILL_DOCUMENT_MAX);
    exchange_set_data(exchange, recording, recording_free);
    promotion_id_make(clock_wall_ms(), recording->id);
    error = json_parse(bytes, API_BODY_MAX, &report, &why);
    if (error == OK) {
        error = complete(recording, report, &why);
    }
    json_decref(report);
    if (error != OK) {
        exchange_fail(exchange, error, &why);
    } else {
        propose_next(recording);
    }
}

static void post_drill(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, body_cb);
}

const struct route routes_drill[] = {
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/drills", ACCESS_LOGIN, get_drills},
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/drills/{id}", ACCESS_LOGIN, get_drill},
    {HTTP_POST_, "/api/v1/drills", ACCESS_ADMIN, post_drill},
    {0},
};
