#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/manifest.h"
#include "node/node.h"
#include "node/replicate.h"
#include "node/routes_manifests.h"
#include "node/worker.h"
#include "node/write_rule.h"

#include <stdlib.h>

/* PUT of a manifest:
 *
 *   body -> read and check -> digest -> durable on write_quorum nodes -> manifest.put in the log
 *
 * 201 means all of it. The entry sets the manifest and all tags at once, and its apply checks the
 * repository's write rule, the references and the conditions again, whatever was seen here. */

#define TAGS_MAX 100

struct push {
    struct exchange *exchange;
    struct reference_name reference;
    struct bytes tags[TAGS_MAX];
    size_t n_tags;
    int condition;
    struct digest expected;
    struct digest digest;
    struct bytes content;
    struct manifest manifest;
    struct replicate replicate;
    struct control_propose propose;
};

static void push_free(void *data)
{
    struct push *push = data;

    manifest_release(&push->manifest);
    free(push);
}

/* --- the answer --------------------------------------------------------------------------------
 */

static void answer_created(struct push *push, uint64_t index)
{
    struct exchange *exchange = push->exchange;
    struct bytes name = exchange_parameter(exchange, "name");
    char text[DIGEST_TEXT_MAX];
    struct buffer tags;
    size_t i;

    digest_format(&push->digest, text);
    exchange_set_header(exchange, "Location", "/v2/" BYTES_FMT "/manifests/%s", BYTES_ARG(name),
                        text);
    exchange_set_header(exchange, "Docker-Content-Digest", "%s", text);
    exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)index);
    if (push->manifest.subject.algorithm != 0) {
        digest_format(&push->manifest.subject, text);
        exchange_set_header(exchange, "OCI-Subject", "%s", text);
    }
    if (!push->reference.is_tag && push->n_tags > 0) {
        buffer_init(&tags, TAGS_MAX * (TAG_MAX_SIZE + 2));
        for (i = 0; i < push->n_tags; i++) {
            buffer_print(&tags, "%s" BYTES_FMT, i > 0 ? ", " : "", BYTES_ARG(push->tags[i]));
        }
        exchange_set_header(exchange, "OCI-Tag", "%s", buffer_string(&tags));
        buffer_release(&tags);
    }
    exchange_answer(exchange, 201, NULL, BYTES_NONE);
}

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct push *push = request->data;
    struct exchange *exchange = push->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        answer_refused_write(exchange, result);
    } else {
        FAILPOINT("manifest.before_answer");
        answer_created(push, result->index);
        FAILPOINT("manifest.after_answer");
    }
    exchange_release(exchange);
}

/* --- into the log ------------------------------------------------------------------------------
 */

static void propose(struct push *push)
{
    struct exchange *exchange = push->exchange;
    const struct manifest *manifest = &push->manifest;
    const struct manifest_put put = {
        .repository = exchange_parameter(exchange, "name"),
        .digest = push->digest,
        .size = push->content.size,
        .media_type = bytes_of_string(manifest->media_type),
        .artifact_type = bytes_of_string(manifest->artifact_type),
        .annotations = buffer_view(&manifest->annotations),
        .subject = manifest->subject,
        .references = manifest->references,
        .n_references = manifest->n_references,
        .tags = push->tags,
        .n_tags = push->n_tags,
        .holders = push->replicate.holders,
        .n_holders = push->replicate.n_holders,
        .allow_missing = node_allows_sparse(exchange_worker(exchange)->node),
        .condition = push->condition,
        .expected = push->expected,
    };
    struct command_id id;

    command_id_make(&id);
    buffer_init(&push->propose.bytes, COMMAND_SIZE_MAX);
    command_manifest_put(&push->propose.bytes, &id, exchange_actor(exchange), &put);
    if (buffer_status(&push->propose.bytes) != OK) {
        buffer_release(&push->propose.bytes);
        exchange_fail_as(exchange, 413, "MANIFEST_INVALID", NULL,
                         "the manifest refers to too much for one entry of the log");
        exchange_release(exchange);
        return;
    }
    push->propose.data = push;
    FAILPOINT("manifest.before_propose");
    control_propose(exchange_worker(exchange), &push->propose, proposed_cb);
}

