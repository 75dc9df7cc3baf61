#include "node/cli.h"

#include "base/json.h"
#include "node/cli_client.h"
#include "node/cli_place.h"
#include "node/cli_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* `caisson cluster status` and `token create`: asked of a running node. */

static const char *const status_usage =
    "Usage: caisson cluster status [--server URL] [-o json]\n"
    "\n"
    "Shows the members, who leads, and whether a node may be lost now. Exit code 0: it may; 1: it\n"
    "may not (the line at the end says why); 5: no quorum, or nobody answered.\n"
    "\n"
    "Example:\n"
    "  caisson cluster status --server http://10.0.0.2:5000\n";

static void cell_text(struct cli_table *table, const json_t *member, const char *key)
{
    const char *text = json_member_string(member, key);

    cli_table_cell(table, "%s", text == NULL ? "-" : text);
}

static void cell_number(struct cli_table *table, const json_t *member, const char *key)
{
    if (json_object_get(member, key) == NULL) {
        cli_table_cell(table, "-");
    } else {
        cli_table_cell(table, "%" PRId64, json_member_int(member, key, 0));
    }
}

/* "12.3G": to a glance. */
static void cell_size(struct cli_table *table, const json_t *member, const char *key)
{
    static const char units[] = "BKMGTP";
    double size = (double)json_member_int(member, key, -1);
    size_t i = 0;

    while (size >= 1000 && i + 2 < sizeof units) {
        size /= 1024;
        i++;
    }
    if (size < 0) {
        cli_table_cell(table, "-");
    } else {
        cli_table_cell(table, i == 0 ? "%.0f%c" : "%.1f%c", size, units[i]);
    }
}

static void member_row(struct cli_table *table, const json_t *member)
{
    bool is_reachable = json_is_true(json_object_get(member, "reachable"));
    const char *url = json_member_string(member, "url");
    const char *address = json_member_string(member, "address");

    cell_text(table, member, "name");
    cell_text(table, member, "id");
    cell_text(table, member, "role");
    cli_table_cell(table, "%s", is_reachable ? "yes" : "NO");
    cell_number(table, member, "term");
    cell_number(table, member, "commit_index");
    cell_number(table, member, "applied_index");
    cell_size(table, member, "free_bytes");
    cell_text(table, member, "version");
    /* A node knows the scheme of its own clients only. */
    cli_table_cell(table, "%s", url != NULL ? url : address != NULL ? address : "-");
}

static void print_node(const json_t *cluster)
{
    const json_t *node = json_object_get(cluster, "node");

    printf("log %" PRId64 " bytes, snapshot at %" PRId64 ", syncs p50 %" PRId64 " us p99 %" PRId64
           " us, %" PRId64 " blobs under-replicated\n",
           json_member_int(node, "log_bytes", 0), json_member_int(node, "snapshot_index", 0),
           json_member_int(node, "fsync_p50_us", 0), json_member_int(node, "fsync_p99_us", 0),
           json_member_int(cluster, "under_replicated", 0));
}

/* What the node that was asked still fetches; nothing when all is well. */
static void print_repair(const json_t *repair)
{
    int64_t missing = json_member_int(repair, "missing_blobs", 0);
    int64_t lost = json_member_int(repair, "lost_blobs", 0);
    int64_t left = json_member_int(repair, "seconds_left", -1);

    if (missing > 0) {
        printf("repair: this node lacks %" PRId64 " blobs, %" PRId64 " bytes", missing,
               json_member_int(repair, "missing_bytes", 0));
        if (left >= 0) {
            printf(", about %" PRId64 " s left", left);
        }
        printf("\n");
    }
    if (lost > 0) {
        printf("LOST: %" PRId64 " blobs have no good copy on any node: push them again\n", lost);
    }
}

