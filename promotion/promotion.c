#include "promotion/promotion.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/pack.h"
#include "promotion/override.h"

#include <stdlib.h>

/* TABLE_PROMOTIONS holds four kinds of keys, by their first part: "p" id -> record, "o" id -> ""
 * for open ones, "r" pipeline stage revision -> id, "s" pipeline stage -> revision. */

#define RECORD_VERSION 2
#define RECORD_FIELDS  24
#define ITEM_FIELDS    7

const char *promotion_state_name(enum promotion_state state)
{
    switch (state) {
#define X(id, number, name)                                                                        \
    case id:                                                                                       \
        return name;
        PROMOTION_STATE_LIST(X)
#undef X
    }
    IMPOSSIBLE("no such state");
}

bool promotion_is_rollback(const struct promotion *promotion)
{
    return bytes_equal_string(promotion->kind, "rollback");
}

void promotion_init(struct promotion *promotion, size_t n_items, size_t n_approvals_max)
{
    PRE(n_items <= PROMOTION_ITEMS_MAX && n_approvals_max <= APPROVALS_MAX + 1);
    *promotion = (struct promotion){.kind = BYTES_LITERAL("promote")};
    promotion->items = memory_zero((n_items + 1) * sizeof *promotion->items);
    promotion->n_items = n_items;
    promotion->approvals = memory_zero((n_approvals_max + 1) * sizeof *promotion->approvals);
    promotion->overrides = memory_zero(sizeof *promotion->overrides);
}

void promotion_release(struct promotion *promotion)
{
    size_t i;

    for (i = 0; i < promotion->n_items; i++) {
        closure_release(&promotion->items[i].closure);
    }
    free(promotion->items);
    free(promotion->approvals);
    free(promotion->overrides);
    free(promotion->memory);
    free(promotion->targets);
    *promotion = (struct promotion){0};
}

static struct table_key key_of(const char *kind, struct bytes a, struct bytes b)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add(&key, bytes_of_string(kind));
    table_key_add(&key, a);
    if (b.size > 0) {
        table_key_add(&key, b);
    }
    return key;
}

static void pack_item(struct buffer *out, const struct promotion_item *item)
{
    size_t i;

    pack_array(out, ITEM_FIELDS);
    pack_string(out, item->source);
    pack_string(out, item->target);
    pack_digest(out, &item->root);
    pack_digest(out, &item->closure_hash);
    pack_uint(out, item->closure_n);
    pack_uint(out, item->closure_bytes);
    pack_array(out, item->n_tags * 2);
    for (i = 0; i < item->n_tags; i++) {
        pack_string(out, item->tags[i].name);
        pack_digest(out, &item->tags[i].expect);
    }
}

static void pack_approval(struct buffer *out, const struct approval *approval)
{
    pack_array(out, 5);
    pack_string(out, approval->actor);
    pack_string(out, approval->comment);
    pack_bool(out, approval->is_approval);
    pack_digest(out, &approval->plan_hash);
    pack_uint(out, approval->time_ms);
}

static void pack_override(struct buffer *out, const struct override *override)
{
    pack_array(out, 6);
    pack_string(out, override->actor);
    pack_string(out, override->reason);
    pack_string(out, override->gates);
    pack_digest(out, &override->plan_hash);
    pack_uint(out, override->time_ms);
    pack_uint(out, override->until_ms);
}

static void pack_record(struct buffer *out, const struct promotion *p)
{
    size_t i;

    pack_array(out, RECORD_FIELDS);
    pack_uint(out, RECORD_VERSION);
    pack_string(out, p->pipeline);
    pack_string(out, p->from);
    pack_string(out, p->to);
    pack_string(out, p->kind);
    pack_string(out, p->requester);
    pack_string(out, p->reason);
    pack_string(out, p->key);
    pack_uint(out, p->state);
    pack_string(out, p->code);
    pack_string(out, p->text);
    pack_uint(out, p->created_ms);
    pack_uint(out, p->updated_ms);
    pack_digest(out, &p->policy_revision);
    pack_digest(out, &p->plan_hash);
    pack_uint(out, p->plans);
    pack_array(out, p->n_items);
    for (i = 0; i < p->n_items; i++) {
        pack_item(out, &p->items[i]);
    }
    pack_array(out, p->n_approvals);
    for (i = 0; i < p->n_approvals; i++) {
        pack_approval(out, &p->approvals[i]);
    }
    pack_array(out, p->n_overrides);
    for (i = 0; i < p->n_overrides; i++) {
        pack_override(out, &p->overrides[i]);
    }
    pack_uint(out, p->stage_revision);
    pack_uint(out, p->commit_index);
    pack_uint(out, p->committed_ms);
    pack_string(out, p->committer);
    pack_string(out, p->gates);
}

