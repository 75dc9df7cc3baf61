#include "base/assert.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/memory.h"
#include "node/applied_wait.h"
#include "node/control.h"
#include "node/oci_error.h"
#include "node/routes_manifests.h"
#include "node/worker.h"
#include "node/write_rule.h"

#include <stdlib.h>

/* DELETE of a tag or of a manifest with all its tags, and how a refused write is answered. */

struct removal {
    struct exchange *exchange;
    struct control_propose propose;
};

/* --- answers of refused writes -----------------------------------------------------------------
 */

static void answer_missing(struct exchange *exchange, const struct command_result *result)
{
    json_t *errors = json_array();
    struct unpacker in;
    size_t n, i;

    unpack_start(&in, result->body);
    n = unpack_array(&in);
    for (i = 0; i < n; i++) {
        char text[DIGEST_TEXT_MAX];
        struct digest digest;

        unpack_digest(&in, &digest);
        if (unpack_status(&in) != OK) {
            break;
        }
        digest_format(&digest, text);
        json_array_append_new(errors,
                              json_pack("{s:s, s:s, s:{s:s, s:s}}", "code", "MANIFEST_BLOB_UNKNOWN",
                                        "message", result->why.text, "detail", "digest", text,
                                        "hint", oci_error_hint("MANIFEST_BLOB_UNKNOWN")));
    }
    exchange_answer_json(exchange, 400, json_pack("{s:o}", "errors", errors));
}

void answer_refused_write(struct exchange *exchange, const struct command_result *result)
{
    PRE(result->error != OK);
    if (result->error == ERROR_PROMOTION_ONLY) {
        write_rule_refuse(exchange, result->why.text);
    } else if (result->error == ERROR_MANIFEST_BLOB_UNKNOWN && result->body.size > 0) {
        answer_missing(exchange, result);
    } else {
        exchange_fail(exchange, result->error, &result->why);
    }
}

/* --- the handler -------------------------------------------------------------------------------
 */

static void applied_cb(void *data)
{
    struct exchange *exchange = data;

    FAILPOINT("delete.before_answer");
    exchange_answer(exchange, 202, NULL, BYTES_NONE);
    FAILPOINT("delete.after_answer");
    exchange_release(exchange);
}

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct removal *removal = request->data;
    struct exchange *exchange = removal->exchange;

    if (status == OK && result->error == OK) {
        exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)result->index);
        applied_wait_start(exchange_worker(exchange), result->index, applied_cb, exchange);
        return;
    }
    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else {
        answer_refused_write(exchange, result);
    }
    exchange_release(exchange);
}

void manifest_delete_handler(struct exchange *exchange)
{
    struct bytes repository = exchange_parameter(exchange, "name");
    struct reference_name reference;
    struct removal *removal;
    struct command_id id;

    if (!reference_read(exchange, &reference)) {
        return;
    }
    removal = memory_zero(sizeof *removal);
    exchange_set_data(exchange, removal, free);
    removal->exchange = exchange;
    removal->propose.data = removal;
    command_id_make(&id);
    buffer_init(&removal->propose.bytes, COMMAND_SIZE_MAX);
    if (reference.is_tag) {
        command_tag_delete(&removal->propose.bytes, &id, exchange_actor(exchange), repository,
                           reference.tag);
    } else {
        command_manifest_delete(&removal->propose.bytes, &id, exchange_actor(exchange), repository,
                                &reference.digest);
    }
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &removal->propose, proposed_cb);
}
