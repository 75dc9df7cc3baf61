#include "node/cluster_view.h"

#include "base/assert.h"
#include "base/clock.h"
#include "node/control.h"
#include "node/node.h"
#include "node/replicate.h"
#include "node/worker.h"
#include "store/level.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* A leader's follower this many entries behind would hold up the cluster if another member went. */
#define LAG_MAX 10000

/* --- taking the view -------------------------------------------------------------------------- */

const struct member_status *view_status(const struct cluster_view *view, uint64_t id)
{
    size_t i;

    for (i = 0; i < view->log.n_members; i++) {
        if (view->log.members[i].member.id == id) {
            return &view->log.members[i];
        }
    }
    return NULL;
}

static void copy_text(char *out, size_t size, struct bytes text)
{
    snprintf(out, size, BYTES_FMT, BYTES_ARG(text));
}

static bool view_member(void *data, const struct member_record *record)
{
    struct cluster_view *view = data;
    struct member_view *member = &view->members[view->n_members];
    const struct member_status *in_log = view_status(view, record->id);

    if (view->n_members == CONSENSUS_MEMBERS_MAX) {
        return false;
    }
    *member = (struct member_view){.id = record->id};
    copy_text(member->name, sizeof member->name, record->name);
    copy_text(member->client_address, sizeof member->client_address, record->client_address);
    if (record->id == view->log.id) {
        snprintf(member->url, sizeof member->url, "%s://" BYTES_FMT,
                 view->is_tls ? "https" : "http", BYTES_ARG(record->client_address));
    }
    member->role = record->id == view->log.leader                   ? "leader"
                   : in_log != NULL && in_log->role == MEMBER_VOTER ? "follower"
                                                                    : "learner";
    member->reachable = record->id == view->log.id || (in_log != NULL && in_log->connected);
    member->match_index = in_log != NULL ? in_log->match_index : 0;
    member->round_trip_us = in_log != NULL ? in_log->round_trip_us : 0;
    if (record->id == view->log.id) {
        member->match_index = view->log.last_index;
    }
    view->n_members++;
    return true;
}

static void fill_versions(struct catalog_txn *txn, struct cluster_view *view)
{
    size_t i;

    for (i = 0; i < view->n_members; i++) {
        struct member_view *member = &view->members[i];
        struct bytes version;

        if (catalog_member_level(txn, member->id, &member->level, &version) == OK) {
            copy_text(member->version, sizeof member->version, version);
        }
    }
}

/* Resident set in bytes, 0 when the kernel does not tell. */
static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%lu %lu", &size, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void cluster_view_take(struct worker *worker, struct cluster_view *view)
{
    struct replication_count replication;
    struct replication_setting setting;
    struct catalog_txn txn;

    *view = (struct cluster_view){.n_members = 0};
    view->is_tls = node_is_tls(worker->node);
    control_status(worker->control, &view->log);
    snprintf(view->cluster, sizeof view->cluster, "%s", node_cluster(worker->node));
    snprintf(view->node_name, sizeof view->node_name, "%s", node_name(worker->node));
    view->uptime_ms = clock_monotonic_ms() - node_started_ms(worker->node);
    view->resident_bytes = resident_bytes();
    blob_store_space(worker->blobs, &view->space);
    view->quarantined = blob_store_quarantined(worker->blobs);
    if (worker->repair != NULL) {
        repair_status(worker->repair, &view->repair);
    }
    catalog_read(worker->catalog, &txn);
    view->catalog_index = catalog_txn_index(&txn);
    catalog_txn_hash(&txn, view->state_hash);
    view->level = catalog_level(&txn);
    catalog_members(&txn, view_member, view);
    fill_versions(&txn, view);
    catalog_setting(&txn, BYTES_NONE, &setting, NULL);
    view->copies = setting_for_members(setting, view->n_members).copies;
    catalog_count_replication(&txn, (unsigned)view->copies, &replication);
    view->under_replicated = replication.under_replicated;
    catalog_done(&txn);
    cluster_view_judge(view);
}

/* --- the verdict ------------------------------------------------------------------------------ */

static bool judge_members(struct cluster_view *view, unsigned *voters)
{
    size_t i;

    *voters = 0;
    for (i = 0; i < view->n_members; i++) {
        const struct member_view *member = &view->members[i];

        if (strcmp(member->role, "learner") == 0) {
            snprintf(view->can_lose_why, sizeof view->can_lose_why,
                     "%s is still catching up (learner)", member->name);
            return false;
        }
        if (!member->reachable) {
            snprintf(view->can_lose_why, sizeof view->can_lose_why, "%s is not reachable",
                     member->name);
            return false;
        }
        if (view->log.role == ROLE_LEADER && member->match_index + LAG_MAX < view->log.last_index) {
            snprintf(view->can_lose_why, sizeof view->can_lose_why,
                     "%s is %" PRIu64 " log entries behind", member->name,
                     view->log.last_index - member->match_index);
            return false;
        }
        (*voters)++;
    }
    return true;
}

