#ifndef NODE_CLUSTER_VIEW_H
#define NODE_CLUSTER_VIEW_H

#include "base/bytes.h"
#include "node/repair.h"
#include "raft/consensus.h"
#include "store/blob_store.h"

#include <jansson.h>

/* The cluster as one node sees it at one moment: the log's status joined with what the catalog
 * knows of the members. One source for /api/v1/cluster, /metrics and the command line, so that they
 * agree. */

struct worker;

#define VIEW_NAME_MAX 64

struct member_view {
    uint64_t id;
    char name[VIEW_NAME_MAX];
    char client_address[MEMBER_ADDRESS_MAX]; /* As the member table has it. */
    char url[MEMBER_ADDRESS_MAX + 8]; /* Of this node; "": another's, whose scheme is not known. */
    const char *role;                 /* "leader", "follower" or "learner". */
    bool reachable;                   /* By this node; itself always. */
    unsigned level;                   /* Announced; 0: not yet. */
    char version[VIEW_NAME_MAX];
    uint64_t match_index;
    uint64_t round_trip_us;
};

struct cluster_view {
    char cluster[33];
    char node_name[VIEW_NAME_MAX];
    struct consensus_status log;
    struct member_view members[CONSENSUS_MEMBERS_MAX]; /* In the order in which they joined. */
    size_t n_members;
    bool is_tls; /* This node serves clients over TLS. */
    uint64_t catalog_index;
    char state_hash[65];
    unsigned level;            /* store/level.h */
    uint64_t under_replicated; /* Blobs with fewer live copies than they should have. */
    uint64_t copies;
    struct repair_status repair; /* Of this node; zeros in a program without one. */
    uint64_t quarantined;        /* Copies of this node found bad since its start. */
    struct blob_store_space space;
    uint64_t resident_bytes;
    uint64_t uptime_ms;
    bool can_lose_a_node;
    char can_lose_why[160];
};

void cluster_view_take(struct worker *worker, struct cluster_view *view);
json_t *cluster_view_json(const struct cluster_view *view);
/* Prometheus text format 0.0.4. */
void cluster_view_metrics(const struct cluster_view *view, struct buffer *out);

/* The log's own status of a member; NULL: it is not in the log's configuration. */
const struct member_status *view_status(const struct cluster_view *view, uint64_t id);

/* The verdict alone, pure: sets can_lose_a_node and can_lose_why from the rest. */
void cluster_view_judge(struct cluster_view *view);

#endif
