#include "node/cli.h"

#include "base/memory.h"
#include "node/cli_place.h"
#include "node/cluster_init.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson cluster init`: the first node of a cluster, made on its data directory. */

static const char *const init_usage =
    "Usage: caisson cluster init --data-dir DIR --name NAME [OPTIONS]\n"
    "\n"
    "  --listen ADDRESS           clients, host:port (default 127.0.0.1:5000)\n"
    "  --advertise ADDRESS        where clients reach it, if not at --listen\n"
    "  --raft-listen ADDRESS      the other nodes, for the log (default 127.0.0.1:5100)\n"
    "  --data-listen ADDRESS      the other nodes, for content (default 127.0.0.1:5200)\n"
    "  --admin-password-file F    the admin's password ('-': standard input); else one is made\n"
    "  --token-ttl DURATION       how long the join token works: 30m, 24h, 7d, 0: always\n"
    "                             (default 24h)\n"
    "\n"
    "Makes the cluster's certificate authority, this node's certificate, the user 'admin' and a\n"
    "join token. The addresses are part of the node's identity: name those that others can reach.\n"
    "\n"
    "Example:\n"
    "  caisson cluster init --data-dir /srv/caisson --name node-1 --listen 10.0.0.1:5000 \\\n"
    "      --raft-listen 10.0.0.1:5100 --data-listen 10.0.0.1:5200\n";

static void print_init(const struct cluster_init *init)
{
    printf("Cluster %s has its first node, %s (%016" PRIx64 ").\n", init->files.identity.cluster,
           init->files.identity.name, init->files.identity.member);
    if (init->password[0] != '\0') {
        printf("Admin password:   %s\n", init->password);
    }
    printf("Join token:       %s\n", init->token);
    printf("Neither is shown again. ");
    cli_place_print_start(&init->files);
}

static int make_cluster(struct cluster_init *init, struct reason *why)
{
    enum error error = cluster_init(init, why);

    if (error == OK) {
        print_init(init);
    }
    cluster_files_release(&init->files);
    return error == OK ? CLI_OK : cli_fail_with(error, why);
}

static int run_init(int argc, char **argv)
{
    struct cli_place place = {0};
    struct cluster_init init = {0};
    const char *password_file = NULL, *ttl = NULL;
    const struct cli_option options[] = {
        {"--admin-password-file", CLI_TEXT, &password_file}, {"--token-ttl", CLI_TEXT, &ttl}, {0}};
    const struct cli_option *const tables[] = {cli_place_options(&place), options, NULL};
    struct reason why = {""};
    char *password = NULL;
    int n = cli_options(argc, argv, tables);
    int code;

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "init takes no argument '%s'", argv[1]);
    }
    if (cli_place_files(&place, &init.files, &why) != OK ||
        cli_parse_duration(ttl == NULL ? "24h" : ttl, &init.token_ttl_ms, &why) != OK) {
        return cli_fail(CLI_USAGE, "%s", why.text);
    }
    if (password_file != NULL) {
        password = cli_read_secret(password_file);
        if (password == NULL) {
            return CLI_FAILED;
        }
    }
    init.admin_password = password;
    code = make_cluster(&init, &why);
    if (password != NULL) {
        memory_wipe(password, strlen(password));
        free(password);
    }
    return code;
}

const struct cli_command cli_cluster_init_commands[] = {
    {"cluster init", "Cluster", "make a cluster and its first node", init_usage, run_init},
    {0},
};
