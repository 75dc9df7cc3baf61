/* caisson settings and caisson quota. */
#include "base/bytes.h"
#include "node/cli_client.h"
#include "node/cli_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP "Storage"

/* A whole number, with KiB to TiB behind it when is_size; -1: it is none. */
static json_int_t number_of(const char *text, bool is_size)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    char *end;
    long long number;
    size_t i;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || number < 0 || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    for (i = 0; i < (is_size ? sizeof units / sizeof units[0] : 1u); i++) {
        if (strcmp(end, units[i]) == 0 && number <= INT64_MAX >> 10 * i) {
            return (json_int_t)number << 10 * i;
        }
    }
    return -1;
}

/* Adds the number under key when text is there. */
static bool add_number(json_t *body, const char *key, const char *text, bool is_size)
{
    json_int_t number = text != NULL ? number_of(text, is_size) : 0;

    if (text != NULL && number >= 0) {
        json_object_set_new(body, key, json_integer(number));
    }
    return number >= 0;
}

/* Patterns hold nothing that a query would have to hide but '*', which may stand there. */
static bool glob_is_plain(const char *glob)
{
    return glob[0] != '\0' &&
           glob[strspn(glob, "abcdefghijklmnopqrstuvwxyz0123456789*/._-")] == '\0';
}

static int print_nothing(const json_t *body)
{
    const char *notice = json_string_value(json_object_get(body, "notice"));

    printf("set\n");
    if (notice != NULL) {
        printf("Note: %s\n", notice);
    }
    return CLI_OK;
}

static int forget(struct cli_client *client, const char *kind, const char *glob)
{
    struct cli_call call = {.method = "DELETE"};
    struct cli_reply reply;
    char path[512];
    int code;

    if (!glob_is_plain(glob)) {
        return cli_fail(CLI_USAGE, "name a pattern of repositories such as dev/**");
    }
    snprintf(path, sizeof path, "/api/v1/%s?repositories=%.300s", kind, glob);
    call.path = path;
    code = cli_client_ready(client);
    if (code != CLI_OK) {
        return code;
    }
    code = cli_request(client, &call, &reply);
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK) {
        printf("removed\n");
    }
    cli_reply_release(&reply);
    return code;
}

/* --- settings --------------------------------------------------------------------------------- */

static void setting_row(struct cli_table *table, const json_t *row, const char *name)
{
    cli_table_cell(table, "%s", name);
    cli_table_cell(table, "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(row, "copies")));
    cli_table_cell(table, "%" JSON_INTEGER_FORMAT,
                   json_integer_value(json_object_get(row, "write_quorum")));
}

static int print_settings(const json_t *body)
{
    static const char *const headings[] = {"REPOSITORIES", "COPIES", "WRITE QUORUM"};
    const json_t *list = json_object_get(body, "repositories");
    const char *notice = json_string_value(json_object_get(body, "notice"));
    struct cli_table table;

    cli_table_init(&table, 3, headings);
    setting_row(&table, body, "(all others)");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *glob = json_string_value(json_object_get(row, "repositories"));

        setting_row(&table, row, glob != NULL ? glob : "");
    }
    cli_table_print(&table);
    if (notice != NULL) {
        printf("Note: %s\n", notice);
    }
    return CLI_OK;
}

static int run_settings_show(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/settings"};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    return n > 0 ? cli_fail(CLI_USAGE, "this command takes no names")
                 : cli_show(&client, &call, print_settings);
}

static int run_settings_set(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *glob = NULL, *copies = NULL, *quorum = NULL;
    const struct cli_option options[] = {{"--repositories", CLI_TEXT, &glob},
                                         {"--copies", CLI_TEXT, &copies},
                                         {"--write-quorum", CLI_TEXT, &quorum},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    struct cli_call call = {.method = "PUT", .path = "/api/v1/settings"};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n > 0 || (copies == NULL && quorum == NULL)) {
        return cli_fail(CLI_USAGE, "say --copies, --write-quorum or both");
    }
    call.body = json_pack("{s:s*}", "repositories", glob);
    if (!add_number(call.body, "copies", copies, false) ||
        !add_number(call.body, "write_quorum", quorum, false)) {
        json_decref(call.body);
        return cli_fail(CLI_USAGE, "--copies and --write-quorum are whole numbers");
    }
    return cli_show(&client, &call, print_nothing);
}

