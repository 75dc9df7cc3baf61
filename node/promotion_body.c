#include "node/promotion_body.h"

#include "base/json.h"
#include "base/memory.h"
#include "node/http.h"
#include "promotion/document.h"

#include <stdio.h>
#include <stdlib.h>

static struct bytes text_of(const json_t *value)
{
    return json_is_string(value) ? bytes_of(json_string_value(value), json_string_length(value))
                                 : BYTES_NONE;
}

static enum error add_tags(const json_t *item, const char *key, const char *place,
                           struct promotion_request_item *out, struct reason *why)
{
    const json_t *list = json_object_get(item, key);
    size_t i;

    if (list != NULL && !json_is_array(list)) {
        return fail(why, ERROR_INVALID, "%s: %s must be a list of tags", place, key);
    }
    for (i = 0; i < json_array_size(list); i++) {
        if (out->n_tags == PROMOTION_TAGS_MAX || !json_is_string(json_array_get(list, i))) {
            return fail(why, ERROR_INVALID, "%s: %s must be a list of at most %d tags, as text",
                        place, key, PROMOTION_TAGS_MAX);
        }
        out->tags[out->n_tags++] = text_of(json_array_get(list, i));
    }
    return OK;
}

static enum error parse_item(const json_t *item, size_t number, struct promotion_request_item *out,
                             struct reason *why)
{
    static const char *const allowed[] = {"repo", "digest", "tag", "tags", "channels", NULL};
    const json_t *digest = json_object_get(item, "digest");
    char place[32];
    enum error error;

    snprintf(place, sizeof place, "item %zu", number + 1);
    error = document_check_members(item, place, allowed, NULL, why);
    if (error != OK) {
        return error;
    }
    out->source = json_member_bytes(item, "repo");
    out->tag = json_member_bytes(item, "tag");
    if (digest != NULL && digest_parse(text_of(digest), &out->root) != OK) {
        return fail(why, ERROR_INVALID, "%s: digest must be \"sha256:\" and 64 hex digits", place);
    }
    error = add_tags(item, "tags", place, out, why);
    return error != OK ? error : add_tags(item, "channels", place, out, why);
}

static enum error parse_items(const json_t *items, struct promotion_request *out,
                              struct reason *why)
{
    enum error error = OK;

    if (!json_is_array(items) || json_array_size(items) == 0 ||
        json_array_size(items) > PROMOTION_ITEMS_MAX) {
        return fail(why, ERROR_INVALID, "items must be a list of 1 to %d images",
                    PROMOTION_ITEMS_MAX);
    }
    out->items = memory_zero(json_array_size(items) * sizeof *out->items);
    for (; out->n_items < json_array_size(items) && error == OK; out->n_items++) {
        error = parse_item(json_array_get(items, out->n_items), out->n_items,
                           &out->items[out->n_items], why);
    }
    return error;
}

static enum error parse_expect(json_t *expect, struct promotion_request *out, struct reason *why)
{
    void *iterator = json_object_iter(expect);

    if (expect != NULL && !json_is_object(expect)) {
        return fail(why, ERROR_INVALID, "expect must be an object: {\"repo:tag\": digest or null}");
    }
    out->expects = memory_zero((json_object_size(expect) + 1) * sizeof *out->expects);
    for (; iterator != NULL; iterator = json_object_iter_next(expect, iterator)) {
        struct promotion_expect *item = &out->expects[out->n_expects++];
        struct bytes name = bytes_of_string(json_object_iter_key(iterator));
        const json_t *digest = json_object_iter_value(iterator);
        ptrdiff_t colon = bytes_find(name, ':');

        if (colon < 0 ||
            (!json_is_null(digest) && digest_parse(text_of(digest), &item->digest) != OK)) {
            return fail(why, ERROR_INVALID,
                        "expect: write \"repository:tag\" and its digest, or null for absent");
        }
        item->target = bytes_slice(name, 0, (size_t)colon);
        item->tag = bytes_slice(name, (size_t)colon + 1, name.size);
    }
    return OK;
}

static enum error parse_options(struct promotion_body *out, struct reason *why)
{
    const json_t *dry_run = json_object_get(out->document, "dry_run");
    const json_t *wait = json_object_get(out->document, "wait");

    if (dry_run != NULL && !json_is_boolean(dry_run)) {
        return fail(why, ERROR_INVALID, "dry_run must be true or false");
    }
    if (wait != NULL && (!json_is_integer(wait) || json_integer_value(wait) < 0 ||
                         json_integer_value(wait) > PROMOTION_WAIT_MAX_MS / 1000)) {
        return fail(why, ERROR_INVALID, "wait must be a number of seconds from 0 to %d",
                    PROMOTION_WAIT_MAX_MS / 1000);
    }
    out->is_dry_run = json_is_true(dry_run);
    out->wait_ms = (uint64_t)json_integer_value(wait) * 1000;
    return OK;
}

static void hash_body(struct promotion_body *out)
{
    struct buffer text;

    json_object_del(out->document, "dry_run");
    json_object_del(out->document, "wait");
    buffer_init(&text, (size_t)API_BODY_MAX * 6);
    json_write(&text, out->document);
    digest_of(DIGEST_SHA256, buffer_view(&text), &out->hash);
    buffer_release(&text);
}

enum error promotion_body_parse(struct bytes json, struct promotion_body *out, struct reason *why)
{
    static const char *const allowed[] = {"pipeline", "kind",    "to",   "items", "expect",
                                          "reason",   "dry_run", "wait", NULL};
    static const char *const kinds[] = {"promote", "rollback", NULL};
    size_t kind = 0;
    enum error error;

    *out = (struct promotion_body){0};
    error = json_parse(json, API_BODY_MAX, &out->document, why);
    if (error == OK) {
        error = document_check_members(out->document, "promotion", allowed, NULL, why);
    }
    if (error == OK) {
        error = document_choice(out->document, "promotion", "kind", kinds, &kind, why);
        out->request.is_rollback = kind == 1;
    }
    if (error == OK) {
        out->request.pipeline = json_member_bytes(out->document, "pipeline");
        out->request.to = json_member_bytes(out->document, "to");
        out->request.reason = json_member_bytes(out->document, "reason");
        error = parse_items(json_object_get(out->document, "items"), &out->request, why);
    }
    if (error == OK) {
        error = parse_expect(json_object_get(out->document, "expect"), &out->request, why);
    }
    if (error == OK) {
        error = parse_options(out, why);
    }
    if (error == OK) {
        error = promotion_request_check(&out->request, why);
    }
    if (error == OK) {
        hash_body(out);
    }
    return error;
}

void promotion_body_release(struct promotion_body *body)
{
    free(body->request.items);
    free(body->request.expects);
    json_decref(body->document);
    *body = (struct promotion_body){0};
}
