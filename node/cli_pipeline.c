#include "node/cli_promotion.h"

#include "base/json.h"
#include "node/cli_table.h"
#include "node/yaml_json.h"
#include "promotion/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson pipeline ...` and `caisson env`. */

/* "-": standard input. The buffer is the caller's to release in any case. */
static int read_file(const char *path, struct buffer *out)
{
    bool is_input = strcmp(path, "-") == 0;
    FILE *file = is_input ? stdin : fopen(path, "re");
    char piece[4096];
    bool is_bad;
    size_t n;

    buffer_init(out, PIPELINE_SIZE_MAX);
    if (file == NULL) {
        return cli_fail(CLI_USAGE, "cannot open %s", path);
    }
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 && buffer_status(out) == OK) {
        buffer_append(out, bytes_of(piece, n));
    }
    is_bad = ferror(file) != 0;
    if (!is_input) {
        (void)fclose(file);
    }
    if (is_bad) {
        return cli_fail(CLI_USAGE, "cannot read %s", path);
    }
    return buffer_status(out) == OK
               ? CLI_OK
               : cli_fail(CLI_USAGE, "%s is larger than %u bytes", path, PIPELINE_SIZE_MAX);
}

json_t *cli_read_yaml(const char *path)
{
    struct reason why = {""};
    json_t *document = NULL;
    struct buffer text;

    if (read_file(path, &text) == CLI_OK &&
        yaml_to_json(buffer_view(&text), &document, &why) != OK) {
        (void)cli_fail(CLI_USAGE, "%s, %s", path, why.text);
    }
    buffer_release(&text);
    return document;
}

int cli_pipeline_apply_run(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *file = NULL;
    bool is_dry_run = false;
    const struct cli_option options[] = {{"-f", CLI_TEXT, &file},
                                         {"--file", CLI_TEXT, &file},
                                         {"--dry-run", CLI_FLAG, &is_dry_run},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[160];
    struct cli_call call = {.method = "PUT", .path = path};
    struct cli_reply reply;
    const char *name;
    json_t *document;
    int n = cli_options(argc, argv, tables), code;

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n > 0 || file == NULL) {
        return cli_fail(CLI_USAGE, "say which file: caisson pipeline apply -f FILE");
    }
    code = cli_client_ready(&client);
    if (code != CLI_OK) {
        return code;
    }
    document = cli_read_yaml(file);
    if (document == NULL) {
        return CLI_USAGE;
    }
    name = cli_promotion_text(document, "pipeline");
    if (!pipeline_name_is_valid(bytes_of_string(name))) {
        json_decref(document);
        return cli_fail(CLI_USAGE,
                        "%s: 'pipeline' must be its name: lower-case letters, digits "
                        "and dashes",
                        file);
    }
    snprintf(path, sizeof path, "/api/v1/pipelines/%s%s", name, is_dry_run ? "?dry_run=1" : "");
    call.body = json_incref(document);
    code = cli_promotion_call(&client, &call, &reply);
    if (code != CLI_OK) {
        json_decref(document);
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    } else if (is_dry_run) {
        printf("the document is good; its revision would be %s\n",
               cli_promotion_text(reply.body, "revision"));
    } else if (strcmp(cli_promotion_text(reply.body, "state"), "waiting") == 0) {
        printf("the change of pipeline %s waits: %lld of %lld people agreed\n"
               "ask them to run: caisson pipeline approve %s\n",
               name, (long long)json_member_int(reply.body, "agreed", 0),
               (long long)json_member_int(reply.body, "wanted", 0), name);
        code = CLI_WAITING;
    } else {
        printf("pipeline %s: number %lld, revision %s\n", cli_promotion_text(reply.body, "name"),
               (long long)json_member_int(reply.body, "number", 0),
               cli_promotion_text(reply.body, "revision"));
    }
    cli_reply_release(&reply);
    json_decref(document);
    return code;
}

/* Options and at most one name; the answer to a GET of prefix and name. */
static int get_named(int argc, char **argv, const char *prefix, const char *what,
                     struct cli_client *client, struct cli_reply *reply)
{
    const struct cli_option *const tables[] = {cli_client_options(client), NULL};
    int n = cli_options(argc, argv, tables), code;
    char path[256];
    struct cli_call call = {.method = "GET", .path = path};

