/* The life of a catalog, and the loop that applies log entries to it.
 *
 * Why it may run without syncs, and when it may be opened as it is: everything in it follows from
 * the log and its snapshots, which are durable. LMDB with MDB_NOSYNC is consistent after a clean
 * stop (we sync, then write the marker file), and also after a mere crash of the process; but after
 * a power cut its newest root may point at pages that never reached the disk, and nothing at the
 * next start can tell one from the other. So the marker decides: it is written after the last sync,
 * and removed, with the directory synced, before the first write. Without it the directory is
 * emptied, the catalog starts at index 0, and the log's side restores the newest snapshot and
 * replays. The marker also names the hash and the index that the file must show.
 *
 * A failure to write or commit stops the node (fail_stop): the others have applied the entry. */

#include "store/catalog.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/catalog_state.h"
#include "store/level.h"
#include "store/quota.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MARKER_NAME        "clean"
#define MARKER_LIMIT       256
#define ENVIRONMENT_PREFIX "catalog-"
#define RESULT_MAX         (256u * 1024)
#define RESULT_FRAME       1024u /* Error, text, index around a result's body. */
#define STATE_KEY          BYTES_LITERAL("state")

/* --- environments ---------------------------------------------------------------------------- */

struct environment *catalog_hold_environment(struct catalog *catalog)
{
    struct environment *environment;

    pthread_mutex_lock(&catalog->lock);
    environment = catalog->current;
    environment->references++;
    pthread_mutex_unlock(&catalog->lock);
    return environment;
}

void catalog_drop_environment(struct catalog *catalog, struct environment *environment)
{
    bool is_last;

    pthread_mutex_lock(&catalog->lock);
    CHECK(environment->references > 0);
    is_last = --environment->references == 0;
    pthread_mutex_unlock(&catalog->lock);
    if (is_last) {
        environment_close(environment);
    }
}

enum error catalog_new_environment(struct catalog *catalog, struct environment **out,
                                   struct reason *why)
{
    char name[64];

    snprintf(name, sizeof name, ENVIRONMENT_PREFIX "%llu.mdb",
             (unsigned long long)catalog->n_environments++);
    environment_remove(catalog->directory, name);
    return environment_open(catalog->directory, name, out, why);
}

void catalog_swap_environment(struct catalog *catalog, struct environment *environment)
{
    struct environment *old;

    pthread_mutex_lock(&catalog->lock);
    old = catalog->current;
    catalog->current = environment;
    if (old != NULL) {
        old->is_obsolete = true;
    }
    pthread_mutex_unlock(&catalog->lock);
    if (old != NULL) {
        catalog_drop_environment(catalog, old);
    }
}

/* --- opening and closing --------------------------------------------------------------------- */

struct marker {
    char name[64];
    char hash[65];
    uint64_t applied_index;
    unsigned long long number; /* Of the environment's file. */
};

/* Read the marker and take it away for good; true when there was a sound one. */
static enum error take_marker(struct catalog *catalog, struct marker *marker, bool *is_clean,
                              struct reason *why)
{
    struct buffer text;
    unsigned long long index = 0;
    enum error error;
    size_t size;
    char *path;

    *is_clean = false;
    error = durable_read(catalog->directory, MARKER_NAME, MARKER_LIMIT, &text, NULL);
    if (error == OK) {
        *is_clean = sscanf(buffer_string(&text), "caisson catalog 1 %63s %llu %64s", marker->name,
                           &index, marker->hash) == 3 &&
                    sscanf(marker->name, ENVIRONMENT_PREFIX "%llu.mdb", &marker->number) == 1;
        marker->applied_index = index;
    }
    buffer_release(&text);
    if (error == ERROR_NOT_FOUND) {
        return OK;
    }
    size = strlen(catalog->directory) + sizeof MARKER_NAME + 1;
    path = memory_alloc(size);
    snprintf(path, size, "%s/%s", catalog->directory, MARKER_NAME);
    FAILPOINT("catalog.before_unmark");
    if (unlink(path) != 0) {
        error = fail_errno(why, errno, "cannot remove %s", path);
    } else {
        FAILPOINT("catalog.after_unmark");
        error = durable_sync_directory(catalog->directory, why);
    }
    free(path);
    return error;
}

