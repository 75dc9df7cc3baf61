#ifndef TESTS_LIB_LONE_RAFT_H
#define TESTS_LIB_LONE_RAFT_H

/* One libraft under the guard, over a raft_io that records what is asked of it. The test plays the
 * other members and the disk. */

#include "base/assert.h"
#include "raft/guard.h"

#include "tests/lib/test.h"

#include <string.h>

#define SERVERS 3

static inline int machine_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer,
                                void **result)
{
    (void)fsm;
    (void)buffer;
    *result = NULL;
    return 0;
}

static inline int machine_snapshot(struct raft_fsm *fsm, struct raft_buffer **buffers, unsigned *n)
{
    (void)fsm;
    *n = 1;
    *buffers = raft_malloc(sizeof **buffers);
    (*buffers)[0] = (struct raft_buffer){raft_calloc(1, 8), 8};
    return 0;
}

static inline int machine_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    (void)fsm;
    raft_free(buffer->base);
    return 0;
}

struct recorder {
    struct raft_io io;
    struct raft_message sent[64];
    size_t n_sent;
    struct raft_io_append *appends[8];
    size_t n_appends;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_io_close_cb close_cb;
    raft_time now;
    bool refuses;
    /* What load() gives: SERVERS voters at index 1, or in a snapshot of index 9, and then an entry
     * with this many more. */
    unsigned more_voters;
    bool is_behind_snapshot;
    bool is_learner; /* The first of them, which is the one under test. */
};

static inline struct recorder *recorder_of(struct raft_io *io)
{
    return container_of(io, struct recorder, io);
}

static inline int recorder_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static inline void recorder_close(struct raft_io *io, raft_io_close_cb cb)
{
    cb(io);
}

static inline void voters_make(struct raft_configuration *configuration, unsigned n)
{
    raft_configuration_init(configuration);
    for (unsigned i = 1; i <= n; i++) {
        char address[2] = {(char)('0' + i), 0};

        assert_int_equal(raft_configuration_add(configuration, i, address, RAFT_VOTER), 0);
    }
}

static inline struct raft_entry voters_entry(raft_term term, unsigned n, bool is_learner)
{
    struct raft_entry entry = {.term = term, .type = RAFT_CHANGE};
    struct raft_configuration configuration;

    voters_make(&configuration, n);
    if (is_learner) {
        configuration.servers[0].role = RAFT_STANDBY;
    }
    assert_int_equal(raft_configuration_encode(&configuration, &entry.buf), 0);
    entry.batch = entry.buf.base;
    raft_configuration_close(&configuration);
    return entry;
}

static inline int recorder_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                                struct raft_snapshot **snapshot, raft_index *start_index,
                                struct raft_entry **entries, size_t *n_entries)
{
    const struct recorder *recorder = recorder_of(io);

    *term = 1;
    *voted_for = 0;
    *snapshot = NULL;
    *start_index = 1;
    *n_entries = 0;
    *entries = raft_calloc(2, sizeof **entries);
    if (recorder->is_behind_snapshot) {
        *snapshot = raft_calloc(1, sizeof **snapshot);
        (*snapshot)->index = 9;
        (*snapshot)->term = 1;
        (*snapshot)->configuration_index = 1;
        voters_make(&(*snapshot)->configuration, SERVERS);
        assert_int_equal(machine_snapshot(NULL, &(*snapshot)->bufs, &(*snapshot)->n_bufs), 0);
        *start_index = 10;
    } else {
        (*entries)[(*n_entries)++] = voters_entry(1, SERVERS, recorder->is_learner);
    }
    if (recorder->more_voters > 0) {
        (*entries)[(*n_entries)++] = voters_entry(1, SERVERS + recorder->more_voters, false);
    }
    return 0;
}

static inline int recorder_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick,
                                 raft_io_recv_cb recv)
{
    (void)ms;
    recorder_of(io)->tick = tick;
    recorder_of(io)->recv = recv;
    return 0;
}

static inline int recorder_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    (void)term;
    return 0;
}

static inline int recorder_set_vote(struct raft_io *io, raft_id id)
{
    (void)io;
    (void)id;
    return 0;
}

static inline int recorder_send(struct raft_io *io, struct raft_io_send *request,
                                const struct raft_message *message, raft_io_send_cb cb)
{
    struct recorder *recorder = recorder_of(io);

    if (recorder->refuses) {
        return RAFT_NOCONNECTION;
    }
    assert_true(recorder->n_sent < 64);
    recorder->sent[recorder->n_sent++] = *message;
    cb(request, 0);
    return 0;
}

