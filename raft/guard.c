/* See guard.h for what is guarded and why.
 *
 *   libraft  ->  guard_io.c (send, append, truncate, snapshot_put)  ->  inner
 *   inner    ->  guard_tick, guard_recv, append_cb, put_cb        ->  libraft
 *
 * Nothing here fails: a message is lost, or the process stops. */
#include "raft/guard.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "raft/guard_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guard_lost {
    struct list link;
    struct raft_io_send *request;
    raft_io_send_cb cb;
    int status;
};

/* --- what is known to be on the disk --------------------------------------------------------- */

static bool is_installing(const struct guard *guard)
{
    return guard->put != NULL && guard->put->is_install;
}

bool guard_disk_is_behind(const struct guard *guard)
{
    return !list_is_empty(&guard->appends) || is_installing(guard);
}

/* The last index that this process has seen reach the disk, whatever libraft believes of it. */
raft_index guard_stored_end(const struct guard *guard)
{
    struct list *oldest = guard->appends.next;

    if (oldest == &guard->appends) {
        return raft_last_index(guard_raft(guard));
    }
    return container_of(oldest, struct guard_append, link)->first - 1;
}

/* --- sends that were lost -------------------------------------------------------------------- */

/* The callback of a send must not run inside the send, so it waits for the next event. */
void guard_lose(struct guard *guard, struct raft_io_send *request, raft_io_send_cb cb, int status)
{
    struct guard_lost *lost = memory_zero(sizeof *lost);

    lost->request = request;
    lost->cb = cb;
    lost->status = status;
    list_append(&guard->lost, &lost->link);
}

static void complete_lost(struct guard *guard)
{
    while (!list_is_empty(&guard->lost)) {
        struct guard_lost *lost = container_of(guard->lost.next, struct guard_lost, link);

        list_remove(&lost->link);
        CHECK(guard->lost.next != &lost->link);
        if (lost->cb != NULL) {
            lost->cb(lost->request, lost->status);
        }
        free(lost);
    }
}

/* --- barrier and gate ------------------------------------------------------------------------ */

struct guard_barrier {
    struct raft_barrier request;
    struct guard *guard;
    raft_term term;
};

static void barrier_cb(struct raft_barrier *request, int status)
{
    struct guard_barrier *barrier = container_of(request, struct guard_barrier, request);

    FAILPOINT("barrier.committed");
    if (status == 0) {
        barrier->guard->ready_term = barrier->term;
    }
    free(barrier);
}

static void forget_held(struct guard *guard)
{
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        guard->held[i].id = 0;
    }
}

/* A new leader proposes an entry of its own term before anything else. */
static void propose_barrier(struct guard *guard)
{
    struct raft *raft = guard_raft(guard);
    struct guard_barrier *barrier;

    if (raft->state != RAFT_LEADER || guard->led_term == raft->current_term) {
        return;
    }
    forget_held(guard);
    barrier = memory_zero(sizeof *barrier);
    barrier->guard = guard;
    barrier->term = raft->current_term;
    guard->led_term = raft->current_term;
    guard->barrier_index = raft_last_index(raft) + 1;
    if (raft_barrier(raft, &barrier->request, barrier_cb) != 0) {
        /* Stays closed; the next event tries again. */
        guard->led_term = 0;
        free(barrier);
        return;
    }
    FAILPOINT("barrier.after_append");
    guard->counters.barriers++;
}

static bool gate_is_closed(const struct guard *guard)
{
    const struct raft *raft = guard_raft(guard);

    return raft->state == RAFT_LEADER && (guard->led_term != raft->current_term ||
                                          guard_stored_end(guard) < guard->barrier_index);
}

/* Keep the newest success of each peer, and let libraft hear only that the peer is there. */
static void hold(struct guard *guard, const struct raft_message *message)
{
    struct guard_held *slot = NULL;
    struct raft_message contact = *message;

    guard->counters.held++;
    for (size_t i = 0; i < GUARD_PEERS_MAX; i++) {
        if (guard->held[i].id == message->server_id) {
            slot = &guard->held[i];
            break;
        }
        if (slot == NULL && guard->held[i].id == 0) {
            slot = &guard->held[i];
        }
    }
    if (slot != NULL) {
        slot->id = message->server_id;
        slot->result = message->append_entries_result;
        snprintf(slot->address, sizeof slot->address, "%s", message->server_address);
    }
    contact.append_entries_result.last_log_index = 0;
    guard->recv(&guard->io, &contact);
}

static void release_held(struct guard *guard)
{
    for (size_t i = 0; i < GUARD_PEERS_MAX && !gate_is_closed(guard); i++) {
        struct guard_held held = guard->held[i];
        struct raft_message message;

        if (held.id == 0) {
            continue;
        }
        guard->held[i].id = 0;
        memset(&message, 0, sizeof message);
        message.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        message.server_id = held.id;
        message.server_address = held.address;
        message.append_entries_result = held.result;
        guard->recv(&guard->io, &message);
    }
}

