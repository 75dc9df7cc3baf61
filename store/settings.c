/* Settings of replication: TABLE_SETTINGS, pattern (empty: the cluster's) -> [copies, quorum]. */
#include "store/settings.h"

#include "base/assert.h"
#include "store/apply.h"
#include "store/content.h"

/* A key of LMDB is not empty: patterns stand behind this. */
#define SETTING_PREFIX "r"

static struct table_key setting_key(struct bytes glob)
{
    struct table_key key = key_of_name(BYTES_LITERAL(SETTING_PREFIX));

    table_key_add(&key, glob);
    return key;
}

static void setting_unpack(struct bytes value, struct replication_setting *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    out->copies = (unsigned)unpack_uint(&in);
    out->write_quorum = (unsigned)unpack_uint(&in);
    record_check(&in, TABLE_SETTINGS);
}

struct settings_walk {
    catalog_visit_setting visit;
    void *data;
};

static bool settings_visit(void *data, struct bytes key, struct bytes value)
{
    const struct settings_walk *walk = data;
    struct bytes glob = bytes_slice(key, sizeof SETTING_PREFIX, key.size);
    struct replication_setting setting;

    setting_unpack(value, &setting);
    return glob.size == 0 || walk->visit(walk->data, glob, &setting);
}

void catalog_settings(struct catalog_txn *txn, catalog_visit_setting visit, void *data)
{
    struct settings_walk walk = {visit, data};

    table_scan(txn, TABLE_SETTINGS, BYTES_NONE, settings_visit, &walk);
}

struct setting_search {
    struct bytes repository, glob;
    struct replication_setting *out;
};

static bool search_visit(void *data, struct bytes glob, const struct replication_setting *setting)
{
    struct setting_search *search = data;

    if (glob.size > search->glob.size && repository_glob_match(glob, search->repository)) {
        search->glob = glob;
        search->out->write_quorum = setting->write_quorum < search->out->copies
                                        ? setting->write_quorum
                                        : search->out->copies;
    }
    return true;
}

void catalog_setting(struct catalog_txn *txn, struct bytes repository,
                     struct replication_setting *out, struct bytes *glob)
{
    struct setting_search search = {repository, BYTES_NONE, out};
    struct table_key key = setting_key(BYTES_NONE);
    struct bytes value;

    *out = (struct replication_setting){COPIES_DEFAULT, WRITE_QUORUM_DEFAULT};
    if (table_get(txn, TABLE_SETTINGS, table_key_view(&key), &value) == OK) {
        setting_unpack(value, out);
    }
    if (repository.size > 0) {
        catalog_settings(txn, search_visit, &search);
    }
    if (glob != NULL) {
        *glob = search.glob;
    }
}

struct replication_setting setting_for_members(struct replication_setting setting, size_t n_members)
{
    unsigned n = n_members < COPIES_MAX ? (unsigned)n_members : COPIES_MAX;

    if (setting.copies > n) {
        setting.copies = n;
    }
    if (setting.write_quorum > n) {
        setting.write_quorum = n;
    }
    return setting;
}

/* --- settings.put: [pattern, copies, write_quorum] -------------------------------------------- */

void command_settings_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes glob, const struct replication_setting *setting)
{
    command_begin(out, COMMAND_SETTINGS_PUT, id, actor);
    pack_array(out, 3);
    pack_string(out, glob);
    pack_uint(out, setting->copies);
    pack_uint(out, setting->write_quorum);
}

static bool setting_check(struct catalog_txn *txn, struct bytes glob, uint64_t copies,
                          uint64_t quorum, struct outcome *outcome)
{
    uint64_t members = table_count(txn, TABLE_MEMBERS);
    struct replication_setting cluster;

    catalog_setting(txn, BYTES_NONE, &cluster, NULL);
    if (glob.size > 0 && copies != cluster.copies) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "copies is for the whole cluster (%u now), because repositories share "
                           "content: set it without a pattern",
                           cluster.copies);
        return false;
    }
    if (copies > COPIES_MAX || quorum == 0 || quorum > copies) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "copies is from 1 to %u, and write_quorum from 1 to copies", COPIES_MAX);
        return false;
    }
    if (quorum > WRITE_QUORUM_DEFAULT && quorum > members) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "a write_quorum of %llu needs as many members, and the cluster has "
                           "%llu: add nodes first",
                           (unsigned long long)quorum, (unsigned long long)members);
        return false;
    }
    return true;
}

void apply_settings_put(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    uint64_t copies, quorum;
    struct table_key key;
    struct buffer value;
    struct bytes glob;

    unpack_array_of(body, 3);
    glob = unpack_string(body, NAME_MAX_SIZE);
    copies = unpack_uint(body);
    quorum = unpack_uint(body);
    if (!body_check(body, outcome)) {
        return;
    }
    key = setting_key(glob);
    if (copies == 0) {
        if (table_delete(context->txn, TABLE_SETTINGS, table_key_view(&key)) != OK) {
            (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no such setting");
        }
        return;
    }
    if (!setting_check(context->txn, glob, copies, quorum, outcome)) {
        return;
    }
    buffer_init(&value, 64);
    pack_array(&value, 2);
    pack_uint(&value, copies);
    pack_uint(&value, quorum);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_SETTINGS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}
