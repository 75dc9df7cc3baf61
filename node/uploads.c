/* The table of upload sessions. A linear list: at most a few hundred are open at once, each with
 * its own disk writes to outweigh the walk. Nothing of it is durable; after a crash of the owner
 * clients get 404 and start their blob again. */
#include "node/uploads.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEP_MS          10000
#define UPLOADS_TOTAL_MAX 10000

struct uploads {
    struct blob_store *blobs;
    uv_loop_t *loop;
    uint64_t self, idle_ms, free_min;
    unsigned per_actor;
    size_t total_max;
    char name[64];
    uv_mutex_t lock;
    struct list sessions;
    size_t n;
    uv_timer_t sweep;
    void (*closed_cb)(void *data);
    void *closed_data;
};

static void session_free(struct session *session, uv_loop_t *loop)
{
    PRE(!session->is_busy);
    if (session->upload != NULL) {
        upload_discard(session->upload, loop);
    }
    free(session->repository);
    free(session->actor);
    free(session);
}

/* Under the lock. */
static void session_unlink(struct session *session)
{
    CHECK(session->uploads->n > 0);
    session->uploads->n--;
    list_remove(&session->link);
}

static bool session_is_old(const struct session *session, uint64_t now)
{
    uint64_t limit = session->state == SESSION_FINISHED ? UPLOADS_FINISHED_MS
                                                        : session->uploads->idle_ms;

    return !session->is_busy && now - session->used_ms > limit;
}

static void sweep_cb(uv_timer_t *timer)
{
    struct uploads *uploads = container_of(timer, struct uploads, sweep);
    uint64_t now = clock_monotonic_ms();
    struct list old;

    list_init(&old);
    uv_mutex_lock(&uploads->lock);
    LIST_FOR_EACH (item, &uploads->sessions) {
        struct session *session = container_of(item, struct session, link);

        if (session_is_old(session, now)) {
            session_unlink(session);
            list_append(&old, &session->link);
        }
    }
    uv_mutex_unlock(&uploads->lock);
    LIST_FOR_EACH (item, &old) {
        struct session *session = container_of(item, struct session, link);

        if (session->state == SESSION_OPEN) {
            LOG_INFO("upload %s was idle for too long and is dropped", session->uuid);
        }
        list_remove(item);
        session_free(session, uploads->loop);
    }
}

enum error uploads_open(const struct uploads_options *options, struct uploads **out,
                        struct reason *why)
{
    struct uploads *uploads = memory_zero(sizeof *uploads);

    (void)why;
    uploads->blobs = options->blobs;
    uploads->loop = options->loop;
    uploads->self = options->self;
    uploads->idle_ms = options->idle_ms > 0 ? options->idle_ms : UPLOADS_IDLE_MS;
    uploads->free_min = options->free_min > 0 ? options->free_min : UPLOADS_FREE_MIN;
    uploads->per_actor = options->per_actor > 0 ? options->per_actor : UPLOADS_PER_ACTOR;
    uploads->total_max = options->total > 0 ? options->total : UPLOADS_TOTAL_MAX;
    snprintf(uploads->name, sizeof uploads->name, "%s", options->name);
    list_init(&uploads->sessions);
    CHECK(uv_mutex_init(&uploads->lock) == 0);
    CHECK(uv_timer_init(options->loop, &uploads->sweep) == 0);
    CHECK(uv_timer_start(&uploads->sweep, sweep_cb, SWEEP_MS, SWEEP_MS) == 0);
    uv_unref((uv_handle_t *)&uploads->sweep);
    *out = uploads;
    return OK;
}

static void uploads_close_cb(uv_handle_t *handle)
{
    struct uploads *uploads = container_of((uv_timer_t *)handle, struct uploads, sweep);

    uv_mutex_destroy(&uploads->lock);
    uploads->closed_cb(uploads->closed_data);
    free(uploads);
}