void cluster_view_judge(struct cluster_view *view)
{
    unsigned voters;

    view->can_lose_a_node = false;
    if (!view->log.has_quorum) {
        snprintf(view->can_lose_why, sizeof view->can_lose_why, "no quorum now");
        return;
    }
    if (!judge_members(view, &voters)) {
        return;
    }
    if (voters < 3) {
        snprintf(view->can_lose_why, sizeof view->can_lose_why,
                 "%u voting member%s: losing one leaves no quorum; three or more are needed",
                 voters, voters == 1 ? "" : "s");
        return;
    }
    if (view->under_replicated > 0) {
        snprintf(view->can_lose_why, sizeof view->can_lose_why,
                 "%" PRIu64 " blobs have fewer than %" PRIu64 " copies", view->under_replicated,
                 view->copies);
        return;
    }
    view->can_lose_a_node = true;
    snprintf(view->can_lose_why, sizeof view->can_lose_why,
             "all %u voters reachable, every blob on %" PRIu64 " nodes", voters, view->copies);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *json_id(uint64_t id)
{
    return id == 0 ? json_null() : json_sprintf("%016" PRIx64, id);
}

/* What the member said of itself within the last second or two. */
static void add_told(json_t *object, const struct member_status *told)
{
    if (told == NULL || !told->has_told) {
        return;
    }
    json_object_update_new(
        object,
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "term",
                  (json_int_t)told->term, "commit_index", (json_int_t)told->commit_index,
                  "applied_index", (json_int_t)told->applied_index, "last_index",
                  (json_int_t)told->last_index, "snapshot_index", (json_int_t)told->snapshot_index,
                  "log_bytes", (json_int_t)told->log_bytes, "snapshot_bytes",
                  (json_int_t)told->snapshot_bytes, "free_bytes", (json_int_t)told->free_bytes,
                  "total_bytes", (json_int_t)told->total_bytes, "clock_skew_ms",
                  (json_int_t)told->clock_skew_ms, "told_ms_ago", (json_int_t)told->told_ms_ago));
}

static json_t *member_json(const struct cluster_view *view, const struct member_view *member)
{
    json_t *object = json_pack("{s:o, s:s, s:s, s:s, s:b}", "id", json_id(member->id), "name",
                               member->name, "role", member->role, "address",
                               member->client_address, "reachable", (int)member->reachable);

    if (member->url[0] != '\0') {
        json_object_set_new(object, "url", json_string(member->url));
    }
    if (member->level > 0) {
        json_object_set_new(object, "version", json_string(member->version));
        json_object_set_new(object, "level", json_integer((json_int_t)member->level));
    }

    if (view->log.role == ROLE_LEADER || member->id == view->log.id) {
        json_object_set_new(object, "stored_index", json_integer((json_int_t)member->match_index));
    }
    if (member->round_trip_us > 0) {
        json_object_set_new(object, "round_trip_us",
                            json_integer((json_int_t)member->round_trip_us));
    }
    add_told(object, view_status(view, member->id));
    return object;
}

static json_t *node_json(const struct cluster_view *view)
{
    return json_pack(
        "{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id",
        json_id(view->log.id), "name", view->node_name, "role", consensus_role_name(view->log.role),
        "last_index", (json_int_t)view->log.last_index, "commit_index",
        (json_int_t)view->log.commit_index, "applied_index", (json_int_t)view->catalog_index,
        "snapshot_index", (json_int_t)view->log.snapshot_index, "state_hash", view->state_hash,
        "log_bytes", (json_int_t)view->log.log_bytes, "snapshot_bytes",
        (json_int_t)view->log.snapshot_bytes, "fsync_p50_us", (json_int_t)view->log.fsync_p50_us,
        "fsync_p99_us", (json_int_t)view->log.fsync_p99_us, "free_bytes",
        (json_int_t)view->space.free_bytes, "total_bytes", (json_int_t)view->space.total_bytes,
        "resident_bytes", (json_int_t)view->resident_bytes, "uptime_ms",
        (json_int_t)view->uptime_ms);
}

/* seconds_left: null when nothing moves now. */
static json_t *repair_json(const struct cluster_view *view)
{
    const struct repair_status *repair = &view->repair;
    json_t *left = json_null();

    if (repair->missing == 0) {
        left = json_integer(0);
    } else if (repair->bytes_per_second > 0) {
        uint64_t seconds = repair->missing_bytes / repair->bytes_per_second + 1;

        left = json_integer((json_int_t)seconds);
    }
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "missing_blobs", (json_int_t)repair->missing,
        "missing_bytes", (json_int_t)repair->missing_bytes, "bytes_per_second",
        (json_int_t)repair->bytes_per_second, "fetched_blobs", (json_int_t)repair->fetched,
        "lost_blobs", (json_int_t)repair->lost, "quarantined_blobs", (json_int_t)view->quarantined,
        "is_full", (int)repair->is_full, "seconds_left", left);
}

json_t *cluster_view_json(const struct cluster_view *view)
{
    json_t *members = json_array();
    size_t i;

    for (i = 0; i < view->n_members; i++) {
        json_array_append_new(members, member_json(view, &view->members[i]));
    }
    return json_pack("{s:s, s:I, s:I, s:o, s:b, s:o, s:I, s:{s:b, s:s}, s:o, s:o}", "cluster",
                     view->cluster, "level", (json_int_t)view->level, "term",
                     (json_int_t)view->log.term, "leader", json_id(view->log.leader), "has_quorum",
                     (int)view->log.has_quorum, "members", members, "under_replicated",
                     (json_int_t)view->under_replicated, "can_lose_a_node", "yes",
                     (int)view->can_lose_a_node, "why", view->can_lose_why, "node", node_json(view),
                     "repair", repair_json(view));
}
