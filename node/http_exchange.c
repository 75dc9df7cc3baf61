#include "node/http_private.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* One request as its handler sees it: from routing and access to the last release. */

#define BODIES_MAX (128u * 1024 * 1024) /* Of bodies that are collected whole, by one worker. */

/* --- life --------------------------------------------------------------------------------------
 */

struct exchange *exchange_create(struct connection *connection)
{
    struct exchange *exchange = memory_zero(sizeof *exchange);

    exchange->connection = connection;
    exchange->worker = connection->listener->options.worker;
    exchange->worker->exchanges_pending++;
    exchange->is_internal = connection->listener->options.is_internal;
    exchange->peer_node = stream_peer_node(&connection->stream);
    exchange->references = 1;
    exchange->message.content_length = -1;
    exchange->started_ms = clock_monotonic_ms();
    identity_clear(&exchange->identity);
    random_hex(exchange->request_id, 8);
    buffer_init(&exchange->headers, RESPONSE_MAX);
    buffer_init(&exchange->body, 1); /* The real limit comes with exchange_read_body(). */
    return exchange;
}

void exchange_hold(struct exchange *exchange)
{
    PRE(exchange->references > 0);
    exchange->references++;
}

void exchange_release(struct exchange *exchange)
{
    PRE(exchange->references > 0);
    if (--exchange->references > 0) {
        return;
    }
    CHECK(exchange->connection == NULL && exchange->check == NULL);
    if (exchange->destroy != NULL) {
        exchange->destroy(exchange->data);
    }
    CHECK(exchange->worker->exchanges_pending > 0);
    exchange->worker->exchanges_pending--;
    CHECK(exchange->worker->body_bytes >= exchange->body_held);
    exchange->worker->body_bytes -= exchange->body_held;
    http_message_release(&exchange->message);
    buffer_release(&exchange->headers);
    buffer_release(&exchange->body);
    free(exchange);
}

void exchange_detach(struct exchange *exchange)
{
    void (*drained_cb)(struct exchange *) = exchange->drained_cb;
    bool tell = exchange->body_state == BODY_STREAM && !exchange->is_ended;

    exchange->connection = NULL;
    exchange->drained_cb = NULL;
    exchange->body_state = BODY_FINISHED;
    if (tell) {
        exchange->sink.end(exchange, ERROR_PEER);
    }
    if (drained_cb != NULL) {
        drained_cb(exchange);
    }
    exchange_release(exchange);
}

bool exchange_is_gone(const struct exchange *exchange)
{
    return exchange->connection == NULL;
}

void exchange_set_data(struct exchange *exchange, void *data, void (*destroy)(void *data))
{
    exchange->data = data;
    exchange->destroy = destroy;
}

void *exchange_data(const struct exchange *exchange)
{
    return exchange->data;
}

/* --- routing and access ------------------------------------------------------------------------
 */

/* Once in an exchange: cb after this node has caught up; it releases the exchange. */
static bool refresh(struct exchange *exchange, access_refresh_cb cb)
{
    if (exchange->is_refreshed || exchange_is_gone(exchange)) {
        return false;
    }
    exchange->is_refreshed = true;
    exchange->refresh.data = exchange;
    if (!access_refresh(exchange->worker, &exchange->refresh, cb)) {
        return false;
    }
    exchange_hold(exchange);
    return true;
}

/* This node could not catch up, so that what it would refuse may have been granted elsewhere: after
 * a start without a quorum it knows nobody at all. */
static bool is_behind(const struct exchange *exchange)
{
    return exchange->is_refreshed && exchange->refresh.status != OK;
}

static void fail_behind(struct exchange *exchange)
{
    exchange_fail(exchange, ERROR_UNAVAILABLE,
                  &(struct reason){"this node cannot confirm with a quorum who may do this; try "
                                   "again"});
}

static void admit(struct exchange *exchange);

static void admit_again_cb(struct access_refresh *refreshed)
{
    struct exchange *exchange = refreshed->data;

    if (!exchange_is_gone(exchange)) {
        admit(exchange);
    }
    exchange_release(exchange);
}

