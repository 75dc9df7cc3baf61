#include "promotion/plan.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/pack.h"
#include "promotion/environment.h"
#include "promotion/stage_tags.h"

#include <stdlib.h>

static enum error find_stages(const struct pipeline *pipeline, struct bytes to,
                              const struct stage **out, struct reason *why)
{
    const struct stage *stage = pipeline_stage(pipeline, to);
    char names[400];

    if (stage == NULL) {
        pipeline_stage_names(pipeline, names, sizeof names);
        return fail(why, ERROR_INVALID, "pipeline %s has no stage \"%.*s\"; its stages: %s",
                    pipeline->name, to.size > 64 ? 64 : (int)to.size, (const char *)to.data, names);
    }
    if (stage->from == NULL) {
        return fail(why, ERROR_INVALID,
                    "nothing is promoted into stage %s of pipeline %s: images are pushed there",
                    stage->name, pipeline->name);
    }
    *out = stage;
    return OK;
}

/* Where the item goes: a rollback stays in its repository. */
static enum error map_item(const struct stage *stage, const struct promotion *promotion,
                           const struct promotion_item *item, struct buffer *name,
                           struct reason *why)
{
    struct bytes capture;

    if (!promotion_is_rollback(promotion)) {
        return repository_pattern_map(&stage->from->repos, &stage->repos, item->source, name, why);
    }
    if (!repository_pattern_match(&stage->repos, item->source, &capture)) {
        return fail(why, ERROR_INVALID,
                    "%.*s is no repository of stage %s: a rollback names what the stage had itself",
                    BYTES_ARG(item->source), stage->name);
    }
    buffer_append(name, item->source);
    return OK;
}

/* The stage it comes from and the targets of all items, in memory of the promotion's own. */
static enum error map_items(const struct stage *stage, struct promotion *promotion,
                            struct reason *why)
{
    const char *from = promotion_is_rollback(promotion) ? stage->name : stage->from->name;
    enum error error = OK;
    struct buffer name;
    size_t i;

    free(promotion->targets);
    promotion->targets = memory_alloc((promotion->n_items + 1) * NAME_MAX_SIZE);
    memcpy(promotion->targets + promotion->n_items * NAME_MAX_SIZE, from, strlen(from));
    promotion->from =
        bytes_of(promotion->targets + promotion->n_items * NAME_MAX_SIZE, strlen(from));
    buffer_init(&name, NAME_MAX_SIZE);
    for (i = 0; i < promotion->n_items && error == OK; i++) {
        struct promotion_item *item = &promotion->items[i];
        uint8_t *memory = promotion->targets + i * NAME_MAX_SIZE;

        buffer_clear(&name);
        error = map_item(stage, promotion, item, &name, why);
        if (error != OK) {
            error = ERROR_INVALID;
            break;
        }
        memcpy(memory, name.data, name.size);
        item->target = bytes_of(memory, name.size);
    }
    buffer_release(&name);
    return error;
}

static int compare_items(const void *a, const void *b)
{
    const struct promotion_item *x = a, *y = b;
    int order = bytes_compare(x->source, y->source);

    return order != 0 ? order : memcmp(x->root.raw, y->root.raw, DIGEST_RAW_MAX);
}

static int compare_tags(const void *a, const void *b)
{
    return bytes_compare(((const struct promotion_tag *)a)->name,
                         ((const struct promotion_tag *)b)->name);
}

/* Order does not matter to what a promotion does, so it must not matter to the plan hash. */
static void sort_items(struct promotion *promotion)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        struct promotion_item *item = &promotion->items[i];

        qsort(item->tags, item->n_tags, sizeof *item->tags, compare_tags);
    }
    qsort(promotion->items, promotion->n_items, sizeof *promotion->items, compare_items);
}

static bool has_tag(const struct promotion_item *item, struct bytes tag)
{
    size_t i;

    for (i = 0; i < item->n_tags && !bytes_equal(item->tags[i].name, tag); i++) {
    }
    return i < item->n_tags;
}

static enum error check_item_tags(const struct promotion *promotion, size_t number,
                                  struct reason *why)
{
    const struct promotion_item *item = &promotion->items[number];
    size_t k, other;

