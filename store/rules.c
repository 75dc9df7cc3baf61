/* Write rules: which repositories people may write to, and which take only promotions. promotion/
 * sets them; every command that writes content asks. */

#include "base/assert.h"
#include "store/content.h"

/* TABLE_RULES: pipeline, position -> [pattern, mode, stage]. */
struct rule_walk {
    struct bytes repository;
    struct write_rule *out;
    bool is_matched;
};

static bool rule_visit(void *data, struct bytes key, struct bytes value)
{
    struct rule_walk *walk = data;
    struct bytes pattern, stage;
    struct unpacker in;
    uint64_t mode;

    unpack_start(&in, value);
    unpack_array_of(&in, 3);
    pattern = unpack_string(&in, SIZE_MAX);
    mode = unpack_uint(&in);
    stage = unpack_string(&in, SIZE_MAX);
    record_check(&in, TABLE_RULES);
    if (!repository_glob_match(pattern, walk->repository)) {
        return true;
    }
    /* Any mode but open is strict: what a newer program means by it, it does not mean open. */
    if (mode == WRITE_OPEN && walk->is_matched) {
        return true;
    }
    CHECK(key.size > 9);
    walk->is_matched = true;
    walk->out->mode = mode == WRITE_OPEN ? WRITE_OPEN : WRITE_PROMOTION_ONLY;
    walk->out->pipeline = bytes_slice(key, 0, key.size - 9);
    walk->out->stage = stage;
    return walk->out->mode == WRITE_OPEN;
}

void catalog_write_rule(struct catalog_txn *txn, struct bytes repository, struct write_rule *out)
{
    struct rule_walk walk = {repository, out, false};

    *out = (struct write_rule){.mode = WRITE_OPEN};
    table_scan(txn, TABLE_RULES, BYTES_NONE, rule_visit, &walk);
}

static void rules_clear(struct catalog_txn *txn, struct bytes pipeline)
{
    uint64_t i;

    for (i = 0;; i++) {
        struct table_key key = key_of_name(pipeline);

        table_key_add_uint(&key, i);
        if (table_delete(txn, TABLE_RULES, table_key_view(&key)) != OK) {
            return;
        }
    }
}

void catalog_set_rules(struct catalog_txn *txn, struct bytes pipeline, const struct bytes *patterns,
                       const struct bytes *stages, const enum write_mode *modes, size_t n)
{
    struct buffer value;
    size_t i;

    PRE(pipeline.size > 0);
    rules_clear(txn, pipeline);
    for (i = 0; i < n; i++) {
        struct table_key key = key_of_name(pipeline);

        table_key_add_uint(&key, i);
        buffer_init(&value, 64 + patterns[i].size + stages[i].size);
        pack_array(&value, 3);
        pack_string(&value, patterns[i]);
        pack_uint(&value, (uint64_t)modes[i]);
        pack_string(&value, stages[i]);
        CHECK(buffer_status(&value) == OK);
        table_put(txn, TABLE_RULES, table_key_view(&key), buffer_view(&value));
        buffer_release(&value);
    }
}
