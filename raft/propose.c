/* See propose.h. Nothing here waits on a timer of its own: the turn acts, the tick looks at
 * deadlines. A proposal is in exactly one list, or in a slot of one batch. */
#include "raft/propose.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "raft/core.h"
#include "raft/frame.h"
#include "raft/storage.h"

#include <stdlib.h>

/* A forwarded proposal without an answer is sent again after this long; a repeated command id gives
 * the first result. */
#define ANSWER_MS 2000u
/* How long a leader without space for its log tries to hand over before commands are refused. */
#define FULL_PATIENCE_MS 3000u

/* What a leader makes fits the log and a frame of every member, and a frame never carries what the
 * log of the receiver would stop at. */
_Static_assert(ENVELOPE_SIZE_MAX + ENVELOPE_SIZE_AIM <= FRAME_ENTRY_MAX / 2, "an entry fits");
#if FRAME_ENTRY_MAX > STORAGE_ENTRY_MAX
#error "a frame carries an entry that the log does not take"
#endif
_Static_assert(FRAME_ENTRY_MAX + 4096 <= FRAME_SIZE_MAX, "a frame carries one entry");

/* An entry on its way through libraft. */
struct batch {
    struct raft_apply request;
    struct list link;
    struct consensus *consensus;
    struct proposal *proposals[ENVELOPE_COMMANDS_MAX]; /* NULL: gave up waiting. */
    size_t n, bytes;
};

/* A proposal that a peer forwarded. */
struct relayed {
    struct proposal proposal;
    struct consensus *consensus;
    uint64_t from, number;
    size_t size;
};

static void relayed_cb(struct proposal *proposal, enum error status, uint64_t index,
                       struct bytes result);

static bool is_relayed(const struct proposal *proposal)
{
    return proposal->cb == relayed_cb;
}

void proposals_init(struct proposals *proposals)
{
    /* Numbers of an earlier life of this member may still be answered: never the same again. */
    *proposals = (struct proposals){.next_number = random_u64() >> 1};
    list_init(&proposals->queue);
    list_init(&proposals->forwarded);
    list_init(&proposals->done);
    list_init(&proposals->batches);
}

/* --- done ------------------------------------------------------------------------------------ */

/* From here on command holds the result and number the index. */
static void finish(struct consensus *consensus, struct proposal *proposal, enum error status,
                   uint64_t index, struct bytes result)
{
    struct proposals *proposals = &consensus->proposals;
    struct buffer kept;

    if (proposal->is_counted) {
        CHECK(proposals->n_own > 0 && proposals->own_bytes >= proposal->size);
        proposals->n_own--;
        proposals->own_bytes -= proposal->size;
        proposal->is_counted = false;
    }
    buffer_init(&kept, RESULT_SIZE_MAX);
    buffer_append(&kept, result);
    buffer_release(&proposal->command);
    proposal->command = kept;
    proposal->number = index;
    proposal->attempts = (unsigned)status;
    proposal->state = PROPOSAL_DONE;
    list_remove(&proposal->link);
    list_append(&proposals->done, &proposal->link);
    core_arm(consensus);
}

static void give_up(struct consensus *consensus, struct proposal *proposal, enum error status)
{
    finish(consensus, proposal, status, 0, BYTES_NONE);
}

/* --- attempts -------------------------------------------------------------------------------- */

static void attempt(const struct consensus *consensus, struct proposal *proposal)
{
    if (proposal->attempts++ == 0) {
        proposal->began_at = consensus->n_commands;
    }
}

/* So many commands after the first attempt that the machine may soon not know it again: one more
 * attempt could apply it a second time, over what others were told since. Half is left for what the
 * leader has applied and this member has not. */
static void drop_forgettable(struct consensus *consensus)
{
    LIST_FOR_EACH (link, &consensus->proposals.queue) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (proposal->attempts > 0 &&
            consensus->n_commands - proposal->began_at >= COMMANDS_REMEMBERED / 2) {
            give_up(consensus, proposal, ERROR_UNAVAILABLE);
        }
    }
}

