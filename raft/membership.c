/* See membership.h. libraft commits one configuration at a time; what is refused today is tried
 * again at the next tick, and the reason is told once. */
#include "raft/membership.h"

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "raft/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A learner this close to the commit index may become a voter. */
#define CAUGHT_UP_ENTRIES 64u

struct membership_change {
    struct raft_change request;
    struct consensus *consensus;
    char text[160];
};

/* --- what is ---------------------------------------------------------------------------------- */

static bool is_wanted(const struct membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->n_wanted; i++) {
        if (membership->wanted[i].id == id) {
            return true;
        }
    }
    return false;
}

bool membership_address_fits(uint64_t id, const char *address)
{
    char text[IO_ADDRESS_MAX];

    io_member_address(text, id, address);
    return strlen(text) <= HELLO_ADDRESS_MAX;
}

bool membership_is_reachable(const struct consensus *consensus, uint64_t id)
{
    uint64_t limit = 2 * (uint64_t)consensus->election_timeout_ms;
    struct transport_peer peer;

    if (id == consensus->id) {
        return true;
    }
    /* Pings come every 500 ms. */
    limit = limit < 1500 ? 1500 : limit;
    return consensus->io.transport != NULL && transport_peer(consensus->io.transport, id, &peer) &&
           peer.heard_ms_ago <= limit;
}

/* A majority of the voters would be reachable if plus were one and minus were none (0: nobody). */
static bool keeps_quorum(const struct consensus *consensus, uint64_t plus, uint64_t minus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    size_t n_voters = 0, n_reachable = 0;

    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];

        if (server->id != minus && (server->role == RAFT_VOTER || server->id == plus)) {
            n_voters++;
            n_reachable += membership_is_reachable(consensus, server->id);
        }
    }
    return n_reachable > n_voters / 2;
}

bool membership_sees_majority(const struct consensus *consensus)
{
    return core_voters(consensus) == 0 || keeps_quorum(consensus, 0, 0);
}

static bool has_caught_up(const struct consensus *consensus, uint64_t id)
{
    const struct raft *raft = &consensus->raft;

    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == id) {
            return raft->leader_state.progress[i].match_index + CAUGHT_UP_ENTRIES >=
                       raft->commit_index &&
                   membership_is_reachable(consensus, id);
        }
    }
    return false;
}

/* --- one change ------------------------------------------------------------------------------ */

static void change_cb(struct raft_change *request, int status)
{
    struct membership_change *change = container_of(request, struct membership_change, request);

    if (status == 0) {
        LOG_INFO("membership: %s: done", change->text);
    } else {
        LOG_WARN("membership: %s: %s", change->text, raft_strerror(status));
    }
    change->consensus->membership.change = NULL;
    free(change);
}

static struct membership_change *change_make(struct consensus *consensus, const char *verb,
                                             uint64_t id, const char *what)
{
    struct membership_change *change = memory_zero(sizeof *change);

    PRE(consensus->membership.change == NULL);
    change->consensus = consensus;
    snprintf(change->text, sizeof change->text, "%s member %016" PRIx64 "%s", verb, id, what);
    consensus->membership.change = change;
    return change;
}

/* Tell a reason once, until another one holds. */
static void refuse(struct consensus *consensus, const char *reason)
{
    struct membership *membership = &consensus->membership;

    if (reason != NULL && membership->refused != reason) {
        LOG_WARN("membership: %s", reason);
    }
    membership->refused = reason;
}

static void change_started(struct consensus *consensus, struct membership_change *change, int rv)
{
    if (rv == 0) {
        LOG_INFO("membership: %s", change->text);
        refuse(consensus, NULL);
        return;
    }
    consensus->membership.change = NULL;
    refuse(consensus, raft_strerror(rv));
    free(change);
}

static void add(struct consensus *consensus, const struct member *member)
{
    struct membership_change *change = change_make(consensus, "add", member->id, "");
    char address[IO_ADDRESS_MAX];

    io_member_address(address, member->id, member->address);
    change_started(consensus, change,
                   raft_add(&consensus->raft, &change->request, member->id, address, change_cb));
}

static void assign(struct consensus *consensus, uint64_t id, int role)
{
    struct membership_change *change =
        change_make(consensus, "make", id, role == RAFT_VOTER ? " a voter" : " a learner");

    change_started(consensus, change,
                   raft_assign(&consensus->raft, &change->request, id, role, change_cb));
}

static void take_out(struct consensus *consensus, uint64_t id)
{
    struct membership_change *change = change_make(consensus, "remove", id, "");

    change_started(consensus, change,
                   raft_remove(&consensus->raft, &change->request, id, change_cb));
}

/* --- which change is next --------------------------------------------------------------------- */

/* Bring one wanted member a step further. True: a change was begun, or tried. */
static bool raise_wanted(struct consensus *consensus, const struct member *member)
{
    const struct raft_server *server = core_server(consensus, member->id);

    if (server == NULL) {
        if (consensus->raft.configuration.n >= CONSENSUS_MEMBERS_MAX) {
            refuse(consensus, "as many members as there can be; remove one first");
            return false;
        }
        if (!membership_address_fits(member->id, member->address)) {
            refuse(consensus, "a member to be added has too long an address");
            return false;
        }
        add(consensus, member);
        return true;
    }
    if (server->role == RAFT_SPARE) {
        assign(consensus, member->id, RAFT_STANDBY);
        return true;
    }
    if (server->role != RAFT_STANDBY || !has_caught_up(consensus, member->id)) {
        return false;
    }
    if (!keeps_quorum(consensus, member->id, 0)) {
        refuse(consensus, "a learner has caught up, but with one voter more no quorum would be "
                          "reachable");
        return false;
    }
    assign(consensus, member->id, RAFT_VOTER);
    return true;
}

