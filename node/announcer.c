#include "node/announcer.h"

#include "base/clock.h"
#include "base/log.h"
#include "node/command_tables.h"
#include "store/level.h"

#include <stdio.h>

#define TRY_MS   5000 /* How long one attempt waits for a leader, */
#define PAUSE_MS 1000 /* and how long after it the next begins. */

void announcer_init(struct announcer *announcer, struct consensus *consensus,
                    struct catalog *catalog, uint64_t self)
{
    *announcer = (struct announcer){.consensus = consensus, .catalog = catalog, .self = self};
}

static void proposed_cb(struct proposal *proposal, enum error status, uint64_t index,
                        struct bytes result)
{
    struct announcer *announcer = proposal->data;
    struct command_result decoded;

    (void)index;
    announcer->is_proposing = false;
    announcer->not_before_ms = clock_monotonic_ms() + PAUSE_MS;
    if (status == OK && command_result_read(result, &decoded) == OK && decoded.error != OK) {
        LOG_WARN("this version could not be announced: %s", decoded.why.text);
    }
}

static void propose(struct announcer *announcer, struct bytes name)
{
    struct command_id id;
    struct buffer command;
    char actor[80];

    snprintf(actor, sizeof actor, "node/" BYTES_FMT, BYTES_ARG(name));
    command_id_make(&id);
    buffer_init(&command, COMMAND_SIZE_MAX);
    command_member_announce(&command, &id, bytes_of_string(actor), announcer->self,
                            catalog_own_level(announcer->catalog),
                            bytes_of_string(program_version));
    announcer->is_proposing = true;
    announcer->proposal.data = announcer;
    consensus_propose(announcer->consensus, &announcer->proposal, buffer_view(&command), TRY_MS,
                      proposed_cb);
    buffer_release(&command);
}

void announcer_tick(struct announcer *announcer)
{
    struct member_record member;
    struct catalog_txn txn;
    struct bytes version;
    unsigned level = 0;

    if (announcer->is_proposing || clock_monotonic_ms() < announcer->not_before_ms) {
        return;
    }
    catalog_read(announcer->catalog, &txn);
    if (catalog_member(&txn, announcer->self, &member) == OK &&
        (catalog_member_level(&txn, announcer->self, &level, &version) != OK ||
         level != catalog_own_level(announcer->catalog) ||
         !bytes_equal_string(version, program_version))) {
        propose(announcer, member.name);
    }
    catalog_done(&txn);
}