    for (k = 0; k < item->n_tags; k++) {
        struct bytes tag = item->tags[k].name;

        if (k > 0 && bytes_equal(tag, item->tags[k - 1].name)) {
            return fail(why, ERROR_INVALID, "tag %.*s is given twice for %.*s", BYTES_ARG(tag),
                        BYTES_ARG(item->source));
        }
        /* Sorted: items of the same repository stand together. */
        for (other = number;
             other > 0 && bytes_equal(promotion->items[other - 1].source, item->source); other--) {
            if (has_tag(&promotion->items[other - 1], tag)) {
                return fail(why, ERROR_INVALID, "two images of %.*s cannot both become tag %.*s",
                            BYTES_ARG(item->source), BYTES_ARG(tag));
            }
        }
    }
    return OK;
}

static enum error check_duplicates(const struct promotion *promotion, struct reason *why)
{
    enum error error = OK;
    size_t i;

    for (i = 0; i < promotion->n_items && error == OK; i++) {
        const struct promotion_item *item = &promotion->items[i];

        if (i > 0 && bytes_equal(item->source, item[-1].source) &&
            digest_equal(&item->root, &item[-1].root)) {
            return fail(why, ERROR_INVALID, "the same image of %.*s is given twice",
                        BYTES_ARG(item->source));
        }
        error = check_item_tags(promotion, i, why);
    }
    return error;
}

static void hash_plan(struct promotion *promotion)
{
    struct buffer packed;
    size_t i, k;

    buffer_init(&packed, PROMOTION_RECORD_MAX);
    pack_string(&packed, promotion->pipeline);
    pack_string(&packed, promotion->from);
    pack_string(&packed, promotion->to);
    pack_string(&packed, promotion->kind);
    pack_digest(&packed, &promotion->policy_revision);
    pack_array(&packed, promotion->n_items);
    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];

        pack_string(&packed, item->source);
        pack_string(&packed, item->target);
        pack_digest(&packed, &item->root);
        pack_digest(&packed, &item->closure_hash);
        pack_array(&packed, item->n_tags);
        for (k = 0; k < item->n_tags; k++) {
            pack_string(&packed, item->tags[k].name);
            pack_digest(&packed, &item->tags[k].expect);
        }
    }
    CHECK(buffer_status(&packed) == OK);
    digest_of(DIGEST_SHA256, buffer_view(&packed), &promotion->plan_hash);
    buffer_release(&packed);
}

/* What moves, and the hash of it all. */
static enum error close_plan(struct catalog_txn *txn, struct promotion *promotion,
                             struct reason *why)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        struct promotion_item *item = &promotion->items[i];
        struct closure closure;
        enum error error = closure_find(txn, item->source, &item->root, &closure, why);

        if (error != OK) {
            return error;
        }
        closure_release(&item->closure);
        item->closure = closure;
        item->closure_hash = closure.hash;
        item->closure_n = closure.n;
        item->closure_bytes = closure.bytes;
    }
    hash_plan(promotion);
    return OK;
}

/* Back only to what a promotion once put there: it went through the gates of its time. */
static enum error check_history(struct catalog_txn *txn, const struct promotion *promotion,
                                struct reason *why)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        const struct promotion_item *item = &promotion->items[i];
        char digest[DIGEST_TEXT_MAX];

        if (!environment_had(txn, item->target, &item->root)) {
            digest_format(&item->root, digest);
            return fail(
                why, ERROR_INVALID,
                "%s was never promoted to %.*s, so that there is nothing to go back to: see "
                "caisson env",
                digest, BYTES_ARG(item->target));
        }
    }
    return OK;
}

enum error plan_again(struct catalog_txn *txn, const struct pipeline *pipeline,
                      struct promotion *promotion, struct reason *why)
{
    const struct stage *stage;
    enum error error = find_stages(pipeline, promotion->to, &stage, why);

    if (error != OK) {
        return error;
    }
    promotion->policy_revision = pipeline->revision;
    error = map_items(stage, promotion, why);
    if (error == OK && promotion_is_rollback(promotion)) {
        error = check_history(txn, promotion, why);
    }
    return error != OK ? error : close_plan(txn, promotion, why);
}

