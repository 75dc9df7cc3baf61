#include "raft/storage_private.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "raft/segment_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Snapshots: at open, from our own machine, from a peer.
 *
 * Order of an installation: the snapshot is renamed and the directory synced; only then does the
 * log restart after it. A crash between the two leaves a log that ends before the snapshot or
 * contradicts it, and storage_reconcile() restarts it then. */

#define SNAPSHOTS_KEPT 2

/* --- at open --------------------------------------------------------------------------------- */

/* What the log holds at index: its term; 0: nothing. */
static uint64_t term_at(const struct log_loaded *loaded, uint64_t index)
{
    if (index < loaded->start_index || index - loaded->start_index >= loaded->n) {
        return 0;
    }
    return loaded->entries[index - loaded->start_index].term;
}

static enum error reconcile_without(struct storage *storage, size_t n_damaged, struct reason *why)
{
    if (storage->loaded.start_index == 1) {
        return OK; /* The log has all that ever was. */
    }
    return fail(why, ERROR_CORRUPT, "%s: %s, and the log begins at index %llu; %s",
                storage->snapshot_directory,
                n_damaged == 0 ? "no snapshot is there" : "no snapshot is intact",
                (unsigned long long)storage->loaded.start_index, REPLACE_MEMBER);
}

static enum error reconcile_with(struct storage *storage, size_t n_damaged, struct reason *why)
{
    struct log_loaded *loaded = &storage->loaded;
    uint64_t index = storage->newest.index;
    uint64_t last = loaded->start_index + loaded->n - 1;
    bool is_before = index + 1 == loaded->start_index;

    if (index + 1 < loaded->start_index) {
        return fail(
            why, ERROR_CORRUPT,
            "%s: the newest intact snapshot is of index %llu, and the log begins at %llu; %s",
            storage->snapshot_directory, (unsigned long long)index,
            (unsigned long long)loaded->start_index, REPLACE_MEMBER);
    }
    if (is_before || (index <= last && term_at(loaded, index) == storage->newest.term)) {
        return OK;
    }
    if (n_damaged > 0) {
        return fail(
            why, ERROR_CORRUPT,
            "%s: a snapshot is damaged, and the log does not lead on from the one before, of "
            "index %llu; %s",
            storage->snapshot_directory, (unsigned long long)index, REPLACE_MEMBER);
    }
    LOG_WARN("the log restarts after the snapshot of index %llu, which was being installed",
             (unsigned long long)index);
    storage->needs_restart = true;
    for (size_t i = 0; i < loaded->n; i++) {
        if (i + 1 == loaded->n || loaded->entries[i + 1].batch != loaded->entries[i].batch) {
            raft_free(loaded->entries[i].batch);
        }
    }
    raft_free(loaded->entries);
    loaded->entries = NULL;
    loaded->n = 0;
    loaded->start_index = index + 1;
    return OK;
}

/* Remove what is damaged and not needed, so that it does not count as one of those kept. */
static enum error remove_damaged(const struct storage *storage, size_t n, struct reason *why)
{
    struct snapshot_names names;
    enum error rv = snapshot_names_read(storage->snapshot_directory, &names, why);

    for (size_t i = 0; i < n && i < names.n && rv == OK; i++) {
        char path[PATH_MAX];

        snapshot_path(storage->snapshot_directory, "snapshot", names.items[i].index,
                      names.items[i].term, path);
        LOG_WARN("%s is damaged and removed; the log and the snapshot before make up for it", path);
        if (unlink(path) != 0) {
            rv = fail_errno(why, errno, "remove %s", path);
        }
    }
    snapshot_names_release(&names);
    return rv;
}

enum error storage_reconcile(struct storage *storage, struct reason *why)
{
    struct reason damage = {.text = ""};
    size_t n_damaged;
    bool found;
    enum error rv = snapshot_list_newest(storage->snapshot_directory, storage->cluster,
                                         &storage->newest, &found, &n_damaged, &damage);

