#include "node/control.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/announcer.h"
#include "node/worker.h"
#include "store/level.h"

#include <stdlib.h>

/* How often the members that the catalog names are compared with the ones that the log runs on. */
#define MEMBERS_TICK_MS 100

_Static_assert(CATALOG_RESULTS_KEPT >= COMMANDS_REMEMBERED, "retries happen once");

struct control {
    uv_loop_t *loop;
    struct mailbox mailbox;
    struct consensus *consensus;
    struct catalog *catalog;
    uv_timer_t members_timer;
    struct announcer announcer;
    bool stopping;
    bool is_winding_down; /* See control_wind_down(). */
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* --- the catalog as the log's machine --------------------------------------------------------- */

static uint64_t machine_applied_index(void *data)
{
    return catalog_applied_index(data);
}

static void machine_apply(void *data, const struct entry *entry, struct buffer *results)
{
    const struct catalog_entry copy = {.index = entry->index,
                                       .term = entry->term,
                                       .time_ms = entry->time_ms,
                                       .commands = entry->commands,
                                       .n = entry->n};

    catalog_apply(data, &copy, results);
}

static void machine_state_hash(void *data, char text[65])
{
    struct catalog_txn txn;

    catalog_read(data, &txn);
    catalog_txn_hash(&txn, text);
    catalog_done(&txn);
}

static void *machine_snapshot_open(void *data, uint64_t *index)
{
    return catalog_view_open(data, index);
}

static enum error machine_snapshot_write(void *view, enum error (*sink)(void *, struct bytes),
                                         void *sink_data, struct reason *why)
{
    return catalog_view_write(view, sink, sink_data, why);
}

static void machine_snapshot_close(void *view)
{
    catalog_view_close(view);
}

static enum error machine_restore(void *data, uint64_t index,
                                  enum error (*source)(void *, void *, size_t, size_t *),
                                  void *source_data, struct reason *why)
{
    return catalog_restore(data, index, source, source_data, why);
}

struct machine control_machine(struct catalog *catalog)
{
    return (struct machine){.data = catalog,
                            .applied_index = machine_applied_index,
                            .apply = machine_apply,
                            .state_hash = machine_state_hash,
                            .snapshot_open = machine_snapshot_open,
                            .snapshot_write = machine_snapshot_write,
                            .snapshot_close = machine_snapshot_close,
                            .restore = machine_restore};
}

/* --- members: what the catalog names, the log shall run on ------------------------------------ */

struct wanted_members {
    struct member members[CONSENSUS_MEMBERS_MAX];
    size_t n;
};

static bool collect_member(void *data, const struct member_record *record)
{
    struct wanted_members *wanted = data;
    struct member *member = &wanted->members[wanted->n];

    if (wanted->n == CONSENSUS_MEMBERS_MAX || record->raft_address.size >= sizeof member->address) {
        LOG_ERROR("member %016llx does not fit the member table; ignored",
                  (unsigned long long)record->id);
        return true;
    }
    *member = (struct member){.id = record->id};
    memcpy(member->address, record->raft_address.data, record->raft_address.size);
    wanted->n++;
    return true;
}

static void wind_down_look(struct control *control)
{
    struct consensus_status status;

    consensus_status(control->consensus, &status);
    if (!status.has_quorum) {
        consensus_cancel(control->consensus);
    }
}

static void members_timer_cb(uv_timer_t *timer)
{
    struct control *control = container_of(timer, struct control, members_timer);
    struct wanted_members wanted = {.n = 0};
    struct catalog_txn txn;

    catalog_read(control->catalog, &txn);
    catalog_members(&txn, collect_member, &wanted);
    catalog_done(&txn);
    if (wanted.n > 0 && !control->stopping) {
        consensus_want_members(control->consensus, wanted.members, wanted.n);
        announcer_tick(&control->announcer);
    }
    if (control->is_winding_down && !control->stopping) {
        wind_down_look(control);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct control *control_open(uv_loop_t *loop, struct consensus *consensus, struct catalog *catalog,
                             uint64_t self)
{
    struct control *control = memory_zero(sizeof *control);

    announcer_init(&control->announcer, consensus, catalog, self);
    control->loop = loop;
    control->consensus = consensus;
    control->catalog = catalog;
    mailbox_init(&control->mailbox, loop);
    CHECK(uv_timer_init(loop, &control->members_timer) == 0);
    CHECK(uv_timer_start(&control->members_timer, members_timer_cb, MEMBERS_TICK_MS,
                         MEMBERS_TICK_MS) == 0);
    return control;
}

static void control_stopped_cb(void *data)
{
    struct control *control = data;

    control->consensus = NULL;
    mailbox_close(&control->mailbox);
    control->closed_cb(control->closed_data);
}

void control_wind_down(struct control *control, bool is_over)
{
    control->is_winding_down = true;
    if (is_over) {
        consensus_cancel(control->consensus);
    }
}

void control_stop(struct control *control, void (*closed_cb)(void *data), void *data)
{
    PRE(!control->stopping);
    control->stopping = true;
    control->closed_cb = closed_cb;
    control->closed_data = data;
    uv_close((uv_handle_t *)&control->members_timer, NULL);
    consensus_stop(control->consensus, control_stopped_cb, control);
}

void control_release(struct control *control)
{
    PRE(control->consensus == NULL);
    free(control);
}

void control_status(struct control *control, struct consensus_status *out)
{
    consensus_status(control->consensus, out);
}

/* --- proposing -------------------------------------------------------------------------------- */

static void propose_answer(struct task *task)
{
    struct control_propose *request = container_of(task, struct control_propose, task);
    struct buffer bytes = request->bytes;
    struct command_result result = {.error = OK};

    request->worker->control_pending--;
    if (request->status == OK) {
        request->status = command_result_read(buffer_view(&bytes), &result);
    }
    /* The callback may free the request. */
    request->cb(request, request->status, request->status == OK ? &result : NULL);
    buffer_release(&bytes);
}

static void propose_post_back(struct control_propose *request, enum error status)
{
    request->status = status;
    request->task.run = propose_answer;
    mailbox_post(&request->worker->mailbox, &request->task);
}

/* Whatever came of the wait, the command was applied: a node that is cut off may answer late. */
static void propose_seen_cb(struct read_index *read, enum error status, uint64_t index)
{
    struct control_propose *request = container_of(read, struct control_propose, seen);

    (void)status;
    (void)index;
    propose_post_back(request, OK);
}

static void propose_applied_cb(struct proposal *proposal, enum error status, uint64_t index,
                               struct bytes result)
{
    struct control_propose *request = container_of(proposal, struct control_propose, proposal);
    struct control *control = request->worker->control;

    request->index = index;
    buffer_clear(&request->bytes);
    if (status == ERROR_BUSY) { /* Of the log, not of what the client asked for: 503, come again. */
        status = ERROR_UNAVAILABLE;
    }
    if (status == OK) {
        buffer_append(&request->bytes, result);
        status = buffer_status(&request->bytes);
    }
    if (status == OK && catalog_applied_index(control->catalog) < index) {
        consensus_wait_applied(control->consensus, &request->seen, index, CONTROL_READ_TIMEOUT_MS,
                               propose_seen_cb);
        return;
    }
    propose_post_back(request, status);
}

static void propose_run(struct task *task)
{
    struct control_propose *request = container_of(task, struct control_propose, task);
    struct control *control = request->worker->control;

    if (control->stopping) {
        propose_post_back(request, ERROR_UNAVAILABLE);
        return;
    }
    FAILPOINT("control.before_propose");
    consensus_propose(control->consensus, &request->proposal, buffer_view(&request->bytes),
                      CONTROL_WRITE_TIMEOUT_MS, propose_applied_cb);
}

void control_propose(struct worker *worker, struct control_propose *request, control_propose_cb cb)
{
    struct reason why;

    PRE(request->bytes.limit > 0 && cb != NULL);
    request->worker = worker;
    request->cb = cb;
    worker->control_pending++;
    if (buffer_status(&request->bytes) != OK) {
        propose_post_back(request, ERROR_TOO_LARGE);
        return;
    }
    if (catalog_may_propose(worker->catalog, buffer_view(&request->bytes), &why) != OK) {
        buffer_clear(&request->bytes);
        command_result_write(&request->bytes, ERROR_UNSUPPORTED, why.text, 0, BYTES_NONE);
        propose_post_back(request, OK);
        return;
    }
    request->task.run = propose_run;
    mailbox_post(&worker->control->mailbox, &request->task);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_answer(struct task *task)
{
    struct control_read *request = container_of(task, struct control_read, task);

    request->worker->control_pending--;
    request->cb(request, request->status);
}

static void read_post_back(struct control_read *request, enum error status)
{
    request->status = status;
    request->task.run = read_answer;
    mailbox_post(&request->worker->mailbox, &request->task);
}

static void read_done_cb(struct read_index *read, enum error status, uint64_t index)
{
    struct control_read *request = container_of(read, struct control_read, read);

    request->index = index;
    read_post_back(request, status);
}

static void read_run(struct task *task)
{
    struct control_read *request = container_of(task, struct control_read, task);
    struct control *control = request->worker->control;

    if (control->stopping) {
        read_post_back(request, ERROR_UNAVAILABLE);
    } else if (request->min_index > 0) {
        consensus_wait_applied(control->consensus, &request->read, request->min_index,
                               CONTROL_READ_TIMEOUT_MS, read_done_cb);
    } else {
        consensus_read_index(control->consensus, &request->read, CONTROL_READ_TIMEOUT_MS,
                             read_done_cb);
    }
}

static void read_start(struct worker *worker, struct control_read *request, uint64_t min_index,
                       control_read_cb cb)
{
    PRE(cb != NULL);
    request->worker = worker;
    request->min_index = min_index;
    request->cb = cb;
    worker->control_pending++;
    request->task.run = read_run;
    mailbox_post(&worker->control->mailbox, &request->task);
}

void control_read(struct worker *worker, struct control_read *request, control_read_cb cb)
{
    read_start(worker, request, 0, cb);
}

void control_wait_applied(struct worker *worker, struct control_read *request, uint64_t index,
                          control_read_cb cb)
{
    PRE(index > 0);
    read_start(worker, request, index, cb);
}

/* --- leadership ------------------------------------------------------------------------------- */

static void transfer_answer(struct task *task)
{
    struct control_transfer *request = container_of(task, struct control_transfer, task);

    request->worker->control_pending--;
    request->cb(request, request->status);
}

static void transfer_run(struct task *task)
{
    struct control_transfer *request = container_of(task, struct control_transfer, task);
    struct control *control = request->worker->control;

    request->status = control->stopping
                          ? ERROR_UNAVAILABLE
                          : consensus_transfer(control->consensus, request->member, &request->why);
    request->task.run = transfer_answer;
    mailbox_post(&request->worker->mailbox, &request->task);
}

void control_transfer(struct worker *worker, struct control_transfer *request, uint64_t member,
                      control_transfer_cb cb)
{
    PRE(cb != NULL);
    request->worker = worker;
    request->member = member;
    request->cb = cb;
    worker->control_pending++;
    request->task.run = transfer_run;
    mailbox_post(&worker->control->mailbox, &request->task);
}
