/* `caisson drill`: reads what is asked for, has it done (node/drill_run.h), writes the reports and
 * lets the cluster keep the result. */
#include "node/cli.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/cli_client.h"
#include "node/drill_local.h"
#include "node/drill_report.h"
#include "promotion/duration.h"
#include "store/catalog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *const usage =
    "Usage: caisson drill [KIND ...] [OPTIONS] [CLIENT OPTIONS]\n"
    "\n"
    "Does something bad to the nodes of a cluster while clients of its own push and read, checks\n"
    "what they saw, and measures. Kinds, one after the other (default: handover):\n"
    "\n"
    "  handover          leadership moves to another node\n"
    "  kill-leader       the leader is killed, and started again\n"
    "  pause             the leader stands still, and goes on\n"
    "  partition         the leader is cut off from the network\n"
    "  full-disk         the leader's disk is full\n"
    "  rolling-restart   every node is restarted, the leader last\n"
    "\n"
    "Who does it to the nodes (handover needs nobody):\n"
    "  --hook COMMAND       called as COMMAND ACTION NODE with ACTION one of kill, start, pause,\n"
    "                       resume, cut, heal, fill, free, restart; must end with 0 within 60s\n"
    "  --cluster-dir DIR    the directory of a cluster that scripts/cluster started\n"
    "  --local              a throw-away cluster is made for it; --nodes N: of N nodes (3)\n"
    "\n"
    "  --repository NAME    where the canary lives (default caisson/drill)\n"
    "  --hold TIME          how long a fault lasts (default 3s)\n"
    "  --calm TIME          before the first and after each (default 1s)\n"
    "  --timeout TIME       of one canary request (default 5s)\n"
    "  --max-write-gap TIME, --max-read-gap TIME, --max-errors N    limits for the verdict\n"
    "  --report DIR         write report.txt, report.json, report.html and operations.jsonl there\n"
    "  --no-record          do not let the cluster keep the result\n"
    "\n"
    "Exit code 0: passed; 2: over a limit; 6: an acknowledged write was lost, a read was stale, "
    "or\n"
    "the history is not linearizable; 1: it could not be done; 5: nobody answered; 64: the "
    "command\n"
    "line is wrong.\n"
    "\n"
    "Examples:\n"
    "  caisson drill --local kill-leader pause rolling-restart --max-write-gap 5s --report out\n"
    "  caisson drill kill-leader --hook /etc/caisson/drill-hook --user admin --password-file pw\n";

struct drill_command {
    struct cli_client client;
    const char *hook, *directory, *nodes, *repository, *hold, *calm, *timeout, *report;
    const char *write_gap, *read_gap, *errors;
    bool is_local, is_unrecorded;
    enum drill_fault faults[DRILL_STEPS_MAX];
    size_t n_faults, n_local;
    struct drill_limits limits;
    struct drill_setup setup;
    struct drill_hands hands;
    struct drill_local local;
    char *password;
};

static void tell(const char *sentence)
{
    fprintf(stderr, "  %s\n", sentence);
}

/* --- the command line ------------------------------------------------------------------------- */

static enum error read_time(const char *text, uint64_t fallback, uint64_t *ms, struct reason *why)
{
    *ms = fallback;
    return text == NULL ? OK : duration_parse(bytes_of_string(text), ms, why);
}

static enum error read_number(const char *text, const char *what, uint64_t most, uint64_t fallback,
                              uint64_t *out, struct reason *why)
{
    *out = fallback;
    if (text != NULL && (bytes_to_uint(bytes_of_string(text), out) != OK || *out > most)) {
        return fail(why, ERROR_INVALID, "%s is a number up to %llu, not '%s'", what,
                    (unsigned long long)most, text);
    }
    return OK;
}

static enum error read_options(struct drill_command *drill, struct reason *why)
{
    uint64_t n = 3;
    enum error error = read_time(drill->hold, 3000, &drill->setup.hold_ms, why);

