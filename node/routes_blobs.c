/* /v2/{name}/blobs/{digest}. Whether a repository shows a blob is decided by its link in the
 * catalog alone. A link that this node does not know may be too fresh for it: one read-index round,
 * and it is looked up once more before the 404. */
#include "node/routes_blobs.h"
#include "node/consistency.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/applied_wait.h"
#include "node/blob_serve.h"
#include "node/control.h"
#include "node/pull_rule.h"
#include "node/worker.h"
#include "node/write_rule.h"

#include <stdlib.h>
#include <string.h>

static bool digest_parameter(struct exchange *exchange, struct digest *out)
{
    struct bytes text = exchange_parameter(exchange, "digest");

    if (digest_parse(text, out) == OK) {
        return true;
    }
    exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                     "not a sha256 or sha512 digest with lower-case hex digits");
    return false;
}

/* ERROR_DENIED, with why: it must not be read. */
static enum error blob_lookup(struct exchange *exchange, const struct digest *digest,
                              struct blob_record *out, struct reason *why)
{
    struct catalog_txn txn;
    enum error rv;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    rv = catalog_link(&txn, exchange_parameter(exchange, "name"), digest);
    if (rv == OK) {
        rv = catalog_blob(&txn, digest, out);
    }
    if (rv == OK) {
        rv = pull_rule_check(&txn, digest, NULL, why);
    }
    if (rv == OK) {
        uint64_t live[HOLDERS_MAX];

        out->n_holders = catalog_live_holders(&txn, out, live);
        memcpy(out->holders, live, out->n_holders * sizeof live[0]);
    }
    catalog_done(&txn);
    return rv;
}

struct second_look {
    struct exchange *exchange;
    struct digest digest;
    struct control_read read;
};

static void second_look_cb(struct control_read *read, enum error status)
{
    struct second_look *look = container_of(read, struct second_look, read);
    struct exchange *exchange = look->exchange;
    struct reason why = {"the repository has no such blob"};
    struct blob_record record;
    enum error rv = status;

    if (rv == OK) {
        rv = blob_lookup(exchange, &look->digest, &record, &why);
    }
    if (status != OK) {
        exchange_fail(exchange, status,
                      &(struct reason){"this node cannot tell whether the blob is there: no quorum "
                                       "or no leader"});
    } else if (rv == OK) {
        blob_serve(exchange, &look->digest, &record, false);
    } else {
        exchange_fail(exchange, rv == ERROR_DENIED ? rv : ERROR_BLOB_UNKNOWN, &why);
    }
    free(look);
    exchange_release(exchange);
}

static void blob_get_handler(struct exchange *exchange)
{
    struct second_look *look;
    struct blob_record record;
    struct digest digest;
    struct reason why;
    enum error rv;

    if (!digest_parameter(exchange, &digest)) {
        return;
    }
    rv = blob_lookup(exchange, &digest, &record, &why);
    if (rv == OK) {
        blob_serve(exchange, &digest, &record, false);
        return;
    }
    if (rv == ERROR_DENIED) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    look = memory_zero(sizeof *look);
    look->exchange = exchange;
    look->digest = digest;
    exchange_hold(exchange);
    control_read(exchange_worker(exchange), &look->read, second_look_cb);
}

/* --- DELETE ---------------------------------------------------------------------------------- */

struct unlink_request {
    struct exchange *exchange;
    struct control_propose propose;
};

static void unlinked_cb(void *data)
{
    struct exchange *exchange = data;

    exchange_answer(exchange, 202, NULL, BYTES_NONE);
    exchange_release(exchange);
}

static void unlink_cb(struct control_propose *propose, enum error status,
                      const struct command_result *result)
{
    struct unlink_request *request = container_of(propose, struct unlink_request, propose);
    struct exchange *exchange = request->exchange;

    free(request);
    if (status == OK && result->error == OK) {
        exchange_set_index(exchange, result->index);
        applied_wait_start(exchange_worker(exchange), result->index, unlinked_cb, exchange);
        return;
    }
    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error == ERROR_PROMOTION_ONLY) {
        write_rule_refuse(exchange, result->why.text);
    } else if (result->error == ERROR_DENIED) { /* A manifest needs it: nobody may, now. */
        exchange_set_header(exchange, "Allow", "GET, HEAD");
        exchange_fail_as(exchange, 405, "DENIED", NULL, "%s", result->why.text);
    } else {
        exchange_fail(exchange, result->error, &result->why);
    }
    exchange_release(exchange);
}

static void blob_delete_handler(struct exchange *exchange)
{
    struct unlink_request *request;
    struct command_id id;
    struct digest digest;

    if (!digest_parameter(exchange, &digest)) {
        return;
    }
    request = memory_zero(sizeof *request);
    request->exchange = exchange;
    command_id_make(&id);
    buffer_init(&request->propose.bytes, COMMAND_SIZE_MAX);
    command_blob_unlink(&request->propose.bytes, &id, exchange_actor(exchange),
                        exchange_parameter(exchange, "name"), &digest);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &request->propose, unlink_cb);
}

const struct route routes_blobs[] = {
    ROUTE(HTTP_POST_, "/v2/{name}/blobs/uploads/", ACCESS_PUSH, upload_post_handler),
    ROUTE(HTTP_PATCH_, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH, upload_patch_handler),
    ROUTE(HTTP_PUT_, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH, upload_put_handler),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH,
          upload_get_handler),
    ROUTE(HTTP_DELETE_, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH, upload_delete_handler),
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/v2/{name}/blobs/{digest}", ACCESS_PULL, blob_get_handler),
    ROUTE(HTTP_DELETE_, "/v2/{name}/blobs/{digest}", ACCESS_PUSH, blob_delete_handler),
    {0},
};
