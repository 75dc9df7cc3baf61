/* Catching up. A timer walks the catalog for content that this node does not hold and keeps at most
 * `concurrency` fetches going; what was fetched, and copies that others finished late, are noted
 * and told to the log in batches of one node each. A walk that found too much to take at once goes
 * on where it stopped. */
#include "node/repair.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/control.h"
#include "node/holder_notes.h"
#include "node/peers.h"
#include "node/repair_fetch.h"
#include "node/replicate.h"
#include "node/transfer_rate.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#define REPAIR_TICK_MS     250
#define REPAIR_QUEUE_MAX   256 /* Content waiting for a fetch. */
#define REPAIR_FETCHES_MAX 16
#define REPAIR_COUNT_MS    1000
#define REPAIR_RETRY_MS    5000 /* Content that could not be fetched rests for so long. */

struct want {
    struct list link;
    struct digest digest;
    bool is_urgent; /* Asked for by a reader: fetched although the log says that we have it. */
};

struct fetch_slot {
    struct repair *repair;
    struct repair_fetch fetch;
    bool is_busy;
};

struct repair {
    struct worker *worker;
    uint64_t interval_ms, bytes_per_second, free_min, next_walk_ms, next_count_ms, hold_until_ms;
    uint64_t told_index; /* Of the last facts told: a catalog before it knows too little to walk. */
    unsigned concurrency;
    uv_timer_t timer;
    struct list queue; /* Wants, on the loop only. */
    size_t n_queue;
    struct table_key cursor;
    struct fetch_slot slots[REPAIR_FETCHES_MAX];
    unsigned n_busy;
    struct control_propose propose;
    bool is_proposing, is_closing;
    atomic_bool is_quiet;
    struct holder_notes notes;
    struct transfer_rate rate;
    uv_mutex_t lock; /* Over what follows. */
    struct list urgent;
    size_t n_urgent;
    struct repair_status status;
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* --- notes: who has what, told to the log ---------------------------------------------------- */

void repair_note_holder(struct repair *repair, uint64_t node, const struct digest *digest)
{
    holder_notes_add(&repair->notes, node, digest, true);
}

void repair_want(struct repair *repair, const struct digest *digest, uint64_t size)
{
    struct want *want = memory_zero(sizeof *want);

    (void)size;
    want->digest = *digest;
    want->is_urgent = true;
    uv_mutex_lock(&repair->lock);
    if (repair->n_urgent < REPAIR_QUEUE_MAX) {
        list_append(&repair->urgent, &want->link);
        repair->n_urgent++;
        want = NULL;
    }
    uv_mutex_unlock(&repair->lock);
    free(want);
}

void repair_status(struct repair *repair, struct repair_status *out)
{
    uv_mutex_lock(&repair->lock);
    *out = repair->status;
    uv_mutex_unlock(&repair->lock);
}

static void repair_closed(struct repair *repair);
static void repair_tell(struct repair *repair);

static void repair_propose_cb(struct control_propose *propose, enum error status,
                              const struct command_result *result)
{
    struct repair *repair = container_of(propose, struct repair, propose);

    repair->is_proposing = false;
    if (status != OK || result->error != OK) {
        /* Found again by a walk: here the content counts as missing until the log says otherwise.
         */
        LOG_WARN("holders could not be told to the log: %s",
                 status != OK ? error_text(status) : result->why.text);
    } else {
        repair->told_index = result->index;
    }
    repair_tell(repair);
}

static void repair_tell(struct repair *repair)
{
    struct digest digests[REPAIR_BATCH_MAX];
    struct command_id id;
    bool is_present = true;
    uint64_t node = 0;
    size_t n;

    /* While leadership moves a proposal would hold up the stop; what is not told is found again. */
    if (repair->is_proposing || repair->is_closing || atomic_load(&repair->is_quiet)) {
        return;
    }
    n = holder_notes_take(&repair->notes, REPAIR_BATCH_MAX, &node, &is_present, digests);
    if (n == 0) {
        return;
    }
    uv_mutex_lock(&repair->lock);
    repair->status.noted += n;
    uv_mutex_unlock(&repair->lock);
    command_id_make(&id);
    buffer_init(&repair->propose.bytes, COMMAND_SIZE_MAX);
    command_blob_holders(&repair->propose.bytes, &id, node, digests, n, is_present);
    repair->is_proposing = true;
    control_propose(repair->worker, &repair->propose, repair_propose_cb);
}

/* --- the walk -------------------------------------------------------------------------------- */

/* Is it in the queue or on its way already? */
static bool is_wanted(struct repair *repair, const struct digest *digest)
{
    for (size_t i = 0; i < repair->concurrency; i++) {
        if (repair->slots[i].is_busy && digest_equal(&repair->slots[i].fetch.digest, digest)) {
            return true;
        }
    }
    LIST_FOR_EACH (item, &repair->queue) {
        if (digest_equal(&container_of(item, struct want, link)->digest, digest)) {
            return true;
        }
    }
    return false;
}

static bool walk_visit(void *data, const struct digest *digest)
{
    struct repair *repair = data;

    if (!is_wanted(repair, digest)) {
        struct want *want = memory_zero(sizeof *want);

        want->digest = *digest;
        list_append(&repair->queue, &want->link);
        repair->n_queue++;
    }
    return repair->n_queue < REPAIR_QUEUE_MAX;
}

static void repair_walk(struct repair *repair)
{
    struct catalog_txn txn;

    catalog_read(repair->worker->catalog, &txn);
    catalog_blobs_missing(&txn, peers_self(repair->worker->peers), &repair->cursor, walk_visit,
                          repair);
    catalog_done(&txn);
    if (repair->n_queue < REPAIR_QUEUE_MAX) {
        repair->cursor.size = 0; /* Came to the end: from the start next time. */
    }
}

/* Nothing is under way, and the catalog has all that was told: what it says is missing is. */
static bool may_walk(struct repair *repair, uint64_t now)
{
    return list_is_empty(&repair->queue) && repair->n_busy == 0 && !repair->is_proposing &&
           (now >= repair->next_walk_ms || repair->cursor.size > 0) &&
           holder_notes_are_empty(&repair->notes) &&
           catalog_applied_index(repair->worker->catalog) >= repair->told_index;
}

/* --- progress -------------------------------------------------------------------------------- */

static uint64_t bytes_in_flight(const struct repair *repair)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < repair->concurrency; i++) {
        bytes += repair->slots[i].is_busy ? repair->slots[i].fetch.received : 0;
    }
    return bytes;
}