/* The one place where access is decided; only then the handler runs. */
static void admit(struct exchange *exchange)
{
    struct reason why;
    enum error rv = access_decide(exchange->worker, &exchange->identity,
                                  exchange->match.route->access, exchange->match.repository, &why);

    if (rv != OK && exchange->identity.kind == IDENTITY_USER && refresh(exchange, admit_again_cb)) {
        return;
    }
    if (rv != OK && is_behind(exchange)) {
        fail_behind(exchange);
        return;
    }
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    exchange->match.route->handler(exchange);
}

static void refuse_login(struct exchange *exchange, enum error status)
{
    struct reason why;

    if (status == ERROR_BUSY) {
        exchange_set_header(exchange, "Retry-After", "1");
        exchange_fail_as(exchange, 429, "TOOMANYREQUESTS", NULL,
                         "too many logins wait to be checked; try again in a second");
        return;
    }
    (void)fail(&why, ERROR_UNAUTHORIZED, "the user name or the password is wrong");
    exchange_fail(exchange, ERROR_UNAUTHORIZED, &why);
}

static void check_cb(struct access_check *check, enum error status);

static void check_again_cb(struct access_refresh *refreshed)
{
    struct exchange *exchange = refreshed->data;
    enum error status;

    if (access_check_again(exchange->check, &status)) {
        check_cb(exchange->check, status);
    }
    exchange_release(exchange);
}

static void check_cb(struct access_check *check, enum error status)
{
    struct exchange *exchange = check->data;

    if (status == ERROR_UNAUTHORIZED && refresh(exchange, check_again_cb)) {
        return;
    }
    exchange->check = NULL;
    if (status == OK) {
        CHECK(identity_from_actor(&exchange->identity, check->credentials.user) == OK);
        exchange->identity.kind = IDENTITY_USER;
    }
    memory_wipe(check, sizeof *check);
    free(check);
    if (!exchange_is_gone(exchange)) {
        if (status == OK) {
            admit(exchange);
        } else if (status == ERROR_UNAUTHORIZED && is_behind(exchange)) {
            fail_behind(exchange);
        } else {
            refuse_login(exchange, status);
        }
    }
    exchange_release(exchange);
}

/* A client of the public port: Basic credentials, or none. */
static void log_in(struct exchange *exchange)
{
    struct access_check *check = memory_zero(sizeof *check);
    enum error rv =
        credentials_read(exchange_header(exchange, "Authorization"), &check->credentials);

    if (rv != OK) {
        free(check);
        if (rv == ERROR_NOT_FOUND) {
            admit(exchange); /* As anonymous. */
        } else {
            refuse_login(exchange, rv);
        }
        return;
    }
    check->data = exchange;
    exchange->check = check;
    exchange_hold(exchange);
    if (access_check_start(exchange->worker, check, &rv, check_cb)) {
        check_cb(check, rv);
    }
}

static void recognise_peer(struct exchange *exchange);

static void recognise_again_cb(struct access_refresh *refreshed)
{
    struct exchange *exchange = refreshed->data;

    if (!exchange_is_gone(exchange)) {
        recognise_peer(exchange);
    }
    exchange_release(exchange);
}

/* On the peers' port: a node that acts for somebody, a node, or a stranger without a certificate.
 */
static void recognise_peer(struct exchange *exchange)
{
    struct bytes actor = exchange_header(exchange, "X-Caisson-Actor");

    if (exchange->peer_node != 0 && !access_is_member(exchange->worker, exchange->peer_node)) {
        /* It may have joined just now, through another node. */
        if (!refresh(exchange, recognise_again_cb)) {
            exchange_fail_as(exchange, 403, "DENIED", NULL,
                             "node %016llx is not a member of this cluster",
                             (unsigned long long)exchange->peer_node);
        }
        return;
    }
    if (exchange->peer_node != 0) {
        identity_node(&exchange->identity, exchange->peer_node);
        if (actor.size > 0 && identity_from_actor(&exchange->identity, actor) != OK) {
            exchange_fail_as(exchange, 400, "DENIED", NULL, "X-Caisson-Actor is malformed");
            return;
        }
    } else if (exchange->match.route->access != ACCESS_JOIN &&
               exchange->match.route->access != ACCESS_PUBLIC) {
        exchange_fail_as(exchange, 403, "DENIED", NULL,
                         "this port takes nodes of the cluster, with their certificate");
        return;
    }
    admit(exchange);
}