static void call_back_done(struct consensus *consensus)
{
    struct list done;

    list_move(&consensus->proposals.done, &done);
    while (!list_is_empty(&done)) {
        struct proposal *proposal = container_of(done.next, struct proposal, link);
        struct buffer result = proposal->command;

        list_remove(&proposal->link);
        memset(&proposal->command, 0, sizeof proposal->command);
        FAILPOINT("propose.before_result");
        /* The callback may free the proposal. */
        proposal->cb(proposal, (enum error)proposal->attempts, proposal->number,
                     buffer_view(&result));
        FAILPOINT("propose.after_result");
        buffer_release(&result);
    }
}

/* --- at the leader: into the log ------------------------------------------------------------- */

static void batch_free(struct batch *batch)
{
    struct proposals *proposals = &batch->consensus->proposals;

    list_remove(&batch->link);
    proposals->n_batches--;
    proposals->batch_bytes -= batch->bytes;
    free(batch);
}

/* Put what is left of a batch back where it came from, in order. */
static void requeue(struct consensus *consensus, struct batch *batch)
{
    struct list *queue = &consensus->proposals.queue;

    for (size_t i = batch->n; i > 0; i--) {
        struct proposal *proposal = batch->proposals[i - 1];

        if (proposal != NULL) {
            proposal->state = PROPOSAL_QUEUED;
            list_append(queue->next, &proposal->link);
        }
    }
}

/* Inside libraft's apply of the entry, right after the machine's. */
static void batch_cb(struct raft_apply *request, int status, void *result)
{
    struct batch *batch = container_of(request, struct batch, request);
    struct consensus *consensus = batch->consensus;

    (void)result;
    if (status != 0) {
        /* Leadership was lost with the outcome unknown. */
        requeue(consensus, batch);
    } else {
        uint64_t index = raft_last_applied(&consensus->raft) + 1;

        CHECK(consensus->n_results == batch->n);
        for (size_t i = 0; i < batch->n; i++) {
            if (batch->proposals[i] != NULL) {
                finish(consensus, batch->proposals[i], OK, index,
                       buffer_view(&consensus->results[i]));
            }
        }
    }
    batch_free(batch);
    core_arm(consensus);
}

/* As many queued commands as fit one entry, at least one. */
static struct batch *batch_fill(struct consensus *consensus, struct envelope *envelope)
{
    struct proposals *proposals = &consensus->proposals;
    struct batch *batch = memory_zero(sizeof *batch);

    batch->consensus = consensus;
    envelope->time_ms = clock_wall_ms();
    while (!list_is_empty(&proposals->queue) && batch->n < ENVELOPE_COMMANDS_MAX) {
        struct proposal *proposal = container_of(proposals->queue.next, struct proposal, link);

        if (batch->n > 0 && batch->bytes + proposal->command.size > ENVELOPE_SIZE_AIM) {
            break;
        }
        list_remove(&proposal->link);
        proposal->state = PROPOSAL_APPENDED;
        attempt(consensus, proposal);
        envelope->commands[batch->n] = buffer_view(&proposal->command);
        batch->bytes += proposal->command.size;
        batch->proposals[batch->n++] = proposal;
    }
    envelope->n = batch->n;
    list_append(&proposals->batches, &batch->link);
    proposals->n_batches++;
    proposals->batch_bytes += batch->bytes;
    return batch;
}

/* One entry. False when libraft does not take it now. raft_apply() owns the bytes if and only if it
 * returns 0: this is the one place. */
