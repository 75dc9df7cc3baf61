#include "node/peers.h"
#include "node/replicate.h"
#include "node/worker.h"

struct replication_setting replication_now(struct worker *worker, struct bytes repository)
{
    uint64_t members[PEERS_MAX];
    size_t n = peers_members(worker->peers, members);
    struct replication_setting setting;
    struct catalog_txn txn;

    catalog_read(worker->catalog, &txn);
    catalog_setting(&txn, repository, &setting, NULL);
    catalog_done(&txn);
    return setting_for_members(setting, n > 0 ? n : 1);
}