static void replicated_cb(struct replicate *request, enum error status, const struct reason *why)
{
    struct push *push = request->data;
    struct exchange *exchange = push->exchange;

    if (status == OK) {
        propose(push);
        return;
    }
    exchange_fail(exchange, status, why);
    exchange_release(exchange);
}

/* --- checks ------------------------------------------------------------------------------------
 */

/* The digest that the reference or ?digest= names, or the body's sha256. */
static bool settle_digest(struct push *push)
{
    struct exchange *exchange = push->exchange;
    struct digest wanted = push->reference.digest;
    struct bytes text;

    if (push->reference.is_tag && exchange_query(exchange, "digest", 0, &text) &&
        digest_parse(text, &wanted) != OK) {
        exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL, "?digest= is not a digest");
        return false;
    }
    digest_of(wanted.algorithm == 0 ? DIGEST_SHA256 : (enum digest_algorithm)wanted.algorithm,
              push->content, &push->digest);
    if (wanted.algorithm != 0 && !digest_equal(&wanted, &push->digest)) {
        exchange_fail(exchange, ERROR_DIGEST, NULL);
        return false;
    }
    return true;
}

static void body_cb(struct exchange *exchange, struct bytes body)
{
    struct push *push = exchange_data(exchange);
    struct reason why;
    enum error rv;

    push->content = body;
    if (!settle_digest(push)) {
        return;
    }
    rv = manifest_parse(body, exchange_header(exchange, "Content-Type"), &push->manifest, &why);
    if (rv != OK) {
        exchange_fail(exchange, rv, &why);
        return;
    }
    push->replicate.data = push;
    exchange_hold(exchange);
    replicate_start(exchange_worker(exchange), &push->replicate,
                    exchange_parameter(exchange, "name"), &push->digest, body, replicated_cb);
}

static bool add_tag(struct push *push, struct bytes tag)
{
    size_t i;

    for (i = 0; i < push->n_tags; i++) {
        if (bytes_equal(push->tags[i], tag)) {
            return true;
        }
    }
    if (push->n_tags == TAGS_MAX) {
        exchange_fail_as(push->exchange, 414, "UNSUPPORTED", NULL,
                         "at most %d tags with one manifest", TAGS_MAX);
        return false;
    }
    push->tags[push->n_tags++] = tag;
    return true;
}

static bool read_tags(struct push *push)
{
    struct exchange *exchange = push->exchange;
    struct bytes tag;
    size_t i;

    if (push->reference.is_tag) {
        return add_tag(push, push->reference.tag);
    }
    for (i = 0; exchange_query(exchange, "tag", i, &tag); i++) {
        if (!tag_is_valid(tag)) {
            exchange_fail_as(exchange, 400, "NAME_INVALID", NULL, "?tag= is not a tag");
            return false;
        }
        if (!add_tag(push, tag)) {
            return false;
        }
    }
    return true;
}

/* If-None-Match: * creates only; If-Match: "digest" replaces only that. On a tag. */
static bool read_condition(struct push *push)
{
    struct exchange *exchange = push->exchange;
    struct bytes none_match = exchange_header(exchange, "If-None-Match");
    struct bytes match = exchange_header(exchange, "If-Match");

    if (none_match.size == 0 && match.size == 0) {
        return true;
    }
    if (match.size > 2 && match.data[0] == '"' && match.data[match.size - 1] == '"') {
        match = bytes_slice(match, 1, match.size - 2);
    }
    push->condition = none_match.size > 0 ? 1 : 2;
    if (push->n_tags != 1 || (none_match.size > 0 && match.size > 0) ||
        (none_match.size > 0 && !bytes_equal_string(none_match, "*")) ||
        (match.size > 0 && digest_parse(match, &push->expected) != OK)) {
        exchange_fail_as(exchange, 400, "UNSUPPORTED", NULL,
                         "for one tag: If-None-Match: * or If-Match: \"<digest>\", not both");
        return false;
    }
    return true;
}

void manifest_put_handler(struct exchange *exchange)
{
    struct push *push = memory_zero(sizeof *push);

    push->exchange = exchange;
    exchange_set_data(exchange, push, push_free);
    if (write_rule_allows(exchange) && reference_read(exchange, &push->reference) &&
        read_tags(push) && read_condition(push)) {
        exchange_read_body(exchange, MANIFEST_SIZE_MAX, body_cb);
    }
}
