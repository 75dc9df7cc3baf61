/* Small content onto as many nodes as an acknowledgement needs: a copies job from memory. */
#include "node/replicate.h"

#include "base/assert.h"
#include "base/memory.h"
#include "node/copies.h"
#include "node/peers.h"
#include "node/worker.h"

#include <stdlib.h>
#include <string.h>

static void replicate_copies_cb(void *data, enum error status, const uint64_t *holders,
                                size_t n_holders, const struct reason *why)
{
    struct replicate *request = data;

    PRE(n_holders <= REPLICATE_HOLDERS);
    memcpy(request->holders, holders, n_holders * sizeof holders[0]);
    request->n_holders = n_holders;
    request->cb(request, status, why);
}

static void copies_of(struct worker *worker, struct replicate *request, struct bytes repository,
                      const struct digest *digest, struct bytes content)
{
    struct copies_options options = {
        .digest = *digest, .repository = repository, .content = content};

    if (options.content.data == NULL) {
        options.content = BYTES_LITERAL("");
    }
    request->n_holders = 0;
    copies_start(worker, &options, replicate_copies_cb, request);
}

/* --- what is held already -------------------------------------------------------------------- */

struct held_check {
    uv_work_t work;
    struct worker *worker;
    struct replicate *request;
    struct digest digest;
    struct buffer content, repository;
    enum error status;
};

static void held_work(uv_work_t *work)
{
    struct held_check *check = container_of(work, struct held_check, work);

    check->status = blob_verify(check->worker->blobs, &check->digest, NULL);
}

static void held_work_cb(uv_work_t *work, int result)
{
    struct held_check *check = container_of(work, struct held_check, work);
    struct replicate *request = check->request;

    CHECK(result == 0);
    if (check->status == OK) {
        request->cb(request, OK, &(struct reason){""});
    } else {
        copies_of(check->worker, request, buffer_view(&check->repository), &check->digest,
                  buffer_view(&check->content));
    }
    buffer_release(&check->content);
    buffer_release(&check->repository);
    free(check);
}

/* As the catalog says; the holders are set. */
static bool is_held(struct worker *worker, struct replicate *request, struct bytes repository,
                    const struct digest *digest, size_t size)
{
    struct blob_record record;
    struct catalog_txn txn;
    size_t n = 0;
    bool is_here = false;

    catalog_read(worker->catalog, &txn);
    if (catalog_blob(&txn, digest, &record) == OK && record.size == size) {
        n = catalog_live_holders(&txn, &record, request->holders);
    }
    catalog_done(&txn);
    for (size_t i = 0; i < n; i++) {
        is_here |= request->holders[i] == peers_self(worker->peers);
    }
    request->n_holders = n;
    return n >= replication_now(worker, repository).write_quorum && is_here;
}

void replicate_start(struct worker *worker, struct replicate *request, struct bytes repository,
                     const struct digest *digest, struct bytes content, replicate_cb cb)
{
    struct held_check *check;

    PRE(content.size <= REPLICATE_SIZE_MAX);
    request->cb = cb;
    if (!is_held(worker, request, repository, digest, content.size)) {
        copies_of(worker, request, repository, digest, content);
        return;
    }
    check = memory_zero(sizeof *check);
    check->worker = worker;
    check->request = request;
    check->digest = *digest;
    buffer_init(&check->content, REPLICATE_SIZE_MAX);
    buffer_append(&check->content, content);
    buffer_init(&check->repository, NAME_MAX_SIZE);
    buffer_append(&check->repository, repository);
    CHECK(buffer_status(&check->content) == OK && buffer_status(&check->repository) == OK);
    CHECK(uv_queue_work(&worker->loop, &check->work, held_work, held_work_cb) == 0);
}
