#include "node/bootstrap.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/cluster_files.h"

#include <stdlib.h>

#define BOOTSTRAP_TRY_MS 5000

struct bootstrap {
    const struct cluster_files *files;
    struct consensus *consensus;
    struct buffer text;
    struct bytes commands[BOOTSTRAP_COMMANDS_MAX];
    size_t n, next;
    struct proposal proposal;
};

static void propose_next(struct bootstrap *bootstrap);

enum error bootstrap_open(const struct cluster_files *files, struct consensus *consensus,
                          struct bootstrap **out, struct reason *why)
{
    struct bootstrap *bootstrap = memory_zero(sizeof *bootstrap);
    enum error rv;

    *out = NULL;
    bootstrap->files = files;
    bootstrap->consensus = consensus;
    rv = cluster_files_bootstrap(files, &bootstrap->text, bootstrap->commands, &bootstrap->n, why);
    if (rv == OK && bootstrap->n > 0) {
        rv = consensus_bootstrap(consensus, why);
        if (rv == ERROR_EXISTS) {
            rv = OK; /* A first start that was cut short after this step. */
        }
    }
    if (rv != OK || bootstrap->n == 0) {
        bootstrap_release(bootstrap);
        return rv;
    }
    *out = bootstrap;
    return OK;
}

static void finish(struct bootstrap *bootstrap)
{
    struct reason why = {""};

    if (cluster_files_bootstrap_done(bootstrap->files, &why) != OK) {
        LOG_WARN("the bootstrap file could not be removed: %s", why.text);
        return;
    }
    LOG_INFO("the cluster is made: its first commands are in the log");
}

static void applied_cb(struct proposal *proposal, enum error status, uint64_t index,
                       struct bytes result)
{
    struct bootstrap *bootstrap = proposal->data;
    struct command_result decoded;

    (void)index;
    if (status == ERROR_CANCELED) {
        return;
    }
    if (status != OK && status != ERROR_UNAVAILABLE) {
        fail_stop("the cluster's first commands cannot be written: %s", error_text(status));
    }
    if (status == OK) {
        CHECK(command_result_read(result, &decoded) == OK);
        if (decoded.error != OK && decoded.error != ERROR_EXISTS) {
            fail_stop("a bootstrap command was refused: %s", decoded.why.text);
        }
        bootstrap->next++;
    }
    propose_next(bootstrap);
}

static void propose_next(struct bootstrap *bootstrap)
{
    if (bootstrap->next == bootstrap->n) {
        finish(bootstrap);
        return;
    }
    bootstrap->proposal.data = bootstrap;
    consensus_propose(bootstrap->consensus, &bootstrap->proposal,
                      bootstrap->commands[bootstrap->next], BOOTSTRAP_TRY_MS, applied_cb);
}

void bootstrap_start(struct bootstrap *bootstrap)
{
    if (bootstrap != NULL) {
        propose_next(bootstrap);
    }
}

void bootstrap_release(struct bootstrap *bootstrap)
{
    if (bootstrap == NULL) {
        return;
    }
    if (bootstrap->text.data != NULL) {
        memory_wipe(bootstrap->text.data, bootstrap->text.size);
    }
    buffer_release(&bootstrap->text);
    free(bootstrap);
}