static bool remove_unwanted(struct consensus *consensus, const struct raft_server *server)
{
    if (is_wanted(&consensus->membership, server->id)) {
        return false;
    }
    if (server->role == RAFT_VOTER && !keeps_quorum(consensus, 0, server->id)) {
        refuse(consensus, "a member is to be removed, but without it no quorum would be reachable");
        return false;
    }
    if (server->id == consensus->id) {
        struct reason why;

        if (membership_transfer(consensus, 0, &why) != OK) {
            refuse(consensus, "this leader is to be removed, and there is nobody to take over");
        }
        return true;
    }
    take_out(consensus, server->id);
    return true;
}

static void reconcile(struct consensus *consensus)
{
    const struct membership *membership = &consensus->membership;
    const struct raft_configuration *configuration = &consensus->raft.configuration;

    for (size_t i = 0; i < membership->n_wanted; i++) {
        if (raise_wanted(consensus, &membership->wanted[i])) {
            return;
        }
    }
    for (unsigned i = 0; i < configuration->n; i++) {
        if (remove_unwanted(consensus, &configuration->servers[i])) {
            return;
        }
    }
}

/* Followers need links of their own: libraft sends them nothing to answer a question with. */
static void link_members(struct consensus *consensus)
{
    struct membership *membership = &consensus->membership;
    const struct raft *raft = &consensus->raft;
    raft_index index = raft->configuration_uncommitted_index != 0
                           ? raft->configuration_uncommitted_index
                           : raft->configuration_index;

    if (index == membership->linked_index && raft->configuration.n == membership->linked_n) {
        return;
    }
    for (size_t i = 0; i < membership->n_known; i++) {
        if (core_server(consensus, membership->known[i]) == NULL) {
            transport_forget(consensus->io.transport, membership->known[i]);
        }
    }
    membership->n_known = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        const struct raft_server *server = &raft->configuration.servers[i];

        if (server->id != consensus->id && membership->n_known < CONSENSUS_MEMBERS_MAX) {
            membership->known[membership->n_known++] = server->id;
            transport_connect(consensus->io.transport, server->id,
                              io_plain_address(server->address));
        }
    }
    membership->linked_index = index;
    membership->linked_n = raft->configuration.n;
}

void membership_tick(struct consensus *consensus)
{
    const struct membership *membership = &consensus->membership;

    link_members(consensus);
    if (consensus->is_low_space && core_leads(consensus) && core_voters(consensus) > 1) {
        struct reason why;

        refuse(consensus, membership_transfer(consensus, 0, &why) != OK
                              ? "there is nobody to take over from a leader without space"
                              : NULL);
        return;
    }
    /* What was said before all of the earlier terms was applied here may lack a member that an
     * earlier leader has added since. */
    if (core_leads(consensus) && membership->n_wanted > 0 && membership->change == NULL &&
        membership->wanted_at >= consensus->guard.barrier_index &&
        consensus->raft.leader_state.change == NULL &&
        consensus->raft.configuration_uncommitted_index == 0) {
        reconcile(consensus);
    }
}

/* --- leadership ------------------------------------------------------------------------------ */

static void transfer_cb(struct raft_transfer *request)
{
    struct consensus *consensus = request->data;

    consensus->membership.is_transferring = false;
    core_arm(consensus);
}

enum error membership_transfer(struct consensus *consensus, uint64_t id, struct reason *why)
{
    struct membership *membership = &consensus->membership;
    const struct raft_server *server = core_server(consensus, id);
    int rv;

    if (consensus->raft.state != RAFT_LEADER || membership->is_transferring) {
        return fail(why, ERROR_UNAVAILABLE, "%s",
                    membership->is_transferring ? "leadership is being handed over already"
                                                : "this member does not lead; ask the leader");
    }
    if (id != 0 && (server == NULL || server->role != RAFT_VOTER || id == consensus->id)) {
        return fail(why, ERROR_NOT_FOUND, "member %016" PRIx64 " is not another voter", id);
    }
    membership->transfer.data = consensus;
    rv = raft_transfer(&consensus->raft, &membership->transfer, id, transfer_cb);
    if (rv != 0) {
        return fail(why, ERROR_UNAVAILABLE, "leadership cannot be handed over: %s",
                    raft_strerror(rv));
    }
    FAILPOINT("transfer.after_start");
    membership->is_transferring = true;
    LOG_INFO("handing leadership over");
    return OK;
}

enum error consensus_transfer(struct consensus *consensus, uint64_t id, struct reason *why)
{
    return membership_transfer(consensus, id, why);
}

void consensus_want_members(struct consensus *consensus, const struct member *members, size_t n)
{
    struct membership *membership = &consensus->membership;

    PRE(n <= CONSENSUS_MEMBERS_MAX);
    memcpy(membership->wanted, members, n * sizeof *members);
    membership->n_wanted = n;
    membership->wanted_at = raft_last_applied(&consensus->raft);
    membership->refused = NULL;
}