static int print_status(const json_t *cluster)
{
    static const char *const headings[] = {"NAME",   "ID",      "ROLE", "UP",      "TERM",
                                           "COMMIT", "APPLIED", "FREE", "VERSION", "CLIENTS"};
    json_t *verdict = json_object_get(cluster, "can_lose_a_node");
    const char *why = json_member_string(verdict, "why");
    const char *leader = json_member_string(cluster, "leader");
    bool can_lose = json_is_true(json_object_get(verdict, "yes"));
    struct cli_table table;
    json_t *member;
    size_t i;

    cli_table_init(&table, sizeof headings / sizeof headings[0], headings);
    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        member_row(&table, member);
    }
    cli_table_print(&table);
    printf("term %" PRId64 ", leader %s\n", json_member_int(cluster, "term", 0),
           leader == NULL ? "none" : leader);
    print_node(cluster);
    print_repair(json_object_get(cluster, "repair"));
    printf("A node may %sbe lost now%s%s\n", can_lose ? "" : "not ", why == NULL ? "." : ": ",
           why == NULL ? "" : why);
    return can_lose ? CLI_OK : leader == NULL ? CLI_NO_QUORUM : CLI_FAILED;
}

static int run_status(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/cluster"};
    int n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "status takes no argument '%s'", argv[1]);
    }
    return cli_show(&client, &call, print_status);
}

static const char *const token_usage =
    "Usage: caisson cluster token create [--ttl DURATION] [--uses N] [CLIENT OPTIONS]\n"
    "\n"
    "  --ttl DURATION    30m, 24h (the default), 7d\n"
    "  --uses N          how many nodes may join with it (default 1)\n"
    "\n"
    "Prints the token on stdout and nothing else. Whoever has it can become a member, and replace\n"
    "a member whose name they take: hand it over like a key.\n"
    "\n"
    "Example:\n"
    "  caisson cluster token create --ttl 30m --user admin --password-file pw > token\n";

static json_t *token_body(const char *ttl, const char *uses, struct reason *why)
{
    uint64_t ttl_ms, n = 1;

    if (cli_parse_duration(ttl == NULL ? "24h" : ttl, &ttl_ms, why) != OK) {
        return NULL;
    }
    if (uses != NULL && (bytes_to_uint(bytes_of_string(uses), &n) != OK || n > UINT32_MAX)) {
        (void)fail(why, ERROR_INVALID, "--uses is a number from 1 on, not '%s'", uses);
        return NULL;
    }
    return json_pack("{s:I, s:I}", "ttl_ms", (json_int_t)ttl_ms, "uses", (json_int_t)n);
}

static int create_token(const struct cli_client *client, json_t *body_taken)
{
    const struct cli_call call = {
        .method = "POST", .path = "/api/v1/join-tokens", .body = body_taken};
    struct cli_reply reply;
    int code = cli_request(client, &call, &reply);

    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK && cli_client_wants_json(client)) {
        cli_reply_print(&reply);
    } else if (code == CLI_OK) {
        const char *token = json_member_string(reply.body, "token");
        printf("%s\n", token == NULL ? "" : token);
    }
    cli_reply_release(&reply);
    return code;
}

static int run_token(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *ttl = NULL, *uses = NULL;
    const struct cli_option options[] = {
        {"--ttl", CLI_TEXT, &ttl}, {"--uses", CLI_TEXT, &uses}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    struct reason why = {""};
    json_t *body;
    int code, n = cli_options(argc, argv, tables);

    if (n != 1 || strcmp(argv[1], "create") != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "it is `caisson cluster token create`");
    }
    code = cli_client_ready(&client);
    if (code != CLI_OK) {
        return code;
    }
    body = token_body(ttl, uses, &why);
    return body == NULL ? cli_fail(CLI_USAGE, "%s", why.text) : create_token(&client, body);
}

const struct cli_command cli_cluster_commands[] = {
    {"cluster status", "Cluster", "members, leader, and whether a node may be lost", status_usage,
     run_status},
    {"cluster token", "Cluster", "make a token that lets a node join", token_usage, run_token},
    {0},
};
