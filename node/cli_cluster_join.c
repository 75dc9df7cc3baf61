#include "node/cli.h"

#include "base/memory.h"
#include "node/cli_place.h"
#include "node/config.h"
#include "node/join.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson cluster join`: a new member's data directory, made with a token and a member's help. */

static const char *const join_usage =
    "Usage: caisson cluster join --data-dir DIR --name NAME --token TOKEN --peer ADDRESS "
    "[OPTIONS]\n"
    "\n"
    "  --token TOKEN | --token-file F   what `cluster init` or `cluster token create` printed\n"
    "  --peer ADDRESS                   data address of a member; may be given several times\n"
    "  --listen, --advertise, --raft-listen, --data-listen   as for `cluster init`\n"
    "  --timeout DURATION               give up after this (default 30s)\n"
    "\n"
    "The node becomes a voter once it has caught up. A member of the same name is replaced.\n"
    "\n"
    "Example:\n"
    "  caisson cluster join --data-dir /srv/caisson --name node-2 --token-file token \\\n"
    "      --peer 10.0.0.1:5200 --listen 10.0.0.2:5000 --raft-listen 10.0.0.2:5100 \\\n"
    "      --data-listen 10.0.0.2:5200\n";

static enum error join_peers(const struct cli_list *list, struct config *config, struct reason *why)
{
    enum error error = OK;

    config_init(config);
    if (list->n == 0) {
        return fail(why, ERROR_INVALID, "--peer is needed: the data address of a member");
    }
    for (size_t i = 0; error == OK && i < list->n; i++) {
        error = config_set(config, "join.peers", list->items[i], why);
    }
    return error;
}

/* The command line, read. */
struct join_request {
    struct cli_place place;
    struct cli_list peers;
    const char *token, *token_file, *timeout;
    struct config config; /* Its join_peers hold the checked addresses. */
    struct cluster_files files;
    struct join_options join;
};

static enum error check_request(struct join_request *request, struct reason *why)
{
    enum error error;

    if ((request->token == NULL) == (request->token_file == NULL)) {
        return fail(why, ERROR_INVALID, "give the join token, by --token or by --token-file");
    }
    error = cli_place_files(&request->place, &request->files, why);
    if (error == OK) {
        error = join_peers(&request->peers, &request->config, why);
    }
    if (error == OK) {
        error = cli_parse_duration(request->timeout == NULL ? "30s" : request->timeout,
                                   &request->join.timeout_ms, why);
    }
    request->join.peers = (const char(*)[80])request->config.join_peers;
    request->join.n_peers = request->config.n_join_peers;
    return error;
}

static int join_with(struct join_request *request, const char *token, struct reason *why)
{
    const struct node_identity *identity = &request->files.identity;
    enum error error;

    request->join.token = token;
    error = join_cluster(&request->files, &request->join, why);
    if (error == OK) {
        printf("%s is member %016" PRIx64 " of cluster %s.\n", identity->name, identity->member,
               identity->cluster);
        cli_place_print_start(&request->files);
    }
    cluster_files_release(&request->files);
    return error == OK ? CLI_OK : cli_fail_with(error, why);
}

static int run_join(int argc, char **argv)
{
    struct join_request request = {0};
    const struct cli_option options[] = {{"--token", CLI_TEXT, &request.token},
                                         {"--token-file", CLI_TEXT, &request.token_file},
                                         {"--peer", CLI_LIST, &request.peers},
                                         {"--timeout", CLI_TEXT, &request.timeout},
                                         {0}};
    const struct cli_option *const tables[] = {cli_place_options(&request.place), options, NULL};
    struct reason why = {""};
    char *secret;
    int code, n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "join takes no argument '%s'", argv[1]);
    }
    if (check_request(&request, &why) != OK) {
        return cli_fail(CLI_USAGE, "%s", why.text);
    }
    if (request.token != NULL) {
        return join_with(&request, request.token, &why);
    }
    secret = cli_read_secret(request.token_file);
    if (secret == NULL) {
        return CLI_FAILED;
    }
    code = join_with(&request, secret, &why);
    memory_wipe(secret, strlen(secret));
    free(secret);
    return code;
}

const struct cli_command cli_cluster_join_commands[] = {
    {"cluster join", "Cluster", "make this machine a member of a cluster", join_usage, run_join},
    {0},
};