static bool append_one(struct consensus *consensus)
{
    struct envelope envelope;
    struct batch *batch = batch_fill(consensus, &envelope);
    struct raft_buffer buf;
    struct buffer bytes;

    buffer_init(&bytes, ENVELOPE_SIZE_MAX + ENVELOPE_SIZE_AIM);
    envelope_encode(&bytes, &envelope);
    buf.len = bytes.size;
    buf.base = raft_malloc(buf.len);
    if (buf.base == NULL) {
        fail_stop("out of memory for a log entry of %zu bytes", buf.len);
    }
    memcpy(buf.base, bytes.data, bytes.size);
    buffer_release(&bytes);
    FAILPOINT("propose.before_append");
    if (raft_apply(&consensus->raft, &batch->request, &buf, 1, batch_cb) != 0) {
        raft_free(buf.base);
        requeue(consensus, batch);
        batch_free(batch);
        return false;
    }
    FAILPOINT("propose.after_append");
    return true;
}

static void append_queued(struct consensus *consensus)
{
    struct proposals *proposals = &consensus->proposals;

    while (!list_is_empty(&proposals->queue) && !proposals->is_blocked &&
           proposals->n_batches < PROPOSALS_ENTRIES_MAX &&
           proposals->batch_bytes < PROPOSALS_BYTES_MAX) {
        proposals->is_blocked = !append_one(consensus);
    }
}

static void refuse_queued(struct consensus *consensus, enum error status)
{
    LIST_FOR_EACH (link, &consensus->proposals.queue) {
        give_up(consensus, container_of(link, struct proposal, link), status);
    }
}

/* Leadership is on its way to a member that may have space: for a while commands wait for it, those
 * of others at their own members. */
static void refuse_full(struct consensus *consensus)
{
    bool may_move = core_voters(consensus) > 1 &&
                    core_now(consensus) - consensus->low_space_ms < FULL_PATIENCE_MS;

    LIST_FOR_EACH (link, &consensus->proposals.queue) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (!may_move || is_relayed(proposal)) {
            give_up(consensus, proposal, may_move ? ERROR_UNAVAILABLE : ERROR_FULL);
        }
    }
}

/* --- elsewhere: to the leader ---------------------------------------------------------------- */

static bool forward(struct consensus *consensus, struct proposal *proposal, uint64_t leader)
{
    struct proposals *proposals = &consensus->proposals;
    uint64_t now = core_now(consensus);
    struct peer_message message = {
        .number = proposal->number,
        .timeout_ms = proposal->deadline_ms > now ? proposal->deadline_ms - now : 0,
        .bytes = buffer_view(&proposal->command),
    };

    FAILPOINT("propose.before_forward");
    if (!core_send(consensus, leader, FRAME_PROPOSE, &message)) {
        return false;
    }
    FAILPOINT("propose.after_forward");
    proposal->state = PROPOSAL_FORWARDED;
    proposal->sent_ms = now;
    attempt(consensus, proposal);
    list_remove(&proposal->link);
    list_append(&proposals->forwarded, &proposal->link);
    return true;
}

static void forward_queued(struct consensus *consensus)
{
    struct proposals *proposals = &consensus->proposals;
    uint64_t leader = core_leader(consensus);

    LIST_FOR_EACH (link, &proposals->queue) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (is_relayed(proposal)) {
            /* Its own member finds the leader. */
            give_up(consensus, proposal, ERROR_UNAVAILABLE);
        } else if (leader != 0 && leader != consensus->id && !proposals->is_blocked) {
            proposals->is_blocked = !forward(consensus, proposal, leader);
        }
    }
}

/* --- for a peer ------------------------------------------------------------------------------ */

static void answer(struct consensus *consensus, uint64_t to, uint64_t number, enum error status,
                   uint64_t index, struct bytes result)
{
    struct peer_message message = {
        .number = number, .status = status, .index = index, .bytes = result};

    /* Lost: the asker asks again. */
    (void)core_send(consensus, to, FRAME_PROPOSE_RESULT, &message);
}

static void relayed_cb(struct proposal *proposal, enum error status, uint64_t index,
                       struct bytes result)
{
    struct relayed *relayed = container_of(proposal, struct relayed, proposal);
    struct proposals *proposals = &relayed->consensus->proposals;