/* Once a second: counted from the metadata, whatever the queue holds. */
static void repair_count(struct repair *repair, uint64_t now)
{
    uint64_t in_flight = bytes_in_flight(repair), lost_before;
    struct replication_count replication;
    struct lack_count lack;
    struct catalog_txn txn;
    unsigned copies = replication_now(repair->worker, BYTES_NONE).copies;

    catalog_read(repair->worker->catalog, &txn);
    catalog_count_lacking(&txn, peers_self(repair->worker->peers), copies, &lack);
    catalog_count_replication(&txn, copies, &replication);
    catalog_done(&txn);
    uv_mutex_lock(&repair->lock);
    transfer_rate_add(&repair->rate, now, repair->status.fetched_bytes + in_flight);
    lost_before = repair->status.lost;
    repair->status.missing = lack.blobs;
    repair->status.missing_bytes = lack.bytes > in_flight ? lack.bytes - in_flight : 0;
    repair->status.lost = replication.lost;
    repair->status.bytes_per_second = transfer_rate_of(&repair->rate, now);
    uv_mutex_unlock(&repair->lock);
    if (replication.lost > lost_before) {
        LOG_ERROR("%" PRIu64 " blobs have no good copy left on any node: push them again, or bring "
                  "back the disk of a node that had them",
                  replication.lost);
    }
}

/* --- fetching -------------------------------------------------------------------------------- */

static void repair_fill(struct repair *repair);

static void slot_cb(struct repair_fetch *fetch, enum error status, uint64_t bytes)
{
    struct fetch_slot *slot = container_of(fetch, struct fetch_slot, fetch);
    struct repair *repair = slot->repair;
    char text[DIGEST_TEXT_MAX];

    slot->is_busy = false;
    repair->n_busy--;
    uv_mutex_lock(&repair->lock);
    repair->status.fetched += status == OK;
    repair->status.failed += status != OK;
    repair->status.fetched_bytes += bytes;
    uv_mutex_unlock(&repair->lock);
    if (status == OK) {
        repair_note_holder(repair, peers_self(repair->worker->peers), &fetch->digest);
    } else {
        digest_format(&fetch->digest, text);
        LOG_WARN("%s could not be fetched from its holders: %s", text, error_text(status));
        repair->next_walk_ms = clock_monotonic_ms() + REPAIR_RETRY_MS;
    }
    if (repair->bytes_per_second > 0) {
        uint64_t now = clock_monotonic_ms();
        uint64_t from = repair->hold_until_ms > now ? repair->hold_until_ms : now;

        repair->hold_until_ms = from + bytes * 1000 / repair->bytes_per_second;
    }
    if (repair->is_closing) {
        repair_closed(repair);
        return;
    }
    repair_tell(repair);
    repair_fill(repair);
}

