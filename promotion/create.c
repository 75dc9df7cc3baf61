#include "base/failpoint.h"
#include "base/memory.h"
#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/idempotency.h"
#include "promotion/policy.h"
#include "promotion/stage_tags.h"

#include <stdlib.h>

/* promotion.create: [id, key, request hash, is a rollback, pipeline, to, reason,
 *   [[source, root or nil, tag, [tag, ...]], ...], [[target, tag, digest or nil], ...]]. */

#define EXPECTS_MAX ((size_t)PROMOTION_ITEMS_MAX * PROMOTION_TAGS_MAX)

static enum error check_item(const struct promotion_request_item *item, struct reason *why)
{
    size_t i;

    if (!repository_name_is_valid(item->source)) {
        return fail(why, ERROR_INVALID, "repo \"%.*s\" is no repository name",
                    item->source.size > 80 ? 80 : (int)item->source.size,
                    (const char *)item->source.data);
    }
    if ((item->root.algorithm == 0) == (item->tag.size == 0)) {
        return fail(why, ERROR_INVALID, "%.*s: give either a digest or a tag",
                    BYTES_ARG(item->source));
    }
    if (item->tag.size > 0 && !tag_is_valid(item->tag)) {
        return fail(why, ERROR_INVALID, "%.*s: the tag to promote is not valid",
                    BYTES_ARG(item->source));
    }
    if (item->n_tags > PROMOTION_TAGS_MAX) {
        return fail(why, ERROR_INVALID, "%.*s: at most %d tags", BYTES_ARG(item->source),
                    PROMOTION_TAGS_MAX);
    }
    for (i = 0; i < item->n_tags; i++) {
        if (!tag_is_valid(item->tags[i])) {
            return fail(why, ERROR_INVALID, "%.*s: \"%.*s\" is no valid tag",
                        BYTES_ARG(item->source),
                        item->tags[i].size > 128 ? 128 : (int)item->tags[i].size,
                        (const char *)item->tags[i].data);
        }
    }
    return OK;
}

enum error promotion_request_check(const struct promotion_request *request, struct reason *why)
{
    enum error error = OK;
    size_t i;

    if (!pipeline_name_is_valid(request->pipeline) || !pipeline_name_is_valid(request->to)) {
        return fail(why, ERROR_INVALID,
                    "a promotion needs \"pipeline\" and \"to\": the names of a pipeline and of the "
                    "stage that it leads to");
    }
    if (request->n_items == 0 || request->n_items > PROMOTION_ITEMS_MAX) {
        return fail(why, ERROR_INVALID, "a promotion has 1 to %d items", PROMOTION_ITEMS_MAX);
    }
    if (request->reason.size > PROMOTION_TEXT_MAX) {
        return fail(why, ERROR_INVALID, "the reason is longer than %d bytes", PROMOTION_TEXT_MAX);
    }
    for (i = 0; i < request->n_items && error == OK; i++) {
        error = check_item(&request->items[i], why);
    }
    for (i = 0; i < request->n_expects && error == OK; i++) {
        if (!repository_name_is_valid(request->expects[i].target) ||
            !tag_is_valid(request->expects[i].tag)) {
            error = fail(why, ERROR_INVALID, "expect: write \"repository:tag\" of the target");
        }
    }
    return error;
}

static void read_item(struct unpacker *in, struct promotion_request_item *item)
{
    size_t i, n;

    unpack_array_of(in, 4);
    item->source = unpack_string(in, NAME_MAX_SIZE);
    unpack_digest(in, &item->root);
    item->tag = unpack_string(in, TAG_MAX_SIZE);
    n = unpack_array(in);
    for (i = 0; i < n && i < PROMOTION_TAGS_MAX; i++) {
        item->tags[item->n_tags++] = unpack_string(in, TAG_MAX_SIZE);
    }
}

/* Anything too much is left unread, and so found at the end. */
static void read_request(struct unpacker *in, struct promotion_request *out)
{
    size_t i, n;

    out->is_rollback = unpack_bool(in);
    out->pipeline = unpack_string(in, PIPELINE_NAME_MAX);
    out->to = unpack_string(in, PIPELINE_NAME_MAX);
    out->reason = unpack_string(in, PROMOTION_TEXT_MAX);
    n = unpack_array(in);
    out->n_items = n > PROMOTION_ITEMS_MAX ? 0 : n;
    out->items = memory_zero((out->n_items + 1) * sizeof *out->items);
    for (i = 0; i < out->n_items; i++) {
        read_item(in, &out->items[i]);
    }
    n = unpack_array(in);
    out->n_expects = n > EXPECTS_MAX ? 0 : n;
    out->expects = memory_zero((out->n_expects + 1) * sizeof *out->expects);
    for (i = 0; i < out->n_expects; i++) {
        unpack_array_of(in, 3);
        out->expects[i].target = unpack_string(in, NAME_MAX_SIZE);
        out->expects[i].tag = unpack_string(in, TAG_MAX_SIZE);
        unpack_digest(in, &out->expects[i].digest);
    }
}

