#include "node/access.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/password.h"
#include "base/random.h"
#include "node/worker.h"
#include "store/catalog.h"

#include <stdio.h>
#include <stdlib.h>

/* A slot of the cache: the password behind mac was right for that revision of its user. */
struct slot {
    uint8_t mac[32];
    uint64_t revision;
    bool is_used;
};

struct access_cache {
    uv_mutex_t lock; /* Over everything below. */
    bool is_open;
    uint8_t key[32];
    struct slot slots[ACCESS_CACHE_MAX]; /* Where a mac stands follows from the mac. */
    struct list waiting;                 /* Checks that no thread of the pool has yet. */
    unsigned n_running, n_waiting, n_refreshing;
    uint64_t join_due_ms; /* When all wrong joins so far are paid off. */
};

struct access_cache *access_cache_open(bool open_access)
{
    struct access_cache *cache = memory_zero(sizeof *cache);

    CHECK(uv_mutex_init(&cache->lock) == 0);
    cache->is_open = open_access;
    random_bytes(cache->key, sizeof cache->key);
    list_init(&cache->waiting);
    return cache;
}

void access_cache_close(struct access_cache *cache)
{
    PRE(cache->n_running == 0 && list_is_empty(&cache->waiting) && cache->n_refreshing == 0);
    uv_mutex_destroy(&cache->lock);
    memory_wipe(cache, sizeof *cache);
    free(cache);
}

bool access_is_open(const struct access_cache *cache)
{
    return cache->is_open;
}

/* --- identities --------------------------------------------------------------------------------
 */

void identity_clear(struct identity *identity)
{
    identity->kind = IDENTITY_ANONYMOUS;
    identity->size = (size_t)snprintf(identity->name, sizeof identity->name, "anonymous");
}

void identity_node(struct identity *identity, uint64_t node)
{
    identity->kind = IDENTITY_NODE;
    identity->size = (size_t)snprintf(identity->name, sizeof identity->name, "node/%llu",
                                      (unsigned long long)node);
}

enum error identity_from_actor(struct identity *identity, struct bytes actor)
{
    size_t i;

    if (actor.size == 0 || actor.size > ACTOR_MAX) {
        return ERROR_INVALID;
    }
    for (i = 0; i < actor.size; i++) {
        if (actor.data[i] <= 0x20 || actor.data[i] == 0x7f) {
            return ERROR_INVALID;
        }
    }
    identity->kind = bytes_equal_string(actor, "anonymous")             ? IDENTITY_ANONYMOUS
                     : bytes_starts_with(actor, BYTES_LITERAL("node/")) ? IDENTITY_NODE
                                                                        : IDENTITY_USER;
    identity->size = actor.size;
    memcpy(identity->name, actor.data, actor.size);
    identity->name[actor.size] = '\0';
    return OK;
}

/* --- checking a password -----------------------------------------------------------------------
 */

static struct slot *slot_of(struct access_cache *cache, const uint8_t mac[32])
{
    return &cache->slots[(mac[0] * 256u + mac[1]) % ACCESS_CACHE_MAX];
}

static bool is_cached(struct access_cache *cache, const struct access_check *check)
{
    const struct slot *slot = slot_of(cache, check->key);
    bool found;

    uv_mutex_lock(&cache->lock);
    found = slot->is_used && slot->revision == check->revision &&
            password_hash_equal(slot->mac, check->key);
    uv_mutex_unlock(&cache->lock);
    return found && check->is_known;
}

static void remember(struct access_cache *cache, const struct access_check *check)
{
    struct slot *slot = slot_of(cache, check->key);

    uv_mutex_lock(&cache->lock);
    memcpy(slot->mac, check->key, sizeof slot->mac);
    slot->revision = check->revision;
    slot->is_used = true;
    uv_mutex_unlock(&cache->lock);
}

/* In libuv's pool. */
static void hash_work(uv_work_t *work)
{
    struct access_check *check = container_of(work, struct access_check, work);
    uint8_t hash[PASSWORD_HASH_SIZE];
    bool is_equal;

    if (password_hash(check->credentials.password, check->salt, hash) != OK) {
        return;
    }
    is_equal = password_hash_equal(hash, check->hash);
    check->is_right = is_equal && check->is_known;
    memory_wipe(hash, sizeof hash);
}

