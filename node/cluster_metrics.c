/* /metrics: the view as Prometheus text, format 0.0.4. Each metric is described in
 * docs/operations.md (a test compares). */
#include "node/cluster_view.h"

#include <inttypes.h>

static void metric(struct buffer *out, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    buffer_print(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name,
                 value);
}

static void log_metrics(const struct cluster_view *view, struct buffer *out)
{
    const struct consensus_status *log = &view->log;

    metric(out, "caisson_raft_is_leader", "gauge", "1 on the leader.", log->role == ROLE_LEADER);
    metric(out, "caisson_raft_has_quorum", "gauge",
           "1 while this node is in contact with a majority.", log->has_quorum);
    metric(out, "caisson_raft_states_differ", "gauge",
           "Members that had another state than this node at the same entry.", log->states_differ);
    metric(out, "caisson_raft_term", "gauge", "Current term.", log->term);
    metric(out, "caisson_raft_last_index", "gauge", "Index of the last entry in this node's log.",
           log->last_index);
    metric(out, "caisson_raft_commit_index", "gauge", "Highest index known to be committed.",
           log->commit_index);
    metric(out, "caisson_raft_applied_index", "gauge", "Highest index in this node's catalog.",
           view->catalog_index);
    metric(out, "caisson_raft_snapshot_index", "gauge", "Index of the newest snapshot.",
           log->snapshot_index);
    metric(out, "caisson_raft_elections_total", "counter", "Elections that this node started.",
           log->elections);
    metric(out, "caisson_raft_log_bytes", "gauge", "Bytes of log segments.", log->log_bytes);
    metric(out, "caisson_raft_snapshot_bytes", "gauge", "Bytes of the newest snapshot.",
           log->snapshot_bytes);
    metric(out, "caisson_raft_guard_held_total", "counter", "Results held by the guard's gate.",
           log->guard_held);
    metric(out, "caisson_raft_guard_clamped_acks_total", "counter",
           "Acknowledgements cut by the guard.", log->guard_clamped_acks);
    metric(out, "caisson_raft_guard_clamped_commits_total", "counter",
           "Commit indexes cut by the guard.", log->guard_clamped_commits);
}

/* --- log syncs ------------------------------------------------------------------------------- */

