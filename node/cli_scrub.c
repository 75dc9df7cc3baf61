#include "node/cli.h"

#include "base/bytes.h"
#include "base/json.h"
#include "node/cli_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* `caisson scrub status` and `scrub start`: of the node that is asked. */

static const char *const status_usage =
    "Usage: caisson scrub status [CLIENT OPTIONS]\n"
    "\n"
    "Shows how far the node that is asked has got in reading all of its blobs again, and what it\n"
    "found. Exit code 1 when the newest pass found something.\n"
    "\n"
    "Example:\n"
    "  caisson scrub status --server http://10.0.0.2:5000 --user admin --password-file pw\n";

static void print_pass(const char *title, const json_t *pass)
{
    const char *started = json_member_string(pass, "started");
    const char *finished = json_member_string(pass, "finished");

    if (started == NULL) {
        return;
    }
    printf("%s: begun %s, %s%s\n", title, started, finished == NULL ? "under way" : "ended ",
           finished == NULL ? "" : finished);
    printf("  %" PRId64 " blobs, %" PRId64 " bytes read; %" PRId64 " damaged, %" PRId64
           " missing\n",
           json_member_int(pass, "blobs", 0), json_member_int(pass, "bytes", 0),
           json_member_int(pass, "damaged", 0), json_member_int(pass, "missing", 0));
}

static int print_status(const json_t *body)
{
    json_t *pass = json_object_get(body, "pass"), *finding;
    size_t i;

    printf("This node holds %" PRId64 " blobs, %" PRId64 " bytes.\n",
           json_member_int(body, "held_blobs", 0), json_member_int(body, "held_bytes", 0));
    if (!json_is_object(pass)) {
        printf("No pass yet.\n");
    }
    print_pass("pass", pass);
    print_pass("before", json_object_get(body, "last"));
    json_array_foreach(json_object_get(body, "findings"), i, finding)
    {
        printf("  %s %s, %s\n", json_member_string(finding, "time"),
               json_member_string(finding, "digest"), json_member_string(finding, "what"));
    }
    return json_member_int(pass, "damaged", 0) + json_member_int(pass, "missing", 0) > 0
               ? CLI_FAILED
               : CLI_OK;
}

static int run_status(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/scrub"};
    int n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "status takes no argument '%s'", argv[1]);
    }
    return cli_show(&client, &call, print_status);
}

static const char *const start_usage =
    "Usage: caisson scrub start [--rate BYTES] [CLIENT OPTIONS]\n"
    "\n"
    "  --rate BYTES    bytes per second (default: as fast as the disk can)\n"
    "\n"
    "Has the node that is asked read and hash all of its blobs now. What is damaged goes to\n"
    "quarantine/ and is fetched again from another node.\n"
    "\n"
    "Example:\n"
    "  caisson scrub start --rate 50000000 --user admin --password-file pw\n";

static int print_started(const json_t *body)
{
    printf("Scrubbing %" PRId64 " blobs, %" PRId64 " bytes.\n",
           json_member_int(body, "held_blobs", 0), json_member_int(body, "held_bytes", 0));
    return CLI_OK;
}

static int run_start(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *text = NULL;
    const struct cli_option options[] = {{"--rate", CLI_TEXT, &text}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    struct cli_call call = {.method = "POST", .path = "/api/v1/scrub"};
    int n = cli_options(argc, argv, tables);
    uint64_t rate = 0;

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "start takes no argument '%s'", argv[1]);
    }
    if (text != NULL && (bytes_to_uint(bytes_of_string(text), &rate) != OK || rate > INT64_MAX)) {
        return cli_fail(CLI_USAGE, "--rate is a number of bytes per second, not '%s'", text);
    }
    call.body = json_pack("{s:I}", "bytes_per_second", (json_int_t)rate);
    return cli_show(&client, &call, print_started);
}

const struct cli_command cli_scrub_commands[] = {
    {"scrub status", "Cluster", "how far the scrub of a node is, and what it found", status_usage,
     run_status},
    {"scrub start", "Cluster", "have a node read and check all of its blobs now", start_usage,
     run_start},
    {0},
};