    if (rv != OK) {
        storage->newest = (struct snapshot_about){0};
        return fail(why, rv, "%s", damage.text);
    }
    if (!found) {
        storage->newest = (struct snapshot_about){0};
    }
    rv = found ? reconcile_with(storage, n_damaged, why)
               : reconcile_without(storage, n_damaged, why);
    if (n_damaged > 0 && rv != OK) {
        reason_prefix(why, "%s", damage.text);
    }
    return rv == OK && n_damaged > 0 ? remove_damaged(storage, n_damaged, why) : rv;
}

/* --- reading --------------------------------------------------------------------------------- */

struct raft_snapshot *storage_snapshot_get(struct storage *storage)
{
    struct raft_snapshot *out;
    struct reason why;

    if (storage->newest.index == 0) {
        return NULL;
    }
    out = raft_calloc(1, sizeof *out);
    CHECK(out != NULL);
    out->index = storage->newest.index;
    out->term = storage->newest.term;
    out->configuration_index = storage->newest.configuration_index;
    out->bufs = raft_malloc(sizeof *out->bufs);
    CHECK(out->bufs != NULL);
    out->n_bufs = 1;
    snapshot_token_make(out->index, out->term, out->bufs);
    CHECK(configuration_decode(buffer_view(&storage->newest.configuration), &out->configuration,
                               &why) == OK);
    return out;
}

enum error storage_snapshot_open(struct storage *storage, uint64_t index, uint64_t term,
                                 struct snapshot_reader **out, struct reason *why)
{
    char path[PATH_MAX];

    snapshot_path(storage->snapshot_directory, "snapshot", index, term, path);
    return snapshot_reader_open(path, storage->cluster, out, why);
}

/* --- our own --------------------------------------------------------------------------------- */

static void about_move(struct snapshot_about *to, struct snapshot_about *from)
{
    snapshot_about_release(to);
    *to = *from;
    *from = (struct snapshot_about){0};
}

static void start_job(struct storage *storage, struct storage_snapshot *request,
                      storage_snapshot_cb cb, uv_work_cb work, uv_after_work_cb after)
{
    request->storage = storage;
    request->cb = cb;
    request->why.text[0] = '\0';
    storage->jobs++;
    CHECK(uv_queue_work(storage->loop, &request->work, work, after) == 0);
}

static void end_job(struct storage_snapshot *request)
{
    struct storage *storage = request->storage;

    snapshot_about_release(&request->about);
    request->cb(request, request->status, request->why.text);
    storage_job_done(storage);
}

/* On the pool: rename a finished file in, durably, and remove what is older than the last two. */
static void publish(struct storage_snapshot *request, const char *from)
{
    const char *directory = request->storage->snapshot_directory;
    struct reason why;
    char to[PATH_MAX];
    uint64_t previous = 0;
    enum error rv;

    snapshot_path(directory, "snapshot", request->about.index, request->about.term, to);
    FAILPOINT("snapshot.before_rename");
    if (rename(from, to) != 0) {
        fail_stop("rename %s to %s: %s", from, to, strerror(errno));
    }
    FAILPOINT("snapshot.after_rename");
    rv = durable_sync_directory(directory, &why);
    FAILPOINT("snapshot.before_prune");
    rv = rv != OK ? rv : snapshot_list_prune(directory, SNAPSHOTS_KEPT, &previous, &why);
    if (rv != OK) {
        fail_stop("%s", why.text);
    }
    /* What the snapshot before this one needs to stand in for it stays too. */
    if (request->keep_from > previous + 1) {
        request->keep_from = previous + 1;
    }
}

/* The content into a file of its own; the writer's end either way. */
static enum error write_content(struct storage_snapshot *request, const char *path)
{
    struct snapshot_writer writer;
    enum error rv = snapshot_writer_open(&writer, path, request->storage->cluster, &request->about,
                                         &request->why);

    if (rv == OK) {
        rv = request->content.write(request->content.view, snapshot_writer_sink, &writer,
                                    &request->why);
        if (rv != OK && writer.error == OK) {
            snapshot_writer_abort(&writer);
            return rv;
        }
        rv = snapshot_writer_finish(&writer, &request->about.content_size,
                                    &request->about.file_size, &request->why);
    }
    if (rv != OK && rv != ERROR_FULL) {
        fail_stop("snapshot %s: %s", path, request->why.text);
    }
    return rv;
}