static void fsync_metrics(const struct consensus_status *log, struct buffer *out)
{
    uint64_t n = 0;

    buffer_append_string(out, "# HELP caisson_raft_fsync_seconds How long syncs of the log took.\n"
                              "# TYPE caisson_raft_fsync_seconds histogram\n");
    for (size_t i = 0; i < FSYNC_CLASSES_N; i++) {
        n += log->fsync_classes[i];
        buffer_print(out, "caisson_raft_fsync_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                     fsync_classes_us[i] / 1e6, n);
    }
    buffer_print(out,
                 "caisson_raft_fsync_seconds_bucket{le=\"+Inf\"} %" PRIu64
                 "\ncaisson_raft_fsync_seconds_sum %.6f\ncaisson_raft_fsync_seconds_count %" PRIu64
                 "\n",
                 log->fsync_count, (double)log->fsync_sum_us / 1e6, log->fsync_count);
}

/* --- one line for each other member ----------------------------------------------------------- */

/* Names are of nodes; what the format would have to escape is left out. */
static void label(struct buffer *out, const char *metric_name, const char *member)
{
    buffer_print(out, "%s{member=\"", metric_name);
    for (; *member != '\0'; member++) {
        if (*member != '"' && *member != '\\' && *member >= ' ') {
            buffer_append_byte(out, (uint8_t)*member);
        }
    }
    buffer_append_string(out, "\"} ");
}

static const struct member_metric {
    const char *name, *help;
    size_t offset; /* Of a uint64_t in struct member_status. */
} member_metrics[] = {
    {"caisson_member_applied_index", "What the member has applied, by its own word.",
     offsetof(struct member_status, applied_index)},
    {"caisson_member_commit_index", "What the member knows to be committed.",
     offsetof(struct member_status, commit_index)},
    {"caisson_member_log_bytes", "Bytes of the member's log segments.",
     offsetof(struct member_status, log_bytes)},
    {"caisson_member_free_bytes", "Free bytes on the member's disk.",
     offsetof(struct member_status, free_bytes)},
    {"caisson_member_round_trip_microseconds", "Last round trip to the member.",
     offsetof(struct member_status, round_trip_us)},
};

static void member_metric(const struct cluster_view *view, const struct member_metric *metric,
                          struct buffer *out)
{
    buffer_print(out, "# HELP %s %s\n# TYPE %s gauge\n", metric->name, metric->help, metric->name);
    for (size_t i = 0; i < view->n_members; i++) {
        const struct member_status *told = view_status(view, view->members[i].id);

        if (told != NULL && told->has_told) {
            label(out, metric->name, view->members[i].name);
            buffer_print(out, "%" PRIu64 "\n",
                         *(const uint64_t *)(const void *)((const char *)told + metric->offset));
        }
    }
}

static void state_metrics(const struct cluster_view *view, struct buffer *out)
{
    buffer_append_string(out, "# HELP caisson_member_up 1 while this node has a link to it.\n"
                              "# TYPE caisson_member_up gauge\n");
    for (size_t i = 0; i < view->n_members; i++) {
        label(out, "caisson_member_up", view->members[i].name);
        buffer_print(out, "%d\n", view->members[i].reachable);
    }
    buffer_append_string(out, "# HELP caisson_member_clock_skew_seconds Its wall clock less this "
                              "node's.\n# TYPE caisson_member_clock_skew_seconds gauge\n");
    for (size_t i = 0; i < view->n_members; i++) {
        const struct member_status *told = view_status(view, view->members[i].id);

        if (told != NULL && told->has_told) {
            label(out, "caisson_member_clock_skew_seconds", view->members[i].name);
            buffer_print(out, "%.3f\n", (double)told->clock_skew_ms / 1e3);
        }
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

static void repair_metrics(const struct cluster_view *view, struct buffer *out)
{
    const struct repair_status *repair = &view->repair;

    metric(out, "caisson_repair_missing_blobs", "gauge",
           "Blobs that this node should get from others.", repair->missing);
    metric(out, "caisson_repair_missing_bytes", "gauge", "Their bytes, less what has arrived.",
           repair->missing_bytes);
    metric(out, "caisson_repair_bytes_per_second", "gauge", "Over the last seconds.",
           repair->bytes_per_second);
    metric(out, "caisson_repair_fetched_blobs_total", "counter", "Blobs fetched from others.",
           repair->fetched);
    metric(out, "caisson_repair_fetched_bytes_total", "counter", "Their bytes.",
           repair->fetched_bytes);
    metric(out, "caisson_repair_failed_fetches_total", "counter",
           "Fetches that no holder could serve; they are tried again.", repair->failed);
    metric(out, "caisson_repair_is_full", "gauge",
           "1 while nothing is fetched because the disk has too little room.", repair->is_full);
    metric(out, "caisson_lost_blobs", "gauge", "Blobs that no node has a good copy of.",
           repair->lost);
    metric(out, "caisson_quarantined_blobs_total", "counter",
           "Copies of this node that were found bad.", view->quarantined);
}

void cluster_view_metrics(const struct cluster_view *view, struct buffer *out)
{
    log_metrics(view, out);
    fsync_metrics(&view->log, out);
    for (size_t i = 0; i < sizeof member_metrics / sizeof member_metrics[0]; i++) {
        member_metric(view, &member_metrics[i], out);
    }
    state_metrics(view, out);
    metric(out, "caisson_feature_level", "gauge", "Lowest level that all members have announced.",
           view->level);
    metric(out, "caisson_members", "gauge", "Members of the cluster.", view->n_members);
    metric(out, "caisson_underreplicated_blobs", "gauge",
           "Blobs with fewer copies than they should have.", view->under_replicated);
    repair_metrics(view, out);
    metric(out, "caisson_can_lose_a_node", "gauge", "1 when any one node may go now.",
           view->can_lose_a_node);
    metric(out, "caisson_disk_free_bytes", "gauge", "Free bytes where blobs are kept.",
           view->space.free_bytes);
    metric(out, "caisson_disk_total_bytes", "gauge", "Size of that file system.",
           view->space.total_bytes);
    metric(out, "process_resident_memory_bytes", "gauge", "Resident memory.", view->resident_bytes);
    metric(out, "caisson_uptime_milliseconds", "gauge", "Since this process started.",
           view->uptime_ms);
}
