/* See read_index.h. Why a round proves it: the voters that answer with our term after the read
 * arrived have not voted in a later one, and any later leader needs one of them. */
#include "raft/read_index.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/random.h"
#include "raft/core.h"

#define ANSWER_MS 250u /* A question without an answer is asked again. */
#define RETRY_MS  50u  /* The leader could not tell: not at once again. */

void reads_init(struct reads *reads)
{
    /* Questions and rounds of an earlier life of this member may still be answered: an answer that
     * was given before a read arrived proves nothing for it. */
    *reads = (struct reads){.nonce = random_u64() >> 1};
    list_init(&reads->waiting);
    list_init(&reads->round);
    list_init(&reads->asked);
    list_init(&reads->settled);
    list_init(&reads->applied);
}

static void finish(struct read_index *read, enum error status)
{
    list_remove(&read->link);
    /* May free the read. */
    read->cb(read, status, read->index);
}

static void move_all(struct list *from, struct list *to)
{
    while (!list_is_empty(from)) {
        struct list *link = from->next;

        list_remove(link);
        list_append(to, link);
    }
}

static void settle_all(struct reads *reads, struct list *from, uint64_t index)
{
    LIST_FOR_EACH (link, from) {
        container_of(link, struct read_index, link)->index = index;
    }
    move_all(from, &reads->settled);
}

/* --- rounds, at the leader ------------------------------------------------------------------- */

static void answer(struct consensus *consensus, const struct reads_asker *asker, enum error status,
                   uint64_t index)
{
    struct peer_message message = {.number = asker->number, .status = status, .index = index};

    (void)core_send(consensus, asker->from, FRAME_READ_INDEX_RESULT, &message);
}

static void answer_round(struct consensus *consensus, enum error status, uint64_t index)
{
    struct reads *reads = &consensus->reads;

    for (size_t i = 0; i < reads->n_round_askers; i++) {
        answer(consensus, &reads->round_askers[i], status, index);
    }
    reads->n_round_askers = 0;
}

