#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/node.h"
#include "node/routes_history.h"
#include "node/routes_promotion.h"
#include "node/worker.h"
#include "promotion/base64.h"
#include "promotion/drill.h"
#include "promotion/policy.h"

#include <stdlib.h>

/* GET /promotions/{id}/receipt: what a committed promotion did and why it could, as an in-toto
 * statement in a DSSE envelope, signed with the cluster's key (which is made at the first one). The
 * statement is written from the record alone, so that every node signs the same bytes, at any time;
 * Ed25519 signatures of the same bytes are the same. */

#define STATEMENT_TYPE "application/vnd.in-toto+json"
#define PREDICATE_TYPE "urn:caisson:promotion:v1"
#define RECEIPT_MAX    ((size_t)4 << 20)

struct receipting {
    struct exchange *exchange;
    struct control_propose propose;
};

static json_t *subjects_of(const struct promotion *promotion)
{
    json_t *subjects = json_array();
    char text[DIGEST_TEXT_MAX];
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        digest_format(&item->root, text);
        json_array_append_new(
            subjects, json_pack("{s:o, s:{s:s}}", "name", view_text(item->target), "digest",
                                digest_algorithm_name((enum digest_algorithm)item->root.algorithm),
                                strchr(text, ':') + 1));
    }
    return subjects;
}

static json_t *statement_of(const struct node *node, const struct promotion *promotion)
{
    json_t *record = view_promotion(promotion, NULL);

    json_object_set_new(record, "cluster", json_string(node_cluster(node)));
    return json_pack("{s:s, s:o, s:s, s:o}", "_type", "https://in-toto.io/Statement/v1", "subject",
                     subjects_of(promotion), "predicateType", PREDICATE_TYPE, "predicate", record);
}

static void hex_of(struct bytes bytes, char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < bytes.size; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[2 * bytes.size] = '\0';
}

/* The envelope; key: of the cluster. */
static json_t *sign(struct bytes statement, const struct signing_key *key)
{
    uint8_t signature[SIGNATURE_SIZE];
    char key_id[2 * SIGNATURE_KEY_SIZE + 1];
    struct buffer signed_bytes, payload, text;
    json_t *envelope;

    buffer_init(&signed_bytes, RECEIPT_MAX + 128);
    buffer_print(&signed_bytes, "DSSEv1 %zu %s %zu ", strlen(STATEMENT_TYPE), STATEMENT_TYPE,
                 statement.size);
    buffer_append(&signed_bytes, statement);
    signature_sign(key->private_key.data, buffer_view(&signed_bytes), signature);
    buffer_init(&payload, RECEIPT_MAX * 2);
    buffer_init(&text, 256);
    base64_encode(statement, &payload);
    base64_encode(bytes_of(signature, sizeof signature), &text);
    hex_of(key->public_key, key_id);
    envelope = json_pack("{s:s, s:o, s:[{s:s, s:o}]}", "payloadType", STATEMENT_TYPE, "payload",
                         view_text(buffer_view(&payload)), "signatures", "keyid", key_id, "sig",
                         view_text(buffer_view(&text)));
    buffer_release(&signed_bytes);
    buffer_release(&payload);
    buffer_release(&text);
    return envelope;
}

static void answer_envelope(struct exchange *exchange, const struct promotion *promotion,
                            const struct signing_key *key)
{
    json_t *statement = statement_of(exchange_worker(exchange)->node, promotion);
    struct buffer text;

    buffer_init(&text, RECEIPT_MAX);
    json_write(&text, statement);
    if (buffer_status(&text) == OK) {
        exchange_answer_json(exchange, 200, sign(buffer_view(&text), key));
    } else {
        exchange_fail(exchange, ERROR_TOO_LARGE, NULL);
    }
    buffer_release(&text);
    json_decref(statement);
}

static void answer_receipt(struct exchange *exchange);

static void key_cb(struct control_propose *request, enum error status,
                   const struct command_result *result)
{
    struct receipting *receipting = request->data;
    struct exchange *exchange = receipting->exchange;

    if (status != OK || result->error != OK) {
        exchange_fail(exchange, status != OK ? status : result->error,
                      status != OK ? NULL : &result->why);
    } else if (!exchange_is_gone(exchange)) {
        answer_receipt(exchange);
    }
    free(receipting);
    exchange_release(exchange);
}

/* There is a key afterwards, this one or that of who was faster. */
static void make_key(struct exchange *exchange)
{
    struct receipting *receipting = memory_zero(sizeof *receipting);
    uint8_t private_key[SIGNATURE_KEY_SIZE], public_key[SIGNATURE_KEY_SIZE];
    struct command_id id;

    receipting->exchange = exchange;
    receipting->propose.data = receipting;
    signature_make_key(private_key, public_key);
    command_id_make(&id);
    buffer_init(&receipting->propose.bytes, COMMAND_SIZE_MAX);
    command_signing_key_put(&receipting->propose.bytes, &id, exchange_actor(exchange),
                            bytes_of(private_key, sizeof private_key),
                            bytes_of(public_key, sizeof public_key));
    memory_wipe(private_key, sizeof private_key);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &receipting->propose, key_cb);
}

static void answer_receipt(struct exchange *exchange)
{
    struct bytes id = exchange_parameter(exchange, "id");
    struct promotion promotion = {.state = PROMOTION_OPEN};
    struct catalog_txn txn;
    struct signing_key key;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (promotion_load(&txn, id, &promotion) != OK || !promotion_is_visible(exchange, &promotion)) {
        exchange_fail_as(exchange, 404, "NOT_FOUND", NULL, "there is no promotion with this id");
    } else if (promotion.state != PROMOTION_COMMITTED) {
        exchange_fail_as(exchange, 409, "CONFLICT", NULL,
                         "promotion %.*s is %s: only what was committed has a receipt",
                         BYTES_ARG(id), promotion_state_name(promotion.state));
    } else if (signing_key_find(&txn, &key) == OK) {
        answer_envelope(exchange, &promotion, &key);
    } else {
        make_key(exchange);
    }
    promotion_release(&promotion);
    catalog_done(&txn);
}

void receipt_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_receipt);
}
