/* Feature levels: member.announce, and what follows from it. See store/level.h. */

#include "base/assert.h"
#include "base/log.h"
#include "store/apply.h"
#include "store/catalog_state.h"
#include "store/content.h"
#include "store/level.h"

#include <stdio.h>

#define LEVEL_KEY BYTES_LITERAL("level")

/* --- what is ---------------------------------------------------------------------------------- */

const struct command_row *catalog_command_row(const struct catalog *catalog, enum command_kind kind)
{
    size_t i;

    for (i = 0; i < catalog->n_rows; i++) {
        if (catalog->rows[i]->kind == kind) {
            return catalog->rows[i];
        }
    }
    return NULL;
}

static unsigned level_of_row(const struct command_row *row)
{
    return row->level > LEVEL_FIRST ? row->level : LEVEL_FIRST;
}

unsigned level_of_rows(const struct command_row *const *rows, size_t n)
{
    unsigned level = LEVEL_FIRST;
    size_t i;

    for (i = 0; i < n; i++) {
        level = level_of_row(rows[i]) > level ? level_of_row(rows[i]) : level;
    }
    return level;
}

unsigned catalog_own_level(const struct catalog *catalog)
{
    return level_of_rows(catalog->rows, catalog->n_rows);
}

unsigned catalog_level(struct catalog_txn *txn)
{
    struct unpacker in;
    struct bytes value;
    uint64_t level;

    if (table_get(txn, TABLE_META, LEVEL_KEY, &value) != OK) {
        return LEVEL_FIRST;
    }
    unpack_start(&in, value);
    level = unpack_uint(&in);
    record_check(&in, TABLE_META);
    return (unsigned)level;
}

/* TABLE_MEMBER_LEVELS: id -> [level, version]. */
enum error catalog_member_level(struct catalog_txn *txn, uint64_t id, unsigned *level,
                                struct bytes *version)
{
    struct table_key key;
    struct unpacker in;
    struct bytes value;

