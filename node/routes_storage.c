#include "node/routes_storage.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "node/peers.h"
#include "node/replicate.h"
#include "node/scrub.h"
#include "node/worker.h"

#include <inttypes.h>

/* --- scrub ----------------------------------------------------------------------------------- */

static json_t *json_time(uint64_t wall_ms)
{
    char text[CLOCK_TEXT_MAX];

    if (wall_ms == 0) {
        return json_null();
    }
    clock_format(wall_ms, text);
    return json_string(text);
}

static json_t *json_number(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static json_t *pass_json(const struct scrub_pass *pass)
{
    if (pass->started_ms == 0) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "started", json_time(pass->started_ms),
                     "finished", json_time(pass->finished_ms), "blobs", json_number(pass->blobs),
                     "bytes", json_number(pass->bytes), "damaged", json_number(pass->bad),
                     "missing", json_number(pass->missing));
}

static json_t *findings_json(const struct scrub_status *status)
{
    json_t *findings = json_array();

    for (unsigned i = 0; i < status->n_findings; i++) {
        char text[DIGEST_TEXT_MAX];

        digest_format(&status->findings[i].digest, text);
        json_array_append_new(findings,
                              json_pack("{s:s, s:s, s:o}", "digest", text, "what",
                                        status->findings[i].is_missing ? "missing" : "damaged",
                                        "time", json_time(status->findings[i].at_ms)));
    }
    return findings;
}

static json_t *scrub_json(struct worker *worker)
{
    struct scrub_status status;
    struct lack_count count;
    struct catalog_txn txn;
    unsigned copies;

    scrub_status(worker->scrub, &status);
    copies = replication_now(worker, BYTES_NONE).copies;
    catalog_read(worker->catalog, &txn);
    catalog_count_lacking(&txn, peers_self(worker->peers), copies, &count);
    catalog_done(&txn);
    return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "node",
                     json_sprintf("%016" PRIx64, peers_self(worker->peers)), "running",
                     (int)status.is_running, "bytes_per_second",
                     json_number(status.bytes_per_second), "held_blobs",
                     json_number(count.held_blobs), "held_bytes", json_number(count.held_bytes),
                     "pass", pass_json(&status.pass), "last", pass_json(&status.last), "findings",
                     findings_json(&status));
}

static void get_scrub(struct exchange *exchange)
{
    exchange_answer_json(exchange, 200, scrub_json(exchange_worker(exchange)));
}

static void scrub_body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct worker *worker = exchange_worker(exchange);
    struct reason why = {""};
    json_t *body = NULL;
    enum error error = OK;
    int64_t rate;

    if (bytes.size > 0) {
        error = json_parse(bytes, API_BODY_MAX, &body, &why);
    }
    rate = json_member_int(body, "bytes_per_second", 0);
    json_decref(body);
    if (error == OK && rate < 0) {
        error = fail(&why, ERROR_INVALID, "bytes_per_second is 0 (no bound) or more");
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    scrub_start(worker->scrub, (uint64_t)rate);
    exchange_answer_json(exchange, 202, scrub_json(worker));
}

static void post_scrub(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, scrub_body_cb);
}

/* --- one blob -------------------------------------------------------------------------------- */

#define USES_MAX   100   /* Told. */
#define LOOKED_MAX 10000 /* Repositories looked at. */

struct uses {
    struct catalog_txn *txn;
    const struct digest *digest;
    json_t *list;
    unsigned n, looked;
};

static bool use_visit(void *data, struct bytes name)
{
    struct uses *uses = data;
    struct manifest_record manifest;
    bool is_manifest = catalog_manifest(uses->txn, name, uses->digest, &manifest) == OK;

    if (is_manifest || catalog_link(uses->txn, name, uses->digest) == OK) {
        uses->n++;
        json_array_append_new(uses->list,
                              json_pack("{s:o, s:s}", "repository",
                                        json_stringn((const char *)name.data, name.size), "as",
                                        is_manifest ? "manifest" : "blob"));
    }
    return uses->n < USES_MAX && ++uses->looked < LOOKED_MAX;
}

struct holding {
    struct worker *worker;
    const struct blob_record *record;
    json_t *holders, *missing;
};

static bool holding_visit(void *data, const struct member_record *member)
{
    struct holding *holding = data;
    bool is_holder = false;

    for (size_t i = 0; i < holding->record->n_holders; i++) {
        is_holder |= holding->record->holders[i] == member->id;
    }
    json_array_append_new(
        is_holder ? holding->holders : holding->missing,
        json_pack("{s:o, s:o}", "id", json_sprintf("%016" PRIx64, member->id), "name",
                  json_stringn((const char *)member->name.data, member->name.size)));
    return true;
}

static const char *blob_state(size_t holders, size_t copies)
{
    return holders == 0 ? "lost" : holders < copies ? "under-replicated" : "replicated";
}

static json_t *blob_json(struct worker *worker, struct catalog_txn *txn,
                         const struct digest *digest, const struct blob_record *record)
{
    struct holding holding = {worker, record, json_array(), json_array()};
    struct uses uses = {.txn = txn, .digest = digest, .list = json_array()};
    char text[DIGEST_TEXT_MAX];
    size_t holders;

    digest_format(digest, text);
    catalog_members(txn, holding_visit, &holding);
    catalog_repositories(txn, BYTES_NONE, use_visit, &uses);
    holders = json_array_size(holding.holders);
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:b}", "digest", text, "size",
                     json_number(record->size), "generation", json_number(record->generation),
                     "created", json_time(record->created_ms), "state",
                     blob_state(holders, replication_now(worker, BYTES_NONE).copies), "holders",
                     holding.holders, "missing", holding.missing, "used_by", uses.list,
                     "used_by_is_complete", (int)(uses.n < USES_MAX && uses.looked < LOOKED_MAX));
}

static void get_blob(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct blob_record record;
    struct catalog_txn txn;
    struct digest digest;
    json_t *body = NULL;

    if (digest_parse(exchange_parameter(exchange, "digest"), &digest) != OK) {
        exchange_fail(exchange, ERROR_INVALID, &(struct reason){"not a digest"});
        return;
    }
    catalog_read(worker->catalog, &txn);
    if (catalog_blob(&txn, &digest, &record) == OK) {
        body = blob_json(worker, &txn, &digest, &record);
    }
    catalog_done(&txn);
    if (body == NULL) {
        exchange_fail(exchange, ERROR_BLOB_UNKNOWN,
                      &(struct reason){"the registry has no such content"});
        return;
    }
    exchange_answer_json(exchange, 200, body);
}

const struct route routes_storage[] = {
    ROUTE(HTTP_GET_, "/api/v1/scrub", ACCESS_ADMIN, get_scrub),
    ROUTE(HTTP_POST_, "/api/v1/scrub", ACCESS_ADMIN, post_scrub),
    ROUTE(HTTP_GET_, "/api/v1/blobs/{digest}", ACCESS_ADMIN, get_blob),
    {0},
};
