#include "node/routes_members.h"

#include "base/log.h"
#include "base/memory.h"
#include "node/consistency.h"
#include "node/control.h"
#include "node/worker.h"

#include <inttypes.h>
#include <stdlib.h>

struct removal {
    struct control_propose propose;
    struct exchange *exchange;
    uint64_t member;
    char name[64];
};

/* --- may it go? ------------------------------------------------------------------------------- */

struct member_search {
    struct bytes wanted; /* A name, or an id in 16 hex digits. */
    struct removal *removal;
};

static bool match_member(void *data, const struct member_record *member)
{
    struct member_search *search = data;
    char id[17];

    snprintf(id, sizeof id, "%016" PRIx64, member->id);
    if (bytes_equal_string(search->wanted, id) || bytes_equal(search->wanted, member->name)) {
        search->removal->member = member->id;
        snprintf(search->removal->name, sizeof search->removal->name, BYTES_FMT,
                 BYTES_ARG(member->name));
    }
    return search->removal->member == 0;
}

/* Without it, would a majority of the voters that are left be reachable? */
static enum error check_quorum(const struct removal *removal, struct reason *why)
{
    unsigned n_voters = 0, n_reachable = 0;
    struct consensus_status log;
    bool is_voter = false;

    control_status(exchange_worker(removal->exchange)->control, &log);
    for (size_t i = 0; i < log.n_members; i++) {
        const struct member_status *member = &log.members[i];

        is_voter |= member->member.id == removal->member && member->role == MEMBER_VOTER;
        if (member->member.id != removal->member && member->role == MEMBER_VOTER) {
            n_voters++;
            n_reachable += member->member.id == log.id || member->connected;
        }
    }
    if (!is_voter || n_reachable > n_voters / 2) {
        return OK;
    }
    return fail(why, ERROR_BUSY,
                "without %s there would be %u voting members, and this node reaches %u of them: no "
                "quorum. Start the others, or add nodes, first",
                removal->name, n_voters, n_reachable);
}

static enum error check_content(struct removal *removal, struct catalog_txn *txn,
                                struct reason *why)
{
    uint64_t n = catalog_count_sole(txn, removal->member);
    struct bytes wish;

    if (n == 0 || (exchange_query(removal->exchange, "lose_data", 0, &wish) &&
                   bytes_equal_string(wish, "true"))) {
        return OK;
    }
    return fail(why, ERROR_BUSY,
                "%" PRIu64 " blobs are on %s only and would be lost: wait until they are copied "
                "(under_replicated of `caisson cluster status`), or say lose_data=true",
                n, removal->name);
}

static enum error look(struct removal *removal, struct reason *why)
{
    struct member_search search = {.wanted = exchange_parameter(removal->exchange, "member"),
                                   .removal = removal};
    struct catalog_txn txn;
    enum error error = OK;

    catalog_read(exchange_worker(removal->exchange)->catalog, &txn);
    catalog_members(&txn, match_member, &search);
    if (removal->member == 0) {
        error = fail(why, ERROR_NOT_FOUND,
                     "no member is called \"" BYTES_FMT "\": `caisson cluster status` lists them",
                     BYTES_ARG(search.wanted));
    }
    if (error == OK) {
        error = check_quorum(removal, why);
    }
    if (error == OK) {
        error = check_content(removal, &txn, why);
    }
    catalog_done(&txn);
    return error;
}

/* --- it goes ---------------------------------------------------------------------------------- */

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct removal *removal = request->data;
    struct exchange *exchange = removal->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else {
        LOG_INFO("member %016" PRIx64 " (%s) was removed", removal->member, removal->name);
        exchange_set_index(exchange, result->index);
        exchange_answer_json(exchange, 202,
                             json_pack("{s:o, s:s}", "removed",
                                       json_sprintf("%016" PRIx64, removal->member), "name",
                                       removal->name));
    }
    exchange_release(exchange);
}

/* What is here is the newest: nobody decides on an old count of copies. */
static void delete_fresh(struct exchange *exchange)
{
    struct removal *removal = memory_zero(sizeof *removal);
    struct reason why = {""};
    struct command_id id;
    enum error error;

    removal->exchange = exchange;
    exchange_set_data(exchange, removal, free);
    error = look(removal, &why);
    if (error == ERROR_BUSY) {
        exchange_fail_as(exchange, 409, "CONFLICT", NULL, "%s", why.text);
        return;
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    command_id_make(&id);
    removal->propose.data = removal;
    buffer_init(&removal->propose.bytes, COMMAND_SIZE_MAX);
    command_member_remove(&removal->propose.bytes, &id, exchange_actor(exchange), removal->member);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &removal->propose, proposed_cb);
}

static void delete_member(struct exchange *exchange)
{
    catalog_freshen(exchange, FRESH_LATEST, delete_fresh);
}

const struct route routes_members[] = {
    {HTTP_DELETE_, "/api/v1/cluster/members/{member}", ACCESS_ADMIN, delete_member},
    {0},
};
