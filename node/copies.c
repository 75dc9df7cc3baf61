/* One job: a slot per other member, each of which goes
 *
 *   IDLE -> COMMITTING -> DONE     (has the bytes; on failure back to IDLE, to be sent them whole)
 *        -> SENDING    -> DONE | FAILED
 *
 * and the local copy. copies_next() looks at all of it after every event, starts what is missing
 * and reports once enough is durable or nothing is left to try. */
#include "node/copies.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/copy_send.h"
#include "node/peers.h"
#include "node/repair.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMIT_IDLE_MS 30000

enum slot_state { SLOT_IDLE, SLOT_COMMITTING, SLOT_SENDING, SLOT_DONE, SLOT_FAILED };

struct copies;

struct slot {
    struct copies *job;
    enum slot_state state;
    uint64_t member;
    bool is_down; /* Asked last. */
    struct peer_request commit;
    struct copy_send send;
};

struct copies {
    struct worker *worker;
    struct digest digest;
    struct buffer content;
    bool has_content, is_local_pending, is_local_done, is_reported;
    enum error local_status;
    struct reason why; /* The last failure. */
    uv_work_t save;    /* The pool touches the next two only; slots go on meanwhile. */
    enum error save_status;
    struct reason save_why;
    size_t needed, wanted, in_flight;
    uint64_t holders[REPLICATE_HOLDERS];
    size_t n_holders;
    struct slot slots[PEERS_MAX];
    size_t n_slots;
    copies_cb cb;
    void *data;
};

static void copies_next(struct copies *job);

/* --- one member ------------------------------------------------------------------------------ */

static void copies_holder(struct copies *job, uint64_t member)
{
    CHECK(job->n_holders < REPLICATE_HOLDERS);
    job->holders[job->n_holders++] = member;
    if (job->is_reported && job->worker->repair != NULL) {
        repair_note_holder(job->worker->repair, member, &job->digest);
    }
}

static void slot_over(struct slot *slot, enum error status, const struct reason *why,
                      enum slot_state otherwise)
{
    struct copies *job = slot->job;

    CHECK(job->in_flight > 0);
    job->in_flight--;
    slot->state = status == OK ? SLOT_DONE : otherwise;
    if (status == OK) {
        copies_holder(job, slot->member);
    } else {
        LOG_WARN("no copy on node %016" PRIx64 ": %s", slot->member, why->text);
        job->why = *why;
    }
    copies_next(job);
}

static void slot_send_cb(struct copy_send *send, enum error status, const struct reason *why)
{
    slot_over(container_of(send, struct slot, send), status, why, SLOT_FAILED);
}

static void slot_send(struct slot *slot)
{
    struct copies *job = slot->job;

    slot->state = SLOT_SENDING;
    job->in_flight++;
    copy_send_start(&slot->send, job->worker, slot->member, &job->digest,
                    job->has_content && job->content.size > 0 ? buffer_view(&job->content)
                    : job->has_content                        ? BYTES_LITERAL("")
                                                              : BYTES_NONE,
                    slot_send_cb);
}

static void slot_commit_done(struct peer_request *request, enum error status,
                             const struct reason *why)
{
    struct reason refused;

    if (status == OK && peer_status(request) != 201) {
        status = fail(&refused, ERROR_PEER, "it answered %u to the commit", peer_status(request));
        why = &refused;
    }
    slot_over(container_of(request, struct slot, commit), status, why, SLOT_IDLE);
}

static void slot_commit(struct slot *slot, const char *uuid)
{
    static const struct peer_events events = {.done = slot_commit_done};
    char target[256], text[DIGEST_TEXT_MAX];

    digest_format(&slot->job->digest, text);
    snprintf(target, sizeof target, "/internal/v1/uploads/%s/commit?digest=%s", uuid, text);
    slot->state = SLOT_COMMITTING;
    slot->job->in_flight++;
    peer_request_init(&slot->commit, slot->member, "POST", target, &events);
    slot->commit.idle_ms = COMMIT_IDLE_MS;
    peer_request_start(slot->job->worker->peers, &slot->commit);
}

/* --- this node ------------------------------------------------------------------------------- */

static void copies_local_over(struct copies *job, enum error status, const struct reason *why)
{
    job->is_local_pending = false;
    job->local_status = status;
    if (status == OK) {
        job->is_local_done = true;
        copies_holder(job, peers_self(job->worker->peers));
    } else {
        job->why = *why;
    }
    copies_next(job);
}

static void local_commit_cb(struct upload *upload, void *data, enum error status,
                            const struct reason *why)
{
    (void)upload;
    copies_local_over(data, status, why);
}

static void local_save(uv_work_t *work)
{
    struct copies *job = container_of(work, struct copies, save);

    job->save_status =
        blob_save(job->worker->blobs, &job->digest, buffer_view(&job->content), &job->save_why);
}