    FAILPOINT("propose.before_relayed_answer");
    answer(relayed->consensus, relayed->from, relayed->number, status, index, result);
    FAILPOINT("propose.after_relayed_answer");
    proposals->n_relayed--;
    proposals->relayed_bytes -= relayed->size;
    free(relayed);
}

/* A proposal of this process is counted until its result is known. */
static bool count_own(struct proposals *proposals, struct proposal *proposal)
{
    if (proposals->n_own == PROPOSALS_OWN_MAX ||
        proposals->own_bytes + proposal->size > PROPOSALS_OWN_BYTES_MAX) {
        return false;
    }
    proposals->n_own++;
    proposals->own_bytes += proposal->size;
    proposal->is_counted = true;
    return true;
}

static void enqueue(struct consensus *consensus, struct proposal *proposal, struct bytes command,
                    uint64_t timeout_ms, proposal_cb cb)
{
    struct proposals *proposals = &consensus->proposals;

    proposal->size = command.size;
    proposal->is_counted = false;
    proposal->cb = cb;
    proposal->state = PROPOSAL_QUEUED;
    proposal->number = ++proposals->next_number;
    proposal->asked_ms = core_now(consensus);
    proposal->deadline_ms = proposal->asked_ms + timeout_ms;
    proposal->sent_ms = 0;
    proposal->attempts = 0;
    list_init(&proposal->link);
    buffer_init(&proposal->command, COMMAND_SIZE_MAX);
    if (command.size > COMMAND_SIZE_MAX) {
        give_up(consensus, proposal, ERROR_TOO_LARGE);
    } else if (consensus->life > LIFE_RUNNING) {
        give_up(consensus, proposal, ERROR_CANCELED);
    } else if (cb != relayed_cb && !count_own(proposals, proposal)) {
        give_up(consensus, proposal, ERROR_BUSY);
    } else {
        buffer_append(&proposal->command, command);
        CHECK(buffer_status(&proposal->command) == OK);
        list_append(&proposals->queue, &proposal->link);
    }
    core_arm(consensus);
}

void proposals_asked(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct proposals *proposals = &consensus->proposals;
    struct relayed *relayed;

    if (consensus->raft.state != RAFT_LEADER || consensus->life != LIFE_RUNNING ||
        proposals->n_relayed == PROPOSALS_RELAYED_MAX ||
        proposals->relayed_bytes + message->bytes.size > PROPOSALS_RELAYED_BYTES_MAX) {
        answer(consensus, from, message->number, ERROR_UNAVAILABLE, 0, BYTES_NONE);
        return;
    }
    relayed = memory_zero(sizeof *relayed);
    relayed->consensus = consensus;
    relayed->from = from;
    relayed->number = message->number;
    relayed->size = message->bytes.size;
    proposals->n_relayed++;
    proposals->relayed_bytes += relayed->size;
    /* A peer cannot make us keep its command for longer than an hour. */
    enqueue(consensus, &relayed->proposal, message->bytes,
            message->timeout_ms < 3600000 ? message->timeout_ms : 3600000, relayed_cb);
}

static struct proposal *find(struct list *list, uint64_t number)
{
    LIST_FOR_EACH (link, list) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (proposal->number == number) {
            return proposal;
        }
    }
    return NULL;
}

void proposals_answered(struct consensus *consensus, uint64_t from,
                        const struct peer_message *message)
{
    struct proposals *proposals = &consensus->proposals;
    struct proposal *proposal = find(&proposals->forwarded, message->number);

    (void)from;
    if (proposal == NULL) {
        /* Late, of an attempt that was given up: as good as any. */
        proposal = find(&proposals->queue, message->number);
        if (proposal == NULL || message->status != OK) {
            return;
        }
    }
    if (message->status != ERROR_UNAVAILABLE) {
        finish(consensus, proposal, message->status, message->index, message->bytes);
        return;
    }
    /* Not the leader any more, or full: again at the next tick. */
    proposal->state = PROPOSAL_QUEUED;
    list_remove(&proposal->link);
    list_append(&proposals->queue, &proposal->link);
    proposals->is_blocked = true;
}

