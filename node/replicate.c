/* Small content onto as many nodes as an acknowledgement needs: a copies job from memory. */
#include "node/replicate.h"

#include "base/assert.h"
#include "node/copies.h"
#include "node/peers.h"
#include "node/worker.h"

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

void replicate_start(struct worker *worker, struct replicate *request, const struct digest *digest,
                     struct bytes content, replicate_cb cb)
{
    struct copies_options options = {.digest = *digest, .content = content};

    PRE(content.size <= REPLICATE_SIZE_MAX);
    if (options.content.data == NULL) {
        options.content = BYTES_LITERAL("");
    }
    request->n_holders = 0;
    request->cb = cb;
    copies_start(worker, &options, replicate_copies_cb, request);
}

bool replicate_is_held(struct worker *worker, struct replicate *request,
                       const struct digest *digest, size_t size)
{
    uint64_t members[PEERS_MAX];
    struct blob_record record;
    struct catalog_txn txn;
    size_t n = 0, n_members = peers_members(worker->peers, members);
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
    return n_members > 0 && n >= write_quorum(n_members) && is_here &&
           blob_exists(worker->blobs, digest);
}