    error = error == OK ? read_time(drill->calm, 1000, &drill->setup.calm_ms, why) : error;
    error = error == OK ? read_time(drill->timeout, 5000, &drill->setup.timeout_ms, why) : error;
    error = error == OK ? read_time(drill->write_gap, UINT64_MAX, &drill->limits.write_gap_ms, why)
                        : error;
    error = error == OK ? read_time(drill->read_gap, UINT64_MAX, &drill->limits.read_gap_ms, why)
                        : error;
    error = error == OK ? read_number(drill->errors, "--max-errors", UINT32_MAX, UINT64_MAX,
                                      &drill->limits.errors, why)
                        : error;
    error = error == OK ? read_number(drill->nodes, "--nodes", DRILL_LOCAL_NODES_MAX, 3, &n, why)
                        : error;
    drill->n_local = (size_t)n;
    if (error == OK && (n == 0 || drill->setup.timeout_ms == 0 || drill->setup.hold_ms > 600000 ||
                        drill->setup.calm_ms > 600000)) {
        error = fail(why, ERROR_INVALID,
                     "--nodes and --timeout are more than nothing, --hold and --calm at most 10m");
    }
    if (error == OK && drill->is_local + (drill->hook != NULL) + (drill->directory != NULL) > 1) {
        error = fail(why, ERROR_INVALID, "--hook, --cluster-dir and --local exclude each other");
    }
    drill->setup.repository = drill->repository == NULL ? "caisson/drill" : drill->repository;
    if (error == OK && !repository_name_is_valid(bytes_of_string(drill->setup.repository))) {
        error = fail(why, ERROR_INVALID, "'%s' is no repository name", drill->setup.repository);
    }
    return error;
}

static enum error read_faults(struct drill_command *drill, int n, char **names, struct reason *why)
{
    enum error error = OK;

    if (n > DRILL_STEPS_MAX) {
        return fail(why, ERROR_INVALID, "at most %d kinds in one drill", DRILL_STEPS_MAX);
    }
    drill->faults[0] = DRILL_HANDOVER;
    drill->n_faults = n == 0 ? 1 : (size_t)n;
    for (int i = 0; error == OK && i < n; i++) {
        error = drill_fault_parse(names[i], &drill->faults[i], why);
    }
    return error;
}

/* --- the cluster ------------------------------------------------------------------------------ */

static bool wants(const struct drill_command *drill, enum drill_fault fault)
{
    for (size_t i = 0; i < drill->n_faults; i++) {
        if (drill->faults[i] == fault) {
            return true;
        }
    }
    return false;
}

static enum error make_local(struct drill_command *drill, struct reason *why)
{
    struct drill_setup *setup = &drill->setup;
    enum error error;

    fprintf(stderr, "Making a throw-away cluster of %zu nodes\n", drill->n_local);
    error = drill_local_start(&drill->local, setup, drill->n_local, wants(drill, DRILL_PARTITION),
                              wants(drill, DRILL_FULL_DISK), why);
    drill->hands.directory = drill->local.directory;
    drill->hands.is_ours = true;
    drill->hands.disk = drill->local.disk;
    memcpy(drill->hands.network, drill->local.network, sizeof drill->hands.network);
    drill->password = memory_string(drill->local.password);
    setup->user = "admin";
    setup->password = drill->password;
    return error;
}

/* Names, ids and addresses of the members, by any node. */
static enum error read_members(struct drill_command *drill, const json_t *view, struct reason *why)
{
    struct drill_setup *setup = &drill->setup;
    const char *scheme = strncmp(drill->client.server, "https:", 6) == 0 ? "https" : "http";
    const char *cluster = json_member_string(view, "cluster");
    const json_t *member;
    size_t i;

    snprintf(setup->cluster, sizeof setup->cluster, "%s", cluster == NULL ? "" : cluster);
    setup->n_nodes = 0;
    json_array_foreach(json_object_get(view, "members"), i, member)
    {
        struct drill_node *node = &setup->nodes[setup->n_nodes];
        const char *name = json_member_string(member, "name");
        const char *id = json_member_string(member, "id");
        const char *address = json_member_string(member, "address");

        if (name == NULL || id == NULL || address == NULL || setup->n_nodes == DRILL_NODES_MAX) {
            return fail(why, ERROR_UNSUPPORTED, "the member table of the cluster does not read");
        }
        snprintf(node->name, sizeof node->name, "%s", name);
        snprintf(node->id, sizeof node->id, "%s", id);
        snprintf(node->url, sizeof node->url, "%s://%s", scheme, address);
        setup->n_nodes++;
    }
    return setup->n_nodes > 0 ? OK : fail(why, ERROR_UNAVAILABLE, "the cluster has no members");
}

