/* See machine.h. An entry or snapshot that cannot be read is damage that every checksum before it
 * has missed, or a newer program's: the process stops rather than skip it. */
#include "raft/machine.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "raft/core.h"
#include "raft/io_snapshot.h"

/* Term of an entry in libraft's log, a ring whose first entry is offset + 1. */
static raft_term term_of(const struct raft_log *log, raft_index index)
{
    size_t i = (size_t)(index - 1 - log->offset);

    PRE(index > log->offset && log->size > 0);
    return log->entries[(log->front + i) % log->size].term;
}

void machine_forget_results(struct consensus *consensus)
{
    for (size_t i = 0; i < consensus->n_results; i++) {
        buffer_release(&consensus->results[i]);
    }
    consensus->n_results = 0;
}

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct consensus *consensus = fsm->data;
    const struct machine *machine = &consensus->machine;
    struct entry entry = {.index = raft_last_applied(&consensus->raft) + 1};
    struct envelope envelope;

    *result = NULL;
    machine_forget_results(consensus);
    if (entry.index <= machine->applied_index(machine->data)) {
        return 0;
    }
    if (envelope_decode(bytes_of(buf->base, buf->len), &envelope) != OK) {
        fail_stop("log entry %llu cannot be read: it is damaged, or a newer version wrote it",
                  (unsigned long long)entry.index);
    }
    entry.term = term_of(&consensus->raft.log, entry.index);
    entry.time_ms = envelope.time_ms;
    entry.commands = envelope.commands;
    entry.n = envelope.n;
    for (size_t i = 0; i < envelope.n; i++) {
        buffer_init(&consensus->results[i], RESULT_SIZE_MAX);
    }
    consensus->n_results = envelope.n;
    consensus->n_commands += envelope.n;
    FAILPOINT("apply.before_entry");
    machine->apply(machine->data, &entry, consensus->results);
    FAILPOINT("apply.after_entry");
    divergence_applied(consensus, entry.index);
    return 0;
}

static int snapshot(struct raft_fsm *fsm, struct raft_buffer **bufs, unsigned *n_bufs)
{
    struct consensus *consensus = fsm->data;
    const struct machine *machine = &consensus->machine;
    uint64_t index = 0;
    void *view;

    /* libraft 0.15 would write the uncommitted configuration into it. After a restart it takes the
     * newest one in the log for committed. */
    if (consensus->raft.configuration_uncommitted_index != 0 || consensus->view != NULL ||
        consensus->raft.configuration_index > raft_last_applied(&consensus->raft)) {
        return RAFT_BUSY;
    }
    view = machine->snapshot_open(machine->data, &index);
    if (view == NULL) {
        return RAFT_BUSY;
    }
    if (index > raft_last_applied(&consensus->raft)) {
        /* The machine is ahead of the replay: its state is of a later index than the file's. */
        machine->snapshot_close(view);
        return RAFT_BUSY;
    }
    FAILPOINT("snapshot.begin");
    consensus->view = view;
    consensus->wants_snapshot = false;
    raft_set_snapshot_threshold(&consensus->raft, consensus->snapshot_threshold);
    *bufs = raft_malloc(sizeof **bufs);
    if (*bufs == NULL) {
        fail_stop("out of memory for a snapshot");
    }
    io_view_make(view, *bufs);
    *n_bufs = 1;
    LOG_INFO("snapshot at index %llu begins",
             (unsigned long long)raft_last_applied(&consensus->raft));
    return 0;
}

static int snapshot_finalize(struct raft_fsm *fsm, struct raft_buffer **bufs, unsigned *n_bufs)
{
    struct consensus *consensus = fsm->data;

    FAILPOINT("snapshot.end");
    consensus->machine.snapshot_close(consensus->view);
    consensus->view = NULL;
    if (*bufs != NULL) {
        raft_free((*bufs)[0].base);
        raft_free(*bufs);
        *bufs = NULL;
        *n_bufs = 0;
    }
    LOG_INFO("snapshot at index %llu ends",
             (unsigned long long)consensus->raft.snapshot.pending.index);
    return 0;
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct consensus *consensus = fsm->data;
    const struct machine *machine = &consensus->machine;
    struct snapshot_reader *file;
    struct reason why;
    uint64_t index, term;

    if (snapshot_token_parse(buf, &index, &term) != OK) {
        fail_stop("snapshot without a file");
    }
    if (index > machine->applied_index(machine->data)) {
        LOG_INFO("restoring snapshot %llu of term %llu", (unsigned long long)index,
                 (unsigned long long)term);
        if (storage_snapshot_open(consensus->io.storage, index, term, &file, &why) != OK) {
            fail_stop("snapshot %llu cannot be opened: %s", (unsigned long long)index, why.text);
        }
        FAILPOINT("restore.before");
        if (machine->restore(machine->data, index, snapshot_reader_read, file, &why) != OK) {
            fail_stop("snapshot %llu cannot be restored: %s", (unsigned long long)index, why.text);
        }
        FAILPOINT("restore.after");
        divergence_forget(consensus);
        snapshot_reader_close(file);
        consensus->n_commands += COMMANDS_REMEMBERED;
    }
    raft_free(buf->base);
    return 0;
}

struct raft_fsm machine_fsm(struct consensus *consensus)
{
    return (struct raft_fsm){
        .version = 2,
        .data = consensus,
        .apply = apply,
        .snapshot = snapshot,
        .restore = restore,
        .snapshot_finalize = snapshot_finalize,
    };
}
