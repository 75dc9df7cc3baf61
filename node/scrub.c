/* The pass. One piece of work at a time is in the pool: a step of the blob that is open, or the
 * opening of the next. Between two of them a timer waits as long as the rate wants.
 *
 *   IDLE --due or asked--> NEXT --a blob--> STEP --more--> STEP
 *     ^                     | ^               |
 *     +----- no blob left --+ +---- the end --+
 */
#include "node/scrub.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/peers.h"
#include "node/repair.h"
#include "node/scrub_state.h"
#include "node/worker.h"
#include "store/blob_scan.h"

#include <inttypes.h>
#include <stdlib.h>

#define SCRUB_IDLE_MS  500 /* Looks whether a pass is due. */
#define SCRUB_STEP     (4u * 1024 * 1024)
#define SCRUB_STEP_MIN (256u * 1024)
#define SCRUB_BLOB     4096 /* What a blob costs besides its bytes. */
#define SCRUB_LOOK_MAX 4096 /* Records looked at in one turn of the loop. */

struct scrub {
    struct worker *worker;
    struct repair *repair;
    const char *directory;
    uint64_t interval_ms, default_rate, due_ms, save_ms;
    struct scrub_state state;
    struct blob_scan *scan;
    struct digest digest; /* Of the blob that is read. */
    uv_timer_t timer;
    uv_work_t work; /* The pool touches the four below while it is under way. */
    size_t step, n;
    bool is_working, is_done, saves;
    enum error error;
    struct reason why;
    bool is_closing;
    uv_mutex_t lock; /* Over what follows. */
    bool is_asked;
    uint64_t asked_rate;
    struct scrub_status status;
    void (*closed_cb)(void *data);
    void *closed_data;
};

static void scrub_next(struct scrub *scrub);

/* --- what others see ------------------------------------------------------------------------- */

void scrub_start(struct scrub *scrub, uint64_t bytes_per_second)
{
    uv_mutex_lock(&scrub->lock);
    scrub->is_asked = true;
    scrub->asked_rate = bytes_per_second;
    uv_mutex_unlock(&scrub->lock);
}

void scrub_status(struct scrub *scrub, struct scrub_status *out)
{
    uv_mutex_lock(&scrub->lock);
    *out = scrub->status;
    uv_mutex_unlock(&scrub->lock);
}

static void scrub_publish(struct scrub *scrub)
{
    uv_mutex_lock(&scrub->lock);
    scrub->status.is_running = scrub->state.is_running;
    scrub->status.bytes_per_second = scrub->state.rate;
    scrub->status.pass = scrub->state.pass;
    scrub->status.last = scrub->state.last;
    uv_mutex_unlock(&scrub->lock);
}

static void scrub_found(struct scrub *scrub, bool is_missing)
{
    struct scrub_status *status = &scrub->status;
    char text[DIGEST_TEXT_MAX];

    digest_format(&scrub->digest, text);
    LOG_ERROR("scrub: the copy of %s on this node is %s: it is fetched again from another node",
              text, is_missing ? "not there" : "damaged");
    scrub->state.pass.bad += !is_missing;
    scrub->state.pass.missing += is_missing;
    uv_mutex_lock(&scrub->lock);
    memmove(status->findings + 1, status->findings,
            (SCRUB_FINDINGS_MAX - 1) * sizeof status->findings[0]);
    status->findings[0] = (struct scrub_finding){scrub->digest, is_missing, clock_wall_ms()};
    status->n_findings += status->n_findings < SCRUB_FINDINGS_MAX;
    status->bad_total++;
    uv_mutex_unlock(&scrub->lock);
    if (scrub->repair != NULL) {
        repair_want(scrub->repair, &scrub->digest, 0);
    }
}

/* --- passes ---------------------------------------------------------------------------------- */

static void pass_begin(struct scrub *scrub)
{
    scrub->state.last = scrub->state.pass;
    scrub->state.pass = (struct scrub_pass){.started_ms = clock_wall_ms()};
    scrub->state.cursor = (struct digest){0};
    scrub->state.is_running = true;
    LOG_INFO("scrub: a pass begins");
}

