#include "promotion/holds.h"

#include "base/assert.h"
#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/view.h"

#include <stdio.h>

/* TABLE_HOLDS: id -> [kind, pipeline, stage, repositories, digest or nil, blocks pull, reason,
 * until, actor, time]. Those that ended are taken out by the next command about holds.
 * hold.put: [id, the first eight of these]; hold.lift: [id, reason]. */

static const char *const kind_names[] = {
    [HOLD_FREEZE] = "freeze",
    [HOLD_QUARANTINE] = "quarantine",
};

const char *hold_kind_name(enum hold_kind kind)
{
    PRE(kind == HOLD_FREEZE || kind == HOLD_QUARANTINE);
    return kind_names[kind];
}

bool hold_kind_parse(struct bytes text, enum hold_kind *out)
{
    unsigned kind;

    for (kind = HOLD_FREEZE; kind <= HOLD_QUARANTINE; kind++) {
        if (bytes_equal_string(text, kind_names[kind])) {
            *out = (enum hold_kind)kind;
            return true;
        }
    }
    return false;
}

static void pack_scope(struct buffer *out, const struct hold *hold)
{
    pack_uint(out, hold->kind);
    pack_string(out, hold->pipeline);
    pack_string(out, hold->stage);
    pack_string(out, hold->repositories);
    pack_digest(out, &hold->digest);
    pack_bool(out, hold->blocks_pull);
    pack_string(out, hold->reason);
    pack_uint(out, hold->until_ms);
}

static void unpack_scope(struct unpacker *in, struct hold *hold)
{
    hold->kind = (enum hold_kind)unpack_uint(in);
    hold->pipeline = unpack_string(in, PIPELINE_NAME_MAX);
    hold->stage = unpack_string(in, PIPELINE_NAME_MAX);
    hold->repositories = unpack_string(in, NAME_MAX_SIZE);
    unpack_digest(in, &hold->digest);
    hold->blocks_pull = unpack_bool(in);
    hold->reason = unpack_string(in, HOLD_REASON_MAX);
    hold->until_ms = unpack_uint(in);
}

static void hold_read(struct bytes key, struct bytes value, struct hold *out)
{
    struct unpacker in;

    *out = (struct hold){.id = key};
    unpack_start(&in, value);
    unpack_array_of(&in, 10);
    unpack_scope(&in, out);
    out->actor = unpack_string(&in, ACTOR_MAX);
    out->time_ms = unpack_uint(&in);
    CHECK(unpack_end(&in) == OK);
}

struct listing {
    uint64_t now_ms;
    hold_visit visit;
    void *data;
};

static bool visit_hold(void *data, struct bytes key, struct bytes value)
{
    struct listing *listing = data;
    struct hold hold;

    hold_read(key, value, &hold);
    if (hold.until_ms != 0 && hold.until_ms <= listing->now_ms) {
        return true;
    }
    return listing->visit(listing->data, &hold);
}

void hold_list(struct catalog_txn *txn, uint64_t now_ms, hold_visit visit, void *data)
{
    struct listing listing = {now_ms, visit, data};

    table_scan(txn, TABLE_HOLDS, BYTES_NONE, visit_hold, &listing);
}

/* --- what a hold stops ------------------------------------------------------------------------ */

struct search {
    const struct promotion *promotion;
    const struct digest *digest; /* Of a pull. */
    const struct manifest_record *manifest;
    struct hold *out;
    bool is_found;
};