static void unpack_item(struct unpacker *in, struct promotion_item *item)
{
    size_t i, n;

    unpack_array_of(in, ITEM_FIELDS);
    item->source = unpack_string(in, NAME_MAX_SIZE);
    item->target = unpack_string(in, NAME_MAX_SIZE);
    unpack_digest(in, &item->root);
    unpack_digest(in, &item->closure_hash);
    item->closure_n = unpack_uint(in);
    item->closure_bytes = unpack_uint(in);
    n = unpack_array(in);
    CHECK(n <= PROMOTION_TAGS_MAX * 2 && n % 2 == 0);
    for (i = 0; i < n / 2; i++) {
        item->tags[i].name = unpack_string(in, TAG_MAX_SIZE);
        unpack_digest(in, &item->tags[i].expect);
    }
    item->n_tags = n / 2;
}

static void unpack_approval(struct unpacker *in, struct approval *approval)
{
    unpack_array_of(in, 5);
    approval->actor = unpack_string(in, ACTOR_MAX);
    approval->comment = unpack_string(in, PROMOTION_TEXT_MAX);
    approval->is_approval = unpack_bool(in);
    unpack_digest(in, &approval->plan_hash);
    approval->time_ms = unpack_uint(in);
}

static void unpack_override(struct unpacker *in, struct override *override)
{
    unpack_array_of(in, 6);
    override->actor = unpack_string(in, ACTOR_MAX);
    override->reason = unpack_string(in, PROMOTION_TEXT_MAX);
    override->gates = unpack_string(in, PROMOTION_RECORD_MAX);
    unpack_digest(in, &override->plan_hash);
    override->time_ms = unpack_uint(in);
    override->until_ms = unpack_uint(in);
}

static void unpack_head(struct unpacker *in, struct promotion *p)
{
    unpack_array_of(in, RECORD_FIELDS);
    CHECK(unpack_uint(in) == RECORD_VERSION);
    p->pipeline = unpack_string(in, NAME_MAX_SIZE);
    p->from = unpack_string(in, NAME_MAX_SIZE);
    p->to = unpack_string(in, NAME_MAX_SIZE);
    p->kind = unpack_string(in, NAME_MAX_SIZE);
    p->requester = unpack_string(in, ACTOR_MAX);
    p->reason = unpack_string(in, PROMOTION_TEXT_MAX);
    p->key = unpack_string(in, PROMOTION_KEY_MAX);
    p->state = (enum promotion_state)unpack_uint(in);
    p->code = unpack_string(in, PROMOTION_TEXT_MAX);
    p->text = unpack_string(in, PROMOTION_TEXT_MAX);
    p->created_ms = unpack_uint(in);
    p->updated_ms = unpack_uint(in);
    unpack_digest(in, &p->policy_revision);
    unpack_digest(in, &p->plan_hash);
    p->plans = unpack_uint(in);
}

/* Each list has room for one more, that may be added. */
static void unpack_lists(struct unpacker *in, struct promotion *out)
{
    size_t n = unpack_array(in), i;

    CHECK(n <= PROMOTION_ITEMS_MAX);
    out->items = memory_resize(out->items, (n + 1) * sizeof *out->items);
    memset(out->items, 0, (n + 1) * sizeof *out->items);
    for (out->n_items = 0; out->n_items < n; out->n_items++) {
        unpack_item(in, &out->items[out->n_items]);
    }
    n = unpack_array(in);
    CHECK(n <= APPROVALS_MAX);
    out->approvals = memory_resize(out->approvals, (n + 1) * sizeof *out->approvals);
    for (i = 0; i < n; i++) {
        unpack_approval(in, &out->approvals[i]);
    }
    out->n_approvals = n;
    n = unpack_array(in);
    CHECK(n <= OVERRIDES_MAX);
    out->overrides = memory_resize(out->overrides, (n + 1) * sizeof *out->overrides);
    for (i = 0; i < n; i++) {
        unpack_override(in, &out->overrides[i]);
    }
    out->n_overrides = n;
}

enum error promotion_load(struct catalog_txn *txn, struct bytes id, struct promotion *out)
{
    struct unpacker in;
    struct bytes value, copy;
    struct table_key key;
    uint8_t *memory;