static void pass_end(struct scrub *scrub)
{
    const struct scrub_pass *pass = &scrub->state.pass;

    scrub->state.pass.finished_ms = clock_wall_ms();
    scrub->state.is_running = false;
    scrub->state.rate = scrub->default_rate;
    scrub->saves = true;
    LOG_INFO("scrub: read %" PRIu64 " blobs, %" PRIu64 " bytes; %" PRIu64 " damaged, %" PRIu64
             " missing",
             pass->blobs, pass->bytes, pass->bad, pass->missing);
}

/* Asked for, or the interval is over. The wall clock may jump: then a pass comes early or late. */
static bool pass_is_due(struct scrub *scrub)
{
    uint64_t now = clock_wall_ms(), started = scrub->state.pass.started_ms;
    bool is_asked;

    uv_mutex_lock(&scrub->lock);
    is_asked = scrub->is_asked;
    if (is_asked) {
        scrub->state.rate = scrub->asked_rate;
        scrub->due_ms = 0;
        scrub->is_asked = false;
    }
    uv_mutex_unlock(&scrub->lock);
    return is_asked ||
           (scrub->default_rate > 0 && (now < started || now - started >= scrub->interval_ms));
}

/* --- the next blob --------------------------------------------------------------------------- */

struct look {
    uint64_t self;
    unsigned n;
    struct digest last;
    bool is_found;
};

static bool look_visit(void *data, const struct digest *digest, const struct blob_record *blob)
{
    struct look *look = data;

    look->last = *digest;
    look->n++;
    for (size_t i = 0; i < blob->n_holders; i++) {
        look->is_found |= blob->holders[i] == look->self;
    }
    return !look->is_found && look->n < SCRUB_LOOK_MAX;
}

/* False: there is none left. True without *is_found: look on later. */
static bool pass_look(struct scrub *scrub, bool *is_found)
{
    struct look look = {.self = peers_self(scrub->worker->peers)};
    struct catalog_txn txn;

    catalog_read(scrub->worker->catalog, &txn);
    catalog_blobs(&txn, &scrub->state.cursor, look_visit, &look);
    catalog_done(&txn);
    if (look.n > 0) {
        scrub->state.cursor = look.last;
    }
    scrub->digest = look.last;
    *is_found = look.is_found;
    return look.n > 0;
}

/* --- steps, in the pool ----------------------------------------------------------------------- */

static void step_work(uv_work_t *work)
{
    struct scrub *scrub = container_of(work, struct scrub, work);
    struct reason why;

    scrub->n = 0;
    scrub->is_done = true;
    if (scrub->saves) {
        if (scrub_state_save(scrub->directory, &scrub->state, &why) != OK) {
            LOG_WARN("scrub: where the pass stands could not be kept: %s", why.text);
        }
        scrub->error = OK;
        return;
    }
    scrub->error = OK;
    if (scrub->scan == NULL) {
        scrub->error =
            blob_scan_open(scrub->worker->blobs, &scrub->digest, true, &scrub->scan, &scrub->why);
    }
    if (scrub->error == OK) {
        scrub->error =
            blob_scan_step(scrub->scan, scrub->step, &scrub->n, &scrub->is_done, &scrub->why);
    }
    if (scrub->scan != NULL && (scrub->error != OK || scrub->is_done)) {
        blob_scan_close(scrub->scan);
        scrub->scan = NULL;
    }
}

static void blob_over(struct scrub *scrub)
{
    scrub->state.pass.blobs++;
    if (scrub->error == ERROR_CORRUPT || scrub->error == ERROR_NOT_FOUND) {
        scrub_found(scrub, scrub->error == ERROR_NOT_FOUND);
    } else if (scrub->error != OK) {
        LOG_WARN("scrub: a blob could not be read: %s", scrub->why.text);
    }
}

static void step_work_cb(uv_work_t *work, int result)
{
    struct scrub *scrub = container_of(work, struct scrub, work);
    bool was_saving = scrub->saves;

    CHECK(result == 0);
    scrub->is_working = false;
    scrub->saves = false;
    if (!was_saving) {
        scrub->state.pass.bytes += scrub->n;
        uv_mutex_lock(&scrub->lock);
        scrub->status.bytes_total += scrub->n;
        uv_mutex_unlock(&scrub->lock);
        if (scrub->error != OK || scrub->is_done) {
            blob_over(scrub);
        }
        if (scrub->state.rate > 0) {
            scrub->due_ms += (scrub->n + (scrub->scan == NULL ? SCRUB_BLOB : 0)) * 1000 /
                             scrub->state.rate;
        }
    }
    scrub_next(scrub);
}

