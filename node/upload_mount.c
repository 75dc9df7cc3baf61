/* Mounting: find a source that the caller may read (once more after a read-index round when this
 * node knows none), then one entry in the log. */
#include "node/upload_mount.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/consistency.h"
#include "node/control.h"
#include "node/worker.h"

#include <stdlib.h>

struct mount {
    struct exchange *exchange;
    struct digest digest;
    struct bytes from;
    struct control_read read;
    struct control_propose propose;
    upload_mount_cb cb;
};

struct mount_search {
    struct exchange *exchange;
    struct catalog_txn *txn;
    const struct digest *digest;
    unsigned seen;
    char *found;
};

static bool mount_visit(void *data, struct bytes name)
{
    struct mount_search *search = data;

    if (exchange_may(search->exchange, ACTION_PULL, name) &&
        catalog_link(search->txn, name, search->digest) == OK) {
        search->found = bytes_to_string(name);
    }
    return search->found == NULL && ++search->seen < MOUNT_SEARCH_MAX;
}

/* A copy of the source's name, NULL when there is none. */
static char *mount_source(struct exchange *exchange, const struct digest *digest, struct bytes from)
{
    struct catalog_txn txn;
    struct mount_search search = {exchange, &txn, digest, 0, NULL};

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (from.size == 0) {
        catalog_repositories(&txn, BYTES_NONE, mount_visit, &search);
    } else if (repository_name_is_valid(from)) {
        mount_visit(&search, from);
    }
    catalog_done(&txn);
    return search.found;
}

static void mount_propose_cb(struct control_propose *propose, enum error status,
                             const struct command_result *result)
{
    struct mount *mount = container_of(propose, struct mount, propose);
    struct exchange *exchange = mount->exchange;

    if (status == OK && result->error == OK) {
        exchange_set_index(exchange, result->index);
    }
    mount->cb(exchange, status == OK && result->error == OK ? &mount->digest : NULL);
    free(mount);
    exchange_release(exchange);
}

static void mount_propose(struct mount *mount, const char *source)
{
    struct exchange *exchange = mount->exchange;
    struct command_id id;

    command_id_make(&id);
    buffer_init(&mount->propose.bytes, COMMAND_SIZE_MAX);
    command_blob_mount(&mount->propose.bytes, &id, exchange_actor(exchange),
                       exchange_parameter(exchange, "name"), bytes_of_string(source),
                       &mount->digest);
    control_propose(exchange_worker(exchange), &mount->propose, mount_propose_cb);
}

/* This node knows as much as any other now. */
static void mount_read_cb(struct control_read *read, enum error status)
{
    struct mount *mount = container_of(read, struct mount, read);
    struct exchange *exchange = mount->exchange;
    char *source = status == OK ? mount_source(exchange, &mount->digest, mount->from) : NULL;

    if (source != NULL) {
        mount_propose(mount, source);
        free(source);
        return;
    }
    mount->cb(exchange, NULL);
    free(mount);
    exchange_release(exchange);
}

void upload_mount(struct exchange *exchange, const struct digest *digest, struct bytes from,
                  upload_mount_cb cb)
{
    char *source = mount_source(exchange, digest, from);
    struct mount *mount = memory_zero(sizeof *mount);

    mount->exchange = exchange;
    mount->digest = *digest;
    mount->from = from;
    mount->cb = cb;
    exchange_hold(exchange);
    if (source != NULL) {
        mount_propose(mount, source);
        free(source);
        return;
    }
    /* The link may be too fresh for this node. */
    control_read(exchange_worker(exchange), &mount->read, mount_read_cb);
}