static void local_save_cb(uv_work_t *work, int status)
{
    struct copies *job = container_of(work, struct copies, save);

    CHECK(status == 0);
    copies_local_over(job, job->save_status, &job->save_why);
}

/* --- all of them ----------------------------------------------------------------------------- */

static struct slot *copies_candidate(struct copies *job)
{
    for (int down = 0; down <= 1; down++) {
        for (size_t i = 0; i < job->n_slots; i++) {
            if (job->slots[i].state == SLOT_IDLE && job->slots[i].is_down == (down == 1)) {
                return &job->slots[i];
            }
        }
    }
    return NULL;
}

/* Content that this node can send: in memory, or durable here. */
static void copies_send_missing(struct copies *job)
{
    struct slot *slot;

    if (!job->has_content && !job->is_local_done) {
        return;
    }
    while (job->n_holders + job->in_flight + job->is_local_pending < job->wanted &&
           (slot = copies_candidate(job)) != NULL) {
        slot_send(slot);
    }
}

static void copies_report(struct copies *job)
{
    enum error status = OK;
    struct reason why = {""};

    if (job->n_holders < job->needed) {
        char last[300];

        snprintf(last, sizeof last, "%.299s", job->why.text);
        status = job->local_status == ERROR_DIGEST || job->local_status == ERROR_FULL
                     ? job->local_status
                     : ERROR_UNAVAILABLE;
        why = job->why;
        if (status == ERROR_UNAVAILABLE) {
            fail(&why, status,
                 "only %zu of the %zu copies that an answer needs could be stored; try again when "
                 "more nodes are up (%s)",
                 job->n_holders, job->needed, last);
        }
    }
    FAILPOINT("copies.before_report");
    job->is_reported = true;
    job->wanted = 0;
    job->cb(job->data, status, job->holders, job->n_holders, &why);
}

static void copies_next(struct copies *job)
{
    bool is_wrong = job->local_status == ERROR_DIGEST;

    if (!job->is_reported && !is_wrong) {
        copies_send_missing(job);
    }
    if (!job->is_reported && !job->is_local_pending &&
        (is_wrong || job->n_holders >= job->needed || job->in_flight == 0)) {
        copies_report(job);
    }
    if (job->is_reported && job->in_flight == 0) {
        CHECK(job->worker->copies_pending > 0);
        job->worker->copies_pending--;
        buffer_release(&job->content);
        free(job);
    }
}

static void copies_plan(struct copies *job, struct bytes repository)
{
    const struct replication_setting setting = replication_now(job->worker, repository);
    uint64_t ids[PEERS_MAX];
    size_t n = peers_members(job->worker->peers, ids);

    for (size_t i = 0; i < n; i++) {
        if (ids[i] != peers_self(job->worker->peers)) {
            struct slot *slot = &job->slots[job->n_slots++];

            slot->job = job;
            slot->member = ids[i];
            slot->is_down = peers_is_down(job->worker->peers, ids[i]);
        }
    }
    job->needed = setting.write_quorum;
    job->wanted = job->has_content ? setting.copies : job->needed;
}

static void copies_commit_staged(struct copies *job, const struct copies_options *options)
{
    for (size_t i = 0; i < options->n_staged; i++) {
        for (size_t k = 0; k < job->n_slots; k++) {
            if (job->slots[k].member == options->staged[i]) {
                slot_commit(&job->slots[k], options->uuid);
            }
        }
    }
}

/* "This node has it" comes from the loop as well, so that the callback never runs inside start. */
static void local_there(uv_work_t *work)
{
    struct copies *job = container_of(work, struct copies, save);

    job->save_status = blob_exists(job->worker->blobs, &job->digest)
                           ? OK
                           : fail(&job->save_why, ERROR_NOT_FOUND, "the copy here is gone");
}

void copies_start(struct worker *worker, const struct copies_options *options, copies_cb cb,
                  void *data)
{
    struct copies *job = memory_zero(sizeof *job);

    job->worker = worker;
    worker->copies_pending++;
    job->digest = options->digest;
    job->cb = cb;
    job->data = data;
    job->is_local_pending = true;
    job->has_content = options->upload == NULL && options->content.data != NULL;
    buffer_init(&job->content, REPLICATE_SIZE_MAX);
    copies_plan(job, options->repository);
    if (job->has_content) {
        buffer_append(&job->content, options->content);
        CHECK(buffer_status(&job->content) == OK);
        CHECK(uv_queue_work(&worker->loop, &job->save, local_save, local_save_cb) == 0);
        copies_send_missing(job);
    } else if (options->upload != NULL) {
        upload_commit(options->upload, &worker->loop, &job->digest, local_commit_cb, job);
        copies_commit_staged(job, options);
    } else {
        CHECK(uv_queue_work(&worker->loop, &job->save, local_there, local_save_cb) == 0);
    }
}
