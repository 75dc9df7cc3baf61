/* Upload sessions of /v2 (OCI distribution specification, "Pushing blobs"). POST makes a session on
 * the node that it reached; later requests work on it there, whichever node they come to
 * (node/proxy.h). A finishing request goes: digest, Content-Range, body, durable copies here and
 * elsewhere (node/copies.h), the entry in the log, 201. A repeated one of a finished session gets
 * its 201 again. */
#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "node/consistency.h"
#include "node/copies.h"
#include "node/peers.h"
#include "node/proxy.h"
#include "node/relay.h"
#include "node/routes_blobs.h"
#include "node/upload_mount.h"
#include "node/upload_request.h"
#include "node/worker.h"
#include "node/write_rule.h"
#include "store/quota.h"

#include <inttypes.h>
#include <stdio.h>

/* --- answers --------------------------------------------------------------------------------- */

static void set_location(struct exchange *exchange, const char *uuid)
{
    exchange_set_header(exchange, "Location", "/v2/" BYTES_FMT "/blobs/uploads/%s",
                        BYTES_ARG(exchange_parameter(exchange, "name")), uuid);
    exchange_set_header(exchange, "Docker-Upload-UUID", "%s", uuid);
}

/* Docker's client cannot read "0--1" of an empty session: "0-0". */
static void set_range(struct exchange *exchange, uint64_t size)
{
    exchange_set_header(exchange, "Range", "0-%" PRIu64, size > 0 ? size - 1 : 0);
}

static void set_blob_location(struct exchange *exchange, const struct digest *digest)
{
    char text[DIGEST_TEXT_MAX];

    digest_format(digest, text);
    exchange_set_header(exchange, "Location", "/v2/" BYTES_FMT "/blobs/%s",
                        BYTES_ARG(exchange_parameter(exchange, "name")), text);
    exchange_set_header(exchange, "Docker-Content-Digest", "%s", text);
}

static void fail_digest(struct exchange *exchange, struct bytes text)
{
    exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                     "digest \"" BYTES_FMT
                     "\" is not sha256 or sha512 with its lower-case hex digits",
                     (int)(text.size < 140 ? text.size : 140), (const char *)text.data);
}

/* --- finding the session --------------------------------------------------------------------- */

/* NULL: answered, or on its way to the owner. */
static struct session *session_of(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct bytes uuid = exchange_parameter(exchange, "uuid");
    struct session *session;
    struct reason why;
    uint64_t owner;
    enum error rv = upload_uuid_owner(uuid, &owner);

    if (rv == OK && owner != peers_self(worker->peers) && !exchange_is_internal(exchange)) {
        proxy_to_owner(exchange, owner);
        return NULL;
    }
    if (rv == OK) {
        rv = session_checkout(worker->uploads, uuid, exchange_parameter(exchange, "name"),
                              exchange_actor(exchange), &session, &why);
    } else {
        fail(&why, rv, "\"" BYTES_FMT "\" is not an upload id",
             (int)(uuid.size < 140 ? uuid.size : 140), (const char *)uuid.data);
    }
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return NULL;
    }
    return session;
}

/* Give it back untouched. */
static void session_back(struct exchange *exchange, struct session *session)
{
    session_checkin(session, &exchange_worker(exchange)->loop);
}

/* --- Content-Range --------------------------------------------------------------------------- */

/* "first-last", or "bytes first-last/size" as some clients say it. */
static enum error content_range_read(struct bytes text, uint64_t *first, uint64_t *last)
{
    struct bytes prefix = BYTES_LITERAL("bytes ");
    ptrdiff_t dash, slash;

    if (bytes_starts_with(text, prefix)) {
        text = bytes_slice(text, prefix.size, text.size);
    }
    slash = bytes_find(text, '/');
    if (slash >= 0) {
        text = bytes_slice(text, 0, (size_t)slash);
    }
    dash = bytes_find(text, '-');
    if (dash < 0 || bytes_to_uint(bytes_slice(text, 0, (size_t)dash), first) != OK ||
        bytes_to_uint(bytes_slice(text, (size_t)dash + 1, text.size), last) != OK) {
        return ERROR_INVALID;
    }
    return *first <= *last && *last < INT64_MAX ? OK : ERROR_RANGE;
}

/* Answers and gives the session back when the range does not fit; it stays as it was. announced:
 * the bytes that it speaks of, 0 without a range. */