static int find_cluster(struct drill_command *drill, struct reason *why)
{
    const struct cli_call call = {.method = "GET", .path = "/api/v1/cluster"};
    struct cli_reply reply;
    int code;

    if (drill->is_local) {
        drill->client.server = drill->setup.nodes[0].url;
    }
    code = cli_request(&drill->client, &call, &reply);
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK && read_members(drill, reply.body, why) != OK) {
        code = cli_fail(CLI_FAILED, "%s", why->text);
    }
    cli_reply_release(&reply);
    return code;
}

/* --- the result ------------------------------------------------------------------------------- */

static enum error write_one(const char *directory, const char *name, const struct buffer *text,
                            struct reason *why)
{
    char path[512];
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "we");
    if (file == NULL) {
        return fail_errno(why, errno, "cannot write %s", path);
    }
    n = fwrite(buffer_string(text), 1, text->size, file);
    if (fclose(file) != 0 || n != text->size) {
        return fail_errno(why, errno, "cannot write %s", path);
    }
    return OK;
}

static void write_operations(const struct drill_command *drill, const struct drill_result *result,
                             struct buffer *out)
{
    const char *names[DRILL_NODES_MAX];

    for (size_t i = 0; i < drill->setup.n_nodes; i++) {
        names[i] = drill->setup.nodes[i].name;
    }
    for (size_t i = 0; i < result->history.n; i++) {
        drill_operation_write(&result->history.operations[i], names, out);
    }
}

static enum error write_reports(const struct drill_command *drill,
                                const struct drill_result *result, const json_t *report,
                                struct reason *why)
{
    const char *directory = drill->report;
    struct buffer text;
    enum error error;

    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        return fail_errno(why, errno, "cannot make %s", directory);
    }
    buffer_init(&text, (size_t)1 << 28);
    drill_report_text(report, &text);
    error = write_one(directory, "report.txt", &text, why);
    buffer_clear(&text);
    drill_report_html(report, &text);
    error = error == OK ? write_one(directory, "report.html", &text, why) : error;
    buffer_clear(&text);
    json_write(&text, report);
    error = error == OK ? write_one(directory, "report.json", &text, why) : error;
    buffer_clear(&text);
    write_operations(drill, result, &text);
    error = error == OK ? write_one(directory, "operations.jsonl", &text, why) : error;
    buffer_release(&text);
    return error;
}

static int record(struct drill_command *drill, json_t *report)
{
    const struct cli_call call = {.method = "POST",
                                  .path = "/api/v1/drills",
                                  .body = json_incref(report),
                                  .idempotency_key = drill->setup.id};
    struct cli_reply reply;
    const char *id;
    int code = cli_request(&drill->client, &call, &reply);

    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    id = json_member_string(reply.body, "id");
    if (code == CLI_OK && id != NULL) {
        fprintf(stderr, "The cluster keeps the result as drill %s\n", id);
        json_object_set_new(report, "id", json_string(id));
    }
    cli_reply_release(&reply);
    return code;
}

