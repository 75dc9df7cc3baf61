#include "node/cli.h"

#include "base/json.h"
#include "base/memory.h"
#include "node/cli_client.h"
#include "node/cli_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson user ...`: who may log in and what they may do where. */

struct user_request {
    struct cli_client client;
    struct cli_list grants;
    const char *new_password_file;
    char path[256];
};

/* Takes the options; CLI_OK with the path of the user that is named, or an exit code. */
static int read_request(int argc, char **argv, struct user_request *request, const char *suffix)
{
    const struct cli_option options[] = {
        {"--grant", CLI_LIST, &request->grants},
        {"--new-password-file", CLI_TEXT, &request->new_password_file},
        {0}};
    const struct cli_option *const tables[] = {cli_client_options(&request->client), options, NULL};
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || argv[1][strspn(argv[1], allowed)] != '\0' || strlen(argv[1]) > 64) {
        return cli_fail(CLI_USAGE, "name one user: letters, digits, '.', '_' and '-'");
    }
    snprintf(request->path, sizeof request->path, "/api/v1/users/%s%s", argv[1], suffix);
    return cli_client_ready(&request->client);
}

/* One call whose answer only matters for being good. */
static int call_and_check(const struct cli_client *client, const struct cli_call *call)
{
    struct cli_reply reply;
    int code = cli_request(client, call, &reply);

    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK && cli_client_wants_json(client)) {
        cli_reply_print(&reply);
    }
    cli_reply_release(&reply);
    return code;
}

/* --- add -------------------------------------------------------------------------------------- */

static const char *const add_usage =
    "Usage: caisson user add NAME [--new-password-file F] [--grant ACTIONS:PATTERN]... \n"
    "\n"
    "  --new-password-file F   the user's password, first line ('-': standard input)\n"
    "  --grant ACTIONS:PATTERN pull, push, approve and admin, joined by commas, on the "
    "repositories\n"
    "                          of the pattern ('*': within a path component, '**': across them)\n"
    "\n"
    "For a user that exists it changes what is given, and keeps the rest.\n"
    "\n"
    "Examples:\n"
    "  caisson user add ci --new-password-file pw --grant 'pull,push:dev/**' --grant 'pull:**'\n"
    "  caisson user add alice --new-password-file pw --grant 'pull,approve:prod/**'\n";

/* ACTIONS:PATTERN as a binding; NULL after a sentence. */
static json_t *parse_grant(const char *grant)
{
    const char *colon = strchr(grant, ':');
    json_t *actions;

    if (colon == NULL || colon == grant || colon[1] == '\0') {
        cli_fail(CLI_USAGE, "a grant is ACTIONS:PATTERN such as pull,push:dev/**, not '%s'", grant);
        return NULL;
    }
    actions = json_array();
    while (grant < colon) {
        size_t size = strcspn(grant, ",:");
        json_array_append_new(actions, json_stringn(grant, size));
        grant += size + 1;
    }
    return json_pack("{s:s, s:o}", "repositories", colon + 1, "actions", actions);
}

static bool add_password(json_t *body, const char *path)
{
    char *password = cli_read_secret(path);

    if (password == NULL) {
        return false;
    }
    json_object_set_new(body, "password", json_string(password));
    memory_wipe(password, strlen(password));
    free(password);
    return true;
}

/* The body of the request; NULL after a sentence. */
static json_t *add_body(const struct user_request *request)
{
    json_t *body = json_object();
    json_t *bindings = request->grants.n > 0 ? json_array() : NULL;

    for (size_t i = 0; i < request->grants.n; i++) {
        json_t *binding = parse_grant(request->grants.items[i]);
        if (binding == NULL) {
            json_decref(bindings);
            json_decref(body);
            return NULL;
        }
        json_array_append_new(bindings, binding);
    }
    if (bindings != NULL) {
        json_object_set_new(body, "bindings", bindings);
    }
    if (request->new_password_file != NULL && !add_password(body, request->new_password_file)) {
        json_decref(body);
        return NULL;
    }
    return body;
}