/* Remove all environment files but the one called keep (NULL: all). */
static enum error sweep(const char *directory, const char *keep, struct reason *why)
{
    DIR *dir = opendir(directory);
    const struct dirent *item;

    if (dir == NULL) {
        return fail_errno(why, errno, "cannot read the directory %s", directory);
    }
    while ((item = readdir(dir)) != NULL) {
        if (strncmp(item->d_name, ENVIRONMENT_PREFIX, sizeof ENVIRONMENT_PREFIX - 1) == 0 &&
            (keep == NULL || strncmp(item->d_name, keep, strlen(keep)) != 0)) {
            unlinkat(dirfd(dir), item->d_name, 0);
        }
    }
    closedir(dir);
    return OK;
}

/* Open what a clean stop left; false when it is not what the marker says. */
static bool open_clean(struct catalog *catalog, const struct marker *marker)
{
    struct catalog_txn txn = {.catalog = catalog};
    struct environment *environment;
    struct local_record local;
    struct reason why;
    char hash[65];

    if (environment_open(catalog->directory, marker->name, &environment, &why) != OK) {
        LOG_WARN("%s; it is rebuilt from the log", why.text);
        return false;
    }
    environment_begin(environment, false, &txn);
    environment_local(&txn, &local);
    environment_abort(&txn);
    state_hash_format(local.hash, hash);
    if (local.applied_index != marker->applied_index || strcmp(hash, marker->hash) != 0) {
        LOG_WARN("the catalog %s/%s is not as it was left; it is rebuilt from the log",
                 catalog->directory, marker->name);
        environment_close(environment);
        return false;
    }
    catalog->current = environment;
    catalog->n_environments = marker->number + 1;
    return true;
}

static enum error open_current(struct catalog *catalog, struct reason *why)
{
    struct marker marker;
    bool is_clean;
    enum error error = take_marker(catalog, &marker, &is_clean, why);

    if (error != OK) {
        return error;
    }
    error = sweep(catalog->directory, is_clean ? marker.name : NULL, why);
    if (error != OK) {
        return error;
    }
    if (is_clean && open_clean(catalog, &marker)) {
        return OK;
    }
    error = sweep(catalog->directory, NULL, why);
    if (error == OK) {
        error = catalog_new_environment(catalog, &catalog->current, why);
    }
    return error;
}

void catalog_load_state(struct catalog *catalog)
{
    struct catalog_txn txn = {.catalog = catalog};
    struct local_record local;
    struct unpacker in;
    struct bytes value;

    environment_begin(catalog->current, false, &txn);
    environment_local(&txn, &local);
    __atomic_store_n(&catalog->applied_index, local.applied_index, __ATOMIC_RELEASE);
    catalog->state = (struct apply_state){0};
    if (table_get(&txn, TABLE_META, STATE_KEY, &value) == OK) {
        unpack_start(&in, value);
        unpack_array_of(&in, 4);
        catalog->state.index = unpack_uint(&in);
        catalog->state.term = unpack_uint(&in);
        catalog->state.time_ms = unpack_uint(&in);
        catalog->state.next_sequence = unpack_uint(&in);
        if (unpack_end(&in) != OK) {
            fail_stop("the catalog in %s is damaged: record \"state\"", catalog->directory);
        }
    }
    environment_abort(&txn);
}

static void catalog_free(struct catalog *catalog)
{
    pthread_mutex_destroy(&catalog->lock);
    undo_release(&catalog->undo);
    changes_release(&catalog->changes);
    buffer_release(&catalog->scratch);
    hasher_release(&catalog->hasher);
    free(catalog->directory);
    free(catalog);
}

enum error catalog_open(const char *directory, const struct command_row *const *rows, size_t n_rows,
                        struct catalog **out, struct reason *why)
{
    struct catalog *catalog;
    enum error error = durable_make_directory(directory, why);