static void put_work(uv_work_t *work)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    char path[PATH_MAX];

    snapshot_path(request->storage->snapshot_directory, "writing", request->about.index,
                  request->about.term, path);
    request->status = write_content(request, path);
    if (request->status == OK) {
        publish(request, path);
    } else {
        unlink(path);
    }
}

static void put_after(uv_work_t *work, int status)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    struct storage *storage = request->storage;

    CHECK(status == 0);
    if (request->status == OK && request->about.index > storage->newest.index) {
        about_move(&storage->newest, &request->about);
        storage_trim(storage, request->keep_from);
    }
    end_job(request);
}

void storage_snapshot_put(struct storage *storage, struct storage_snapshot *request,
                          unsigned trailing, const struct raft_snapshot *snapshot,
                          struct snapshot_content content, storage_snapshot_cb cb)
{
    struct raft_buffer encoded;

    PRE(storage->is_loaded && !storage->is_closing && snapshot->index > 0);
    request->about = (struct snapshot_about){.index = snapshot->index,
                                             .term = snapshot->term,
                                             .configuration_index = snapshot->configuration_index};
    buffer_init(&request->about.configuration, SNAPSHOT_CONFIGURATION_MAX);
    CHECK(raft_configuration_encode(&snapshot->configuration, &encoded) == 0);
    buffer_append(&request->about.configuration, bytes_of(encoded.base, encoded.len));
    raft_free(encoded.base);
    CHECK(buffer_status(&request->about.configuration) == OK);
    request->content = content;
    request->keep_from = snapshot->index > trailing ? snapshot->index - trailing + 1 : 0;
    start_job(storage, request, cb, put_work, put_after);
}

/* --- from a peer ----------------------------------------------------------------------------- */

static void incoming_path(const struct storage *storage, char path[PATH_MAX])
{
    snapshot_path(storage->snapshot_directory, "incoming", storage->incoming.index,
                  storage->incoming.term, path);
}

void storage_incoming_forget(struct storage *storage)
{
    struct incoming *incoming = &storage->incoming;
    char path[PATH_MAX];

    if (incoming->fd >= 0) {
        close(incoming->fd);
    }
    if (incoming->state != INCOMING_NONE) {
        incoming_path(storage, path);
        unlink(path);
    }
    snapshot_about_release(&incoming->about);
    *incoming = (struct incoming){.fd = -1};
}

void storage_incoming_drop(struct storage *storage)
{
    if (storage->incoming.state == INCOMING_CHECKING) {
        storage->incoming.is_dropped = true;
    } else if (storage->incoming.state != INCOMING_INSTALLING) {
        storage_incoming_forget(storage);
    }
}

enum error storage_incoming_begin(struct storage *storage, uint64_t index, uint64_t term,
                                  struct reason *why)
{
    struct incoming *incoming = &storage->incoming;
    char path[PATH_MAX];

    PRE(index > 0 && !storage->is_closing);
    if (incoming->state == INCOMING_CHECKING || incoming->state == INCOMING_INSTALLING) {
        return fail(why, ERROR_BUSY, "another snapshot is being installed");
    }
    storage_incoming_forget(storage);
    incoming->index = index;
    incoming->term = term;
    incoming_path(storage, path);
    incoming->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (incoming->fd < 0) {
        return fail_errno(why, errno, "create %s", path);
    }
    incoming->state = INCOMING_OPEN;
    return OK;
}

enum error storage_incoming_write(struct storage *storage, struct bytes piece, struct reason *why)
{
    struct incoming *incoming = &storage->incoming;
    enum error rv;

    if (incoming->state != INCOMING_OPEN) {
        return fail(why, ERROR_CANCELED, "no snapshot is being received");
    }
    rv = durable_write_at(incoming->fd, piece, incoming->size, why);
    incoming->size += piece.size;
    if (rv != OK && rv != ERROR_FULL) {
        fail_stop("incoming snapshot: %s", why == NULL ? error_text(rv) : why->text);
    }
    if (rv != OK) {
        storage_incoming_forget(storage);
    }
    return rv;
}

