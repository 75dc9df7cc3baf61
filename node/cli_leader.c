#include "node/cli.h"

#include "base/clock.h"
#include "base/json.h"
#include "node/cli_client.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

/* `caisson cluster transfer-leader`: asks, and waits until it shows. */

#define WAIT_MS 10000
#define POLL_MS 50

static const char *const usage =
    "Usage: caisson cluster transfer-leader [NAME] [CLIENT OPTIONS]\n"
    "\n"
    "Moves leadership to the named node, or to any that has caught up: before maintenance of the\n"
    "node that leads, or to see that it works. Writes wait for a moment, none is lost. Exit code "
    "0:\n"
    "another node leads now; 5: there is nobody to take over, or no quorum.\n"
    "\n"
    "Example:\n"
    "  caisson cluster transfer-leader node-2 --user admin --password-file pw\n";

/* The leader's id by the node that is asked; "" when it knows none. */
static int read_leader(const struct cli_client *client, char leader[17], char name[64])
{
    const struct cli_call call = {.method = "GET", .path = "/api/v1/cluster"};
    struct cli_reply reply;
    int code = cli_request(client, &call, &reply);
    json_t *member;
    size_t i;

    leader[0] = name[0] = '\0';
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK && json_member_string(reply.body, "leader") != NULL) {
        snprintf(leader, 17, "%s", json_member_string(reply.body, "leader"));
    }
    json_array_foreach(json_object_get(reply.body, "members"), i, member)
    {
        const char *id = json_member_string(member, "id");
        const char *text = json_member_string(member, "name");

        if (id != NULL && text != NULL && strcmp(id, leader) == 0) {
            snprintf(name, 64, "%s", text);
        }
    }
    cli_reply_release(&reply);
    return code;
}

static int ask(const struct cli_client *client, const char *member)
{
    const struct cli_call call = {.method = "POST",
                                  .path = "/api/v1/cluster/leader",
                                  .body = member == NULL ? json_object()
                                                         : json_pack("{s:s}", "member", member)};
    struct cli_reply reply;
    int code = cli_request(client, &call, &reply);

    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    cli_reply_release(&reply);
    return code;
}

static int wait_for_change(const struct cli_client *client, const char *before)
{
    uint64_t end = clock_monotonic_ms() + WAIT_MS;
    char leader[17], name[64];

    do {
        int code = read_leader(client, leader, name);

        if (code != CLI_OK) {
            return code;
        }
        if (leader[0] != '\0' && strcmp(leader, before) != 0) {
            printf("%s leads now.\n", name);
            return CLI_OK;
        }
        uv_sleep(POLL_MS);
    } while (clock_monotonic_ms() < end);
    return cli_fail(CLI_NO_QUORUM,
                    "leadership did not move within %d s: the other node is not up "
                    "to date, or cannot be reached",
                    WAIT_MS / 1000);
}

static int run_transfer(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    char before[17], name[64];
    int code, n = cli_options(argc, argv, tables);

    if (n < 0 || n > 1) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "name one node, or none");
    }
    code = cli_client_ready(&client);
    if (code == CLI_OK) {
        code = read_leader(&client, before, name);
    }
    if (code == CLI_OK) {
        code = ask(&client, n == 1 ? argv[1] : NULL);
    }
    return code == CLI_OK ? wait_for_change(&client, before) : code;
}

const struct cli_command cli_leader_commands[] = {
    {"cluster transfer-leader", "Cluster", "let another node lead", usage, run_transfer},
    {0},
};