static int conclude(struct drill_command *drill, const struct drill_result *result)
{
    json_t *report = drill_report_json(&drill->setup, result, &drill->limits);
    struct reason why = {""};
    struct buffer text;
    int code = CLI_OK;

    if (!drill->is_local && !drill->is_unrecorded) {
        code = record(drill, report);
    }
    if (drill->report != NULL && write_reports(drill, result, report, &why) != OK) {
        code = cli_fail(CLI_FAILED, "%s", why.text);
    }
    buffer_init(&text, DRILL_REPORT_MAX);
    if (cli_client_wants_json(&drill->client)) {
        json_write(&text, report);
        buffer_append_byte(&text, '\n');
    } else {
        drill_report_text(report, &text);
    }
    fputs(buffer_string(&text), stdout);
    buffer_release(&text);
    if (!drill_report_is_safe(report)) {
        code = CLI_UNSAFE;
    } else if (code == CLI_OK && !drill_report_passed(report)) {
        code = CLI_BLOCKED;
    }
    json_decref(report);
    return code;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int run_faults(struct drill_command *drill, struct reason *why)
{
    struct drill_result *result = memory_zero(sizeof *result);
    enum error error;
    int code;

    random_hex(drill->setup.id, 16);
    drill->setup.start_wall_ms = clock_wall_ms();
    drill->setup.start_ns = clock_monotonic_ns();
    fprintf(stderr, "Drilling %zu nodes\n", drill->setup.n_nodes);
    error =
        drill_run(&drill->setup, &drill->hands, drill->faults, drill->n_faults, tell, result, why);
    if (error == OK) {
        code = conclude(drill, result);
    } else if (result->n_steps > 0 && !drill_check_passed(&result->check)) {
        code = cli_fail(CLI_UNSAFE, "%s; and before that: %s", why->text, result->check.first);
    } else {
        code = cli_fail_with(error, why);
    }
    if (result->not_deleted > 0) {
        fprintf(stderr, "%zu canary manifests could not be deleted from %s\n", result->not_deleted,
                drill->setup.repository);
    }
    drill_result_release(result);
    free(result);
    return code;
}

static int run_drill_command(struct drill_command *drill)
{
    struct reason why = {""};
    enum error error = OK;
    int code;

    drill->hands.setup = &drill->setup;
    drill->hands.hook = drill->hook;
    drill->hands.directory = drill->directory;
    drill->setup.ca_file = drill->client.ca_file;
    if (drill->is_local) {
        error = make_local(drill, &why);
    } else {
        drill->setup.user = drill->client.user;
        drill->password = cli_client_password(&drill->client);
        drill->setup.password = drill->password;
        error = drill->password == NULL ? ERROR_INVALID : OK;
    }
    code = error == OK ? find_cluster(drill, &why) : cli_fail_with(error, &why);
    for (size_t i = 0; code == CLI_OK && i < drill->n_faults; i++) {
        if (drill_hands_can(&drill->hands, drill->faults[i], &why) != OK) {
            code = cli_fail(CLI_FAILED, "%s", why.text);
        }
    }
    if (code == CLI_OK) {
        code = run_faults(drill, &why);
    }
    if (drill->is_local) {
        drill_local_stop(&drill->local, &drill->hands);
    }
    if (drill->password != NULL) {
        memory_wipe(drill->password, strlen(drill->password));
        free(drill->password);
    }
    return code;
}

/* Signals are waited for where it is safe to stop: nothing is left broken. */
static void block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static int run_drill(int argc, char **argv)
{
    struct drill_command *drill = memory_zero(sizeof *drill);
    const struct cli_option options[] = {{"--hook", CLI_TEXT, &drill->hook},
                                         {"--cluster-dir", CLI_TEXT, &drill->directory},
                                         {"--local", CLI_FLAG, &drill->is_local},
                                         {"--nodes", CLI_TEXT, &drill->nodes},
                                         {"--repository", CLI_TEXT, &drill->repository},
                                         {"--hold", CLI_TEXT, &drill->hold},
                                         {"--calm", CLI_TEXT, &drill->calm},
                                         {"--timeout", CLI_TEXT, &drill->timeout},
                                         {"--max-write-gap", CLI_TEXT, &drill->write_gap},
                                         {"--max-read-gap", CLI_TEXT, &drill->read_gap},
                                         {"--max-errors", CLI_TEXT, &drill->errors},
                                         {"--report", CLI_TEXT, &drill->report},
                                         {"--no-record", CLI_FLAG, &drill->is_unrecorded},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&drill->client), options, NULL};
    struct reason why = {""};
    int n = cli_options(argc, argv, tables);
    int code = n < 0 ? CLI_USAGE : cli_client_ready(&drill->client);

    if (code == CLI_OK &&
        (read_options(drill, &why) != OK || read_faults(drill, n, argv + 1, &why) != OK)) {
        code = cli_fail(CLI_USAGE, "%s", why.text);
    }
    if (code == CLI_OK) {
        block_signals();
        code = run_drill_command(drill);
    }
    free(drill);
    return code;
}

const struct cli_command cli_drill_commands[] = {
    {"drill", "Cluster", "break nodes under load, check and measure", usage, run_drill},
    {0},
};
