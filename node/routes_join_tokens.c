#include "node/routes_admin.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/consistency.h"
#include "node/control.h"
#include "node/join_token.h"
#include "node/worker.h"

#include <stdlib.h>

/* Invitations. The secret is made here and shown once; the log carries its SHA-256. */

#define TTL_DEFAULT_MS (24ll * 3600 * 1000)
#define TTL_MAX_MS     (3650LL * 24 * 3600 * 1000)

struct invitation {
    struct exchange *exchange;
    struct control_propose propose;
    struct join_token token;
    uint64_t expires_ms;
};

static void invitation_free(void *data)
{
    memory_wipe(data, sizeof(struct invitation));
    free(data);
}

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct invitation *invitation = request->data;
    struct exchange *exchange = invitation->exchange;
    char text[JOIN_TOKEN_MAX], expires[CLOCK_TEXT_MAX];

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else {
        join_token_format(&invitation->token, text);
        clock_format(invitation->expires_ms, expires);
        exchange_set_index(exchange, result->index);
        exchange_set_header(exchange, "Cache-Control", "no-store");
        exchange_answer_json(exchange, 201,
                             json_pack("{s:s, s:s}", "token", text, "expires", expires));
        memory_wipe(text, sizeof text);
    }
    exchange_release(exchange);
}

static enum error fill_token(struct worker *worker, struct join_token *token, struct reason *why)
{
    struct cluster_record cluster;
    struct catalog_txn txn;
    enum error error;

    random_hex(token->secret, 16);
    catalog_read(worker->catalog, &txn);
    error = catalog_cluster(&txn, &cluster);
    if (error == OK) {
        CHECK(cluster.id.size == 32);
        memcpy(token->cluster, cluster.id.data, 32);
        error = tls_certificate_sha256(cluster.ca_certificate, token->ca_sha256, why);
    } else {
        error = fail(why, ERROR_UNAVAILABLE, "this node does not know its cluster yet; try again");
    }
    catalog_done(&txn);
    return error;
}

static void propose_token(struct invitation *invitation, uint64_t uses)
{
    struct command_id id;
    uint8_t hash[32];

    join_token_hash(invitation->token.secret, hash);
    command_id_make(&id);
    invitation->propose.data = invitation;
    buffer_init(&invitation->propose.bytes, COMMAND_SIZE_MAX);
    command_join_token_put(&invitation->propose.bytes, &id, exchange_actor(invitation->exchange),
                           bytes_of(hash, sizeof hash), invitation->expires_ms, uses);
    exchange_hold(invitation->exchange);
    control_propose(exchange_worker(invitation->exchange), &invitation->propose, proposed_cb);
}

static void body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct invitation *invitation = memory_zero(sizeof *invitation);
    struct reason why = {""};
    json_t *body = NULL;
    int64_t ttl_ms, uses;
    enum error error = OK;

    invitation->exchange = exchange;
    exchange_set_data(exchange, invitation, invitation_free);
    if (bytes.size > 0) {
        error = json_parse(bytes, API_BODY_MAX, &body, &why);
    }
    ttl_ms = json_member_int(body, "ttl_ms", TTL_DEFAULT_MS);
    uses = json_member_int(body, "uses", 1);
    json_decref(body);
    if (error == OK && (ttl_ms < 1000 || ttl_ms > TTL_MAX_MS || uses < 1 || uses > UINT32_MAX)) {
        error = fail(&why, ERROR_INVALID, "ttl_ms is from 1000 to %lld, uses from 1 to %u",
                     TTL_MAX_MS, UINT32_MAX);
    }
    if (error == OK) {
        error = fill_token(exchange_worker(exchange), &invitation->token, &why);
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    invitation->expires_ms = clock_wall_ms() + (uint64_t)ttl_ms;
    propose_token(invitation, (uint64_t)uses);
}

static void post_join_token(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, body_cb);
}

const struct route routes_join_tokens[] = {
    {HTTP_POST_, "/api/v1/join-tokens", ACCESS_ADMIN, post_join_token},
    {0},
};