    table_key_init(&key);
    table_key_add_uint(&key, id);
    if (table_get(txn, TABLE_MEMBER_LEVELS, table_key_view(&key), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    *level = (unsigned)unpack_uint(&in);
    *version = unpack_string(&in, VERSION_MAX);
    record_check(&in, TABLE_MEMBER_LEVELS);
    return OK;
}

struct level_walk {
    struct catalog_txn *txn;
    unsigned lowest, highest; /* A member that has not announced counts as 0. */
    struct bytes lowest_name, highest_name, lowest_version, highest_version;
};

static bool level_visit(void *data, const struct member_record *member)
{
    struct level_walk *walk = data;
    struct bytes version = BYTES_NONE;
    unsigned level = 0;

    if (catalog_member_level(walk->txn, member->id, &level, &version) != OK) {
        level = 0;
    }
    if (level < walk->lowest) {
        walk->lowest = level;
        walk->lowest_name = member->name;
        walk->lowest_version = version;
    }
    if (level > walk->highest) {
        walk->highest = level;
        walk->highest_name = member->name;
        walk->highest_version = version;
    }
    return true;
}

static void level_walk(struct catalog_txn *txn, struct level_walk *walk)
{
    *walk = (struct level_walk){.txn = txn, .lowest = UINT32_MAX};
    catalog_members(txn, level_visit, walk);
}

void level_describe(struct catalog_txn *txn, char text[LEVEL_TEXT_MAX])
{
    struct level_walk walk;

    level_walk(txn, &walk);
    if (walk.highest == 0) {
        snprintf(text, LEVEL_TEXT_MAX, "A newer version wrote it");
        return;
    }
    snprintf(text, LEVEL_TEXT_MAX, BYTES_FMT " runs " BYTES_FMT " (level %u)",
             BYTES_ARG(walk.highest_name), BYTES_ARG(walk.highest_version), walk.highest);
}

/* --- what may be proposed --------------------------------------------------------------------- */

static enum error refuse_row(struct catalog_txn *txn, const struct command_row *row,
                             struct reason *why)
{
    struct level_walk walk;

    level_walk(txn, &walk);
    if (walk.lowest == 0) {
        return fail(why, ERROR_UNSUPPORTED,
                    "%s needs feature level %u, and " BYTES_FMT
                    " has not announced its own yet: try again when it is up",
                    row->name, level_of_row(row), BYTES_ARG(walk.lowest_name));
    }
    return fail(why, ERROR_UNSUPPORTED,
                "%s needs feature level %u, and " BYTES_FMT " runs version " BYTES_FMT
                " (level %u): upgrade every member first",
                row->name, level_of_row(row), BYTES_ARG(walk.lowest_name),
                BYTES_ARG(walk.lowest_version), walk.lowest);
}

bool level_allows(struct catalog_txn *txn, const struct command_row *row, struct outcome *outcome)
{
    if (level_of_row(row) == LEVEL_FIRST || level_of_row(row) <= catalog_level(txn)) {
        return true;
    }
    outcome->error = refuse_row(txn, row, &outcome->why);
    return false;
}

enum error catalog_may_propose(struct catalog *catalog, struct bytes command, struct reason *why)
{
    const struct command_row *row;
    struct catalog_txn txn;
    enum command_kind kind;
    enum error error = command_kind_of(command, &kind);

    if (error != OK) {
        return fail(why, error, "not a command");
    }
    row = catalog_command_row(catalog, kind);
    if (row == NULL) {
        return fail(why, ERROR_UNSUPPORTED, "command kind %u is unknown to this program",
                    (unsigned)kind);
    }
    if (level_of_row(row) == LEVEL_FIRST) {
        return OK;
    }
    catalog_read(catalog, &txn);
    if (level_of_row(row) > catalog_level(&txn)) {
        error = refuse_row(&txn, row, why);
    }
    catalog_done(&txn);
    return error;
}

enum error level_check(struct catalog *catalog, struct reason *why)
{
    struct catalog_txn txn;
    char versions[LEVEL_TEXT_MAX];
    unsigned level;

    catalog_read(catalog, &txn);
    level = catalog_level(&txn);
    level_describe(&txn, versions);
    catalog_done(&txn);
    if (level <= catalog_own_level(catalog)) {
        return OK;
    }
    return fail(why, ERROR_UNSUPPORTED,
                "the cluster has moved to feature level %u, this program knows level %u: a "
                "downgrade is not possible any more. %s: install that version here",
                level, catalog_own_level(catalog), versions);
}

/* --- member.announce: [id, level, version] ---------------------------------------------------- */

void command_member_announce(struct buffer *out, const struct command_id *id, struct bytes actor,
                             uint64_t member, unsigned level, struct bytes version)
{
    command_begin(out, COMMAND_MEMBER_ANNOUNCE, id, actor);
    pack_array(out, 3);
    pack_uint(out, member);
    pack_uint(out, level);
    pack_string(out, version);
}

/* The lowest that all have announced, unless that is less than what held before. A program that is
 * too old for it ends here rather than at the first command that it does not know. */
static void level_raise(struct catalog_txn *txn)
{
    char versions[LEVEL_TEXT_MAX];
    struct level_walk walk;
    struct buffer value;

    level_walk(txn, &walk);
    if (walk.lowest == UINT32_MAX || walk.lowest <= catalog_level(txn)) {
        return;
    }
    buffer_init(&value, 16);
    pack_uint(&value, walk.lowest);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_META, LEVEL_KEY, buffer_view(&value));
    buffer_release(&value);
    if (walk.lowest > catalog_own_level(txn->catalog)) {
        level_describe(txn, versions);
        fail_stop("the cluster moves to feature level %u, this program knows level %u. %s: install "
                  "that version here",
                  walk.lowest, catalog_own_level(txn->catalog), versions);
    }
}

void level_member_left(const struct command_context *context, uint64_t id)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add_uint(&key, id);
    if (table_delete(context->txn, TABLE_MEMBER_LEVELS, table_key_view(&key)) != OK) {
        LOG_DEBUG("member %016llx left without having announced a level", (unsigned long long)id);
    }
    level_raise(context->txn);
}

void apply_member_announce(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome)
{
    struct member_record member;
    struct table_key key;
    struct bytes version;
    struct buffer value;
    uint64_t id, level;

    unpack_array_of(body, 3);
    id = unpack_uint(body);
    level = unpack_uint(body);
    version = unpack_string(body, VERSION_MAX);
    if (!body_check(body, outcome)) {
        return;
    }
    if (level < LEVEL_FIRST || level > LEVEL_MAX || version.size == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID, "a level is from %u on, with a version",
                           LEVEL_FIRST);
        return;
    }
    if (catalog_member(context->txn, id, &member) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no member %016llx",
                           (unsigned long long)id);
        return;
    }
    if (level < catalog_level(context->txn)) {
        (void)outcome_fail(outcome, ERROR_UNSUPPORTED,
                           "the cluster is at feature level %u; a program of level %llu cannot "
                           "take part",
                           catalog_level(context->txn), (unsigned long long)level);
        return;
    }
    table_key_init(&key);
    table_key_add_uint(&key, id);
    buffer_init(&value, 128);
    pack_array(&value, 2);
    pack_uint(&value, level);
    pack_string(&value, version);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_MEMBER_LEVELS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
    level_raise(context->txn);
}