static int run_add(int argc, char **argv)
{
    struct user_request request = {0};
    struct cli_call call = {.method = "PUT", .path = request.path};
    int code = read_request(argc, argv, &request, "");

    if (code != CLI_OK) {
        return code;
    }
    call.body = add_body(&request);
    return call.body == NULL ? CLI_USAGE : call_and_check(&request.client, &call);
}

/* --- passwd, remove, list --------------------------------------------------------------------- */

static const char *const passwd_usage =
    "Usage: caisson user passwd NAME --new-password-file F [CLIENT OPTIONS]\n"
    "\n"
    "Changes one's own password, or as an admin another's. The old one stops\n"
    "working at this node at once, and at the others within moments.\n"
    "\n"
    "Example:\n"
    "  caisson user passwd alice --user alice --password-file old --new-password-file new\n";

static int run_passwd(int argc, char **argv)
{
    struct user_request request = {0};
    struct cli_call call = {.method = "PUT", .path = request.path};
    int code = read_request(argc, argv, &request, "/password");

    if (code != CLI_OK) {
        return code;
    }
    if (request.new_password_file == NULL) {
        return cli_fail(CLI_USAGE, "--new-password-file is needed");
    }
    call.body = json_object();
    if (!add_password(call.body, request.new_password_file)) {
        json_decref(call.body);
        return CLI_FAILED;
    }
    return call_and_check(&request.client, &call);
}

static const char *const remove_usage = "Usage: caisson user remove NAME [CLIENT OPTIONS]\n"
                                        "\n"
                                        "Example:\n"
                                        "  caisson user remove bob --user admin "
                                        "--password-file pw\n";

static int run_remove(int argc, char **argv)
{
    struct user_request request = {0};
    const struct cli_call call = {.method = "DELETE", .path = request.path};
    int code = read_request(argc, argv, &request, "");

    return code == CLI_OK ? call_and_check(&request.client, &call) : code;
}

static const char *const list_usage = "Usage: caisson user list [-o json] [CLIENT OPTIONS]\n"
                                      "\n"
                                      "Example:\n"
                                      "  caisson user list --user admin --password-file pw\n";

static void binding_rows(struct cli_table *table, const char *name, const json_t *bindings)
{
    json_t *binding, *action;
    size_t i, k;

    json_array_foreach(bindings, i, binding)
    {
        const char *glob = json_member_string(binding, "repositories");
        char actions[64] = "";
        json_array_foreach(json_object_get(binding, "actions"), k, action)
        {
            const char *text = json_string_value(action);
            size_t used = strlen(actions);
            snprintf(actions + used, sizeof actions - used, "%s%s", k > 0 ? "," : "",
                     text == NULL ? "?" : text);
        }
        cli_table_cell(table, "%s", name);
        cli_table_cell(table, "%s", actions);
        cli_table_cell(table, "%s", glob == NULL ? "?" : glob);
    }
}

static int print_users(const json_t *reply)
{
    static const char *const headings[] = {"USER", "MAY", "WHERE"};
    struct cli_table table;
    json_t *user;
    size_t i;

    cli_table_init(&table, 3, headings);
    json_array_foreach(json_object_get(reply, "users"), i, user)
    {
        const char *name = json_member_string(user, "name");
        const json_t *bindings = json_object_get(user, "bindings");
        if (json_array_size(bindings) == 0) {
            cli_table_cell(&table, "%s", name == NULL ? "?" : name);
            cli_table_cell(&table, "nothing");
            cli_table_cell(&table, "-");
        }
        binding_rows(&table, name == NULL ? "?" : name, bindings);
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_list(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const struct cli_call call = {.method = "GET", .path = "/api/v1/users"};
    int n = cli_options(argc, argv, tables);

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "list takes no argument '%s'", argv[1]);
    }
    return cli_show(&client, &call, print_users);
}

const struct cli_command cli_user_commands[] = {
    {"user add", "Access", "make or change a user and what they may do", add_usage, run_add},
    {"user passwd", "Access", "change a password", passwd_usage, run_passwd},
    {"user remove", "Access", "remove a user", remove_usage, run_remove},
    {"user list", "Access", "who may do what where", list_usage, run_list},
    {0},
};
