#include "node/cli_client.h"

#include "base/json.h"
#include "node/cli_table.h"
#include "node/drill_report.h"

#include <inttypes.h>
#include <stdio.h>

/* `caisson drill list|show|report`: what the cluster keeps. */

static const char *const list_usage =
    "Usage: caisson drill list [CLIENT OPTIONS]\n"
    "\n"
    "The drills that the cluster keeps, newest first. SIGNATURE: valid when it is the cluster's.\n";

static const char *const show_usage =
    "Usage: caisson drill show ID [CLIENT OPTIONS]\n"
    "\n"
    "One drill with its figures. ID: as `drill list` shows it; \"latest\" for the newest.\n";

static const char *const report_usage =
    "Usage: caisson drill report ID [--format text|json|html] [CLIENT OPTIONS]\n"
    "\n"
    "The report of a drill on stdout. ID: as `drill list` shows it; \"latest\" for the newest.\n"
    "\n"
    "Example:\n"
    "  caisson drill report latest --format html > drill.html\n";

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_member_string(object, key);

    return text == NULL ? "-" : text;
}

static void kinds_cell(struct cli_table *table, const json_t *drill)
{
    char text[128] = "";
    size_t used = 0, i;
    const json_t *kind;

    json_array_foreach(json_object_get(drill, "kinds"), i, kind)
    {
        const char *name = json_string_value(kind);

        if (used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? "," : "",
                                     name == NULL ? "?" : name);
        }
    }
    cli_table_cell(table, "%s", text);
}

static int print_list(const json_t *body)
{
    static const char *const headings[] = {"ID",  "RECORDED", "BY",       "KINDS",
                                           "GAP", "VERDICT",  "SIGNATURE"};
    struct cli_table table;
    const json_t *drill;
    size_t i;

    cli_table_init(&table, sizeof headings / sizeof headings[0], headings);
    json_array_foreach(json_object_get(body, "drills"), i, drill)
    {
        cli_table_cell(&table, "%s", text_of(drill, "id"));
        cli_table_cell(&table, "%.19s", text_of(drill, "recorded"));
        cli_table_cell(&table, "%s", text_of(drill, "actor"));
        kinds_cell(&table, drill);
        cli_table_cell(&table, "%" PRId64 " ms", json_member_int(drill, "write_gap_ms", 0));
        cli_table_cell(&table, "%s", drill_report_passed(drill) ? "passed" : "not passed");
        cli_table_cell(&table, "%s", text_of(drill, "signature"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_list(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/drills"};
    int n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "list takes no argument '%s'", argv[1]);
    }
    return cli_show(&client, &call, print_list);
}

/* Letters and digits: an id goes into a path. */
static bool is_id(const char *id)
{
    return id[0] != '\0' && strlen(id) <= 64 &&
           strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
               strlen(id);
}

static int print_report(const json_t *body, void (*write)(const json_t *, struct buffer *))
{
    const json_t *report = json_object_get(body, "report");
    struct buffer text;

    buffer_init(&text, (size_t)1 << 22);
    write(report, &text);
    fputs(buffer_string(&text), stdout);
    buffer_release(&text);
    return CLI_OK;
}

static int print_text(const json_t *body)
{
    return print_report(body, drill_report_text);
}

static int print_html(const json_t *body)
{
    return print_report(body, drill_report_html);
}

static void write_json(const json_t *report, struct buffer *out)
{
    json_write(out, report);
    buffer_append_byte(out, '\n');
}

static int print_json(const json_t *body)
{
    return print_report(body, write_json);
}

static int print_show(const json_t *body)
{
    int code = print_text(body);

    printf("\nRecorded %s by %s, at log index %" PRId64 ". Signature: %s (Ed25519 key %.16s...)\n",
           text_of(body, "recorded"), text_of(body, "actor"), json_member_int(body, "index", 0),
           text_of(body, "signature"), text_of(body, "key"));
    return code;
}

static int show(struct cli_client *client, int n, char **argv, int (*print)(const json_t *))
{
    char path[128];
    const struct cli_call call = {.method = "GET", .path = path};

    if (n != 1 || !is_id(argv[1])) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "name one drill, or \"latest\"");
    }
    snprintf(path, sizeof path, "/api/v1/drills/%s", argv[1]);
    return cli_show(client, &call, print);
}

static int run_show(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    int n = cli_options(argc, argv, tables);

    return show(&client, n, argv, print_show);
}

static int run_report(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *format = NULL;
    const struct cli_option options[] = {{"--format", CLI_TEXT, &format}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    int n = cli_options(argc, argv, tables);

    format = format == NULL ? "text" : format;
    if (strcmp(format, "html") == 0) {
        return show(&client, n, argv, print_html);
    }
    if (strcmp(format, "json") == 0) {
        return show(&client, n, argv, print_json);
    }
    if (strcmp(format, "text") != 0) {
        return cli_fail(CLI_USAGE, "the format is text, json or html, not '%s'", format);
    }
    return show(&client, n, argv, print_text);
}

const struct cli_command cli_drill_show_commands[] = {
    {"drill list", "Cluster", "drills that the cluster keeps", list_usage, run_list},
    {"drill show", "Cluster", "one of them, and whose word it is", show_usage, run_show},
    {"drill report", "Cluster", "its report as text, JSON or a page", report_usage, run_report},
    {0},
};