    if (id.size != PROMOTION_ID_SIZE || bytes_find(id, 0) >= 0) {
        return ERROR_NOT_FOUND;
    }
    key = key_of("p", id, BYTES_NONE);
    if (table_get(txn, TABLE_PROMOTIONS, table_key_view(&key), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    memory = memory_alloc(value.size + id.size);
    memcpy(memory, value.data, value.size);
    memcpy(memory + value.size, id.data, id.size);
    copy = bytes_of(memory, value.size);
    promotion_init(out, 0, 0);
    out->memory = memory;
    out->id = bytes_of(memory + value.size, id.size);
    unpack_start(&in, copy);
    unpack_head(&in, out);
    unpack_lists(&in, out);
    out->stage_revision = unpack_uint(&in);
    out->commit_index = unpack_uint(&in);
    out->committed_ms = unpack_uint(&in);
    out->committer = unpack_string(&in, ACTOR_MAX);
    out->gates = unpack_string(&in, PROMOTION_RECORD_MAX);
    CHECK(unpack_end(&in) == OK);
    return OK;
}
void promotion_save(struct catalog_txn *txn, const struct promotion *promotion)
{
    struct table_key key = key_of("p", promotion->id, BYTES_NONE);
    struct table_key open = key_of("o", promotion->id, BYTES_NONE);
    struct buffer record;

    PRE(promotion->id.size == PROMOTION_ID_SIZE);
    buffer_init(&record, PROMOTION_RECORD_MAX);
    pack_record(&record, promotion);
    CHECK(buffer_status(&record) == OK);
    table_put(txn, TABLE_PROMOTIONS, table_key_view(&key), buffer_view(&record));
    buffer_release(&record);
    if (promotion->state == PROMOTION_OPEN) {
        table_put(txn, TABLE_PROMOTIONS, table_key_view(&open), BYTES_LITERAL("1"));
    } else {
        (void)table_delete(txn, TABLE_PROMOTIONS, table_key_view(&open));
    }
}

struct listing {
    struct bytes prefix;
    promotion_visit visit;
    void *data;
};

static bool visit_listed(void *data, struct bytes key, struct bytes value)
{
    struct listing *listing = data;

    (void)value;
    if (!bytes_starts_with(key, listing->prefix)) {
        return false;
    }
    return listing->visit(listing->data, bytes_slice(key, listing->prefix.size, key.size));
}

void promotion_list_open(struct catalog_txn *txn, promotion_visit visit, void *data)
{
    struct listing listing = {bytes_of("o", 2), visit, data};

    table_scan(txn, TABLE_PROMOTIONS, listing.prefix, visit_listed, &listing);
}

void promotion_list(struct catalog_txn *txn, struct bytes last, promotion_visit visit, void *data)
{
    struct listing listing = {bytes_of("p", 2), visit, data};
    struct table_key from = key_of("p", bytes_slice(last, 0, PROMOTION_ID_SIZE), BYTES_NONE);

    if (last.size > 0) {
        from.data[from.size++] = 0; /* The first key after it. */
    }
    table_scan(txn, TABLE_PROMOTIONS, table_key_view(&from), visit_listed, &listing);
}

uint64_t promotion_stage_revision(struct catalog_txn *txn, struct bytes pipeline,
                                  struct bytes stage)
{
    struct table_key key = key_of("s", pipeline, stage);
    struct unpacker in;
    struct bytes value;

    if (table_get(txn, TABLE_PROMOTIONS, table_key_view(&key), &value) != OK) {
        return 0;
    }
    unpack_start(&in, value);
    return unpack_uint(&in);
}

uint64_t promotion_stage_advance(struct catalog_txn *txn, const struct promotion *promotion)
{
    uint64_t revision = promotion_stage_revision(txn, promotion->pipeline, promotion->to) + 1;
    struct table_key counter = key_of("s", promotion->pipeline, promotion->to);
    struct table_key history = key_of("r", promotion->pipeline, promotion->to);
    struct buffer value;

    buffer_init(&value, 16);
    pack_uint(&value, revision);
    table_put(txn, TABLE_PROMOTIONS, table_key_view(&counter), buffer_view(&value));
    buffer_release(&value);
    table_key_add_uint(&history, revision);
    table_put(txn, TABLE_PROMOTIONS, table_key_view(&history), promotion->id);
    return revision;
}

enum error promotion_of_revision(struct catalog_txn *txn, struct bytes pipeline, struct bytes stage,
                                 uint64_t revision, struct bytes *id)
{
    struct table_key key = key_of("r", pipeline, stage);

    table_key_add_uint(&key, revision);
    return table_get(txn, TABLE_PROMOTIONS, table_key_view(&key), id);
}