static void hash_done_cb(uv_work_t *work, int status);

/* On the loop of the check's worker. */
static void hash_start(struct task *task)
{
    struct access_check *check = container_of(task, struct access_check, task);

    CHECK(uv_queue_work(&check->worker->loop, &check->work, hash_work, hash_done_cb) == 0);
}

/* A place in the pool is free: the next check starts, on its own worker's loop. */
static void start_next(struct access_cache *cache)
{
    struct access_check *next = NULL;

    uv_mutex_lock(&cache->lock);
    cache->n_running--;
    if (!list_is_empty(&cache->waiting)) {
        next = container_of(cache->waiting.next, struct access_check, link);
        list_remove(&next->link);
        cache->n_waiting--;
        cache->n_running++;
    }
    uv_mutex_unlock(&cache->lock);
    if (next != NULL) {
        next->task.run = hash_start;
        mailbox_post(&next->worker->mailbox, &next->task);
    }
}

static void hash_done_cb(uv_work_t *work, int status)
{
    struct access_check *check = container_of(work, struct access_check, work);
    struct access_cache *cache = check->worker->access;

    start_next(cache);
    if (status == 0 && check->is_right) {
        remember(cache, check);
        check->cb(check, OK);
    } else {
        check->cb(check, ERROR_UNAUTHORIZED);
    }
}

/* Salt, hash and revision of the user; made up for one who is not there. */
static void look_up(struct worker *worker, struct access_check *check)
{
    struct catalog_txn txn;
    struct user_record user;

    memset(check->salt, 0, sizeof check->salt);
    memset(check->hash, 0, sizeof check->hash);
    check->is_known = false;
    catalog_read(worker->catalog, &txn);
    if (catalog_user(&txn, check->credentials.user, &user) == OK &&
        user.salt.size == sizeof check->salt && user.hash.size == sizeof check->hash) {
        memcpy(check->salt, user.salt.data, sizeof check->salt);
        memcpy(check->hash, user.hash.data, sizeof check->hash);
        check->revision = user.revision;
        check->is_known = true;
    }
    catalog_done(&txn);
}

/* As access_check_start(), for a check that was looked up. */
static bool check_begin(struct access_check *check, enum error *status)
{
    struct access_cache *cache = check->worker->access;
    const struct credentials *given = &check->credentials;
    bool may_start, may_wait;

    check->is_right = false;
    list_init(&check->link);
    password_mac(cache->key, bytes_of(given->text, given->user.size + 1 + given->password.size),
                 check->key);
    if (is_cached(cache, check)) {
        *status = OK;
        return true;
    }
    uv_mutex_lock(&cache->lock);
    may_start = cache->n_running < ACCESS_HASHES_MAX;
    may_wait = !may_start && cache->n_waiting < ACCESS_QUEUE_MAX;
    cache->n_running += may_start;
    if (may_wait) {
        list_append(&cache->waiting, &check->link);
        cache->n_waiting++;
    }
    uv_mutex_unlock(&cache->lock);
    if (may_start) {
        hash_start(&check->task);
    }
    *status = ERROR_BUSY;
    return !may_start && !may_wait;
}

bool access_check_start(struct worker *worker, struct access_check *check, enum error *status,
                        access_check_cb cb)
{
    PRE(check->credentials.user.size > 0 && check->credentials.password.size > 0);
    check->worker = worker;
    check->cb = cb;
    look_up(worker, check);
    return check_begin(check, status);
}

bool access_check_again(struct access_check *check, enum error *status)
{
    uint64_t revision = check->revision;
    bool was_known = check->is_known;

    look_up(check->worker, check);
    if (check->is_known == was_known && (!was_known || check->revision == revision)) {
        *status = ERROR_UNAUTHORIZED;
        return true;
    }
    return check_begin(check, status);
}

/* --- a second decision -------------------------------------------------------------------------
 */

static void refreshed_cb(struct control_read *read, enum error status)
{
    struct access_refresh *refresh = container_of(read, struct access_refresh, read);
    struct access_cache *cache = read->data;

    uv_mutex_lock(&cache->lock);
    cache->n_refreshing--;
    uv_mutex_unlock(&cache->lock);
    refresh->status = status;
    refresh->cb(refresh);
}