const struct snapshot_about *storage_incoming_about(const struct storage *storage)
{
    return storage->incoming.state == INCOMING_FINISHED ? &storage->incoming.about : NULL;
}

static enum error check_incoming(struct storage_snapshot *request, const char *path)
{
    struct snapshot_name name = {.index = request->about.index, .term = request->about.term};

    snapshot_about_release(&request->about);
    return snapshot_check(path, request->storage->cluster, &name, &request->about, &request->why);
}

static void finish_work(uv_work_t *work)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    char path[PATH_MAX];

    if (request->status != OK) {
        return;
    }
    incoming_path(request->storage, path);
    FAILPOINT("incoming.before_sync");
    if (FAILPOINT_FAILS("incoming.sync") || fdatasync(request->storage->incoming.fd) != 0) {
        fail_stop("sync %s: %s", path, strerror(errno));
    }
    FAILPOINT("incoming.after_sync");
    request->status = check_incoming(request, path);
}

static void finish_after(uv_work_t *work, int status)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    struct storage *storage = request->storage;

    CHECK(status == 0);
    if (request->status == OK && storage->incoming.is_dropped) {
        request->status = ERROR_CANCELED;
    }
    if (request->status == OK) {
        storage->incoming.state = INCOMING_FINISHED;
        about_move(&storage->incoming.about, &request->about);
    } else if (storage->incoming.state == INCOMING_CHECKING) {
        storage_incoming_forget(storage);
    }
    end_job(request);
}

void storage_incoming_finish(struct storage *storage, struct storage_snapshot *request,
                             storage_snapshot_cb cb)
{
    PRE(!storage->is_closing && storage->incoming.state != INCOMING_CHECKING);
    request->status = storage->incoming.state == INCOMING_OPEN ? OK : ERROR_NOT_FOUND;
    request->about =
        (struct snapshot_about){.index = storage->incoming.index, .term = storage->incoming.term};
    if (request->status == OK) {
        storage->incoming.state = INCOMING_CHECKING;
    }
    start_job(storage, request, cb, finish_work, finish_after);
}

static void install_work(uv_work_t *work)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    char path[PATH_MAX];

    if (request->status == OK) {
        incoming_path(request->storage, path);
        FAILPOINT("install.before_publish");
        publish(request, path);
        FAILPOINT("install.after_publish");
    }
}

static void restart_done(struct log_request *log_request)
{
    struct incoming *incoming = container_of(log_request, struct incoming, restart);
    struct storage *storage = container_of(incoming, struct storage, incoming);
    struct storage_snapshot *request = incoming->request;

    FAILPOINT("install.after_restart");
    storage_trim(storage, storage->next_index);
    close(incoming->fd);
    *incoming = (struct incoming){.fd = -1};
    end_job(request);
}

static void install_after(uv_work_t *work, int status)
{
    struct storage_snapshot *request = container_of(work, struct storage_snapshot, work);
    struct storage *storage = request->storage;
    struct incoming *incoming = &storage->incoming;

    CHECK(status == 0);
    if (request->status != OK) {
        end_job(request);
        return;
    }
    about_move(&storage->newest, &incoming->about);
    storage->next_index = storage->newest.index + 1;
    incoming->request = request;
    incoming->restart =
        (struct log_request){.kind = LOG_RESTART, .index = storage->next_index, .cb = restart_done};
    log_thread_queue(&storage->log, &incoming->restart);
}

void storage_snapshot_install(struct storage *storage, struct storage_snapshot *request,
                              const struct raft_snapshot *snapshot, storage_snapshot_cb cb)
{
    struct incoming *incoming = &storage->incoming;

    PRE(storage->is_loaded && !storage->is_closing);
    request->about = (struct snapshot_about){.index = snapshot->index, .term = snapshot->term};
    request->keep_from = 0;
    request->status = ERROR_NOT_FOUND;
    if (incoming->state == INCOMING_FINISHED && incoming->index == snapshot->index &&
        incoming->term == snapshot->term) {
        incoming->state = INCOMING_INSTALLING;
        request->status = OK;
    }
    start_job(storage, request, cb, install_work, install_after);
}
