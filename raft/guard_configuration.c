/* Taking back a configuration whose entry is cut from the log; libraft 0.15 does it wrong twice:
 *
 *   - after a restart it takes the newest configuration in the log for committed, so that it keeps
 *     it when a new leader cuts the entry off: this member would count majorities of its own;
 *   - it looks for the configuration before in the log only, and reads through NULL when a snapshot
 *     has taken that entry's place.
 *
 * So the guard remembers the configuration of the newest snapshot, hides from libraft what it would
 * fail at, and puts the right configuration in place when the log is cut. At most one configuration
 * at a time is not committed, hence the newest one that is left is. */
#include "raft/guard_io.h"

#include "base/assert.h"
#include "raft/snapshot_file.h"

static void copy(struct raft_configuration *to, const struct raft_configuration *from)
{
    raft_configuration_close(to);
    raft_configuration_init(to);
    for (unsigned i = 0; i < from->n; i++) {
        const struct raft_server *server = &from->servers[i];

        if (raft_configuration_add(to, server->id, server->address, server->role) != 0) {
            fail_stop("out of memory for a configuration of %u members", from->n);
        }
    }
}

/* In libraft's log, a ring whose first entry is offset + 1. NULL: not there (any more). */
static const struct raft_entry *entry_at(struct raft *raft, raft_index index)
{
    const struct raft_log *log = &raft->log;

    if (index <= log->offset || index > raft_last_index(raft)) {
        return NULL;
    }
    return &log->entries[(log->front + (size_t)(index - 1 - log->offset)) % log->size];
}

void guard_configuration_keep(struct guard *guard, const struct raft_snapshot *snapshot)
{
    copy(&guard->configuration, &snapshot->configuration);
    guard->configuration_index = snapshot->configuration_index;
}

void guard_configuration_close(struct guard *guard)
{
    raft_configuration_close(&guard->configuration);
    raft_configuration_init(&guard->configuration);
}

static bool cuts_at_or_below(struct raft *raft, const struct raft_append_entries *request,
                             raft_index index)
{
    for (unsigned i = 0; i < request->n_entries; i++) {
        raft_index at = request->prev_log_index + 1 + i;
        const struct raft_entry *entry = entry_at(raft, at);

        if (entry != NULL && entry->term != request->entries[i].term) {
            return at <= index;
        }
    }
    return false;
}

struct guard_hidden guard_configuration_hide(struct guard *guard,
                                             const struct raft_append_entries *request)
{
    struct raft *raft = guard_raft(guard);
    struct guard_hidden hidden = {raft->configuration_index, raft->configuration_uncommitted_index};

    if (hidden.uncommitted == 0 || entry_at(raft, hidden.committed) != NULL ||
        !cuts_at_or_below(raft, request, hidden.uncommitted)) {
        return (struct guard_hidden){0};
    }
    raft->configuration_index = hidden.uncommitted;
    raft->configuration_uncommitted_index = 0;
    return hidden;
}

void guard_configuration_show(struct guard *guard, struct guard_hidden hidden)
{
    struct raft *raft = guard_raft(guard);

    if (hidden.uncommitted != 0 && raft->configuration_index == hidden.uncommitted) {
        raft->configuration_index = hidden.committed;
        raft->configuration_uncommitted_index = hidden.uncommitted;
    }
}

void guard_configuration_cut(struct guard *guard, raft_index index)
{
    struct raft *raft = guard_raft(guard);
    struct raft_configuration found;
    raft_index at;

    if (raft->configuration_index < index) {
        return;
    }
    for (at = index - 1; at > raft->log.offset; at--) {
        const struct raft_entry *entry = entry_at(raft, at);
        struct reason why;

        CHECK(entry != NULL);
        if (entry->type == RAFT_CHANGE) {
            if (configuration_decode(bytes_of(entry->buf.base, entry->buf.len), &found, &why) !=
                OK) {
                fail_stop("the configuration at index %llu: %s", at, why.text);
            }
            copy(&raft->configuration, &found);
            raft_configuration_close(&found);
            raft->configuration_index = at;
            return;
        }
    }
    /* None: the snapshot has it, or this member has never had one. */
    copy(&raft->configuration, &guard->configuration);
    raft->configuration_index = guard->configuration_index;
}