bool access_refresh(struct worker *worker, struct access_refresh *refresh, access_refresh_cb cb)
{
    struct access_cache *cache = worker->access;
    bool may;

    if (worker->control == NULL) { /* A server of unit tests. */
        return false;
    }
    uv_mutex_lock(&cache->lock);
    may = cache->n_refreshing < ACCESS_REFRESHES_MAX;
    cache->n_refreshing += may;
    uv_mutex_unlock(&cache->lock);
    if (may) {
        refresh->cb = cb;
        refresh->read.data = cache;
        control_read(worker, &refresh->read, refreshed_cb);
    }
    return may;
}

bool access_join_attempt(struct access_cache *cache)
{
    uint64_t now = clock_monotonic_ms(), due;
    bool may;

    uv_mutex_lock(&cache->lock);
    due = cache->join_due_ms > now ? cache->join_due_ms : now;
    may = due - now <= (uint64_t)(ACCESS_JOIN_BURST - 1) * ACCESS_JOIN_MS;
    if (may) {
        cache->join_due_ms = due + ACCESS_JOIN_MS;
    }
    uv_mutex_unlock(&cache->lock);
    return may;
}

/* --- may they ----------------------------------------------------------------------------------
 */

bool access_is_member(struct worker *worker, uint64_t node)
{
    struct member_record member;
    struct catalog_txn txn;
    bool is_member;

    if (worker->catalog == NULL) { /* A server of unit tests. */
        return true;
    }
    catalog_read(worker->catalog, &txn);
    is_member = catalog_member(&txn, node, &member) == OK;
    catalog_done(&txn);
    return is_member;
}

static unsigned actions_of(struct worker *worker, const struct identity *identity,
                           struct bytes repository)
{
    struct catalog_txn txn;
    struct user_record user;
    unsigned actions = 0;

    catalog_read(worker->catalog, &txn);
    if (catalog_user(&txn, bytes_of(identity->name, identity->size), &user) == OK) {
        actions = user_actions(&user, repository);
    }
    catalog_done(&txn);
    return actions;
}

bool access_may(struct worker *worker, const struct identity *identity, unsigned action,
                struct bytes repository)
{
    PRE(action != 0);
    if (identity->kind == IDENTITY_NODE || worker->access->is_open) {
        return true;
    }
    return identity->kind == IDENTITY_USER &&
           (actions_of(worker, identity, repository) & action) == action;
}

static enum error refuse(const struct identity *identity, const char *what, struct reason *why)
{
    if (identity->kind == IDENTITY_ANONYMOUS) {
        return fail(why, ERROR_UNAUTHORIZED, "log in to %s", what);
    }
    return fail(why, ERROR_DENIED, "%s may not %s; an administrator can grant it", identity->name,
                what);
}

static enum error decide_repository(struct worker *worker, const struct identity *identity,
                                    unsigned action, const char *verb, struct bytes repository,
                                    struct reason *why)
{
    char what[NAME_MAX_SIZE + 32];

    if (access_may(worker, identity, action, repository)) {
        return OK;
    }
    snprintf(what, sizeof what, "%s %.*s", verb, BYTES_ARG(repository));
    return refuse(identity, what, why);
}

enum error access_decide(struct worker *worker, const struct identity *identity, enum access access,
                         struct bytes repository, struct reason *why)
{
    switch (access) {
    case ACCESS_PUBLIC:
    case ACCESS_JOIN: /* The handler asks for the join token. */
        return OK;
    case ACCESS_LOGIN:
    case ACCESS_APPROVE:
        return identity->kind != IDENTITY_ANONYMOUS || worker->access->is_open
                   ? OK
                   : refuse(identity, "use this", why);
    case ACCESS_PULL:
        return decide_repository(worker, identity, ACTION_PULL, "pull from", repository, why);
    case ACCESS_PUSH:
        return decide_repository(worker, identity, ACTION_PUSH, "push to", repository, why);
    case ACCESS_ADMIN:
        return access_may(worker, identity, ACTION_ADMIN, BYTES_NONE)
                   ? OK
                   : refuse(identity, "administer the cluster", why);
    case ACCESS_PEER:
        return identity->kind == IDENTITY_NODE
                   ? OK
                   : fail(why, ERROR_DENIED, "only nodes of the cluster may use this");
    }
    IMPOSSIBLE("an access class that is not in enum access");
}