/* The caller's own id when it can stand in a log and a header as it is: letters, digits, ".", "_"
 * and
 * "-". Else ours stays. */
static void set_request_id(struct exchange *exchange)
{
    struct bytes id = exchange_header(exchange, "X-Request-Id");
    size_t i;

    if (id.size == 0 || id.size > REQUEST_ID_MAX) {
        return;
    }
    for (i = 0; i < id.size; i++) {
        if (!isalnum(id.data[i]) && id.data[i] != '.' && id.data[i] != '_' && id.data[i] != '-') {
            return;
        }
    }
    memcpy(exchange->request_id, id.data, id.size);
    exchange->request_id[id.size] = '\0';
}

void exchange_dispatch(struct exchange *exchange)
{
    const struct http_listener_options *options = &exchange->connection->listener->options;
    enum error rv = router_match(options->routes, exchange->message.method, exchange->message.path,
                                 &exchange->match);
    char allow[48];

    set_request_id(exchange);
    if (rv == ERROR_NOT_FOUND) {
        exchange_fail(exchange, ERROR_NOT_FOUND, &(struct reason){"there is nothing at this path"});
    } else if (rv == ERROR_INVALID) {
        exchange_fail_as(exchange, 400, "NAME_INVALID", NULL,
                         "the repository name is not in the grammar of the OCI distribution "
                         "specification (lower case, at most %d bytes)",
                         NAME_MAX_SIZE);
    } else if (rv == ERROR_UNSUPPORTED) {
        router_allow(exchange->match.allowed, allow);
        exchange_set_header(exchange, "Allow", "%s", allow);
        exchange_fail_as(exchange, 405, "UNSUPPORTED", NULL, "this path takes %s", allow);
    } else if (exchange->match.route->access == ACCESS_PUBLIC) {
        exchange->match.route->handler(exchange);
    } else if (exchange->is_internal) {
        recognise_peer(exchange);
    } else {
        log_in(exchange);
    }
}

/* --- the request -------------------------------------------------------------------------------
 */

struct worker *exchange_worker(struct exchange *exchange)
{
    return exchange->worker;
}

enum http_method exchange_method(const struct exchange *exchange)
{
    return exchange->message.method;
}

struct bytes exchange_path(const struct exchange *exchange)
{
    return exchange->message.path;
}

struct bytes exchange_target(const struct exchange *exchange)
{
    return exchange->message.target;
}

struct bytes exchange_parameter(const struct exchange *exchange, const char *key)
{
    size_t i;

    for (i = 0; i < exchange->match.n; i++) {
        if (bytes_equal_string(exchange->match.keys[i], key)) {
            return exchange->match.values[i];
        }
    }
    return BYTES_NONE;
}

bool exchange_query(const struct exchange *exchange, const char *key, size_t i, struct bytes *value)
{
    size_t j;

    for (j = 0; j < exchange->message.n_parameters; j++) {
        if (bytes_equal_string(exchange->message.parameters[j].name, key) && i-- == 0) {
            *value = exchange->message.parameters[j].value;
            return true;
        }
    }
    *value = BYTES_NONE;
    return false;
}

struct bytes exchange_header(const struct exchange *exchange, const char *name)
{
    const struct http_field *header = http_message_header(&exchange->message, name, 0);

    return header == NULL ? BYTES_NONE : header->value;
}

int64_t exchange_content_length(const struct exchange *exchange)
{
    return exchange->message.content_length;
}

bool exchange_has_body(const struct exchange *exchange)
{
    return exchange->message.is_chunked || exchange->message.content_length > 0;
}