/* Holders of now but this node, those that answer lately first; 0 when there is nothing to do. */
static size_t want_holders(struct repair *repair, const struct want *want,
                           uint64_t out[HOLDERS_MAX], uint64_t *size)
{
    uint64_t live[HOLDERS_MAX], self = peers_self(repair->worker->peers);
    struct blob_record record = {0};
    struct catalog_txn txn;
    size_t n = 0, n_live = 0, copies = replication_now(repair->worker, BYTES_NONE).copies;
    bool is_ours = false;

    catalog_read(repair->worker->catalog, &txn);
    if (catalog_blob(&txn, &want->digest, &record) == OK) {
        n_live = catalog_live_holders(&txn, &record, live);
    }
    catalog_done(&txn);
    *size = record.size;
    for (int down = 0; down <= 1; down++) {
        for (size_t i = 0; i < n_live; i++) {
            is_ours |= live[i] == self;
            if (live[i] != self && peers_is_down(repair->worker->peers, live[i]) == (down == 1)) {
                out[n++] = live[i];
            }
        }
    }
    /* A cluster larger than the wanted copies: enough others have it. */
    if (!want->is_urgent && (is_ours || n_live >= copies)) {
        return 0;
    }
    return n;
}

/* Filling the disk to the last byte would take the node down with it. */
static bool has_room(struct repair *repair, uint64_t size)
{
    struct blob_store_space space;
    bool has_room;

    blob_store_space(repair->worker->blobs, &space);
    has_room = space.free_bytes >= repair->free_min && space.free_bytes - repair->free_min >= size;
    uv_mutex_lock(&repair->lock);
    if (!has_room && !repair->status.is_full) {
        LOG_ERROR("repair waits: %" PRIu64 " bytes are free here, %" PRIu64 " are kept free "
                  "(free_space_mark), and a blob of %" PRIu64 " is missing",
                  space.free_bytes, repair->free_min, size);
    }
    repair->status.is_full = !has_room;
    uv_mutex_unlock(&repair->lock);
    return has_room;
}

/* Start the fetch of one want, unless there is nothing to do for it. */
static void repair_begin(struct repair *repair, const struct want *want)
{
    uint64_t holders[HOLDERS_MAX], size;
    size_t n = want_holders(repair, want, holders, &size), i = 0;

    if (n == 0) {
        return;
    }
    if (!has_room(repair, size)) {
        repair->next_walk_ms = clock_monotonic_ms() + REPAIR_RETRY_MS;
        return;
    }
    while (repair->slots[i].is_busy) {
        i++;
    }
    CHECK(i < repair->concurrency);
    repair->slots[i].is_busy = true;
    repair->n_busy++;
    repair_fetch_start(&repair->slots[i].fetch, repair->worker, &want->digest, holders, n, slot_cb);
}

static void repair_fill(struct repair *repair)
{
    LIST_FOR_EACH (item, &repair->queue) {
        struct want *want = container_of(item, struct want, link);

        if (repair->n_busy == repair->concurrency || clock_monotonic_ms() < repair->hold_until_ms) {
            return;
        }
        list_remove(item);
        repair->n_queue--;
        repair_begin(repair, want);
        free(want);
    }
}

/* The log says that this node has what is not there any more (lost, or in quarantine/): others must
 * not count on it. Before the fetch, so that the fact that follows it comes later in the log. */
static void repair_disown(struct repair *repair, const struct digest *digest)
{
    uint64_t self = peers_self(repair->worker->peers);
    struct blob_record record = {0};
    struct catalog_txn txn;
    bool is_holder = false;

    catalog_read(repair->worker->catalog, &txn);
    if (catalog_blob(&txn, digest, &record) == OK) {
        for (size_t i = 0; i < record.n_holders; i++) {
            is_holder |= record.holders[i] == self;
        }
    }
    catalog_done(&txn);
    if (is_holder && !blob_exists(repair->worker->blobs, digest)) {
        holder_notes_add(&repair->notes, self, digest, false);
        uv_mutex_lock(&repair->lock);
        repair->status.disowned++;
        uv_mutex_unlock(&repair->lock);
    }
}

