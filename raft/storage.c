#include "raft/storage_private.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "raft/segment_image.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_SIZE_DEFAULT (64u * 1024 * 1024)

/* --- open ------------------------------------------------------------------------------------ */

/* Prepared segments are made anew: how far their preparation came is not known. */
static enum error remove_spares(const char *directory, struct reason *why)
{
    DIR *dir = opendir(directory);
    struct dirent *item;
    enum error rv = OK;

    if (dir == NULL) {
        return fail_errno(why, errno, "open directory %s", directory);
    }
    while ((item = readdir(dir)) != NULL && rv == OK) {
        if (strncmp(item->d_name, "spare-", 6) == 0 && unlinkat(dirfd(dir), item->d_name, 0) != 0) {
            rv = fail_errno(why, errno, "remove %s/%s", directory, item->d_name);
        }
    }
    closedir(dir);
    return rv;
}

/* Without a vote file nothing may be there but what an unfinished creation left. */
static enum error check_unused(struct storage *storage, struct reason *why)
{
    struct snapshot_names names;
    struct log_loaded loaded;
    char path[PATH_MAX], name[SEGMENT_NAME_MAX];
    enum error rv = snapshot_names_read(storage->snapshot_directory, &names, why);
    bool is_used = names.n > 0;

    snapshot_names_release(&names);
    if (rv != OK) {
        return rv;
    }
    rv = log_load(storage->log_directory, storage->cluster, storage->id, &loaded, why);
    if (rv == ERROR_NOT_FOUND && !is_used) {
        return OK;
    }
    if (rv != OK && rv != ERROR_NOT_FOUND) {
        return rv;
    }
    is_used |= rv == OK && (loaded.position.sequence != 1 || loaded.open.number != 1);
    log_loaded_release(&loaded);
    if (is_used) {
        return fail(why, ERROR_CORRUPT, "%s/vote is missing; " REPLACE_MEMBER,
                    storage->log_directory);
    }
    segment_name("segment", 1, name);
    snprintf(path, sizeof path, "%s/%s", storage->log_directory, name);
    return unlink(path) == 0 ? OK : fail_errno(why, errno, "remove %s", path);
}

/* A new log: the first segment, then the vote file, whose being there says that all is. */
static enum error create(struct storage *storage, uint64_t segment_size, struct reason *why)
{
    struct segment_header header = {.number = 1, .member = storage->id, .nonce = random_u64()};
    enum error rv = check_unused(storage, why);
    int fd;

    if (rv != OK) {
        return rv;
    }
    memcpy(header.cluster, storage->cluster, sizeof header.cluster);
    segment_layout(storage->entry_max, segment_size, &header);
    header.start = (struct log_position){
        .offset = segment_body_offset(&header), .sequence = 1, .next_index = 1};
    rv = segment_prepare(storage->log_directory, 1, header.file_size, &fd, why);
    if (rv != OK) {
        return rv;
    }
    rv = segment_activate(storage->log_directory, fd, &header, why);
    close(fd);
    if (rv == OK) {
        rv = vote_file_create(storage->log_directory, storage->cluster, storage->id, why);
    }
    return rv;
}

static enum error check_terms(const struct storage *storage, struct reason *why)
{
    const struct log_loaded *loaded = &storage->loaded;
    uint64_t term = storage->newest.term;

    if (loaded->n > 0 && loaded->entries[loaded->n - 1].term > term) {
        term = loaded->entries[loaded->n - 1].term;
    }
    if (term > storage->vote.term) {
        return fail(why, ERROR_CORRUPT,
                    "%s/vote is of term %llu, though the log reached term %llu; " REPLACE_MEMBER,
                    storage->log_directory, (unsigned long long)storage->vote.term,
                    (unsigned long long)term);
    }
    return OK;
}

static enum error open_files(struct storage *storage, uint64_t segment_size, struct reason *why)
{
    enum error rv = durable_make_directory(storage->log_directory, why);

    rv = rv != OK ? rv : durable_make_directory(storage->snapshot_directory, why);
    rv = rv != OK ? rv : durable_lock(storage->log_directory, &storage->lock_fd, why);
    rv = rv != OK ? rv : remove_spares(storage->log_directory, why);
    rv = rv != OK ? rv : snapshot_list_clean(storage->snapshot_directory, why);
    if (rv != OK) {
        return rv;
    }
    rv = vote_file_open(storage->log_directory, storage->cluster, storage->id, &storage->vote, why);
    if (rv == ERROR_NOT_FOUND) {
        rv = create(storage, segment_size, why);
        rv = rv != OK ? rv
                      : vote_file_open(storage->log_directory, storage->cluster, storage->id,
                                       &storage->vote, why);
    }
    if (rv != OK) {
        return rv;
    }
    rv = log_load(storage->log_directory, storage->cluster, storage->id, &storage->loaded, why);
    if (rv == ERROR_NOT_FOUND) {
        return fail(why, ERROR_CORRUPT, "%s holds a vote file but no segment; " REPLACE_MEMBER,
                    storage->log_directory);
    }
    rv = rv != OK ? rv : storage_reconcile(storage, why);
    return rv != OK ? rv : check_terms(storage, why);
}

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = memory_alloc(size);

    snprintf(path, size, "%s/%s", directory, name);
    return path;
}

