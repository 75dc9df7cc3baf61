#include "node/cli.h"

#include "base/json.h"
#include "node/cli_client.h"
#include "node/cli_promotion.h"
#include "node/cli_table.h"
#include "promotion/pipeline.h"

#include <stdio.h>
#include <string.h>

/* `caisson history`, `lock`, `digest` and `receipt`: what history answers. */

/* Fit for a query as it is. */
static bool is_plain(const char *text)
{
    return text[0] != '\0' && strlen(text) < 200 &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_.:/[]")] == '\0';
}

static void add_query(char *path, size_t size, const char *key, const char *value)
{
    size_t used = strlen(path);

    if (value != NULL) {
        snprintf(path + used, size - used, "&%s=%s", key, value);
    }
}

/* --- history ---------------------------------------------------------------------------------- */

static int print_history(const json_t *body)
{
    static const char *const headings[] = {"REVISION", "TIME",      "KIND",
                                           "ASKED BY", "PROMOTION", "REASON"};
    const json_t *list = json_object_get(body, "revisions");
    struct cli_table table;
    size_t i;

    cli_table_init(&table, 6, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        cli_table_cell(&table, "%lld", (long long)json_member_int(one, "revision", 0));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "time"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "kind"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "requester"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "promotion"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "reason"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_history(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *pipeline = NULL, *n = NULL, *before = NULL;
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &pipeline},
                                         {"-n", CLI_TEXT, &n},
                                         {"--before", CLI_TEXT, &before},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[1024];
    struct cli_call call = {.method = "GET", .path = path};
    int count = cli_options(argc, argv, tables);

    if (count < 0) {
        return CLI_USAGE;
    }
    if (count != 1 || pipeline == NULL || !is_plain(argv[1]) || !is_plain(pipeline) ||
        (n != NULL && !is_plain(n)) || (before != NULL && !is_plain(before))) {
        return cli_fail(CLI_USAGE, "say which: caisson history STAGE --pipeline NAME");
    }
    snprintf(path, sizeof path, "/api/v1/environments/%s/history?pipeline=%s", argv[1], pipeline);
    add_query(path, sizeof path, "n", n);
    add_query(path, sizeof path, "before", before);
    return cli_show(&client, &call, print_history);
}

/* --- lock ------------------------------------------------------------------------------------- */

struct lock_wish {
    struct cli_client client;
    const char *stage, *pipeline, *format, *tag, *registry, *revision, *at;
};

static int read_lock(int argc, char **argv, struct lock_wish *wish)
{
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &wish->pipeline},
                                         {"--format", CLI_TEXT, &wish->format},
                                         {"--tag", CLI_TEXT, &wish->tag},
                                         {"--registry", CLI_TEXT, &wish->registry},
                                         {"--revision", CLI_TEXT, &wish->revision},
                                         {"--at", CLI_TEXT, &wish->at},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&wish->client), options, NULL};
    int n = cli_options(argc, argv, tables);
    const char *const values[] = {wish->format, wish->tag, wish->registry, wish->revision,
                                  wish->at};
    size_t i;

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || wish->pipeline == NULL || !is_plain(argv[1]) || !is_plain(wish->pipeline)) {
        return cli_fail(CLI_USAGE, "say which: caisson lock STAGE --pipeline NAME");
    }
    for (i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (values[i] != NULL && !is_plain(values[i])) {
            return cli_fail(CLI_USAGE, "'%.64s' cannot be a value here", values[i]);
        }
    }
    wish->stage = argv[1];
    return cli_client_ready(&wish->client);
}

static int run_lock(int argc, char **argv)
{
    struct lock_wish wish = {0};
    char path[1536];
    struct cli_call call = {.method = "GET", .path = path};
    struct cli_reply reply;
    int code = read_lock(argc, argv, &wish);

    if (code != CLI_OK) {
        return code;
    }
    snprintf(path, sizeof path, "/api/v1/environments/%s/lock?pipeline=%s", wish.stage,
             wish.pipeline);
    add_query(path, sizeof path, "format", wish.format);
    add_query(path, sizeof path, "tag", wish.tag);
    add_query(path, sizeof path, "registry", wish.registry);
    add_query(path, sizeof path, "revision", wish.revision);
    add_query(path, sizeof path, "at", wish.at);
    code = cli_promotion_call(&wish.client, &call, &reply);
    if (code != CLI_OK) {
        return code;
    }
    if (reply.body != NULL) {
        cli_reply_print(&reply);
    } else {
        fputs(reply.text, stdout);
    }
    cli_reply_release(&reply);
    return CLI_OK;
}

/* --- digest, receipt -------------------------------------------------------------------------- */