static void repair_take_urgent(struct repair *repair)
{
    struct list urgent;

    uv_mutex_lock(&repair->lock);
    list_move(&repair->urgent, &urgent);
    repair->n_urgent = 0;
    uv_mutex_unlock(&repair->lock);
    LIST_FOR_EACH (item, &urgent) {
        struct want *want = container_of(item, struct want, link);

        list_remove(item);
        if (is_wanted(repair, &want->digest)) {
            free(want);
        } else {
            repair_disown(repair, &want->digest);
            list_append(&repair->queue, item);
            repair->n_queue++;
        }
    }
}

static void repair_tick_cb(uv_timer_t *timer)
{
    struct repair *repair = container_of(timer, struct repair, timer);
    uint64_t now = clock_monotonic_ms();

    if (repair->is_closing) {
        repair_closed(repair);
        return;
    }
    repair_take_urgent(repair);
    if (may_walk(repair, now)) {
        repair->next_walk_ms = now + repair->interval_ms;
        repair_walk(repair);
    }
    if (now >= repair->next_count_ms) {
        repair->next_count_ms = now + REPAIR_COUNT_MS;
        repair_count(repair, now);
    }
    repair_fill(repair);
    repair_tell(repair);
}

/* --- life ------------------------------------------------------------------------------------ */

enum error repair_open(const struct repair_options *options, struct repair **out,
                       struct reason *why)
{
    struct repair *repair = memory_zero(sizeof *repair);

    (void)why;
    repair->worker = options->worker;
    repair->interval_ms = options->interval_ms > 0 ? options->interval_ms : 1000;
    repair->concurrency = options->concurrency > 0 ? options->concurrency : 4;
    if (repair->concurrency > REPAIR_FETCHES_MAX) {
        repair->concurrency = REPAIR_FETCHES_MAX;
    }
    repair->bytes_per_second = options->bytes_per_second;
    repair->free_min = options->free_min;
    list_init(&repair->queue);
    holder_notes_init(&repair->notes);
    list_init(&repair->urgent);
    for (size_t i = 0; i < REPAIR_FETCHES_MAX; i++) {
        repair->slots[i].repair = repair;
    }
    CHECK(uv_mutex_init(&repair->lock) == 0);
    CHECK(uv_timer_init(&options->worker->loop, &repair->timer) == 0);
    CHECK(uv_timer_start(&repair->timer, repair_tick_cb, REPAIR_TICK_MS, REPAIR_TICK_MS) == 0);
    *out = repair;
    return OK;
}

static void wants_free(struct list *wants)
{
    LIST_FOR_EACH (item, wants) {
        list_remove(item);
        free(container_of(item, struct want, link));
    }
}

static void repair_close_cb(uv_handle_t *handle)
{
    struct repair *repair = container_of((uv_timer_t *)handle, struct repair, timer);

    wants_free(&repair->queue);
    wants_free(&repair->urgent);
    holder_notes_release(&repair->notes);
    uv_mutex_destroy(&repair->lock);
    repair->closed_cb(repair->closed_data);
    free(repair);
}

/* Closing waits for fetches and the proposal under way; peers_close() and the control thread's end
 * bring those in. */
static void repair_closed(struct repair *repair)
{
    if (repair->is_closing && repair->n_busy == 0 && !repair->is_proposing &&
        !uv_is_closing((uv_handle_t *)&repair->timer)) {
        uv_close((uv_handle_t *)&repair->timer, repair_close_cb);
    }
}

void repair_quiet(struct repair *repair)
{
    atomic_store(&repair->is_quiet, true);
}

void repair_close(struct repair *repair, void (*closed_cb)(void *data), void *data)
{
    repair->closed_cb = closed_cb;
    repair->closed_data = data;
    repair->is_closing = true;
    for (size_t i = 0; i < REPAIR_FETCHES_MAX; i++) {
        if (repair->slots[i].is_busy) {
            repair_fetch_cancel(&repair->slots[i].fetch);
        }
    }
    repair_closed(repair);
}