void uploads_close(struct uploads *uploads, void (*closed_cb)(void *data), void *data)
{
    uploads->closed_cb = closed_cb;
    uploads->closed_data = data;
    LIST_FOR_EACH (item, &uploads->sessions) {
        struct session *session = container_of(item, struct session, link);

        list_remove(item);
        session_free(session, NULL);
    }
    uv_close((uv_handle_t *)&uploads->sweep, uploads_close_cb);
}

enum error uploads_check_space(struct uploads *uploads, struct reason *why)
{
    struct blob_store_space space;

    blob_store_space(uploads->blobs, &space);
    if (space.free_bytes >= uploads->free_min) {
        return OK;
    }
    return fail(why, ERROR_FULL,
                "%s has %" PRIu64 " bytes of disk left and takes no uploads below %" PRIu64
                "; push through another node, or make room on this one",
                uploads->name, space.free_bytes, uploads->free_min);
}

/* Under the lock. */
static enum error count_check(struct uploads *uploads, struct bytes actor, struct reason *why)
{
    unsigned n = 0;

    LIST_FOR_EACH (item, &uploads->sessions) {
        struct session *session = container_of(item, struct session, link);

        n += session->state != SESSION_FINISHED && bytes_equal_string(actor, session->actor);
    }
    if (n >= uploads->per_actor || uploads->n >= uploads->total_max) {
        return fail(why, ERROR_TOO_LARGE,
                    "too many uploads are open (%u of yours): finish or cancel some", n);
    }
    return OK;
}

static struct session *session_make(struct uploads *uploads, const char *uuid,
                                    struct bytes repository, struct bytes actor)
{
    struct session *session = memory_zero(sizeof *session);

    snprintf(session->uuid, sizeof session->uuid, "%s", uuid);
    session->uploads = uploads;
    session->repository = bytes_to_string(repository);
    session->actor = bytes_to_string(actor);
    session->upload = upload_create(uploads->blobs);
    session->used_ms = clock_monotonic_ms();
    return session;
}

/* Under the lock. */
static void session_link(struct session *session)
{
    session->is_busy = true;
    list_append(&session->uploads->sessions, &session->link);
    session->uploads->n++;
}

enum error session_create(struct uploads *uploads, struct bytes repository, struct bytes actor,
                          struct session **out, struct reason *why)
{
    struct session *session;
    char uuid[UPLOAD_UUID_SIZE + 1], random[33];
    enum error rv = uploads_check_space(uploads, why);

    if (rv != OK) {
        return rv;
    }
    random_hex(random, 16);
    snprintf(uuid, sizeof uuid, "%016" PRIx64 "-%s", uploads->self, random);
    session = session_make(uploads, uuid, repository, actor);
    uv_mutex_lock(&uploads->lock);
    rv = count_check(uploads, actor, why);
    if (rv == OK) {
        session_link(session);
    }
    uv_mutex_unlock(&uploads->lock);
    if (rv != OK) {
        session_free(session, NULL);
        return rv;
    }
    *out = session;
    return OK;
}

/* Under the lock. A session of another repository or actor is as unknown as none. */
static struct session *session_find(struct uploads *uploads, struct bytes uuid,
                                    struct bytes repository, struct bytes actor)
{
    LIST_FOR_EACH (item, &uploads->sessions) {
        struct session *session = container_of(item, struct session, link);

        if (bytes_equal_string(uuid, session->uuid)) {
            return bytes_equal_string(repository, session->repository) &&
                           bytes_equal_string(actor, session->actor)
                       ? session
                       : NULL;
        }
    }
    return NULL;
}

static enum error session_unknown(struct reason *why)
{
    return fail(why, ERROR_UPLOAD_UNKNOWN,
                "there is no such upload here: it was finished, canceled or idle for too long, or "
                "its node was restarted; start the blob again");
}

enum error session_checkout(struct uploads *uploads, struct bytes uuid, struct bytes repository,
                            struct bytes actor, struct session **out, struct reason *why)
{
    struct session *session;
    enum error rv = OK;

