/* POST /api/v1/cluster/leader: move leadership to another voter, as before maintenance and in
 * drills. Any node takes it; only the leader can do it, so the others hand the request on. */
#include "node/routes_leader.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/peers.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>

#define ANSWER_MAX (16u * 1024)

struct handover {
    struct exchange *exchange;
    struct control_transfer transfer;
    struct peer_request request; /* To the leader, when it is another node. */
    struct buffer body, answer;
    uint64_t to; /* 0: whoever has caught up. */
};

static void handover_free(void *data)
{
    struct handover *handover = data;

    buffer_release(&handover->body);
    buffer_release(&handover->answer);
    free(handover);
}

/* --- at the leader ---------------------------------------------------------------------------- */

static void transfer_cb(struct control_transfer *transfer, enum error status)
{
    struct handover *handover = transfer->data;
    struct exchange *exchange = handover->exchange;
    struct consensus_status log;

    if (status != OK) {
        exchange_fail(exchange, status, &transfer->why);
    } else {
        control_status(exchange_worker(exchange)->control, &log);
        exchange_answer_json(
            exchange, 202,
            json_pack("{s:o, s:o}", "from", json_sprintf("%016" PRIx64, log.id), "to",
                      handover->to == 0 ? json_null() : json_sprintf("%016" PRIx64, handover->to)));
    }
    exchange_release(exchange);
}

/* --- at another node -------------------------------------------------------------------------- */

static void forward_piece(struct peer_request *request, struct bytes piece)
{
    buffer_append(&container_of(request, struct handover, request)->answer, piece);
}

static void forward_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct handover *handover = container_of(request, struct handover, request);
    struct exchange *exchange = handover->exchange;

    if (status == OK && buffer_status(&handover->answer) == OK) {
        exchange_answer(exchange, peer_status(request), "application/json",
                        buffer_view(&handover->answer));
    } else {
        exchange_fail(exchange, status == OK ? ERROR_PEER : status, why);
    }
    exchange_release(exchange);
}

static void forward(struct handover *handover, uint64_t leader)
{
    static const struct peer_events events = {.piece = forward_piece, .done = forward_done};
    struct exchange *exchange = handover->exchange;

    peer_request_init(&handover->request, leader, "POST", "/api/v1/cluster/leader", &events);
    peer_request_header(&handover->request, "X-Caisson-Actor", exchange_actor(exchange));
    peer_request_header(&handover->request, "X-Request-Id",
                        bytes_of_string(exchange_request_id(exchange)));
    peer_request_body(&handover->request, buffer_view(&handover->body));
    exchange_hold(exchange);
    peer_request_start(exchange_worker(exchange)->peers, &handover->request);
}

/* --- what is asked ---------------------------------------------------------------------------- */

struct member_search {
    const char *wanted; /* A name, or an id in 16 hex digits. */
    uint64_t found;
};

static bool match_member(void *data, const struct member_record *member)
{
    struct member_search *search = data;
    char id[17];

    snprintf(id, sizeof id, "%016" PRIx64, member->id);
    if (strcmp(id, search->wanted) == 0 || bytes_equal_string(member->name, search->wanted)) {
        search->found = member->id;
    }
    return search->found == 0;
}

static enum error find_member(struct worker *worker, const json_t *body, uint64_t *member,
                              struct reason *why)
{
    struct member_search search = {.wanted = json_member_string(body, "member")};
    struct catalog_txn txn;

    *member = 0;
    if (json_object_get(body, "member") == NULL) {
        return OK;
    }
    if (search.wanted == NULL) {
        return fail(why, ERROR_INVALID, "member must be text: a node's name, or its id");
    }
    catalog_read(worker->catalog, &txn);
    catalog_members(&txn, match_member, &search);
    catalog_done(&txn);
    if (search.found == 0) {
        return fail(why, ERROR_NOT_FOUND,
                    "no member is called \"%.64s\": `caisson cluster status` lists them",
                    search.wanted);
    }
    *member = search.found;
    return OK;
}

static enum error read_body(struct handover *handover, struct bytes bytes, struct reason *why)
{
    json_t *body = NULL;
    enum error error = OK;

    if (bytes.size > 0) {
        error = json_parse(bytes, API_BODY_MAX, &body, why);
    }
    if (error == OK && body != NULL && !json_is_object(body)) {
        error = fail(why, ERROR_INVALID, "the body is a JSON object: {\"member\": \"node-2\"}");
    }
    if (error == OK) {
        error = find_member(exchange_worker(handover->exchange), body, &handover->to, why);
    }
    json_decref(body);
    return error;
}

static void body_cb(struct exchange *exchange, struct bytes bytes)
{
    struct handover *handover = memory_zero(sizeof *handover);
    struct worker *worker = exchange_worker(exchange);
    struct consensus_status log;
    struct reason why = {""};
    enum error error;

    handover->exchange = exchange;
    buffer_init(&handover->body, API_BODY_MAX);
    buffer_init(&handover->answer, ANSWER_MAX);
    buffer_append(&handover->body, bytes);
    exchange_set_data(exchange, handover, handover_free);
    error = read_body(handover, bytes, &why);
    control_status(worker->control, &log);
    if (error == OK && log.leader == 0) {
        error = fail(&why, ERROR_UNAVAILABLE, "there is no leader now: nothing to hand over");
    }
    if (error == OK && handover->to == log.leader) {
        error = fail(&why, ERROR_EXISTS, "that member leads already");
    }
    if (error == OK && log.leader != log.id && exchange_is_internal(exchange)) {
        error = fail(&why, ERROR_UNAVAILABLE, "leadership moved meanwhile; ask again");
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
    } else if (log.leader != log.id) {
        forward(handover, log.leader);
    } else {
        handover->transfer.data = handover;
        exchange_hold(exchange);
        control_transfer(worker, &handover->transfer, handover->to, transfer_cb);
    }
}

static void post_leader(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, body_cb);
}

const struct route routes_leader[] = {
    {HTTP_POST_, "/api/v1/cluster/leader", ACCESS_ADMIN, post_leader},
    {0},
};
