#include "node/join.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/access.h"
#include "node/config.h"
#include "node/control.h"
#include "node/worker.h"
#include "store/level.h"

#include <stdio.h>
#include <stdlib.h>

/* The member's side of a join. The token is looked at first, in this node's catalog and if need be
 * once more after a read through the log: for a stranger nothing is signed and nothing proposed.
 * Then the certificate is made, since a request that cannot be signed must not use up the token,
 * and sent only after member.put was applied, which spends the token. */

#define CERTIFICATE_MAX (32u * 1024)

struct joining {
    struct exchange *exchange;
    struct control_read read;
    struct control_propose propose;
    json_t *body;
    char name[64], raft_address[80], data_address[80], client_address[80];
    char cluster[33];
    uint8_t token_sha256[32];
    uint64_t member;
    struct buffer certificate, ca;
};

static void joining_free(void *data)
{
    struct joining *joining = data;

    json_decref(joining->body);
    buffer_release(&joining->certificate);
    buffer_release(&joining->ca);
    free(joining);
}

static enum error read_field(const json_t *body, const char *key, const char *rule,
                             struct config *scratch, struct reason *why)
{
    const char *text = json_member_string(body, key);

    if (text == NULL) {
        return fail(why, ERROR_INVALID, "%s is missing", key);
    }
    return config_set(scratch, rule, text, why);
}

/* Names and addresses by the rules of the configuration file. */
static enum error read_identity(struct joining *joining, const json_t *body, struct reason *why)
{
    struct config scratch;
    enum error error;

    config_init(&scratch);
    error = read_field(body, "name", "name", &scratch, why);
    if (error == OK) {
        error = read_field(body, "raft_address", "raft_listen", &scratch, why);
    }
    if (error == OK) {
        error = read_field(body, "data_address", "data_listen", &scratch, why);
    }
    if (error == OK) {
        error = read_field(body, "client_address", "advertise", &scratch, why);
    }
    memcpy(joining->name, scratch.name, sizeof joining->name);
    memcpy(joining->raft_address, scratch.raft_listen, sizeof joining->raft_address);
    memcpy(joining->data_address, scratch.data_listen, sizeof joining->data_address);
    memcpy(joining->client_address, scratch.advertise, sizeof joining->client_address);
    return error;
}

static enum error sign(struct joining *joining, const char *csr, struct reason *why)
{
    struct worker *worker = exchange_worker(joining->exchange);
    struct cluster_record cluster;
    struct catalog_txn txn;
    enum error error;

    catalog_read(worker->catalog, &txn);
    error = catalog_cluster(&txn, &cluster);
    if (error != OK) {
        error = fail(why, ERROR_UNAVAILABLE, "this node does not know its cluster yet; try again");
    } else {
        CHECK(cluster.id.size == 32);
        memcpy(joining->cluster, cluster.id.data, 32);
        buffer_append(&joining->ca, cluster.ca_certificate);
        error = tls_sign_request(cluster.ca_certificate, cluster.ca_key, bytes_of_string(csr),
                                 joining->cluster, joining->member, &joining->certificate, why);
    }
    catalog_done(&txn);
    return error;
}

static void answer(struct joining *joining)
{
    char member[17];

    snprintf(member, sizeof member, "%016llx", (unsigned long long)joining->member);
    LOG_INFO("%s joins as member %s, its log at %s", joining->name, member, joining->raft_address);
    exchange_answer_json(joining->exchange, 201,
                         json_pack("{s:s, s:s, s:s, s:s}", "cluster", joining->cluster, "member",
                                   member, "certificate", buffer_string(&joining->certificate),
                                   "ca", buffer_string(&joining->ca)));
}

static void propose_cb(struct control_propose *request, enum error status,
                       const struct command_result *result)
{
    struct joining *joining = request->data;
    struct exchange *exchange = joining->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        LOG_WARN("a join as %s was refused: %s", joining->name, result->why.text);
        exchange_fail(exchange, result->error, &result->why);
    } else {
        answer(joining);
    }
    exchange_release(exchange);
}

