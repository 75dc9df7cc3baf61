#include "node/routes_manifests.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/blob_serve.h"
#include "node/consistency.h"
#include "node/manifest_load.h"
#include "node/pull_rule.h"
#include "node/worker.h"
#include "store/catalog.h"

#include <stdio.h>
#include <stdlib.h>

/* GET and HEAD of a manifest. By tag: linearizable, then the catalog. By digest: the catalog of
 * this node, and when it is not there, once more after the log was asked (it may just have been
 * pushed elsewhere). The bytes are served exactly as they were pushed, whatever Accept says. */

struct pull {
    struct exchange *exchange;
    struct reference_name reference;
    struct digest digest;
    char media_type[256];
    uint64_t size;
    bool looked_again;
    struct reason why; /* Of a refusal by the pull rule. */
    struct manifest_load load;
};

bool reference_read(struct exchange *exchange, struct reference_name *out)
{
    struct bytes text = exchange_parameter(exchange, "reference");
    bool is_write = (exchange_method(exchange) & (HTTP_GET_ | HTTP_HEAD_)) == 0;

    *out = (struct reference_name){.is_tag = bytes_find(text, ':') < 0, .tag = text};
    if (!out->is_tag) {
        if (digest_parse(text, &out->digest) == OK) {
            return true;
        }
        exchange_fail_as(exchange, 400, "DIGEST_INVALID", NULL,
                         "not a sha256 or sha512 digest in lower-case hex");
        return false;
    }
    if (tag_is_valid(text)) {
        return true;
    }
    if (is_write) {
        exchange_fail_as(exchange, 400, "NAME_INVALID", NULL,
                         "not a tag: letters, digits, '_', '.' and '-', at most %d, not '.' or '-' "
                         "first",
                         TAG_MAX_SIZE);
    } else {
        exchange_fail(exchange, ERROR_MANIFEST_UNKNOWN, NULL);
    }
    return false;
}

static void loaded_cb(struct manifest_load *load, enum error status, struct bytes content)
{
    struct pull *pull = load->data;
    struct exchange *exchange = pull->exchange;

    if (status == OK) {
        exchange_answer(exchange, 200, pull->media_type, content);
    } else {
        exchange_fail(exchange, status,
                      &(struct reason){"no node that has this manifest can be reached now"});
    }
    exchange_release(exchange);
}

static void answer_found(struct pull *pull)
{
    struct exchange *exchange = pull->exchange;
    char digest[DIGEST_TEXT_MAX];

    digest_format(&pull->digest, digest);
    exchange_set_header(exchange, "Docker-Content-Digest", "%s", digest);
    exchange_set_header(exchange, "ETag", "\"%s\"", digest);
    if (!pull->reference.is_tag) {
        exchange_set_header(exchange, "Cache-Control", "max-age=31536000, immutable");
    }
    if (etag_list_names(exchange_header(exchange, "If-None-Match"), digest)) {
        exchange_answer(exchange, 304, NULL, BYTES_NONE);
        return;
    }
    exchange_set_header(exchange, "Content-Disposition", "attachment");
    exchange_set_header(exchange, "Content-Security-Policy", "default-src 'none'; sandbox");
    if (exchange_method(exchange) == HTTP_HEAD_) {
        exchange_start(exchange, 200, pull->media_type, (int64_t)pull->size);
        exchange_end(exchange);
        return;
    }
    pull->load.data = pull;
    exchange_hold(exchange);
    manifest_load_start(exchange_worker(exchange), &pull->load, &pull->digest, loaded_cb);
}

/* OK: digest, media type and size are known. */
static enum error find(struct pull *pull, struct catalog_txn *txn)
{
    struct bytes repository = exchange_parameter(pull->exchange, "name");
    struct manifest_record manifest;
    struct tag_record tag;
    enum error rv = OK;

    pull->digest = pull->reference.digest;
    if (pull->reference.is_tag) {
        rv = catalog_tag(txn, repository, pull->reference.tag, &tag);
        if (rv == OK) {
            pull->digest = tag.digest;
        }
    }
    if (rv == OK) {
        rv = catalog_manifest(txn, repository, &pull->digest, &manifest);
    }
    if (rv == OK) {
        rv = pull_rule_check(txn, &pull->digest, &manifest, &pull->why);
    }
    if (rv == OK) {
        pull->size = manifest.size;
        snprintf(pull->media_type, sizeof pull->media_type, BYTES_FMT,
                 BYTES_ARG(manifest.media_type));
    }
    return rv;
}

static void look_up(struct exchange *exchange)
{
    struct pull *pull = exchange_data(exchange);
    struct catalog_txn txn;
    enum error rv;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    rv = find(pull, &txn);
    if (rv == OK || pull->looked_again) {
        catalog_set_index(exchange, &txn);
    }
    catalog_done(&txn);
    if (rv == OK) {
        answer_found(pull);
    } else if (!pull->looked_again && rv != ERROR_DENIED) {
        pull->looked_again = true;
        catalog_freshen(exchange, FRESH_LATEST, look_up);
    } else {
        exchange_fail(exchange, rv, rv == ERROR_DENIED ? &pull->why : NULL);
    }
}

static void manifest_get_handler(struct exchange *exchange)
{
    struct pull *pull = memory_zero(sizeof *pull);

    exchange_set_data(exchange, pull, free);
    pull->exchange = exchange;
    if (!reference_read(exchange, &pull->reference)) {
        return;
    }
    pull->looked_again = pull->reference.is_tag;
    catalog_freshen(exchange, pull->reference.is_tag ? FRESH_LATEST : FRESH_LOCAL, look_up);
}

static void version_handler(struct exchange *exchange)
{
    exchange_answer(exchange, 200, "application/json", BYTES_LITERAL("{}"));
}

const struct route routes_manifests[] = {
    ROUTE(HTTP_GET_, "/v2/", ACCESS_LOGIN, version_handler),
    ROUTE(HTTP_GET_, "/v2/_catalog", ACCESS_LOGIN, catalog_list_handler),
    ROUTE(HTTP_GET_, "/v2/{name}/manifests/{reference}", ACCESS_PULL, manifest_get_handler),
    ROUTE(HTTP_PUT_, "/v2/{name}/manifests/{reference}", ACCESS_PUSH, manifest_put_handler),
    ROUTE(HTTP_DELETE_, "/v2/{name}/manifests/{reference}", ACCESS_PUSH, manifest_delete_handler),
    ROUTE(HTTP_GET_, "/v2/{name}/tags/list", ACCESS_PULL, tags_list_handler),
    ROUTE(HTTP_GET_, "/v2/{name}/referrers/{digest}", ACCESS_PULL, referrers_handler),
    {0},
};
