/* Content between nodes, and how far a node is. Uploads of other nodes are sessions of this node's
 * table like a client's, bound to the node that sends them; their bytes are not passed on. */
#include "node/routes_internal.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "node/blob_serve.h"
#include "node/control.h"
#include "node/upload_request.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static bool internal_digest(struct exchange *exchange, struct bytes text, struct digest *out)
{
    if (digest_parse(text, out) == OK) {
        return true;
    }
    exchange_fail(exchange, ERROR_DIGEST, &(struct reason){"not a digest"});
    return false;
}

/* --- whole blobs ----------------------------------------------------------------------------- */

struct stat_work {
    uv_work_t work;
    struct exchange *exchange;
    struct digest digest;
    uint64_t size;
    enum error status;
};

static void stat_work(uv_work_t *work)
{
    struct stat_work *stat = container_of(work, struct stat_work, work);
    int fd;

    stat->status =
        blob_open(exchange_worker(stat->exchange)->blobs, &stat->digest, &fd, &stat->size, NULL);
    if (stat->status == OK) {
        close(fd);
    }
}

/* The local copy or nothing: no holders to ask, so that a request never wanders. */
static void stat_work_cb(uv_work_t *work, int result)
{
    struct stat_work *stat = container_of(work, struct stat_work, work);
    struct blob_record record = {.size = stat->size};

    CHECK(result == 0);
    if (stat->status == OK) {
        blob_serve(stat->exchange, &stat->digest, &record, true);
    } else {
        exchange_fail(stat->exchange,
                      stat->status == ERROR_NOT_FOUND ? ERROR_BLOB_UNKNOWN : stat->status, NULL);
    }
    exchange_release(stat->exchange);
    free(stat);
}

static void get_blob(struct exchange *exchange)
{
    struct stat_work *stat;
    struct digest digest;

    if (!internal_digest(exchange, exchange_parameter(exchange, "digest"), &digest)) {
        return;
    }
    stat = memory_zero(sizeof *stat);
    stat->exchange = exchange;
    stat->digest = digest;
    exchange_hold(exchange);
    CHECK(uv_queue_work(&exchange_worker(exchange)->loop, &stat->work, stat_work, stat_work_cb) ==
          0);
}

static void commit_cb(struct upload *upload, void *data, enum error status,
                      const struct reason *why)
{
    struct upload_request *request = data;

    (void)upload;
    request->session->state = SESSION_SPENT;
    if (status != OK) {
        upload_request_fail(request, status, why);
    } else {
        FAILPOINT("copy.before_answer");
        upload_request_answer(request, 201);
        FAILPOINT("copy.after_answer");
    }
}

static void commit_start(struct upload_request *request)
{
    upload_commit(request->session->upload, &request->worker->loop, &request->digest, commit_cb,
                  request);
}

static void put_blob(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct upload_request *request;
    struct session *session;
    struct digest digest;
    struct reason why;
    enum error rv;

    if (!internal_digest(exchange, exchange_parameter(exchange, "digest"), &digest)) {
        return;
    }
    rv = session_create(worker->uploads, BYTES_NONE, exchange_actor(exchange), &session, &why);
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    request = upload_request_create(exchange, session);
    request->digest = digest;
    upload_request_body(request, false, commit_start);
}

/* --- uploads in pieces ----------------------------------------------------------------------- */

static void append_stored(struct upload_request *request)
{
    upload_request_answer(request, 202);
}

static void put_upload(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct session *session;
    struct bytes text;
    struct reason why;
    uint64_t offset;
    enum error rv;

    if (!exchange_query(exchange, "offset", 0, &text) || bytes_to_uint(text, &offset) != OK) {
        exchange_fail(exchange, ERROR_INVALID, &(struct reason){"offset is missing"});
        return;
    }
    rv = session_adopt(worker->uploads, exchange_parameter(exchange, "id"),
                       exchange_actor(exchange), &session, &why);
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    if (upload_size(session->upload) != offset) {
        fail(&why, ERROR_RANGE, "the upload stands at %" PRIu64 " bytes here",
             upload_size(session->upload));
        session_checkin(session, &worker->loop);
        exchange_fail(exchange, ERROR_RANGE, &why);
        return;
    }
    upload_request_body(upload_request_create(exchange, session), false, append_stored);
}

/* NULL: answered. */
static struct session *adopted_session(struct exchange *exchange)
{
    struct session *session;
    struct reason why;
    enum error rv = session_checkout(exchange_worker(exchange)->uploads,
                                     exchange_parameter(exchange, "id"), BYTES_NONE,
                                     exchange_actor(exchange), &session, &why);

    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return NULL;
    }
    return session;
}

static void post_commit(struct exchange *exchange)
{
    struct upload_request *request;
    struct session *session;
    struct digest digest;
    struct bytes text = BYTES_NONE;

    exchange_query(exchange, "digest", 0, &text);
    if (!internal_digest(exchange, text, &digest) ||
        (session = adopted_session(exchange)) == NULL) {
        return;
    }
    request = upload_request_create(exchange, session);
    request->digest = digest;
    commit_start(request);
}

static void delete_upload(struct exchange *exchange)
{
    struct session *session = adopted_session(exchange);

    if (session == NULL) {
        return;
    }
    session->state = SESSION_SPENT;
    session_checkin(session, &exchange_worker(exchange)->loop);
    exchange_answer(exchange, 204, NULL, BYTES_NONE);
}

/* --- life --------------------------------------------------------------------------------------
 */

/* See node/peer_probe.c. */
static void get_ping(struct exchange *exchange)
{
    exchange_answer(exchange, 204, NULL, BYTES_NONE);
}

/* --- the log --------------------------------------------------------------------------------- */

struct applied_request {
    struct exchange *exchange;
    struct control_read read;
};

static void applied_cb(struct control_read *read, enum error status)
{
    struct applied_request *request = container_of(read, struct applied_request, read);
    struct exchange *exchange = request->exchange;

    free(request);
    if (status == OK) {
        exchange_answer(exchange, 204, NULL, BYTES_NONE);
    } else {
        exchange_fail(exchange, status, NULL);
    }
    exchange_release(exchange);
}

/* Answers when this node has applied that index. */
static void get_applied(struct exchange *exchange)
{
    struct applied_request *request;
    uint64_t index;

    if (bytes_to_uint(exchange_parameter(exchange, "index"), &index) != OK || index == 0) {
        exchange_fail(exchange, ERROR_INVALID, &(struct reason){"not an index"});
        return;
    }
    request = memory_zero(sizeof *request);
    request->exchange = exchange;
    exchange_hold(exchange);
    control_wait_applied(exchange_worker(exchange), &request->read, index, applied_cb);
}

const struct route routes_internal[] = {
    ROUTE(HTTP_GET_, "/internal/v1/ping", ACCESS_PEER, get_ping),
    ROUTE(HTTP_GET_, "/internal/v1/applied/{index}", ACCESS_PEER, get_applied),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/internal/v1/blobs/{digest}", ACCESS_PEER, get_blob),
    ROUTE(HTTP_PUT_, "/internal/v1/blobs/{digest}", ACCESS_PEER, put_blob),
    ROUTE(HTTP_PUT_, "/internal/v1/uploads/{id}", ACCESS_PEER, put_upload),
    ROUTE(HTTP_POST_, "/internal/v1/uploads/{id}/commit", ACCESS_PEER, post_commit),
    ROUTE(HTTP_DELETE_, "/internal/v1/uploads/{id}", ACCESS_PEER, delete_upload),
    {0},
};