static inline int recorder_append(struct raft_io *io, struct raft_io_append *request,
                                  const struct raft_entry *entries, unsigned n,
                                  raft_io_append_cb cb)
{
    struct recorder *recorder = recorder_of(io);

    (void)entries;
    (void)n;
    assert_true(recorder->n_appends < 8);
    request->cb = cb;
    recorder->appends[recorder->n_appends++] = request;
    return 0;
}

static inline int recorder_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    (void)index;
    return 0;
}

static inline raft_time recorder_time(struct raft_io *io)
{
    return recorder_of(io)->now;
}

static inline int recorder_random(struct raft_io *io, int min, int max)
{
    (void)io;
    (void)max;
    return min;
}

struct lone {
    struct recorder recorder;
    struct guard guard;
    struct raft raft;
    struct raft_fsm machine;
};

static inline void lone_open_as(struct lone *lone, bool is_behind_snapshot, unsigned more_voters,
                                bool is_learner)
{
    memset(lone, 0, sizeof *lone);
    lone->recorder.io = (struct raft_io){.version = 1,
                                         .init = recorder_init,
                                         .close = recorder_close,
                                         .load = recorder_load,
                                         .start = recorder_start,
                                         .set_term = recorder_set_term,
                                         .set_vote = recorder_set_vote,
                                         .send = recorder_send,
                                         .append = recorder_append,
                                         .truncate = recorder_truncate,
                                         .time = recorder_time,
                                         .random = recorder_random};
    lone->recorder.is_behind_snapshot = is_behind_snapshot;
    lone->recorder.more_voters = more_voters;
    lone->recorder.is_learner = is_learner;
    lone->machine = (struct raft_fsm){.version = 1,
                                      .apply = machine_apply,
                                      .snapshot = machine_snapshot,
                                      .restore = machine_restore};
    guard_init(&lone->guard, &lone->recorder.io);
    assert_int_equal(raft_init(&lone->raft, &lone->guard.io, &lone->machine, 1, "1"), 0);
    raft_set_pre_vote(&lone->raft, true);
    assert_int_equal(raft_start(&lone->raft), 0);
}

static inline void lone_open_with(struct lone *lone, bool is_behind_snapshot, unsigned more_voters)
{
    lone_open_as(lone, is_behind_snapshot, more_voters, false);
}

static inline void lone_open(struct lone *lone)
{
    lone_open_with(lone, false, 0);
}

static inline void closed(struct raft *raft)
{
    (void)raft;
}

static inline void lone_stored(struct lone *lone)
{
    struct raft_io_append *request = lone->recorder.appends[0];

    assert_true(lone->recorder.n_appends > 0);
    lone->recorder.n_appends--;
    memmove(lone->recorder.appends, lone->recorder.appends + 1,
            lone->recorder.n_appends * sizeof *lone->recorder.appends);
    request->cb(request, 0);
}

static inline void lone_close(struct lone *lone)
{
    while (lone->recorder.n_appends > 0) {
        lone_stored(lone);
    }
    raft_close(&lone->raft, closed);
}

/* Server 2 leads term and sends n commands of its term after index previous of previous_term. */
static inline void lone_receive(struct lone *lone, raft_term term, raft_index previous,
                                raft_term previous_term, unsigned n, size_t length,
                                raft_index commit)
{
    struct raft_message message;
    struct raft_append_entries *request = &message.append_entries;
    uint8_t *batch = n > 0 ? raft_calloc(n, length) : NULL;

    memset(&message, 0, sizeof message);
    message.type = RAFT_IO_APPEND_ENTRIES;
    message.server_id = 2;
    message.server_address = "2";
    request->term = term;
    request->prev_log_index = previous;
    request->prev_log_term = previous_term;
    request->leader_commit = commit;
    request->n_entries = n;
    request->entries = n > 0 ? raft_calloc(n, sizeof *request->entries) : NULL;
    for (unsigned i = 0; i < n; i++) {
        request->entries[i] = (struct raft_entry){.term = term,
                                                  .type = RAFT_COMMAND,
                                                  .buf = {batch + i * length, length},
                                                  .batch = batch};
    }
    lone->recorder.recv(&lone->recorder.io, &message);
}

static inline const struct raft_append_entries_result *last_result(const struct lone *lone)
{
    const struct raft_message *message = &lone->recorder.sent[lone->recorder.n_sent - 1];

    assert_true(lone->recorder.n_sent > 0);
    assert_int_equal(message->type, RAFT_IO_APPEND_ENTRIES_RESULT);
    return &message->append_entries_result;
}

#endif