static enum error resolve_item(struct catalog_txn *txn, const struct promotion_request_item *wish,
                               struct promotion_item *item, struct reason *why)
{
    struct tag_record tag;
    size_t i;

    item->source = wish->source;
    item->root = wish->root;
    if (wish->root.algorithm == 0) {
        if (catalog_tag(txn, wish->source, wish->tag, &tag) != OK) {
            return fail(why, ERROR_MANIFEST_UNKNOWN, "there is no tag %.*s in %.*s: push it first",
                        BYTES_ARG(wish->tag), BYTES_ARG(wish->source));
        }
        item->root = tag.digest;
    }
    for (i = 0; i < wish->n_tags; i++) {
        item->tags[i].name = wish->tags[i];
    }
    item->n_tags = wish->n_tags;
    if (wish->n_tags == 0 && wish->tag.size > 0) {
        item->tags[item->n_tags++].name = wish->tag;
    }
    return OK;
}

/* What each tag of the target must name: what the request says, else what it names now. */
static void expect_tags(struct catalog_txn *txn, const struct promotion_request *request,
                        struct promotion_item *item)
{
    size_t i, k;

    for (i = 0; i < item->n_tags; i++) {
        struct promotion_tag *tag = &item->tags[i];
        struct tag_record record;
        bool is_given = false;

        for (k = 0; k < request->n_expects && !is_given; k++) {
            const struct promotion_expect *expect = &request->expects[k];

            is_given = bytes_equal(expect->target, item->target) &&
                       bytes_equal(expect->tag, tag->name);
            if (is_given) {
                tag->expect = expect->digest;
            }
        }
        if (!is_given) {
            tag->expect = catalog_tag(txn, item->target, tag->name, &record) == OK
                              ? record.digest
                              : (struct digest){0};
        }
    }
}

/* An expectation about a tag that is not set is a mistake that would guard nothing. */
static enum error check_expects(const struct promotion_request *request,
                                const struct promotion *promotion, struct reason *why)
{
    size_t e, i, k;

    for (e = 0; e < request->n_expects; e++) {
        const struct promotion_expect *expect = &request->expects[e];
        bool is_used = false;

        for (i = 0; i < promotion->n_items; i++) {
            const struct promotion_item *item = &promotion->items[i];

            for (k = 0; k < item->n_tags; k++) {
                is_used = is_used || (bytes_equal(expect->target, item->target) &&
                                      bytes_equal(expect->tag, item->tags[k].name));
            }
        }
        if (!is_used) {
            return fail(why, ERROR_INVALID, "expect names %.*s:%.*s, which this does not set",
                        BYTES_ARG(expect->target), BYTES_ARG(expect->tag));
        }
    }
    return OK;
}

enum error plan_make(struct catalog_txn *txn, const struct pipeline *pipeline,
                     const struct promotion_request *request, struct promotion *out,
                     struct reason *why)
{
    const struct stage *stage;
    enum error error = find_stages(pipeline, request->to, &stage, why);
    const char *code;
    size_t i;

    PRE(out->n_items == request->n_items);
    out->pipeline = request->pipeline;
    out->to = request->to;
    out->kind = request->is_rollback ? BYTES_LITERAL("rollback") : BYTES_LITERAL("promote");
    out->reason = request->reason;
    for (i = 0; i < out->n_items && error == OK; i++) {
        error = resolve_item(txn, &request->items[i], &out->items[i], why);
    }
    if (error == OK) {
        sort_items(out);
        error = check_duplicates(out, why);
    }
    if (error == OK) {
        error = map_items(stage, out, why);
    }
    if (error != OK) {
        return error;
    }
    for (i = 0; i < out->n_items; i++) {
        expect_tags(txn, request, &out->items[i]);
    }
    error = check_expects(request, out, why);
    if (error == OK) {
        error = stage_tags_check(txn, stage, out, &code, why);
    }
    return error != OK ? error : plan_again(txn, pipeline, out, why);
}