/* --- turn, tick ------------------------------------------------------------------------------ */

void proposals_turn(struct consensus *consensus)
{
    struct raft *raft = &consensus->raft;

    call_back_done(consensus);
    if (consensus->life != LIFE_RUNNING) {
        return;
    }
    if (raft->state != RAFT_LEADER) {
        forward_queued(consensus);
    } else if (consensus->is_low_space) {
        refuse_full(consensus);
    } else if (raft->transfer == NULL) {
        append_queued(consensus);
    }
}

static void expire_list(struct consensus *consensus, struct list *list)
{
    uint64_t now = core_now(consensus);

    LIST_FOR_EACH (link, list) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (now >= proposal->deadline_ms) {
            give_up(consensus, proposal, ERROR_UNAVAILABLE);
        }
    }
}

/* Proposals that are in the log stop waiting; the entry goes its way. */
static void expire_batches(struct consensus *consensus, uint64_t now, enum error status)
{
    LIST_FOR_EACH (link, &consensus->proposals.batches) {
        struct batch *batch = container_of(link, struct batch, link);

        for (size_t i = 0; i < batch->n; i++) {
            if (batch->proposals[i] != NULL && now >= batch->proposals[i]->deadline_ms) {
                give_up(consensus, batch->proposals[i], status);
                batch->proposals[i] = NULL;
            }
        }
    }
}

void proposals_tick(struct consensus *consensus)
{
    struct proposals *proposals = &consensus->proposals;
    uint64_t now = core_now(consensus);

    proposals->is_blocked = false;
    expire_list(consensus, &proposals->queue);
    expire_list(consensus, &proposals->forwarded);
    expire_batches(consensus, now, ERROR_UNAVAILABLE);
    LIST_FOR_EACH (link, &proposals->forwarded) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (now - proposal->sent_ms >= ANSWER_MS) {
            proposal->state = PROPOSAL_QUEUED;
            list_remove(&proposal->link);
            list_append(&proposals->queue, &proposal->link);
        }
    }
    drop_forgettable(consensus);
    core_arm(consensus);
}

void proposals_again(struct consensus *consensus)
{
    struct proposals *proposals = &consensus->proposals;

    proposals->is_blocked = false;
    while (!list_is_empty(&proposals->forwarded)) {
        /* From the last on, each to the front: the order stays. */
        struct proposal *proposal =
            container_of(proposals->forwarded.previous, struct proposal, link);

        proposal->state = PROPOSAL_QUEUED;
        list_remove(&proposal->link);
        list_append(proposals->queue.next, &proposal->link);
    }
    drop_forgettable(consensus);
    core_arm(consensus);
}

void proposals_cut_off(struct consensus *consensus)
{
    uint64_t now = core_now(consensus);

    proposals_again(consensus);
    LIST_FOR_EACH (link, &consensus->proposals.queue) {
        struct proposal *proposal = container_of(link, struct proposal, link);

        if (now - proposal->asked_ms >= CUT_OFF_PATIENCE_MS) {
            give_up(consensus, proposal, ERROR_UNAVAILABLE);
        }
    }
}

void proposals_fail(struct consensus *consensus, enum error status)
{
    proposals_again(consensus);
    refuse_queued(consensus, status);
    expire_batches(consensus, UINT64_MAX, status);
    call_back_done(consensus);
}

void consensus_propose(struct consensus *consensus, struct proposal *proposal, struct bytes command,
                       uint64_t timeout_ms, proposal_cb cb)
{
    PRE(cb != NULL);
    enqueue(consensus, proposal, command, timeout_ms, cb);
}