    if (error != OK) {
        return error;
    }
    catalog = memory_zero(sizeof *catalog);
    catalog->directory = memory_string(directory);
    catalog->rows = rows;
    catalog->n_rows = n_rows;
    pthread_mutex_init(&catalog->lock, NULL);
    undo_init(&catalog->undo);
    changes_init(&catalog->changes);
    buffer_init(&catalog->scratch, (size_t)1 << 40);
    hasher_init(&catalog->hasher, DIGEST_SHA256);
    error = open_current(catalog, why);
    if (error != OK) {
        catalog_free(catalog);
        return error;
    }
    catalog_load_state(catalog);
    error = level_check(catalog, why);
    if (error != OK) {
        catalog_close(catalog);
        return error;
    }
    *out = catalog;
    return OK;
}

static enum error mark_clean(struct catalog *catalog, struct reason *why)
{
    struct catalog_txn txn;
    struct buffer text;
    char hash[65];
    enum error error;

    FAILPOINT("catalog.before_mark");
    error = environment_sync(catalog->current, why);
    if (error != OK) {
        return error;
    }
    catalog_read(catalog, &txn);
    catalog_txn_hash(&txn, hash);
    catalog_done(&txn);
    buffer_init(&text, MARKER_LIMIT);
    buffer_print(&text, "caisson catalog 1 %s %llu %s\n", catalog->current->name,
                 (unsigned long long)catalog->applied_index, hash);
    CHECK(buffer_status(&text) == OK);
    error = durable_write(catalog->directory, MARKER_NAME, 0600, buffer_view(&text), why);
    FAILPOINT("catalog.after_mark");
    buffer_release(&text);
    return error;
}

void catalog_close(struct catalog *catalog)
{
    struct reason why;

    if (mark_clean(catalog, &why) != OK) {
        LOG_WARN("%s; the catalog will be rebuilt from the log", why.text);
    }
    CHECK(catalog->current->references == 1);
    environment_close(catalog->current);
    catalog_free(catalog);
}

/* --- applying -------------------------------------------------------------------------------- */

/* A command's envelope. */
struct envelope {
    enum command_kind kind;
    struct bytes id, actor, body;
};

static enum error envelope_read(struct bytes command, struct envelope *out)
{
    struct unpacker in;
    uint64_t version, kind;

    unpack_start(&in, command);
    unpack_array_of(&in, 5);
    version = unpack_uint(&in);
    if (unpack_status(&in) == OK && version != COMMAND_VERSION) {
        fail_stop("command version %llu in the log is newer than this program: upgrade this node",
                  (unsigned long long)version);
    }
    kind = unpack_uint(&in);
    out->id = unpack_bin(&in, COMMAND_ID_SIZE);
    out->actor = unpack_string(&in, ACTOR_MAX);
    out->body = unpack_raw(&in);
    if (unpack_end(&in) != OK || out->id.size != COMMAND_ID_SIZE || kind > INT32_MAX) {
        return ERROR_INVALID;
    }
    out->kind = (enum command_kind)kind;
    return OK;
}

static const struct command_row *row_of(struct catalog_txn *txn, enum command_kind kind)
{
    const struct command_row *row = catalog_command_row(txn->catalog, kind);
    char versions[LEVEL_TEXT_MAX];

    if (row == NULL) {
        level_describe(txn, versions);
        fail_stop(
            "command kind %u in the log is unknown to this program (level %u); it must not be "
            "skipped. %s: install that version here",
            (unsigned)kind, catalog_own_level(txn->catalog), versions);
    }
    return row;
}

static void result_write(const struct outcome *outcome, uint64_t index, struct buffer *out)
{
    command_result_write(out, outcome->error, outcome->error == OK ? "" : outcome->why.text, index,
                         buffer_view(&outcome->body));
}

/* Keep the result for a repeated id, and let go of the oldest. Which results are kept depends on
 * the order of the log alone. */
static void store_result(struct catalog_txn *txn, struct bytes id, struct bytes result)
{
    struct apply_state *state = &txn->catalog->state;
    struct table_key key;
    struct bytes old;

    table_key_init(&key);
    table_key_add_uint(&key, state->next_sequence);
    table_put(txn, TABLE_COMMANDS, id, result);
    table_put(txn, TABLE_COMMAND_ORDER, table_key_view(&key), id);
    if (state->next_sequence >= CATALOG_RESULTS_KEPT) {
        enum error error;

        table_key_init(&key);
        table_key_add_uint(&key, state->next_sequence - CATALOG_RESULTS_KEPT);
        error = table_get(txn, TABLE_COMMAND_ORDER, table_key_view(&key), &old);
        CHECK(error == OK);
        error = table_delete(txn, TABLE_COMMANDS, old);
        CHECK(error == OK);
        error = table_delete(txn, TABLE_COMMAND_ORDER, table_key_view(&key));
        CHECK(error == OK);
    }
    state->next_sequence++;
}