    uv_mutex_lock(&uploads->lock);
    session = session_find(uploads, uuid, repository, actor);
    if (session == NULL) {
        rv = session_unknown(why);
    } else if (session->is_busy) {
        rv = fail(why, ERROR_BUSY, "another request is writing to this upload");
    } else {
        session->is_busy = true;
        *out = session;
    }
    uv_mutex_unlock(&uploads->lock);
    return rv;
}

enum error session_adopt(struct uploads *uploads, struct bytes uuid, struct bytes actor,
                         struct session **out, struct reason *why)
{
    char text[UPLOAD_UUID_SIZE + 1];
    uint64_t owner;
    enum error rv = session_checkout(uploads, uuid, BYTES_NONE, actor, out, why);

    if (rv != ERROR_UPLOAD_UNKNOWN) {
        return rv;
    }
    if (upload_uuid_owner(uuid, &owner) != OK || owner == uploads->self) {
        return fail(why, ERROR_INVALID, "not an upload id of another node");
    }
    rv = uploads_check_space(uploads, why);
    if (rv != OK) {
        return rv;
    }
    snprintf(text, sizeof text, BYTES_FMT, BYTES_ARG(uuid));
    uv_mutex_lock(&uploads->lock);
    if (uploads->n >= uploads->total_max ||
        session_find(uploads, uuid, BYTES_NONE, actor) != NULL) {
        rv = fail(why, ERROR_BUSY, "too many uploads, or the same one twice");
    } else {
        *out = session_make(uploads, text, BYTES_NONE, actor);
        session_link(*out);
    }
    uv_mutex_unlock(&uploads->lock);
    return rv;
}

enum error session_peek(struct uploads *uploads, struct bytes uuid, struct bytes repository,
                        struct bytes actor, uint64_t *size, struct reason *why)
{
    struct session *session;
    enum error rv = OK;

    uv_mutex_lock(&uploads->lock);
    session = session_find(uploads, uuid, repository, actor);
    if (session == NULL || session->state != SESSION_OPEN) {
        rv = session_unknown(why);
    } else {
        *size = session->told_size;
    }
    uv_mutex_unlock(&uploads->lock);
    return rv;
}

void session_checkin(struct session *session, uv_loop_t *loop)
{
    struct uploads *uploads = session->uploads;
    bool is_over = session->state == SESSION_SPENT;

    PRE(session->is_busy);
    if (session->upload != NULL && session->state == SESSION_OPEN) {
        upload_rest(session->upload);
        session->told_size = upload_size(session->upload);
    } else if (session->upload != NULL) {
        upload_discard(session->upload, loop);
        session->upload = NULL;
    }
    uv_mutex_lock(&uploads->lock);
    session->is_busy = false;
    session->used_ms = clock_monotonic_ms();
    if (is_over) {
        session_unlink(session);
    }
    uv_mutex_unlock(&uploads->lock);
    if (is_over) {
        session_free(session, loop);
    }
}

enum error upload_uuid_owner(struct bytes uuid, uint64_t *owner)
{
    uint64_t id = 0;

    if (uuid.size != UPLOAD_UUID_SIZE || uuid.data[16] != '-') {
        return ERROR_UPLOAD_UNKNOWN;
    }
    for (size_t i = 0; i < uuid.size; i++) {
        uint8_t c = uuid.data[i];
        bool is_digit = c >= '0' && c <= '9';

        if (i != 16 && !is_digit && !(c >= 'a' && c <= 'f')) {
            return ERROR_UPLOAD_UNKNOWN;
        }
        if (i < 16) {
            id = id << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
        }
    }
    *owner = id;
    return OK;
}

size_t uploads_count(struct uploads *uploads)
{
    size_t n;

    uv_mutex_lock(&uploads->lock);
    n = uploads->n;
    uv_mutex_unlock(&uploads->lock);
    return n;
}