    *reply = (struct cli_reply){0};
    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != (what != NULL) ||
        (what != NULL && !pipeline_name_is_valid(bytes_of_string(argv[1])))) {
        return what == NULL ? cli_fail(CLI_USAGE, "this command takes no names")
                            : cli_fail(CLI_USAGE, "name one %s", what);
    }
    snprintf(path, sizeof path, "%s%s", prefix, what != NULL ? argv[1] : "");
    code = cli_client_ready(client);
    return code != CLI_OK ? code : cli_promotion_call(client, &call, reply);
}

int cli_pipeline_show_run(int argc, char **argv)
{
    struct cli_client client = {0};
    struct cli_reply reply;
    int code = get_named(argc, argv, "/api/v1/pipelines/", "pipeline", &client, &reply);

    if (code == CLI_OK) {
        cli_reply_print(&reply);
        cli_reply_release(&reply);
    }
    return code;
}

int cli_pipeline_list_run(int argc, char **argv)
{
    static const char *const headings[] = {"PIPELINE", "STAGES", "NUMBER", "CHANGED", "BY"};
    struct cli_client client = {0};
    struct cli_table table;
    struct cli_reply reply;
    const json_t *list;
    size_t i, k;
    int code = get_named(argc, argv, "/api/v1/pipelines", NULL, &client, &reply);

    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
        cli_reply_release(&reply);
        return CLI_OK;
    }
    cli_table_init(&table, 5, headings);
    list = json_object_get(reply.body, "pipelines");
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *pipeline = json_array_get(list, i);
        const json_t *stages = json_object_get(json_object_get(pipeline, "document"), "stages");
        char names[256] = "";

        for (k = 0; k < json_array_size(stages); k++) {
            size_t used = strlen(names);

            snprintf(names + used, sizeof names - used, "%s%s", k > 0 ? ", " : "",
                     cli_promotion_text(json_array_get(stages, k), "name"));
        }
        cli_table_cell(&table, "%s", cli_promotion_text(pipeline, "name"));
        cli_table_cell(&table, "%s", names);
        cli_table_cell(&table, "%lld", (long long)json_member_int(pipeline, "number", 0));
        cli_table_cell(&table, "%s", cli_promotion_text(pipeline, "changed"));
        cli_table_cell(&table, "%s", cli_promotion_text(pipeline, "by"));
    }
    cli_table_print(&table);
    cli_reply_release(&reply);
    return CLI_OK;
}

/* --- changes that wait for people ------------------------------------------------------------- */

/* Show the change, then decide about exactly that one. */
static int decide_change(int argc, char **argv, const char *decision)
{
    struct cli_client client = {0};
    struct cli_reply reply;
    char path[160], revision[160];
    struct cli_call call = {.method = "POST", .path = path};
    int code;

    code = get_named(argc, argv, "/api/v1/pipelines/", "pipeline", &client, &reply);
    if (code != CLI_OK) {
        return code;
    }
    cli_reply_release(&reply);
    snprintf(path, sizeof path, "/api/v1/pipelines/%s/change", argv[1]);
    call.method = "GET";
    code = cli_promotion_call(&client, &call, &reply);
    if (code != CLI_OK) {
        return code;
    }
    snprintf(revision, sizeof revision, "%s", cli_promotion_text(reply.body, "revision"));
    if (!cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    }
    cli_reply_release(&reply);
    call.method = "POST";
    call.body = json_pack("{s:s, s:s}", "decision", decision, "revision", revision);
    code = cli_promotion_call(&client, &call, &reply);
    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    } else {
        printf("the change %s of pipeline %s is %s\n", revision, argv[1],
               cli_promotion_text(reply.body, "state"));
    }
    code = strcmp(cli_promotion_text(reply.body, "state"), "waiting") == 0 ? CLI_WAITING : CLI_OK;
    cli_reply_release(&reply);
    return code;
}

int cli_pipeline_approve_run(int argc, char **argv)
{
    return decide_change(argc, argv, "approve");
}

int cli_pipeline_reject_run(int argc, char **argv)
{
    return decide_change(argc, argv, "reject");
}