/* Run the row; an error takes its changes back. */
static void run_row(struct catalog_txn *txn, const struct envelope *envelope,
                    const struct catalog_entry *entry, struct outcome *outcome)
{
    const struct command_row *row = row_of(txn, envelope->kind);
    struct apply_state *state = &txn->catalog->state;
    struct command_context context = {.txn = txn, .index = entry->index, .actor = envelope->actor};
    struct unpacker body;

    state->time_ms = entry->time_ms > state->time_ms ? entry->time_ms : state->time_ms + 1;
    context.time_ms = state->time_ms;
    unpack_start(&body, envelope->body);
    undo_begin(&txn->catalog->undo);
    txn->catalog->breach.size = 0;
    if (level_allows(txn, row, outcome)) {
        row->apply(&context, &body, outcome);
    }
    if (outcome->error == OK) {
        quota_check(txn, outcome);
    }
    if (outcome->error == OK && buffer_status(&outcome->body) != OK) {
        (void)outcome_fail(outcome, ERROR_TOO_LARGE, "the result of %s is too large", row->name);
    }
    if (buffer_status(&outcome->body) != OK) {
        buffer_clear(&outcome->body);
    }
    if (outcome->error == OK) {
        undo_keep(&txn->catalog->undo);
    } else {
        undo_revert(&txn->catalog->undo, txn);
    }
}

static void apply_command(struct catalog_txn *txn, const struct catalog_entry *entry,
                          struct bytes command, struct buffer *result)
{
    struct outcome outcome = {.error = OK};
    struct envelope envelope;
    struct bytes stored;

    buffer_init(&outcome.body, RESULT_MAX - RESULT_FRAME);
    if (envelope_read(command, &envelope) != OK) {
        /* No id to remember it by: every repetition gets this again. */
        (void)outcome_fail(&outcome, ERROR_INVALID, "not a command");
        result_write(&outcome, entry->index, result);
    } else if (table_get(txn, TABLE_COMMANDS, envelope.id, &stored) == OK) {
        buffer_append(result, stored);
    } else {
        size_t before = result->size;

        run_row(txn, &envelope, entry, &outcome);
        result_write(&outcome, entry->index, result);
        store_result(txn, envelope.id, bytes_of(result->data + before, result->size - before));
    }
    CHECK(buffer_status(result) == OK);
    buffer_release(&outcome.body);
}

static void store_state(struct catalog_txn *txn)
{
    const struct apply_state *state = &txn->catalog->state;
    struct buffer value;

    buffer_init(&value, 64);
    pack_array(&value, 4);
    pack_uint(&value, state->index);
    pack_uint(&value, state->term);
    pack_uint(&value, state->time_ms);
    pack_uint(&value, state->next_sequence);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_META, STATE_KEY, buffer_view(&value));
    buffer_release(&value);
}

void catalog_apply(struct catalog *catalog, const struct catalog_entry *entry,
                   struct buffer *results)
{
    struct catalog_txn txn = {.catalog = catalog};
    size_t i;

    PRE(entry->index > catalog->applied_index);
    environment_begin(catalog->current, true, &txn);
    for (i = 0; i < entry->n; i++) {
        apply_command(&txn, entry, entry->commands[i], &results[i]);
    }
    catalog->state.index = entry->index;
    catalog->state.term = entry->term;
    store_state(&txn);
    environment_commit(&txn, entry->index);
    __atomic_store_n(&catalog->applied_index, entry->index, __ATOMIC_RELEASE);
    changes_publish(catalog);
}

uint64_t catalog_applied_index(struct catalog *catalog)
{
    return __atomic_load_n(&catalog->applied_index, __ATOMIC_ACQUIRE);
}