static bool has_confirmed(const struct reads *reads, uint64_t id)
{
    for (size_t i = 0; i < reads->n_confirmed; i++) {
        if (reads->confirmed[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_voter(const struct consensus *consensus, uint64_t id)
{
    const struct raft_server *server = core_server(consensus, id);

    return server != NULL && server->role == RAFT_VOTER;
}

static void try_to_end_round(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;
    size_t votes = is_voter(consensus, consensus->id) ? 1 : 0;

    for (size_t i = 0; i < reads->n_confirmed; i++) {
        votes += is_voter(consensus, reads->confirmed[i]);
    }
    if (votes <= core_voters(consensus) / 2) {
        return;
    }
    FAILPOINT("read.after_round");
    reads->has_round = false;
    settle_all(reads, &reads->round, reads->round_index);
    answer_round(consensus, OK, reads->round_index);
    core_arm(consensus);
}

static void send_confirms(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    struct peer_message message = {.number = reads->nonce, .term = reads->round_term};

    reads->round_ms = core_now(consensus);
    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];

        if (server->role == RAFT_VOTER && server->id != consensus->id &&
            !has_confirmed(reads, server->id)) {
            (void)core_send(consensus, server->id, FRAME_CONFIRM, &message);
        }
    }
}

static void start_round(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;

    PRE(!reads->has_round && guard_is_ready(&consensus->guard));
    reads->has_round = true;
    reads->nonce++;
    reads->round_index = consensus->raft.commit_index;
    reads->round_term = consensus->raft.current_term;
    reads->n_confirmed = 0;
    move_all(&reads->waiting, &reads->round);
    memcpy(reads->round_askers, reads->askers, sizeof reads->askers);
    reads->n_round_askers = reads->n_askers;
    reads->n_askers = 0;
    FAILPOINT("read.before_round");
    send_confirms(consensus);
    try_to_end_round(consensus);
}

void reads_confirm(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct peer_message reply = {.number = message->number, .term = consensus->raft.current_term};

    (void)core_send(consensus, from, FRAME_CONFIRM_RESULT, &reply);
}

void reads_confirmed(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct reads *reads = &consensus->reads;

    if (!reads->has_round || message->number != reads->nonce ||
        message->term != reads->round_term || consensus->raft.current_term != reads->round_term ||
        consensus->raft.state != RAFT_LEADER || has_confirmed(reads, from) ||
        reads->n_confirmed == CONSENSUS_MEMBERS_MAX || !is_voter(consensus, from)) {
        return;
    }
    reads->confirmed[reads->n_confirmed++] = from;
    try_to_end_round(consensus);
}

void reads_asked(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct reads *reads = &consensus->reads;
    struct reads_asker asker = {.from = from, .number = message->number};

    if (consensus->raft.state != RAFT_LEADER || consensus->life != LIFE_RUNNING ||
        reads->n_askers == READS_ASKERS_MAX) {
        answer(consensus, &asker, ERROR_UNAVAILABLE, 0);
        return;
    }
    reads->askers[reads->n_askers++] = asker;
    core_arm(consensus);
}

/* --- questions, elsewhere -------------------------------------------------------------------- */

static void ask_leader(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;
    uint64_t leader = core_leader(consensus), now = core_now(consensus);
    struct peer_message message = {.number = reads->nonce + 1};

    if (leader == 0 || leader == consensus->id || reads->question != 0 ||
        now < reads->not_before_ms) {
        return;
    }
    if (!core_send(consensus, leader, FRAME_READ_INDEX, &message)) {
        reads->not_before_ms = now + RETRY_MS;
        return;
    }
    reads->question = ++reads->nonce;
    reads->question_ms = now;
    move_all(&reads->waiting, &reads->asked);
}

static void forget_question(struct reads *reads)
{
    reads->question = 0;
    /* In front of those that came later. */
    move_all(&reads->waiting, &reads->asked);
    move_all(&reads->asked, &reads->waiting);
}

void reads_answered(struct consensus *consensus, uint64_t from, const struct peer_message *message)
{
    struct reads *reads = &consensus->reads;

    (void)from;
    if (reads->question == 0 || message->number != reads->question) {
        return;
    }
    if (message->status == OK) {
        reads->question = 0;
        settle_all(reads, &reads->asked, message->index);
    } else {
        reads->not_before_ms = core_now(consensus) + RETRY_MS;
        forget_question(reads);
    }
    core_arm(consensus);
}

/* --- turn, tick ------------------------------------------------------------------------------ */

static void call_back_applied(struct consensus *consensus, struct list *list)
{
    LIST_FOR_EACH (link, list) {
        struct read_index *read = container_of(link, struct read_index, link);

        if (read->index <= raft_last_applied(&consensus->raft)) {
            finish(read, OK);
        }
    }
}

void reads_turn(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;
    bool is_wanted = !list_is_empty(&reads->waiting) || reads->n_askers > 0;

    if (consensus->life != LIFE_RUNNING) {
        return;
    }
    if (is_wanted && guard_is_ready(&consensus->guard)) {
        if (!reads->has_round) {
            start_round(consensus);
        }
    } else if (!list_is_empty(&reads->waiting) && consensus->raft.state != RAFT_LEADER) {
        ask_leader(consensus);
    }
    call_back_applied(consensus, &reads->settled);
    call_back_applied(consensus, &reads->applied);
}

static void expire(struct list *list, uint64_t now, enum error status)
{
    LIST_FOR_EACH (link, list) {
        struct read_index *read = container_of(link, struct read_index, link);

        if (now >= read->deadline_ms) {
            finish(read, status);
        }
    }
}

void reads_tick(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;
    uint64_t now = core_now(consensus);

    expire(&reads->waiting, now, ERROR_UNAVAILABLE);
    expire(&reads->round, now, ERROR_UNAVAILABLE);
    expire(&reads->asked, now, ERROR_UNAVAILABLE);
    expire(&reads->settled, now, ERROR_UNAVAILABLE);
    expire(&reads->applied, now, ERROR_TIMEOUT);
    if (reads->has_round && now - reads->round_ms >= consensus->heartbeat_ms) {
        send_confirms(consensus);
    }
    if (reads->question != 0 && now - reads->question_ms >= ANSWER_MS) {
        forget_question(reads);
    }
    core_arm(consensus);
}

void reads_again(struct consensus *consensus)
{
    struct reads *reads = &consensus->reads;

    answer_round(consensus, ERROR_UNAVAILABLE, 0);
    for (size_t i = 0; i < reads->n_askers; i++) {
        answer(consensus, &reads->askers[i], ERROR_UNAVAILABLE, 0);
    }
    reads->n_askers = 0;
    reads->has_round = false;
    move_all(&reads->round, &reads->waiting);
    forget_question(reads);
    reads->not_before_ms = 0;
    core_arm(consensus);
}

void reads_cut_off(struct consensus *consensus)
{
    struct list *lists[] = {&consensus->reads.waiting, &consensus->reads.round,
                            &consensus->reads.asked};
    uint64_t now = core_now(consensus);

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        LIST_FOR_EACH (link, lists[i]) {
            struct read_index *read = container_of(link, struct read_index, link);

            if (now - read->asked_ms >= CUT_OFF_PATIENCE_MS) {
                finish(read, ERROR_UNAVAILABLE);
            }
        }
    }
}

void reads_fail(struct consensus *consensus, enum error status)
{
    struct reads *reads = &consensus->reads;

    reads_again(consensus);
    expire(&reads->waiting, UINT64_MAX, status);
    expire(&reads->settled, UINT64_MAX, status);
    expire(&reads->applied, UINT64_MAX, status);
}

/* --- raft/consensus.h ------------------------------------------------------------------------ */

static void enqueue(struct consensus *consensus, struct read_index *read, struct list *list,
                    uint64_t timeout_ms, read_index_cb cb)
{
    PRE(cb != NULL);
    read->cb = cb;
    read->asked_ms = core_now(consensus);
    read->deadline_ms = read->asked_ms + timeout_ms;
    list_init(&read->link);
    list_append(list, &read->link);
    core_arm(consensus);
}

void consensus_read_index(struct consensus *consensus, struct read_index *read, uint64_t timeout_ms,
                          read_index_cb cb)
{
    read->index = 0;
    enqueue(consensus, read, &consensus->reads.waiting, timeout_ms, cb);
}

void consensus_wait_applied(struct consensus *consensus, struct read_index *read, uint64_t index,
                            uint64_t timeout_ms, read_index_cb cb)
{
    read->index = index;
    enqueue(consensus, read, &consensus->reads.applied, timeout_ms, cb);
}