static void print_reports(const json_t *body)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(body, "statuses"), i, one)
    {
        printf("check %s: %s, says %s\n", cli_promotion_text(one, "context"),
               cli_promotion_text(one, "state"), cli_promotion_text(one, "reporter"));
    }
    json_array_foreach(json_object_get(body, "holds"), i, one)
    {
        printf("%s %s by %s: %s\n", cli_promotion_text(one, "kind"), cli_promotion_text(one, "id"),
               cli_promotion_text(one, "actor"), cli_promotion_text(one, "reason"));
    }
    json_array_foreach(json_object_get(body, "promotions"), i, one)
    {
        printf("promotion %s to %s: %s\n", cli_promotion_text(one, "id"),
               cli_promotion_text(one, "to"), cli_promotion_text(one, "state"));
    }
}

static int print_digest(const json_t *body)
{
    static const char *const headings[] = {"REPOSITORY", "TAG", "FROM", "TO", "BY"};
    const json_t *list = json_object_get(body, "residence");
    struct cli_table table;
    size_t i;

    cli_table_init(&table, 5, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *to = cli_promotion_text(one, "to");

        cli_table_cell(&table, "%s", cli_promotion_text(one, "repository"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "tag"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "from"));
        cli_table_cell(&table, "%s", to[0] != '\0' ? to : "now");
        cli_table_cell(&table, "%s", cli_promotion_text(one, "by"));
    }
    cli_table_print(&table);
    print_reports(body);
    return CLI_OK;
}

static int run_digest(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    char path[256];
    struct cli_call call = {.method = "GET", .path = path};
    struct digest digest;
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || digest_parse(bytes_of_string(argv[1]), &digest) != OK) {
        return cli_fail(CLI_USAGE, "name the digest: sha256: and 64 hex digits");
    }
    snprintf(path, sizeof path, "/api/v1/digests/%s", argv[1]);
    return cli_show(&client, &call, print_digest);
}

static int run_receipt(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    char path[128];
    struct cli_call call = {.method = "GET", .path = path};
    struct cli_reply reply;
    int n = cli_options(argc, argv, tables), code;

    if (n != 1) {
        return n < 0 ? CLI_USAGE
                     : cli_fail(CLI_USAGE, "name one promotion by its id: see caisson promotions");
    }
    if (!cli_promotion_path(argv[1], "/receipt", path, sizeof path)) {
        return CLI_USAGE;
    }
    code = cli_client_ready(&client);
    if (code == CLI_OK) {
        code = cli_promotion_call(&client, &call, &reply);
    }
    if (code == CLI_OK) {
        cli_reply_print(&reply);
        cli_reply_release(&reply);
    }
    return code;
}

#define GROUP "Promotions"

const struct cli_command cli_history_commands[] = {
    {"history", GROUP, "list the revisions of a stage",
     "Usage: caisson history STAGE --pipeline NAME [-n N] [--before REVISION]\n"
     "\n"
     "Newest first: what each promotion into the stage moved, when, and for whom.\n"
     "\nExample:\n"
     "  caisson history prod --pipeline shop -n 10\n",
     run_history},
    {"lock", GROUP, "print what is in a stage by digest, for who deploys it",
     "Usage: caisson lock STAGE --pipeline NAME [OPTIONS]\n"
     "\n"
     "One image of each repository, all of one revision: the one under the tag that was set last.\n"
     "\n"
     "  --format FORMAT    json (the default), env, kustomize or helm\n"
     "  --tag TAG          the one under this tag\n"
     "  --registry HOST    where images are pulled from (default: where this asks)\n"
     "  --revision N       what it had at that revision\n"
     "  --at TIME          what it had then, such as 2026-11-23T18:00:00Z\n"
     "\n"
     "Examples:\n"
     "  caisson lock prod --pipeline shop --tag stable --format kustomize\n"
     "  caisson lock prod --pipeline shop --format env > images.env\n",
     run_lock},
    {"digest", GROUP, "show where a digest is and was, and what is known about it",
     "Usage: caisson digest DIGEST\n\nExample:\n"
     "  caisson digest sha256:"
     "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945\n",
     run_digest},
    {"receipt", GROUP, "print the signed statement about a committed promotion",
     "Usage: caisson receipt ID\n"
     "\n"
     "A DSSE envelope with an in-toto statement: subjects, plan, approvals, what gates said. "
     "keyid\n"
     "is the cluster's Ed25519 key.\n"
     "\nExample:\n"
     "  caisson receipt 01KAEXAMP1E0000000000000AB > receipt.json\n",
     run_receipt},
    {NULL, NULL, NULL, NULL, NULL},
};