static bool content_range_fits(struct exchange *exchange, struct session *session,
                               uint64_t *announced)
{
    struct bytes text = exchange_header(exchange, "Content-Range");
    uint64_t first = 0, last = 0, size = upload_size(session->upload);
    int64_t length = exchange_has_body(exchange) ? exchange_content_length(exchange) : 0;
    char uuid[UPLOAD_UUID_SIZE + 1];
    enum error rv;

    *announced = 0;
    if (text.size == 0) {
        return true;
    }
    memcpy(uuid, session->uuid, sizeof uuid);
    rv = content_range_read(text, &first, &last);
    if (rv == OK && first != size) {
        rv = ERROR_RANGE;
    }
    if (rv == OK && (length < 0 || (uint64_t)length == last - first + 1)) {
        *announced = last - first + 1;
        return true;
    }
    session_back(exchange, session);
    set_location(exchange, uuid);
    set_range(exchange, size);
    if (rv == OK) {
        exchange_fail_as(exchange, 400, "SIZE_INVALID", NULL,
                         "Content-Length %" PRId64
                         " does not match Content-Range: send the chunk again with its size",
                         length);
    } else {
        exchange_fail_as(exchange, rv == ERROR_INVALID ? 400 : 416, "BLOB_UPLOAD_INVALID", NULL,
                         "Content-Range must be first-last and go on at %" PRIu64
                         ", where the upload stands",
                         size);
    }
    return false;
}

/* --- finishing ------------------------------------------------------------------------------- */

static void commit_cb(struct control_propose *propose, enum error status,
                      const struct command_result *result)
{
    struct upload_request *request = container_of(propose, struct upload_request, propose);
    struct reason why;

    if (status != OK) {
        fail(&why, status,
             "the blob is stored, but the cluster could not confirm it: no quorum or no leader; "
             "send the same PUT again");
        upload_request_fail(request, status, &why);
        return;
    }
    if (result->error != OK) {
        upload_request_fail(request, result->error, &result->why);
        return;
    }
    request->session->state = SESSION_FINISHED;
    FAILPOINT("blob.before_answer");
    exchange_set_index(request->exchange, result->index);
    set_blob_location(request->exchange, &request->digest);
    upload_request_answer(request, 201);
    FAILPOINT("blob.after_answer");
}

static void finish_propose(struct upload_request *request)
{
    struct session *session = request->session;
    struct command_id id;

    command_id_make(&id);
    buffer_init(&request->propose.bytes, COMMAND_SIZE_MAX);
    command_blob_commit(&request->propose.bytes, &id, exchange_actor(request->exchange),
                        exchange_parameter(request->exchange, "name"), &session->digest,
                        session->size, session->holders, session->n_holders);
    FAILPOINT("blob.before_propose");
    control_propose(request->worker, &request->propose, commit_cb);
}

static void finish_copies_cb(void *data, enum error status, const uint64_t *holders,
                             size_t n_holders, const struct reason *why)
{
    struct upload_request *request = data;
    struct session *session = request->session;
    bool is_here = false;

    for (size_t i = 0; i < n_holders; i++) {
        is_here |= holders[i] == peers_self(request->worker->peers);
    }
    session->state = is_here || status == OK ? SESSION_STORED : SESSION_SPENT;
    session->digest = request->digest;
    session->n_holders = n_holders;
    memcpy(session->holders, holders, n_holders * sizeof holders[0]);
    if (status != OK) {
        upload_request_fail(request, status, why);
        return;
    }
    finish_propose(request);
}

/* A look at the quotas before the bytes become a blob: what is refused here leaves nothing on any
 * disk. False: answered. */
static bool finish_has_room(struct upload_request *request)
{
    struct catalog_txn txn;
    struct reason why;
    enum error rv;

    catalog_read(request->worker->catalog, &txn);
    rv = catalog_quota_room(&txn, exchange_parameter(request->exchange, "name"), &request->digest,
                            request->session->size, &why);
    catalog_done(&txn);
    if (rv != OK) {
        relay_forget(request->worker, request->session);
        request->session->state = SESSION_SPENT;
        upload_request_fail(request, rv, &why);
    }
    return rv == OK;
}

/* All bytes are in the session's file, or the content is stored already (a second try). */
static void finish_stored(struct upload_request *request)
{
    struct session *session = request->session;
    struct copies_options options = {.digest = request->digest,
                                     .repository = exchange_parameter(request->exchange, "name"),
                                     .uuid = session->uuid};
    uint64_t staged[UPLOAD_TARGETS_MAX];

    options.staged = staged;
    if (session->state == SESSION_OPEN) {
        session->size = upload_size(session->upload);
        if (!finish_has_room(request)) {
            return;
        }
        options.upload = session->upload;
        for (size_t i = 0; i < session->n_targets && session->size > 0; i++) {
            if (session->targets[i].is_alive) {
                staged[options.n_staged++] = session->targets[i].member;
            }
        }
    }
    copies_start(request->worker, &options, finish_copies_cb, request);
}

static void finish_start(struct exchange *exchange, struct session *session,
                         const struct digest *digest, uint64_t announced)
{
    struct upload_request *request = upload_request_create(exchange, session);

    request->digest = *digest;
    request->announced = announced;
    if (session->state == SESSION_OPEN) {
        upload_request_body(request, true, finish_stored);
    } else {
        finish_stored(request);
    }
}

/* --- POST ------------------------------------------------------------------------------------ */

