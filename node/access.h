#ifndef NODE_ACCESS_H
#define NODE_ACCESS_H

#include "base/bytes.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "node/control.h"
#include "node/http.h"
#include "store/command.h"

#include <uv.h>

/* Who is asking, and may they. Default deny.
 *
 * Basic credentials are checked against the catalog's users with scrypt in libuv's pool, at most
 * two at once in a node so that logins cannot starve the disk. A password that was right is
 * remembered as an HMAC under a key of this process, together with the user's revision, so that a
 * changed or deleted user is refused with the next request. A user who is not there costs the
 * same time as a wrong password. What this node's catalog refuses is decided once more after a read
 * through the log: another node may have acknowledged the user, password or right just before.
 * Deleting (tags, manifests, links) needs the push action until there is an action of its own. */

#define ACCESS_CREDENTIALS_MAX 1024 /* Of the decoded "user:password". */
#define ACCESS_HASHES_MAX      2
#define ACCESS_QUEUE_MAX       256
#define ACCESS_CACHE_MAX       1024
#define ACCESS_REFRESHES_MAX   64 /* Reads through the log at once; past it the refusal stands. */

struct access_cache; /* One per node, shared by its workers. */

/* open_access: anonymous may do everything (conformance runs). */
struct access_cache *access_cache_open(bool open_access);
/* When no check is under way. */
void access_cache_close(struct access_cache *cache);
bool access_is_open(const struct access_cache *cache);

enum identity_kind { IDENTITY_ANONYMOUS, IDENTITY_USER, IDENTITY_NODE };

struct identity {
    enum identity_kind kind;
    size_t size; /* Of name. */
    char name[ACTOR_MAX + 1];
};

/* Set to "anonymous". */
void identity_clear(struct identity *identity);
/* As a peer names it in X-Caisson-Actor. ERROR_INVALID: empty, too long, or control bytes. */
enum error identity_from_actor(struct identity *identity, struct bytes actor) MUST_USE;
void identity_node(struct identity *identity, uint64_t node);

/* Read "Basic ..." into "user:password" (ACCESS_CREDENTIALS_MAX + 1 bytes) and where the password
 * starts. ERROR_NOT_FOUND: no credentials, or empty ones; ERROR_UNAUTHORIZED: another scheme or
 * malformed. */
struct credentials {
    uint8_t text[ACCESS_CREDENTIALS_MAX];
    struct bytes user, password; /* In text. */
};
enum error credentials_read(struct bytes header, struct credentials *out) MUST_USE;

struct access_check;
/* OK: *identity is the user. ERROR_UNAUTHORIZED; ERROR_BUSY: too many wait. */
typedef void (*access_check_cb)(struct access_check *check, enum error status);

/* A password on its way through the pool; embedded in its owner until the callback. */
struct access_check {
    void *data; /* The owner's. */
    /* Private. */
    struct worker *worker;
    struct credentials credentials;
    uint8_t key[32];
    uint8_t salt[16], hash[32];
    uint64_t revision;
    bool is_known, is_right;
    uv_work_t work;
    struct task task;
    struct list link;
    access_check_cb cb;
};

/* Check check->credentials. Returns true with *status at once when the cache knows; else the
 * callback comes on the worker's loop. */
bool access_check_start(struct worker *worker, struct access_check *check, enum error *status,
                        access_check_cb cb);

/* After a refusal and access_refresh(): check the same credentials again, without hashing when the
 * user is still as it was. Returns as access_check_start() does; the callback stays. */
bool access_check_again(struct access_check *check, enum error *status);

/* Let this node catch up with the log before a second decision; embedded in its owner. False: not
 * now (too many wait), and the callback does not come. It comes on the worker's loop, also when the
 * cluster cannot tell in time: then the catalog is as it was. */
struct access_refresh;
typedef void (*access_refresh_cb)(struct access_refresh *refresh);
struct access_refresh {
    void *data;        /* The owner's. */
    enum error status; /* For the callback: OK, or why this node may still be behind. */
    /* Private. */
    struct control_read read;
    access_refresh_cb cb;
};
bool access_refresh(struct worker *worker, struct access_refresh *refresh, access_refresh_cb cb);

/* A join with a token that this node does not know: false when too many of late were wrong, so that
 * guessing costs the cluster nothing. A few at once, then one every few seconds. */
#define ACCESS_JOIN_BURST 20
#define ACCESS_JOIN_MS    3000
bool access_join_attempt(struct access_cache *cache);

/* Is that node in the cluster, by the catalog of now? A certificate outlives its member: one whose
 * disk was lost, or who was removed, is a stranger. */
bool access_is_member(struct worker *worker, uint64_t node);
/* May identity do action (enum action) on repository, by the catalog of now? */
bool access_may(struct worker *worker, const struct identity *identity, unsigned action,
                struct bytes repository);
/* May identity use a route of this class? repository: the route's, or empty. OK, ERROR_UNAUTHORIZED
 * (log in), ERROR_DENIED (logged in, not allowed). */
enum error access_decide(struct worker *worker, const struct identity *identity, enum access access,
                         struct bytes repository, struct reason *why) MUST_USE;

#endif