static void storage_free(struct storage *storage)
{
    if (!storage->is_loaded) {
        log_loaded_release(&storage->loaded);
    }
    storage_incoming_forget(storage);
    vote_file_close(&storage->vote);
    if (storage->lock_fd >= 0) {
        close(storage->lock_fd);
    }
    snapshot_about_release(&storage->newest);
    free(storage->log_directory);
    free(storage->snapshot_directory);
    free(storage);
}

enum error storage_open(const struct storage_options *options, struct storage **out,
                        struct reason *why)
{
    struct storage *storage;
    enum error rv;

    PRE(options->id != 0 && strlen(options->cluster) == CLUSTER_ID_SIZE);
    *out = NULL;
    /* Room for the longest name of a file in it. */
    if (strlen(options->directory) > PATH_MAX - 128) {
        return fail(why, ERROR_INVALID, "path %s is too long", options->directory);
    }
    storage = memory_zero(sizeof *storage);
    storage->loop = options->loop;
    storage->log_directory = join(options->directory, "log");
    storage->snapshot_directory = join(options->directory, "snapshots");
    memcpy(storage->cluster, options->cluster, CLUSTER_ID_SIZE);
    storage->id = options->id;
    storage->entry_max = options->entry_max == 0 ? STORAGE_ENTRY_MAX : options->entry_max;
    storage->low_space = options->low_space;
    storage->data = options->data;
    storage->lock_fd = storage->vote.fd = storage->loaded.fd = storage->incoming.fd = -1;
    rv = open_files(storage,
                    options->segment_size == 0 ? SEGMENT_SIZE_DEFAULT : options->segment_size, why);
    if (rv != OK) {
        storage_free(storage);
        return rv;
    }
    storage->mended = storage->loaded.mended;
    storage->next_index = storage->loaded.start_index + storage->loaded.n;
    *out = storage;
    return OK;
}

/* --- close ----------------------------------------------------------------------------------- */

static void closed(void *data)
{
    struct storage *storage = data;
    void (*closed_cb)(void *) = storage->closed_cb;
    void *closed_data = storage->closed_data;

    storage_free(storage);
    closed_cb(closed_data);
}

/* Nothing ran yet, so there is no thread to wait for; still not inside the call. */
static void unloaded_closed(uv_handle_t *handle)
{
    closed(handle->data);
    free(handle);
}

static void close_now(struct storage *storage)
{
    if (storage->is_loaded) {
        log_thread_stop(&storage->log, closed, storage);
    } else {
        uv_timer_t *timer = memory_zero(sizeof *timer);

        CHECK(uv_timer_init(storage->loop, timer) == 0);
        timer->data = storage;
        uv_close((uv_handle_t *)timer, unloaded_closed);
    }
}

void storage_close(struct storage *storage, void (*closed_cb)(void *data), void *data)
{
    PRE(!storage->is_closing);
    storage->is_closing = true;
    storage->closed_cb = closed_cb;
    storage->closed_data = data;
    if (storage->jobs == 0) {
        close_now(storage);
    }
}

void storage_job_done(struct storage *storage)
{
    PRE(storage->jobs > 0);
    storage->jobs--;
    if (storage->jobs == 0 && storage->is_closing) {
        close_now(storage);
    }
}

/* --- load and bootstrap ---------------------------------------------------------------------- */

static void request_free(struct log_request *request)
{
    free(request);
}

static void queue_simple(struct storage *storage, enum log_request_kind kind, uint64_t index)
{
    struct log_request *request = memory_zero(sizeof *request);

    request->kind = kind;
    request->index = index;
    request->cb = request_free;
    log_thread_queue(&storage->log, request);
}

void storage_trim(struct storage *storage, uint64_t index)
{
    queue_simple(storage, LOG_TRIM, index);
}

void storage_load(struct storage *storage, raft_term *term, raft_id *voted_for,
                  struct raft_snapshot **snapshot, raft_index *start_index,
                  struct raft_entry **entries, size_t *n_entries)
{
    struct log_loaded *loaded = &storage->loaded;

    PRE(!storage->is_loaded);
    *term = storage->vote.term;
    *voted_for = storage->vote.vote;
    *snapshot = storage_snapshot_get(storage);
    *start_index = loaded->start_index;
    *entries = loaded->entries;
    *n_entries = loaded->n;
    POST(*start_index <= storage->newest.index + 1);
    loaded->entries = NULL;
    log_thread_start(&storage->log, storage->loop, storage->log_directory, loaded,
                     storage->low_space, storage->data);
    storage->is_loaded = true;
    if (storage->needs_restart) {
        queue_simple(storage, LOG_RESTART, storage->next_index);
        storage_trim(storage, storage->next_index);
    }
}