static void post_session(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct bytes text = BYTES_NONE;
    struct session *session;
    struct digest digest;
    struct reason why;
    enum error rv;

    if (exchange_query(exchange, "digest", 0, &text) && digest_parse(text, &digest) != OK) {
        fail_digest(exchange, text);
        return;
    }
    rv = session_create(worker->uploads, exchange_parameter(exchange, "name"),
                        exchange_actor(exchange), &session, &why);
    if (rv == ERROR_TOO_LARGE) {
        exchange_set_header(exchange, "Retry-After", "10");
        exchange_fail_as(exchange, 429, "TOOMANYREQUESTS", NULL, "%s", why.text);
        return;
    }
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    relay_choose(worker, session);
    if (text.data != NULL) {
        finish_start(exchange, session, &digest, 0);
        return;
    }
    set_location(exchange, session->uuid);
    set_range(exchange, 0);
    session_back(exchange, session);
    exchange_answer(exchange, 202, NULL, BYTES_NONE);
}

static void post_mount_cb(struct exchange *exchange, const struct digest *mounted)
{
    if (mounted == NULL) {
        post_session(exchange);
        return;
    }
    set_blob_location(exchange, mounted);
    exchange_answer(exchange, 201, NULL, BYTES_NONE);
}

void upload_post_handler(struct exchange *exchange)
{
    struct bytes text;
    struct digest digest;

    if (!write_rule_allows(exchange)) {
        return;
    }
    if (exchange_query(exchange, "digest-algorithm", 0, &text) &&
        !bytes_equal_string(text, "sha256") && !bytes_equal_string(text, "sha512")) {
        exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                         "digest-algorithm must be sha256 or sha512");
        return;
    }
    if (exchange_query(exchange, "mount", 0, &text) && digest_parse(text, &digest) == OK) {
        struct bytes from = BYTES_NONE;

        exchange_query(exchange, "from", 0, &from);
        upload_mount(exchange, &digest, from, post_mount_cb);
        return;
    }
    post_session(exchange);
}

/* --- PATCH, PUT, GET, DELETE ----------------------------------------------------------------- */

static void session_is_over(struct exchange *exchange, struct session *session)
{
    session_back(exchange, session);
    exchange_fail(exchange, ERROR_UPLOAD_UNKNOWN,
                  &(struct reason){"this upload is finished; start another one"});
}

static void patch_stored(struct upload_request *request)
{
    set_location(request->exchange, request->session->uuid);
    set_range(request->exchange, upload_size(request->session->upload));
    upload_request_answer(request, 202);
}

void upload_patch_handler(struct exchange *exchange)
{
    struct upload_request *request;
    uint64_t announced;
    struct session *session;

    if (!write_rule_allows(exchange) || (session = session_of(exchange)) == NULL) {
        return;
    }
    if (session->state != SESSION_OPEN) {
        session_is_over(exchange, session);
    } else if (content_range_fits(exchange, session, &announced)) {
        request = upload_request_create(exchange, session);
        request->announced = announced;
        upload_request_body(request, true, patch_stored);
    }
}

void upload_put_handler(struct exchange *exchange)
{
    struct bytes text = BYTES_NONE;
    uint64_t announced;
    struct session *session;
    struct digest digest;

    if (!write_rule_allows(exchange) || (session = session_of(exchange)) == NULL) {
        return;
    }
    exchange_query(exchange, "digest", 0, &text);
    if (digest_parse(text, &digest) != OK) {
        session_back(exchange, session);
        fail_digest(exchange, text);
    } else if (session->state == SESSION_OPEN) {
        if (content_range_fits(exchange, session, &announced)) {
            finish_start(exchange, session, &digest, announced);
        }
    } else if (!digest_equal(&digest, &session->digest)) {
        session_is_over(exchange, session);
    } else if (session->state == SESSION_STORED) {
        finish_start(exchange, session, &digest, 0);
    } else {
        session_back(exchange, session);
        set_blob_location(exchange, &digest);
        exchange_answer(exchange, 201, NULL, BYTES_NONE);
    }
}

void upload_get_handler(struct exchange *exchange)
{
    struct worker *worker = exchange_worker(exchange);
    struct bytes uuid = exchange_parameter(exchange, "uuid");
    uint64_t owner, size = 0;
    struct reason why;
    char text[UPLOAD_UUID_SIZE + 1];
    enum error rv = upload_uuid_owner(uuid, &owner);

    if (rv == OK && owner != peers_self(worker->peers) && !exchange_is_internal(exchange)) {
        proxy_to_owner(exchange, owner);
        return;
    }
    rv = session_peek(worker->uploads, uuid, exchange_parameter(exchange, "name"),
                      exchange_actor(exchange), &size, &why);
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    snprintf(text, sizeof text, BYTES_FMT, BYTES_ARG(uuid));
    set_location(exchange, text);
    set_range(exchange, size);
    exchange_answer(exchange, 204, NULL, BYTES_NONE);
}

void upload_delete_handler(struct exchange *exchange)
{
    struct session *session = session_of(exchange);

    if (session == NULL) {
        return;
    }
    if (session->state != SESSION_OPEN) {
        session_is_over(exchange, session);
        return;
    }
    relay_forget(exchange_worker(exchange), session);
    session->state = SESSION_SPENT;
    session_back(exchange, session);
    exchange_answer(exchange, 204, NULL, BYTES_NONE);
}