static void step_start(struct scrub *scrub)
{
    uint64_t tenth = scrub->state.rate / 10;

    scrub->step = scrub->state.rate == 0 || tenth > SCRUB_STEP ? SCRUB_STEP
                  : tenth < SCRUB_STEP_MIN                     ? SCRUB_STEP_MIN
                                                               : (size_t)tenth;
    scrub->is_working = true;
    CHECK(uv_queue_work(&scrub->worker->loop, &scrub->work, step_work, step_work_cb) == 0);
}

/* --- what to do next -------------------------------------------------------------------------- */

static void scrub_closed(struct scrub *scrub);
static void scrub_timer_cb(uv_timer_t *timer);

static void scrub_wait(struct scrub *scrub, uint64_t ms)
{
    scrub_publish(scrub);
    CHECK(uv_timer_start(&scrub->timer, scrub_timer_cb, ms, 0) == 0);
}

/* A pass is under way and nothing is in the pool. */
static void pass_go_on(struct scrub *scrub, uint64_t now)
{
    bool is_found = true;

    if (scrub->scan == NULL && !pass_look(scrub, &is_found)) {
        pass_end(scrub);
        step_start(scrub);
        return;
    }
    if (!is_found) {
        scrub_wait(scrub, 0);
        return;
    }
    if (scrub->due_ms < now) {
        scrub->due_ms = now; /* Time that was not used is not made up for. */
    }
    step_start(scrub);
}

static void scrub_next(struct scrub *scrub)
{
    uint64_t now = clock_monotonic_ms();

    if (scrub->is_closing) {
        scrub_closed(scrub);
        return;
    }
    if (pass_is_due(scrub) && !scrub->state.is_running) {
        pass_begin(scrub);
    }
    if (!scrub->state.is_running) {
        scrub_wait(scrub, SCRUB_IDLE_MS);
    } else if (scrub->state.rate > 0 && scrub->due_ms > now) {
        scrub_wait(scrub,
                   scrub->due_ms - now < SCRUB_IDLE_MS ? scrub->due_ms - now : SCRUB_IDLE_MS);
    } else if (scrub->scan == NULL && now >= scrub->save_ms) {
        scrub->save_ms = now + SCRUB_SAVE_MS;
        scrub->saves = true;
        step_start(scrub);
    } else {
        pass_go_on(scrub, now);
    }
}

static void scrub_timer_cb(uv_timer_t *timer)
{
    scrub_next(container_of(timer, struct scrub, timer));
}

/* --- life ------------------------------------------------------------------------------------ */

void scrub_open(const struct scrub_options *options, struct scrub **out)
{
    struct scrub *scrub = memory_zero(sizeof *scrub);

    scrub->worker = options->worker;
    scrub->repair = options->repair;
    scrub->directory = options->directory;
    scrub->interval_ms = options->interval_ms;
    scrub->default_rate = options->bytes_per_second;
    scrub_state_load(scrub->directory, &scrub->state);
    if (scrub->state.is_running) {
        LOG_INFO("scrub: goes on after %" PRIu64 " blobs", scrub->state.pass.blobs);
    } else {
        scrub->state.rate = scrub->default_rate;
    }
    CHECK(uv_mutex_init(&scrub->lock) == 0);
    CHECK(uv_timer_init(&options->worker->loop, &scrub->timer) == 0);
    scrub_wait(scrub, SCRUB_IDLE_MS);
    *out = scrub;
}

static void scrub_close_cb(uv_handle_t *handle)
{
    struct scrub *scrub = container_of((uv_timer_t *)handle, struct scrub, timer);

    if (scrub->scan != NULL) {
        blob_scan_close(scrub->scan);
    }
    uv_mutex_destroy(&scrub->lock);
    scrub->closed_cb(scrub->closed_data);
    free(scrub);
}

/* Closing waits for the step under way. */
static void scrub_closed(struct scrub *scrub)
{
    if (!scrub->is_working && !uv_is_closing((uv_handle_t *)&scrub->timer)) {
        uv_close((uv_handle_t *)&scrub->timer, scrub_close_cb);
    }
}

void scrub_close(struct scrub *scrub, void (*closed_cb)(void *data), void *data)
{
    scrub->closed_cb = closed_cb;
    scrub->closed_data = data;
    scrub->is_closing = true;
    scrub_closed(scrub);
}