struct bytes exchange_actor(const struct exchange *exchange)
{
    return bytes_of(exchange->identity.name, exchange->identity.size);
}

bool exchange_may(const struct exchange *exchange, unsigned action, struct bytes repository)
{
    return access_may(exchange->worker, &exchange->identity, action, repository);
}

bool exchange_is_internal(const struct exchange *exchange)
{
    return exchange->is_internal;
}

const char *exchange_request_id(const struct exchange *exchange)
{
    return exchange->request_id;
}

/* --- the body ----------------------------------------------------------------------------------
 */

/* The client that waits for "100 Continue" gets it when somebody wants its body. */
static void invite_body(struct exchange *exchange)
{
    if (exchange->connection == NULL) {
        return;
    }
    if (exchange->message.expects_continue && !exchange->is_started) {
        exchange->message.expects_continue = false;
        connection_write(exchange->connection, BYTES_LITERAL("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    connection_kick(exchange->connection);
}

static void fail_body_size(struct exchange *exchange, size_t limit)
{
    struct reason why;

    exchange_fail(exchange,
                  fail(&why, ERROR_TOO_LARGE,
                       "the request's body is larger than the %zu bytes that this path takes",
                       limit),
                  &why);
}

void exchange_read_body(struct exchange *exchange, size_t limit, exchange_body_cb cb)
{
    PRE(exchange->body_state == BODY_UNREAD || exchange_is_gone(exchange));
    if (exchange_is_gone(exchange) || exchange->is_started) {
        return;
    }
    if (exchange->message.content_length > 0 &&
        (uint64_t)exchange->message.content_length > limit) {
        fail_body_size(exchange, limit);
        return;
    }
    buffer_init(&exchange->body, limit);
    exchange->body_cb = cb;
    exchange->body_state = BODY_WHOLE;
    invite_body(exchange);
}

void exchange_stream_body(struct exchange *exchange, const struct exchange_sink *sink)
{
    PRE(exchange->body_state == BODY_UNREAD || exchange_is_gone(exchange));
    if (exchange_is_gone(exchange)) {
        return;
    }
    exchange->sink = *sink;
    exchange->body_state = BODY_STREAM;
    invite_body(exchange);
}

void exchange_pause_body(struct exchange *exchange)
{
    exchange->is_paused = true;
}

void exchange_resume_body(struct exchange *exchange)
{
    exchange->is_paused = false;
    if (exchange->connection != NULL) {
        connection_kick(exchange->connection);
    }
}

bool exchange_wants_body(const struct exchange *exchange)
{
    return (exchange->body_state == BODY_WHOLE || exchange->body_state == BODY_STREAM) &&
           !exchange->is_paused;
}

void exchange_take_piece(struct exchange *exchange, struct bytes piece)
{
    PRE(exchange_wants_body(exchange));
    if (exchange->body_state == BODY_STREAM) {
        exchange->sink.piece(exchange, piece);
        return;
    }
    if (exchange->worker->body_bytes + piece.size > BODIES_MAX) {
        exchange->body_state = BODY_FINISHED;
        exchange_set_header(exchange, "Retry-After", "1");
        exchange_fail_as(exchange, 429, "TOOMANYREQUESTS", NULL,
                         "too many large requests are under way; send this one again in a second");
        return;
    }
    exchange->worker->body_bytes += piece.size;
    exchange->body_held += piece.size;
    buffer_append(&exchange->body, piece);
    if (buffer_status(&exchange->body) != OK) {
        exchange->body_state = BODY_FINISHED;
        fail_body_size(exchange, exchange->body.limit);
    }
}

void exchange_take_end(struct exchange *exchange)
{
    enum body_state was = exchange->body_state;

    PRE(exchange_wants_body(exchange) && exchange->message.is_complete);
    exchange->body_state = BODY_FINISHED;
    if (was == BODY_STREAM) {
        exchange->sink.end(exchange, OK);
    } else {
        exchange->body_cb(exchange, buffer_view(&exchange->body));
    }
}