static json_t *tag_details(const struct promotion_item *item)
{
    json_t *tags = json_object();
    size_t i;

    for (i = 0; i < item->n_tags; i++) {
        char name[TAG_MAX_SIZE + 1] = "", expect[DIGEST_TEXT_MAX] = "";

        memcpy(name, item->tags[i].name.data, item->tags[i].name.size);
        if (item->tags[i].expect.algorithm != 0) {
            digest_format(&item->tags[i].expect, expect);
        }
        json_object_set_new(tags, name, expect[0] != '\0' ? json_string(expect) : json_null());
    }
    return tags;
}

json_t *apply_plan_details(const struct promotion *promotion)
{
    json_t *items = json_array();
    char plan[DIGEST_TEXT_MAX], policy[DIGEST_TEXT_MAX];
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];
        char root[DIGEST_TEXT_MAX], closure[DIGEST_TEXT_MAX];

        digest_format(&item->root, root);
        digest_format(&item->closure_hash, closure);
        json_array_append_new(
            items, json_pack("{s:s%, s:s%, s:s, s:s, s:I, s:o}", "from", item->source.data,
                             item->source.size, "to", item->target.data, item->target.size,
                             "digest", root, "closure_hash", closure, "digests",
                             (json_int_t)item->closure_n, "tags", tag_details(item)));
    }
    digest_format(&promotion->plan_hash, plan);
    digest_format(&promotion->policy_revision, policy);
    return json_pack("{s:s, s:s, s:s%, s:o}", "plan_hash", plan, "policy_revision", policy, "stage",
                     promotion->to.data, promotion->to.size, "items", items);
}

static void create(const struct command_context *context, const struct promotion_request *request,
                   struct promotion *promotion, const struct digest *request_hash,
                   struct outcome *outcome)
{
    struct pipeline *pipeline = NULL;
    struct reason why = {""};
    enum error error = policy_load(context->txn, request->pipeline, &pipeline, &why);

    if (error == OK) {
        error = plan_make(context->txn, pipeline, request, promotion, &why);
    }
    if (error == OK) {
        error = stage_supersede(context, pipeline_stage(pipeline, promotion->to), promotion, &why);
    }
    pipeline_release(pipeline);
    if (error != OK) {
        (void)outcome_fail(outcome, error, "%s", why.text);
        return;
    }
    promotion->requester = context->actor;
    promotion->created_ms = promotion->updated_ms = context->time_ms;
    promotion->plans = 1;
    FAILPOINT("promotion.before_create");
    promotion_save(context->txn, promotion);
    if (promotion->key.size > 0) {
        idempotency_save(context->txn, context->actor, promotion->key, context->index,
                         promotion->id, request_hash);
    }
    audit_append(context, "promotion.requested", promotion->pipeline, promotion->id,
                 apply_plan_details(promotion));
    FAILPOINT("promotion.after_create");
    apply_answer(outcome, promotion->id, OK, "", "", false);
}

static bool answer_repeat(const struct command_context *context, struct bytes key,
                          const struct digest *request_hash, struct outcome *outcome)
{
    struct digest first;
    struct bytes id;

    if (key.size == 0 || idempotency_find(context->txn, context->actor, key, &id, &first) != OK) {
        return false;
    }
    if (digest_equal(&first, request_hash)) {
        apply_answer(outcome, id, OK, "", "", true);
    } else {
        (void)outcome_fail(outcome, ERROR_IDEMPOTENCY,
                           "this Idempotency-Key was used for another request, which became "
                           "promotion %.*s: use a new key",
                           BYTES_ARG(id));
    }
    return true;
}

void apply_promotion_create(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome)
{
    struct promotion_request request = {0};
    struct promotion promotion = {0}, existing;
    struct digest request_hash;
    struct bytes id, key;
    struct reason why = {""};

    unpack_array_of(body, 9);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    key = unpack_string(body, PROMOTION_KEY_MAX);
    unpack_digest(body, &request_hash);
    read_request(body, &request);
    if (unpack_end(body) != OK || id.size != PROMOTION_ID_SIZE || bytes_find(id, 0) >= 0 ||
        bytes_find(key, 0) >= 0) {
        (void)outcome_fail(outcome, ERROR_INVALID, "promotion.create does not decode");
    } else if (answer_repeat(context, key, &request_hash, outcome)) {
        /* Answered. */
    } else if (promotion_request_check(&request, &why) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "%s", why.text);
    } else if (promotion_load(context->txn, id, &existing) == OK) {
        promotion_release(&existing);
        (void)outcome_fail(outcome, ERROR_EXISTS, "this promotion id is taken");
    } else {
        promotion_init(&promotion, request.n_items, 0);
        promotion.id = id;
        promotion.key = key;
        create(context, &request, &promotion, &request_hash, outcome);
        promotion_release(&promotion);
    }
    free(request.items);
    free(request.expects);
}
