#ifndef NODE_UPLOADS_H
#define NODE_UPLOADS_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/list.h"
#include "store/blob_store.h"
#include "store/catalog.h"

#include <uv.h>

/* Upload sessions that this node owns: one table for all workers, under a lock. A session is
 * checked out by the one request that works on it (a second one gets ERROR_BUSY) and checked in
 * afterwards, so that everything in it belongs to one thread at a time; its disk work goes to the
 * loop of whoever has it. Idle sessions are swept. */

#define UPLOAD_UUID_SIZE    49 /* 16 hex digits of the owner's id, '-', 32 random ones. */
#define UPLOAD_TARGETS_MAX  8
#define UPLOADS_PER_ACTOR   100
#define UPLOADS_IDLE_MS     (60u * 60 * 1000)
#define UPLOADS_FINISHED_MS (10u * 60 * 1000)
#define UPLOADS_FREE_MIN    (256u * 1024 * 1024)

struct uploads;

struct uploads_options {
    uv_loop_t *loop; /* Where the sweep runs. */
    struct blob_store *blobs;
    uint64_t self;      /* This member's id. */
    const char *name;   /* Its name, for sentences. */
    uint64_t idle_ms;   /* 0: UPLOADS_IDLE_MS. */
    uint64_t free_min;  /* No new uploads below it; 0: UPLOADS_FREE_MIN. */
    unsigned per_actor; /* 0: UPLOADS_PER_ACTOR. */
    size_t total;       /* Of all; 0: 10,000. Each open upload has a file. */
};

enum session_state {
    SESSION_OPEN,     /* Takes bytes. */
    SESSION_STORED,   /* Content durable here under digest, not in the log yet (a failed finish). */
    SESSION_FINISHED, /* In the log; kept so that a repeated PUT gets its 201. */
    SESSION_SPENT,    /* Failed: dropped at check-in. */
};

/* A node that gets a copy while the bytes arrive (node/relay.h). */
struct session_target {
    uint64_t member;
    bool is_alive; /* It has every byte of the session so far. */
};

struct session {
    char uuid[UPLOAD_UUID_SIZE + 1];
    enum session_state state;
    struct upload *upload; /* NULL once the content is stored. */
    struct digest digest;
    uint64_t size;
    struct session_target targets[UPLOAD_TARGETS_MAX];
    size_t n_targets;
    uint64_t holders[HOLDERS_MAX]; /* SESSION_STORED: durable there. */
    size_t n_holders;
    /* Private. */
    struct list link;
    struct uploads *uploads;
    char *repository, *actor;
    uint64_t used_ms, told_size; /* Size at the last check-in. */
    bool is_busy;
};

enum error uploads_open(const struct uploads_options *options, struct uploads **out,
                        struct reason *why) MUST_USE;
/* No session may be checked out. */
void uploads_close(struct uploads *uploads, void (*closed_cb)(void *data), void *data);

/* ERROR_FULL below the free space mark: the text names this node and the bytes. */
enum error uploads_check_space(struct uploads *uploads, struct reason *why) MUST_USE;
/* A new session, checked out. ERROR_FULL, ERROR_TOO_LARGE (too many open uploads). */
enum error session_create(struct uploads *uploads, struct bytes repository, struct bytes actor,
                          struct session **out, struct reason *why) MUST_USE;
/* Bytes of another node's upload, kept here under its uuid: made when there is none, checked out.
 * ERROR_FULL, ERROR_BUSY. */
enum error session_adopt(struct uploads *uploads, struct bytes uuid, struct bytes actor,
                         struct session **out, struct reason *why) MUST_USE;
/* ERROR_UPLOAD_UNKNOWN: no such uuid, or of another repository or actor. ERROR_BUSY. */
enum error session_checkout(struct uploads *uploads, struct bytes uuid, struct bytes repository,
                            struct bytes actor, struct session **out, struct reason *why) MUST_USE;
/* As checkout, without taking it: what a status request answers while another one writes. */
enum error session_peek(struct uploads *uploads, struct bytes uuid, struct bytes repository,
                        struct bytes actor, uint64_t *size, struct reason *why) MUST_USE;
/* Hand it back; a spent one is dropped (disk work on loop). */
void session_checkin(struct session *session, uv_loop_t *loop);
/* Owner's member id in a uuid. ERROR_UPLOAD_UNKNOWN when it is not one of ours. */
enum error upload_uuid_owner(struct bytes uuid, uint64_t *owner) MUST_USE;
size_t uploads_count(struct uploads *uploads);

#endif