/* The leader hands over while its last entries are still on the way to our disk: soon enough.
 * libraft ignores it when the term has moved on. */
static void hold_timeout_now(struct guard *guard, const struct raft_message *message)
{
    guard->timeout_now = *message;
    snprintf(guard->timeout_now_from, sizeof guard->timeout_now_from, "%s",
             message->server_address);
    guard->timeout_now.server_address = guard->timeout_now_from;
}

static void release_timeout_now(struct guard *guard)
{
    struct raft_message message = guard->timeout_now;

    if (message.type == 0 || guard_disk_is_behind(guard)) {
        return;
    }
    guard->timeout_now.type = 0;
    if (message.timeout_now.term == guard_raft(guard)->current_term) {
        guard->recv(&guard->io, &message);
    }
}

static void after_event(struct guard *guard)
{
    guard->checked = 0;
    guard->suppress = false;
    release_timeout_now(guard);
    propose_barrier(guard);
    release_held(guard);
    if (guard->moved != NULL) {
        guard->moved(guard->data);
    }
}

/* --- from the inner raft_io to libraft ------------------------------------------------------- */

void guard_tick(struct raft_io *inner)
{
    struct guard *guard = inner->data;
    struct raft *raft = guard_raft(guard);

    complete_lost(guard);
    if (raft->state == RAFT_FOLLOWER && guard_disk_is_behind(guard)) {
        /* A candidate would offer entries that it may still lose. */
        raft->election_timer_start = guard->io.time(&guard->io);
        guard->counters.postponed++;
    }
    guard->tick(&guard->io);
    after_event(guard);
}

static bool has_odd_entry(const struct raft_append_entries *request)
{
    for (unsigned i = 0; i < request->n_entries; i++) {
        if (request->entries[i].buf.len % 8 != 0) {
            return true;
        }
    }
    return false;
}

static void drop_entries(struct guard *guard, struct raft_append_entries *request)
{
    guard->counters.dropped_entries++;
    raft_free(request->entries[0].batch);
    raft_free(request->entries);
}

/* Our newest snapshot, unless it is on its way to the disk; index 0: none. */
static raft_index kept_snapshot(const struct guard *guard)
{
    return guard->put != NULL && guard->put->is_install
               ? 0
               : guard_raft(guard)->log.snapshot.last_index;
}

/* The request begins where our snapshot has replaced the log, and libraft would not know what to
 * make of it: it refuses, so that the leader goes back step by step until it sends an older
 * snapshot, for ever; and from index 1 on it would append all entries once more. What a snapshot
 * holds is committed and the same at every leader after it, so the request may as well begin after
 * the snapshot. */
static void skip_compacted(struct guard *guard, struct raft_append_entries *request)
{
    const struct raft_log *log = &guard_raft(guard)->log;
    raft_index kept = kept_snapshot(guard);
    unsigned n;

    if (request->prev_log_index >= kept || log->offset == 0 ||
        request->prev_log_index > log->offset) {
        return;
    }
    n = request->n_entries < kept - request->prev_log_index
            ? request->n_entries
            : (unsigned)(kept - request->prev_log_index);
    if (n > 0 && n == request->n_entries) {
        raft_free(request->entries[0].batch);
        raft_free(request->entries);
        request->entries = NULL;
    } else if (n > 0) {
        memmove(request->entries, request->entries + n,
                (request->n_entries - n) * sizeof *request->entries);
    }
    request->n_entries -= n;
    request->prev_log_index = kept;
    request->prev_log_term = log->snapshot.last_term;
    guard->counters.skipped++;
}

static void recv_append_entries(struct guard *guard, struct raft_message *message)
{
    struct raft_append_entries *request = &message->append_entries;
    struct guard_hidden hidden;
    raft_index end;

    if (has_odd_entry(request)) {
        drop_entries(guard, request);
        return;
    }
    skip_compacted(guard, request);
    end = request->prev_log_index + request->n_entries;
    if (request->leader_commit > end) {
        request->leader_commit = end;
        guard->counters.clamped_commits++;
    }
    guard->checked = end;
    hidden = guard_configuration_hide(guard, request);
    guard->recv(&guard->io, message);
    guard_configuration_show(guard, hidden);
}

static void recv_result(struct guard *guard, struct raft_message *message)
{
    const struct raft *raft = guard_raft(guard);
    const struct raft_append_entries_result *result = &message->append_entries_result;

    if (result->term == raft->current_term && result->rejected == 0 && gate_is_closed(guard)) {
        hold(guard, message);
        return;
    }
    guard->recv(&guard->io, message);
}