static void propose_member(struct joining *joining)
{
    const struct member_record member = {
        .id = joining->member,
        .name = bytes_of_string(joining->name),
        .raft_address = bytes_of_string(joining->raft_address),
        .data_address = bytes_of_string(joining->data_address),
        .client_address = bytes_of_string(joining->client_address),
    };
    struct command_id id;

    command_id_make(&id);
    joining->propose.data = joining;
    buffer_init(&joining->propose.bytes, COMMAND_SIZE_MAX);
    command_member_put(&joining->propose.bytes, &id, BYTES_LITERAL("join"), &member,
                       bytes_of(joining->token_sha256, sizeof joining->token_sha256));
    exchange_hold(joining->exchange);
    control_propose(exchange_worker(joining->exchange), &joining->propose, propose_cb);
}

static enum error read_request(struct joining *joining, struct reason *why)
{
    const char *secret = json_member_string(joining->body, "secret");

    if (secret == NULL || json_member_string(joining->body, "csr") == NULL) {
        return fail(why, ERROR_INVALID, "secret and csr are needed");
    }
    join_token_hash(secret, joining->token_sha256);
    return read_identity(joining, joining->body, why);
}

/* A program that is too old for the cluster would stop at the first command that it does not know:
 * better it does not come in. */
static enum error check_level(struct joining *joining, struct reason *why)
{
    int64_t level = json_member_int(joining->body, "level", LEVEL_FIRST);
    struct worker *worker = exchange_worker(joining->exchange);
    char versions[LEVEL_TEXT_MAX];
    struct catalog_txn txn;
    unsigned wanted;

    catalog_read(worker->catalog, &txn);
    wanted = catalog_level(&txn);
    level_describe(&txn, versions);
    catalog_done(&txn);
    if (level >= (int64_t)wanted) {
        return OK;
    }
    return fail(why, ERROR_UNSUPPORTED,
                "the cluster is at feature level %u, the program that wants to join knows %lld; "
                "%s: install that version",
                wanted, (long long)level, versions);
}

static bool token_is_good(struct joining *joining)
{
    struct worker *worker = exchange_worker(joining->exchange);
    struct catalog_txn txn;
    bool is_good;

    catalog_read(worker->catalog, &txn);
    is_good = catalog_join_token_is_good(&txn, joining->token_sha256, clock_wall_ms());
    catalog_done(&txn);
    return is_good;
}

static void admit(struct joining *joining)
{
    struct reason why = {""};
    enum error error = check_level(joining, &why);

    if (error == OK) {
        error = sign(joining, json_member_string(joining->body, "csr"), &why);
    }
    if (error != OK) {
        exchange_fail(joining->exchange, error, &why);
        return;
    }
    propose_member(joining);
}

static void read_cb(struct control_read *read, enum error status)
{
    struct joining *joining = read->data;
    struct exchange *exchange = joining->exchange;

    if (token_is_good(joining)) {
        admit(joining);
    } else if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else {
        LOG_WARN("a join as %s was refused: its token is unknown, used up or expired",
                 joining->name);
        exchange_fail(exchange, ERROR_DENIED,
                      &(struct reason){"the join token is unknown, used up or expired: make a new "
                                       "one with 'caisson cluster token'"});
    }
    exchange_release(exchange);
}

/* A token that is not here yet may have been made at another node just now. */
static void look_further(struct joining *joining)
{
    struct exchange *exchange = joining->exchange;

    if (!access_join_attempt(exchange_worker(exchange)->access)) {
        exchange_set_header(exchange, "Retry-After", "%d", ACCESS_JOIN_MS / 1000);
        exchange_fail_as(exchange, 429, "TOOMANYREQUESTS", NULL,
                         "too many joins with a wrong token; try again in a few seconds");
        return;
    }
    joining->read.data = joining;
    exchange_hold(exchange);
    control_read(exchange_worker(exchange), &joining->read, read_cb);
}

static void body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct joining *joining = memory_zero(sizeof *joining);
    struct reason why = {""};
    enum error error;

    joining->exchange = exchange;
    buffer_init(&joining->certificate, CERTIFICATE_MAX);
    buffer_init(&joining->ca, CERTIFICATE_MAX);
    do {
        joining->member = random_u64();
    } while (joining->member == 0);
    exchange_set_data(exchange, joining, joining_free);
    error = json_parse(bytes, API_BODY_MAX, &joining->body, &why);
    if (error == OK) {
        error = read_request(joining, &why);
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
    } else if (token_is_good(joining)) {
        admit(joining);
    } else {
        look_further(joining);
    }
}

static void post_join(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, body_cb);
}

const struct route routes_join[] = {
    {HTTP_POST_, "/internal/v1/join", ACCESS_JOIN, post_join},
    {0},
};
