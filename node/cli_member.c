#include "node/cli.h"

#include "node/cli_client.h"

#include <stdio.h>

/* `caisson cluster remove`: take a member out. */

static const char *const usage =
    "Usage: caisson cluster remove NAME [--lose-data] [CLIENT OPTIONS]\n"
    "\n"
    "  --lose-data    also when it is the only one that has some blobs\n"
    "\n"
    "Takes a node out of the cluster for good: one that is dead, or one too many. It is refused\n"
    "while the others would have no quorum, or content would be lost. Stop the node before or\n"
    "after; its data directory cannot come back, an empty one can (`caisson cluster join`). A "
    "node\n"
    "that is replaced by one of the same name need not be removed.\n"
    "\n"
    "Example:\n"
    "  caisson cluster remove node-4 --user admin --password-file pw\n";

static int run_remove(int argc, char **argv)
{
    struct cli_client client = {0};
    bool is_forced = false;
    const struct cli_option own[] = {{"--lose-data", CLI_FLAG, &is_forced}, {0}};
    const struct cli_option *const tables[] = {own, cli_client_options(&client), NULL};
    int n = cli_options(argc, argv, tables), code;
    struct cli_reply reply;
    struct cli_call call = {.method = "DELETE"};
    char path[160];

    if (n != 1) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "which node? `caisson cluster status`");
    }
    snprintf(path, sizeof path, "/api/v1/cluster/members/%.64s%s", argv[1],
             is_forced ? "?lose_data=true" : "");
    call.path = path;
    code = cli_client_ready(&client);
    if (code != CLI_OK) {
        return code;
    }
    code = cli_request(&client, &call, &reply);
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK) {
        printf("%s is not a member any more.\n", argv[1]);
    }
    cli_reply_release(&reply);
    return code;
}

const struct cli_command cli_member_commands[] = {
    {"cluster remove", "Cluster", "take a node out of the cluster", usage, run_remove},
    {0},
};