/* A pre-vote was refused by a voter whose term is past the one that was asked for. 0.15 takes no
 * notice: where the member with the newer log has the older term and the third is away, the two
 * refuse each other for ever. A request for a real vote that nobody can grant makes libraft take
 * the term over; as any other candidate would, it then asks for the term after it. */
static void recv_vote_result(struct guard *guard, struct raft_message *message)
{
    const struct raft *raft = guard_raft(guard);
    const struct raft_request_vote_result *result = &message->request_vote_result;
    struct raft_message term = {.type = RAFT_IO_REQUEST_VOTE,
                                .server_id = message->server_id,
                                .server_address = message->server_address};

    if (result->vote_granted || raft->state != RAFT_CANDIDATE ||
        result->term <= raft->current_term + 1 || raft_last_index(guard_raft(guard)) == 0) {
        guard->recv(&guard->io, message);
        return;
    }
    guard->counters.terms_learnt++;
    term.request_vote.term = result->term;
    term.request_vote.candidate_id = message->server_id;
    guard->recv(&guard->io, &term);
}

/* Who asks counts our vote by a configuration that we may not have yet: the entry that makes us a
 * voter needs it, when other voters are away. For this one message we are what the asker takes us
 * for; the log and the vote that was given are checked as ever. */
static void recv_vote_request(struct guard *guard, struct raft_message *message)
{
    struct raft *raft = guard_raft(guard);
    struct raft_configuration *members = &raft->configuration;
    int role = RAFT_VOTER;
    unsigned i;

    for (i = 0; i < members->n && members->servers[i].id != raft->id; i++) {
    }
    if (i < members->n) {
        role = members->servers[i].role;
        members->servers[i].role = RAFT_VOTER;
    }
    guard->recv(&guard->io, message);
    if (i < members->n) {
        CHECK(members->servers[i].id == raft->id); /* A vote does not change who is a member. */
        members->servers[i].role = role;
    }
}

void guard_recv(struct raft_io *inner, struct raft_message *message)
{
    struct guard *guard = inner->data;

    complete_lost(guard);
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        recv_append_entries(guard, message);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        recv_result(guard, message);
        break;
    case RAFT_IO_REQUEST_VOTE:
        recv_vote_request(guard, message);
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        recv_vote_result(guard, message);
        break;
    case RAFT_IO_TIMEOUT_NOW:
        if (guard_disk_is_behind(guard)) {
            guard->counters.dropped_votes++;
            hold_timeout_now(guard, message);
        } else {
            guard->recv(&guard->io, message);
        }
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        /* Of an older one than ours libraft makes nothing, and we may say how far ours goes. */
        guard->checked = message->install_snapshot.last_index;
        if (guard->checked < kept_snapshot(guard)) {
            guard->checked = kept_snapshot(guard);
        }
        guard->recv(&guard->io, message);
        break;
    default:
        guard->recv(&guard->io, message);
        break;
    }
    after_event(guard);
}

/* The answer that libraft gives from here on belongs to work that was begun in this term. */
static void answer_for(struct guard *guard, raft_term term, raft_index checked)
{
    const struct raft *raft = guard_raft(guard);

    guard->suppress = raft->state != RAFT_FOLLOWER || raft->current_term != term;
    guard->checked = checked;
}

void guard_append_cb(struct raft_io_append *request, int status)
{
    struct guard_append *append = container_of(request, struct guard_append, request);
    struct guard *guard = append->guard;

    if (status != 0 && status != RAFT_CANCELED) {
        fail_stop("log write failed: %s", raft_strerror(status));
    }
    list_remove(&append->link);
    FAILPOINT("append.before_done");
    if (append->is_follower) {
        answer_for(guard, append->term, append->checked);
    }
    append->cb(append->outer, status);
    FAILPOINT("append.after_done");
    free(append);
    after_event(guard);
}

void guard_put_cb(struct raft_io_snapshot_put *request, int status)
{
    struct guard_put *put = container_of(request, struct guard_put, request);
    struct guard *guard = put->guard;

    guard->put = NULL;
    if (put->is_install) {
        if (status != 0 && status != RAFT_CANCELED) {
            /* libraft has forgotten its log for this snapshot already. */
            fail_stop("snapshot of the leader cannot be kept: %s", raft_strerror(status));
        }
        answer_for(guard, put->term, put->index);
    }
    put->cb(put->outer, status);
    free(put);
    after_event(guard);
}

void guard_close_cb(struct raft_io *inner)
{
    struct guard *guard = inner->data;

    complete_lost(guard);
    guard_configuration_close(guard);
    guard->close_cb(&guard->io);
}

bool guard_is_ready(const struct guard *guard)
{
    const struct raft *raft = guard_raft(guard);

    return raft->state == RAFT_LEADER && guard->ready_term == raft->current_term;
}