bool storage_is_empty(const struct storage *storage)
{
    return storage->newest.index == 0 && storage->next_index == 1 && storage->vote.term <= 1 &&
           storage->vote.vote == 0;
}

static enum error write_first(struct storage *storage, const struct raft_entry *entry,
                              struct reason *why)
{
    struct log_loaded *loaded = &storage->loaded;
    size_t limit = segment_batch_max(&loaded->open);
    struct batch batch;
    enum error rv;

    batch_init(&batch, limit);
    batch_start(&batch, &loaded->open, &loaded->position, limit);
    if (!batch_add(&batch, entry->type, 1, entry->term,
                   bytes_of(entry->buf.base, entry->buf.len))) {
        batch_release(&batch);
        return fail(why, ERROR_TOO_LARGE, "the first configuration of %zu bytes is over %zu",
                    entry->buf.len, storage->entry_max);
    }
    batch_close(&batch, &loaded->position);
    rv = batch_write(&batch, loaded->fd, &loaded->open, why);
    FAILPOINT("bootstrap.before_sync");
    if (rv == OK && fdatasync(loaded->fd) != 0) {
        rv = fail_errno(why, errno, "sync the first segment");
    }
    FAILPOINT("bootstrap.after_sync");
    batch_release(&batch);
    if (rv != OK) {
        fail_stop("bootstrap: %s", why == NULL ? error_text(rv) : why->text);
    }
    loaded->position.next_index = 2;
    return OK;
}

enum error storage_bootstrap(struct storage *storage, const struct raft_configuration *conf,
                             struct reason *why)
{
    struct raft_entry *entry;
    enum error rv;

    PRE(!storage->is_loaded);
    if (!storage_is_empty(storage)) {
        return fail(why, ERROR_EXISTS, "%s is a member's already", storage->log_directory);
    }
    entry = raft_malloc(sizeof *entry);
    CHECK(entry != NULL);
    *entry = (struct raft_entry){.term = 1, .type = RAFT_CHANGE};
    CHECK(raft_configuration_encode(conf, &entry->buf) == 0);
    entry->batch = entry->buf.base;
    vote_file_set(&storage->vote, 1, 0);
    rv = write_first(storage, entry, why);
    if (rv != OK) {
        raft_free(entry->batch);
        raft_free(entry);
        return rv;
    }
    storage->loaded.entries = entry;
    storage->loaded.n = 1;
    storage->next_index = 2;
    return OK;
}

/* --- term, vote, log ------------------------------------------------------------------------- */

void storage_set_term(struct storage *storage, raft_term term)
{
    vote_file_set(&storage->vote, term, 0);
}

void storage_set_vote(struct storage *storage, raft_id id)
{
    vote_file_set(&storage->vote, storage->vote.term, id);
}

struct append_request {
    struct log_request log;
    struct raft_io_append *req;
};

static void append_done(struct log_request *request)
{
    struct append_request *append = container_of(request, struct append_request, log);
    struct raft_io_append *req = append->req;

    free(append);
    req->cb(req, 0);
}

void storage_append(struct storage *storage, struct raft_io_append *req,
                    const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct append_request *append = memory_zero(sizeof *append);

    PRE(storage->is_loaded && !storage->is_closing && n > 0);
    PRE(storage->incoming.state != INCOMING_INSTALLING);
    for (unsigned i = 0; i < n; i++) {
        if (entries[i].buf.len > storage->entry_max) {
            fail_stop("an entry of %zu bytes is over the %zu that the log takes",
                      entries[i].buf.len, storage->entry_max);
        }
    }
    req->cb = cb;
    append->req = req;
    append->log = (struct log_request){.kind = LOG_APPEND,
                                       .index = storage->next_index,
                                       .entries = entries,
                                       .n = n,
                                       .cb = append_done};
    storage->next_index += n;
    log_thread_queue(&storage->log, &append->log);
}

void storage_truncate(struct storage *storage, raft_index index)
{
    PRE(storage->is_loaded && index > storage->newest.index && index <= storage->next_index);
    storage->next_index = index;
    queue_simple(storage, LOG_TRUNCATE, index);
}

void storage_status(struct storage *storage, struct storage_status *out)
{
    *out = (struct storage_status){.last_index = storage->next_index - 1,
                                   .snapshot_index = storage->newest.index,
                                   .snapshot_bytes = storage->newest.file_size,
                                   .mended = storage->mended};
    if (storage->is_loaded) {
        struct sync_times times;

        log_thread_times(&storage->log, &times);
        out->syncs = times.count;
        out->sync_sum_us = times.sum_us;
        memcpy(out->sync_classes, times.classes, sizeof out->sync_classes);
        sync_times_percentiles(&times, &out->sync_p50_us, &out->sync_p99_us);
        out->log_bytes = log_thread_bytes(&storage->log);
        out->is_low_space = log_thread_is_low(&storage->log);
    }
}