static bool is_in_closure(const struct promotion *promotion, const struct digest *digest)
{
    size_t i, k;

    for (i = 0; i < promotion->n_items; i++) {
        const struct closure *closure = &promotion->items[i].closure;

        for (k = 0; k < closure->n; k++) {
            if (digest_equal(&closure->entries[k].digest, digest)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_in_repositories(const struct promotion *promotion, struct bytes glob)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        if (repository_glob_match(glob, promotion->items[i].target) ||
            repository_glob_match(glob, promotion->items[i].source)) {
            return true;
        }
    }
    return false;
}

static bool stops(const struct hold *hold, const struct promotion *promotion)
{
    return (hold->pipeline.size == 0 || bytes_equal(hold->pipeline, promotion->pipeline)) &&
           (hold->stage.size == 0 || bytes_equal(hold->stage, promotion->to)) &&
           (hold->repositories.size == 0 || is_in_repositories(promotion, hold->repositories)) &&
           (hold->digest.algorithm == 0 || is_in_closure(promotion, &hold->digest));
}

static bool visit_stop(void *data, const struct hold *hold)
{
    struct search *search = data;

    search->is_found = stops(hold, search->promotion);
    if (search->is_found) {
        *search->out = *hold;
    }
    return !search->is_found;
}

bool hold_find(struct catalog_txn *txn, const struct promotion *promotion, uint64_t now_ms,
               struct hold *out)
{
    struct search search = {.promotion = promotion, .out = out};

    hold_list(txn, now_ms, visit_stop, &search);
    return search.is_found;
}

struct reference_search {
    const struct digest *digest;
    bool is_found;
};

static bool visit_reference(void *data, const struct reference *ref)
{
    struct reference_search *search = data;

    search->is_found = digest_equal(&ref->digest, search->digest);
    return !search->is_found;
}

static bool refers_to(const struct manifest_record *manifest, const struct digest *digest)
{
    struct reference_search search = {.digest = digest};

    return manifest != NULL && manifest_references(manifest, visit_reference, &search) &&
           search.is_found;
}

static bool visit_pull(void *data, const struct hold *hold)
{
    struct search *search = data;

    search->is_found = hold->blocks_pull && (digest_equal(&hold->digest, search->digest) ||
                                             refers_to(search->manifest, &hold->digest));
    if (search->is_found) {
        *search->out = *hold;
    }
    return !search->is_found;
}

bool hold_allows_pull(struct catalog_txn *txn, const struct digest *digest,
                      const struct manifest_record *manifest, uint64_t now_ms, struct hold *out)
{
    struct search search = {.digest = digest, .manifest = manifest, .out = out};

    if (table_count(txn, TABLE_HOLDS) == 0) {
        return true;
    }
    hold_list(txn, now_ms, visit_pull, &search);
    return !search.is_found;
}

/* --- commands --------------------------------------------------------------------------------- */

void command_hold_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                      const struct hold *hold)
{
    command_begin(out, COMMAND_HOLD_PUT, id, actor);
    pack_array(out, 9);
    pack_string(out, hold->id);
    pack_scope(out, hold);
}

void command_hold_lift(struct buffer *out, const struct command_id *id, struct bytes actor,
                       struct bytes hold, struct bytes reason)
{
    command_begin(out, COMMAND_HOLD_LIFT, id, actor);
    pack_array(out, 2);
    pack_string(out, hold);
    pack_string(out, reason);
}

static json_t *hold_details(const struct hold *hold)
{
    char digest[DIGEST_TEXT_MAX] = "";

    if (hold->digest.algorithm != 0) {
        digest_format(&hold->digest, digest);
    }
    return json_pack("{s:o, s:s, s:o, s:o, s:s, s:b, s:o, s:I}", "id", view_text(hold->id), "kind",
                     kind_names[hold->kind], "stage", view_text(hold->stage), "repositories",
                     view_text(hold->repositories), "digest", digest, "blocks_pull",
                     hold->blocks_pull, "reason", view_text(hold->reason), "until_ms",
                     (json_int_t)hold->until_ms);
}

struct ended {
    uint64_t now_ms;
    uint8_t ids[16][PROMOTION_ID_SIZE];
    size_t n;
};

static bool visit_ended(void *data, struct bytes key, struct bytes value)
{
    struct ended *ended = data;
    struct hold hold;

    hold_read(key, value, &hold);
    if (hold.until_ms != 0 && hold.until_ms <= ended->now_ms) {
        memcpy(ended->ids[ended->n++], key.data, PROMOTION_ID_SIZE);
    }
    return ended->n < 16;
}

static void take_out_ended(const struct command_context *context)
{
    struct ended ended = {.now_ms = context->time_ms};
    size_t i;

    table_scan(context->txn, TABLE_HOLDS, BYTES_NONE, visit_ended, &ended);
    for (i = 0; i < ended.n; i++) {
        enum error error =
            table_delete(context->txn, TABLE_HOLDS, bytes_of(ended.ids[i], PROMOTION_ID_SIZE));

        CHECK(error == OK);
    }
}

static void keep(const struct command_context *context, struct hold *hold)
{
    struct buffer value;

    hold->actor = context->actor;
    hold->time_ms = context->time_ms;
    buffer_init(&value, 4096);
    pack_array(&value, 10);
    pack_scope(&value, hold);
    pack_string(&value, hold->actor);
    pack_uint(&value, hold->time_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_HOLDS, hold->id, buffer_view(&value));
    buffer_release(&value);
    audit_append(context, hold->kind == HOLD_FREEZE ? "freeze.opened" : "quarantine.set",
                 hold->pipeline, BYTES_NONE, hold_details(hold));
}

static bool is_sound(const struct hold *hold)
{
    return hold->id.size == PROMOTION_ID_SIZE && bytes_find(hold->id, 0) < 0 &&
           hold->reason.size > 0 &&
           (hold->kind == HOLD_FREEZE
                ? hold->digest.algorithm == 0 && !hold->blocks_pull
                : hold->kind == HOLD_QUARANTINE && hold->digest.algorithm != 0);
}

void apply_hold_put(const struct command_context *context, struct unpacker *body,
                    struct outcome *outcome)
{
    struct hold hold = {0};
    struct bytes before;

    unpack_array_of(body, 9);
    hold.id = unpack_string(body, PROMOTION_ID_SIZE);
    unpack_scope(body, &hold);
    if (unpack_end(body) != OK || !is_sound(&hold)) {
        (void)outcome_fail(outcome, ERROR_INVALID, "hold.put does not decode");
        return;
    }
    take_out_ended(context);
    if (table_get(context->txn, TABLE_HOLDS, hold.id, &before) == OK) {
        (void)outcome_fail(outcome, ERROR_EXISTS, "this hold id is taken");
    } else if (table_count(context->txn, TABLE_HOLDS) >= HOLDS_MAX) {
        (void)outcome_fail(outcome, ERROR_TOO_LARGE,
                           "%d freezes and quarantines are in force: lift some first", HOLDS_MAX);
    } else {
        keep(context, &hold);
    }
}

void apply_hold_lift(const struct command_context *context, struct unpacker *body,
                     struct outcome *outcome)
{
    struct bytes id, reason, value;
    struct hold hold;
    json_t *details;
    enum error error;

    unpack_array_of(body, 2);
    id = unpack_string(body, PROMOTION_ID_SIZE);
    reason = unpack_string(body, HOLD_REASON_MAX);
    if (unpack_end(body) != OK || id.size != PROMOTION_ID_SIZE) {
        (void)outcome_fail(outcome, ERROR_INVALID, "hold.lift does not decode");
        return;
    }
    if (table_get(context->txn, TABLE_HOLDS, id, &value) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND,
                           "no freeze or quarantine with this id is in force");
        return;
    }
    hold_read(id, value, &hold);
    details = hold_details(&hold);
    json_object_set_new(details, "lifted_because", view_text(reason));
    audit_append(context, hold.kind == HOLD_FREEZE ? "freeze.closed" : "quarantine.cleared",
                 hold.pipeline, BYTES_NONE, details);
    error = table_delete(context->txn, TABLE_HOLDS, id);
    CHECK(error == OK);
}
