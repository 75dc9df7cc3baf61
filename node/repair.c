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
#include "node/peers.h"
#include "node/repair_fetch.h"
#include "node/replicate.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>

#define REPAIR_TICK_MS     250
#define REPAIR_QUEUE_MAX   256 /* Content waiting for a fetch. */
#define REPAIR_COUNT_MAX   10000
#define REPAIR_NOTES_MAX   4096 /* More are found again by the next walk. */
#define REPAIR_FETCHES_MAX 16
#define REPAIR_RETRY_MS    5000 /* Content that could not be fetched rests for so long. */

struct want {
    struct list link;
    struct digest digest;
    bool is_urgent; /* Asked for by a reader: fetched although the log says that we have it. */
};

struct note {
    struct list link;
    uint64_t node;
    struct digest digest;
};

struct fetch_slot {
    struct repair *repair;
    struct repair_fetch fetch;
    bool is_busy;
};

struct repair {
    struct worker *worker;
    uint64_t interval_ms, bytes_per_second, next_walk_ms, hold_until_ms;
    unsigned concurrency;
    uv_timer_t timer;
    struct list queue; /* Wants, on the loop only. */
    size_t n_queue;
    struct table_key cursor;
    struct fetch_slot slots[REPAIR_FETCHES_MAX];
    unsigned n_busy;
    struct control_propose propose;
    bool is_proposing, is_closing;
    uv_mutex_t lock; /* Over what follows. */
    struct list notes, urgent;
    size_t n_notes, n_urgent;
    struct repair_status status;
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* --- notes: who has what, told to the log ---------------------------------------------------- */

void repair_note_holder(struct repair *repair, uint64_t node, const struct digest *digest)
{
    struct note *note = memory_zero(sizeof *note);

    note->node = node;
    note->digest = *digest;
    uv_mutex_lock(&repair->lock);
    if (repair->n_notes < REPAIR_NOTES_MAX) {
        list_append(&repair->notes, &note->link);
        repair->n_notes++;
        note = NULL;
    }
    uv_mutex_unlock(&repair->lock);
    free(note);
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
    }
}

/* All notes of the first one's node, up to a batch. */
static size_t notes_take(struct repair *repair, uint64_t *node, struct digest *digests)
{
    size_t n = 0;

    uv_mutex_lock(&repair->lock);
    LIST_FOR_EACH (item, &repair->notes) {
        struct note *note = container_of(item, struct note, link);

        if (n == 0) {
            *node = note->node;
        }
        if (note->node == *node && n < REPAIR_BATCH_MAX) {
            digests[n++] = note->digest;
            list_remove(item);
            repair->n_notes--;
            free(note);
        }
    }
    repair->status.noted += n;
    uv_mutex_unlock(&repair->lock);
    return n;
}

static void repair_tell(struct repair *repair)
{
    struct digest digests[REPAIR_BATCH_MAX];
    struct command_id id;
    uint64_t node = 0;
    size_t n;

    if (repair->is_proposing || repair->is_closing ||
        (n = notes_take(repair, &node, digests)) == 0) {
        return;
    }
    command_id_make(&id);
    buffer_init(&repair->propose.bytes, COMMAND_SIZE_MAX);
    command_blob_holders(&repair->propose.bytes, &id, node, digests, n, true);
    repair->is_proposing = true;
    control_propose(repair->worker, &repair->propose, repair_propose_cb);
}

/* --- the walk -------------------------------------------------------------------------------- */

struct walk {
    struct repair *repair;
    uint64_t n;
};

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
    struct walk *walk = data;
    struct repair *repair = walk->repair;

    walk->n++;
    if (repair->n_queue < REPAIR_QUEUE_MAX && !is_wanted(repair, digest)) {
        struct want *want = memory_zero(sizeof *want);

        want->digest = *digest;
        list_append(&repair->queue, &want->link);
        repair->n_queue++;
    }
    return repair->n_queue < REPAIR_QUEUE_MAX && walk->n < REPAIR_COUNT_MAX;
}

static void repair_walk(struct repair *repair)
{
    struct walk walk = {repair, 0};
    struct catalog_txn txn;
    bool from_start = repair->cursor.size == 0;

    catalog_read(repair->worker->catalog, &txn);
    catalog_blobs_missing(&txn, peers_self(repair->worker->peers), &repair->cursor, walk_visit,
                          &walk);
    catalog_done(&txn);
    if (repair->n_queue < REPAIR_QUEUE_MAX) {
        repair->cursor.size = 0; /* Came to the end: from the start next time. */
    }
    uv_mutex_lock(&repair->lock);
    repair->status.missing = from_start ? walk.n : repair->status.missing + walk.n;
    repair->status.last_walk_ms = clock_monotonic_ms();
    uv_mutex_unlock(&repair->lock);
}

/* --- fetching -------------------------------------------------------------------------------- */

static void repair_closed(struct repair *repair);

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
    repair_closed(repair);
}

/* Holders of now but this node, those that answer lately first; 0 when there is nothing to do. */
static size_t want_holders(struct repair *repair, const struct want *want,
                           uint64_t out[HOLDERS_MAX])
{
    uint64_t live[HOLDERS_MAX], self = peers_self(repair->worker->peers);
    struct catalog_txn txn;
    struct blob_record record;
    size_t n = 0, n_live = 0;
    bool is_ours = false;

    catalog_read(repair->worker->catalog, &txn);
    if (catalog_blob(&txn, &want->digest, &record) == OK) {
        n_live = catalog_live_holders(&txn, &record, live);
    }
    catalog_done(&txn);
    for (int down = 0; down <= 1; down++) {
        for (size_t i = 0; i < n_live; i++) {
            is_ours |= live[i] == self;
            if (live[i] != self && peers_is_down(repair->worker->peers, live[i]) == (down == 1)) {
                out[n++] = live[i];
            }
        }
    }
    /* A cluster larger than the wanted copies: enough others have it. */
    if (!want->is_urgent && (is_ours || n_live >= COPIES_DEFAULT)) {
        return 0;
    }
    return n;
}

/* Start the fetch of one want, unless there is nothing to do for it. */
static void repair_begin(struct repair *repair, const struct want *want)
{
    uint64_t holders[HOLDERS_MAX];
    size_t n = want_holders(repair, want, holders), i = 0;

    if (n == 0) {
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
    if (list_is_empty(&repair->queue) && repair->n_busy == 0 && !repair->is_proposing &&
        now >= repair->next_walk_ms) {
        repair->next_walk_ms = now + repair->interval_ms;
        repair_walk(repair);
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
    list_init(&repair->queue);
    list_init(&repair->notes);
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
    LIST_FOR_EACH (item, &repair->notes) {
        list_remove(item);
        free(container_of(item, struct note, link));
    }
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