static int run_settings_reset(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    return n != 1 ? cli_fail(CLI_USAGE, "name the pattern: see caisson settings show")
                  : forget(&client, "settings", argv[1]);
}

/* --- quotas ----------------------------------------------------------------------------------- */

static void limit_cell(struct cli_table *table, const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);

    if (json_is_integer(value)) {
        cli_table_cell(table, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        cli_table_cell(table, "-");
    }
}

static int print_quotas(const json_t *body)
{
    static const char *const headings[] = {"REPOSITORIES", "BYTES", "MAX BYTES", "TAGS",
                                           "MAX TAGS"};
    const json_t *list = json_object_get(body, "quotas");
    struct cli_table table;

    if (json_array_size(list) == 0) {
        printf("there are no quotas\n");
        return CLI_OK;
    }
    cli_table_init(&table, 5, headings);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *glob = json_string_value(json_object_get(row, "repositories"));

        cli_table_cell(&table, "%s", glob != NULL ? glob : "");
        limit_cell(&table, row, "bytes");
        limit_cell(&table, row, "max_bytes");
        limit_cell(&table, row, "tags");
        limit_cell(&table, row, "max_tags");
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_quota_show(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/quotas"};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    return n > 0 ? cli_fail(CLI_USAGE, "this command takes no names")
                 : cli_show(&client, &call, print_quotas);
}

static int run_quota_set(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *bytes = NULL, *tags = NULL;
    const struct cli_option options[] = {
        {"--bytes", CLI_TEXT, &bytes}, {"--tags", CLI_TEXT, &tags}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    struct cli_call call = {.method = "PUT", .path = "/api/v1/quotas"};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || (bytes == NULL && tags == NULL)) {
        return cli_fail(CLI_USAGE, "name a pattern of repositories, and --bytes, --tags or both");
    }
    call.body = json_pack("{s:s}", "repositories", argv[1]);
    if (!add_number(call.body, "max_bytes", bytes, true) ||
        !add_number(call.body, "max_tags", tags, false)) {
        json_decref(call.body);
        return cli_fail(CLI_USAGE, "--bytes is a number such as 500GiB, --tags a whole number");
    }
    return cli_show(&client, &call, print_nothing);
}

static int run_quota_delete(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    return n != 1 ? cli_fail(CLI_USAGE, "name the pattern: see caisson quota show")
                  : forget(&client, "quotas", argv[1]);
}

const struct cli_command cli_room_commands[] = {
    {"settings show", GROUP, "on how many nodes content is",
     "Usage: caisson settings show\n\nExample:\n  caisson settings show -o json\n",
     run_settings_show},
    {"settings set", GROUP, "say on how many nodes content is to be",
     "Usage: caisson settings set [--repositories GLOB] [--copies N] [--write-quorum N]\n"
     "\n"
     "  --repositories GLOB  only for these (the longest pattern that matches holds)\n"
     "  --copies N           nodes that hold the content (3)\n"
     "  --write-quorum N     durable copies before a push is answered (2)\n"
     "\n"
     "Example:\n  caisson settings set --repositories 'scratch/**' --copies 2\n",
     run_settings_set},
    {"settings reset", GROUP, "forget the setting of a pattern",
     "Usage: caisson settings reset GLOB\n\nExample:\n  caisson settings reset 'scratch/**'\n",
     run_settings_reset},
    {"quota show", GROUP, "list quotas and what is used of them",
     "Usage: caisson quota show\n\nExample:\n  caisson quota show\n", run_quota_show},
    {"quota set", GROUP, "limit what repositories may hold",
     "Usage: caisson quota set GLOB [--bytes SIZE] [--tags N]\n"
     "\n"
     "Content that a repository refers to more than once counts once in it.\n"
     "\n"
     "Example:\n  caisson quota set 'dev/**' --bytes 500GiB --tags 10000\n",
     run_quota_set},
    {"quota delete", GROUP, "lift a quota",
     "Usage: caisson quota delete GLOB\n\nExample:\n  caisson quota delete 'dev/**'\n",
     run_quota_delete},
    {NULL, NULL, NULL, NULL, NULL},
};
