#include "node/cli.h"

#include "base/json.h"
#include "node/cli_client.h"
#include "node/cli_promotion.h"
#include "node/cli_table.h"
#include "promotion/duration.h"
#include "promotion/pipeline.h"
#include "promotion/promotion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson env`, `diff` and `rollback`: what is in a stage, what was in it, and back to that. */

/* --- env -------------------------------------------------------------------------------------- */

static int print_environment(const json_t *environment)
{
    static const char *const headings[] = {"REPOSITORY", "TAG", "DIGEST", "SINCE"};
    const json_t *repositories = json_object_get(environment, "repositories");
    struct cli_table table;
    size_t i, k;

    cli_table_init(&table, 4, headings);
    for (i = 0; i < json_array_size(repositories); i++) {
        const json_t *repository = json_array_get(repositories, i);
        const json_t *tags = json_object_get(repository, "tags");

        for (k = 0; k < json_array_size(tags); k++) {
            const json_t *tag = json_array_get(tags, k);

            cli_table_cell(&table, "%s", cli_promotion_text(repository, "name"));
            cli_table_cell(&table, "%s", cli_promotion_text(tag, "name"));
            cli_table_cell(&table, "%s", cli_promotion_text(tag, "digest"));
            cli_table_cell(&table, "%s", cli_promotion_text(tag, "since"));
        }
    }
    cli_table_print(&table);
    printf("stage %s is at revision %lld now\n", cli_promotion_text(environment, "stage"),
           (long long)json_member_int(environment, "revision", 0));
    return CLI_OK;
}

/* A value that needs no encoding in a query: times, numbers, names. */
static bool is_plain(const char *text)
{
    return text == NULL ||
           (strlen(text) <= 64 &&
            text[strspn(text,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")] ==
                '\0');
}

static int run_environment(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *pipeline = NULL, *revision = NULL, *at = NULL;
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &pipeline},
                                         {"--revision", CLI_TEXT, &revision},
                                         {"--at", CLI_TEXT, &at},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[512];
    struct cli_call call = {.method = "GET", .path = path};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || pipeline == NULL || !pipeline_name_is_valid(bytes_of_string(argv[1])) ||
        !pipeline_name_is_valid(bytes_of_string(pipeline))) {
        return cli_fail(CLI_USAGE, "say which: caisson env STAGE --pipeline NAME");
    }
    if ((revision != NULL && at != NULL) || !is_plain(revision) || !is_plain(at)) {
        return cli_fail(CLI_USAGE, "--revision is a number, --at a time such as "
                                   "2026-11-23T18:00:00Z; give one of them");
    }
    snprintf(path, sizeof path, "/api/v1/environments/%s?pipeline=%s%s%s%s%s", argv[1], pipeline,
             revision != NULL ? "&revision=" : "", revision != NULL ? revision : "",
             at != NULL ? "&at=" : "", at != NULL ? at : "");
    return cli_show(&client, &call, print_environment);
}

/* --- diff ------------------------------------------------------------------------------------- */

static int print_difference(const json_t *body)
{
    const char *headings[] = {"REPOSITORY", "TAG", cli_promotion_text(body, "from"),
                              cli_promotion_text(body, "to")};
    const json_t *list = json_object_get(body, "differences");
    struct cli_table table;
    size_t i;

    if (json_array_size(list) == 0) {
        printf("%s and %s have the same tags\n", headings[2], headings[3]);
        return CLI_OK;
    }
    cli_table_init(&table, 4, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const json_t *left = json_object_get(one, "left"), *right = json_object_get(one, "right");

        cli_table_cell(&table, "%s", cli_promotion_text(one, "to"));
        cli_table_cell(&table, "%s", cli_promotion_text(one, "tag"));
        cli_table_cell(&table, "%.19s",
                       json_is_null(left) ? "-" : cli_promotion_text(left, "digest"));
        cli_table_cell(&table, "%.19s",
                       json_is_null(right) ? "-" : cli_promotion_text(right, "digest"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_diff(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *pipeline = NULL;
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &pipeline}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[512];
    struct cli_call call = {.method = "GET", .path = path};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 2 || pipeline == NULL || !pipeline_name_is_valid(bytes_of_string(argv[1])) ||
        !pipeline_name_is_valid(bytes_of_string(argv[2])) ||
        !pipeline_name_is_valid(bytes_of_string(pipeline))) {
        return cli_fail(CLI_USAGE, "say which: caisson diff STAGE STAGE --pipeline NAME");
    }
    snprintf(path, sizeof path, "/api/v1/diff?pipeline=%s&from=%s&to=%s", pipeline, argv[1],
             argv[2]);
    return cli_show(&client, &call, print_difference);
}

/* --- rollback --------------------------------------------------------------------------------- */

struct return_wish {
    struct cli_client client;
    const char *stage, *pipeline, *revision, *reason, *wait, *key;
    bool is_dry_run;
    uint64_t wait_ms;
};

static int read_return(int argc, char **argv, struct return_wish *wish)
{
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &wish->pipeline},
                                         {"--to-revision", CLI_TEXT, &wish->revision},
                                         {"--reason", CLI_TEXT, &wish->reason},
                                         {"--wait", CLI_TEXT, &wish->wait},
                                         {"--key", CLI_TEXT, &wish->key},
                                         {"--dry-run", CLI_FLAG, &wish->is_dry_run},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&wish->client), options, NULL};
    struct reason why = {""};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || wish->pipeline == NULL || wish->revision == NULL ||
        !pipeline_name_is_valid(bytes_of_string(argv[1])) ||
        !pipeline_name_is_valid(bytes_of_string(wish->pipeline)) || !is_plain(wish->revision)) {
        return cli_fail(CLI_USAGE, "say what goes back to where: caisson rollback STAGE --pipeline "
                                   "NAME --to-revision N");
    }
    wish->stage = argv[1];
    if (wish->wait != NULL &&
        duration_parse(bytes_of_string(wish->wait), &wish->wait_ms, &why) != OK) {
        return cli_fail(CLI_USAGE, "--wait: %s", why.text);
    }
    return cli_client_ready(&wish->client);
}

/* What the stage has (revision NULL) or had; the caller's. */
static int get_environment(const struct return_wish *wish, const char *revision, json_t **out)
{
    char path[512];
    struct cli_call call = {.method = "GET", .path = path};
    struct cli_reply reply;
    int code;

    snprintf(path, sizeof path, "/api/v1/environments/%s?pipeline=%s%s%s", wish->stage,
             wish->pipeline, revision != NULL ? "&revision=" : "",
             revision != NULL ? revision : "");
    code = cli_promotion_call(&wish->client, &call, &reply);
    if (code == CLI_OK) {
        *out = json_incref(json_object_get(reply.body, "repositories"));
        cli_reply_release(&reply);
    }
    return code;
}

/* The digest under a tag of one of the repositories, "" when there is none. */
static const char *digest_in(const json_t *repositories, const char *name, const char *tag)
{
    const json_t *repository, *one;
    size_t i, k;

    json_array_foreach((json_t *)(uintptr_t)repositories, i, repository)
    {
        if (strcmp(cli_promotion_text(repository, "name"), name) != 0) {
            continue;
        }
        json_array_foreach(json_object_get(repository, "tags"), k, one)
        {
            if (strcmp(cli_promotion_text(one, "name"), tag) == 0) {
                return cli_promotion_text(one, "digest");
            }
        }
    }
    return "";
}

/* The item of this image, made when there is none yet. */
static json_t *item_for(json_t *items, const char *repository, const char *digest)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        if (strcmp(cli_promotion_text(item, "repo"), repository) == 0 &&
            strcmp(cli_promotion_text(item, "digest"), digest) == 0 &&
            json_array_size(json_object_get(item, "tags")) < PROMOTION_TAGS_MAX) {
            return item;
        }
    }
    item = json_pack("{s:s, s:s, s:[]}", "repo", repository, "digest", digest, "tags");
    json_array_append_new(items, item);
    return item;
}

/* Every tag that named something else then. Tags that came later stay. */
static json_t *differing_items(const json_t *then, const json_t *now)
{
    json_t *items = json_array();
    const json_t *repository, *tag;
    size_t i, k;

    json_array_foreach((json_t *)(uintptr_t)then, i, repository)
    {
        const char *name = cli_promotion_text(repository, "name");

        json_array_foreach(json_object_get(repository, "tags"), k, tag)
        {
            const char *tag_name = cli_promotion_text(tag, "name");
            const char *digest = cli_promotion_text(tag, "digest");

            if (strcmp(digest_in(now, name, tag_name), digest) != 0) {
                json_array_append_new(json_object_get(item_for(items, name, digest), "tags"),
                                      json_string(tag_name));
            }
        }
    }
    return items;
}

static int run_rollback(int argc, char **argv)
{
    struct return_wish wish = {0};
    json_t *then = NULL, *now = NULL, *items = NULL;
    int code = read_return(argc, argv, &wish);

    if (code == CLI_OK) {
        code = get_environment(&wish, wish.revision, &then);
    }
    if (code == CLI_OK) {
        code = get_environment(&wish, NULL, &now);
    }
    if (code == CLI_OK) {
        items = differing_items(then, now);
        if (json_array_size(items) == 0) {
            printf("stage %s has just what it had at revision %s\n", wish.stage, wish.revision);
        } else {
            code =
                cli_promotion_request(&wish.client,
                                      json_pack("{s:s, s:s, s:s, s:s, s:b, s:O}", "pipeline",
                                                wish.pipeline, "kind", "rollback", "to", wish.stage,
                                                "reason", wish.reason != NULL ? wish.reason : "",
                                                "dry_run", wish.is_dry_run, "items", items),
                                      wish.key, wish.wait_ms);
        }
    }
    json_decref(items);
    json_decref(then);
    json_decref(now);
    return code;
}

#define GROUP "Promotions"

const struct cli_command cli_environment_commands[] = {
    {"env", GROUP, "show what is in a stage, or was at a revision or a time",
     "Usage: caisson env STAGE --pipeline NAME [--revision N | --at TIME]\n"
     "\n"
     "Examples:\n"
     "  caisson env prod --pipeline shop\n"
     "  caisson env prod --pipeline shop --at 2026-11-23T18:00:00Z\n",
     run_environment},
    {"diff", GROUP, "show how the tags of two stages differ",
     "Usage: caisson diff STAGE STAGE --pipeline NAME\n\nExample:\n"
     "  caisson diff test prod --pipeline shop\n",
     run_diff},
    {"rollback", GROUP, "bring back what a stage had at a revision",
     "Usage: caisson rollback STAGE --pipeline NAME --to-revision N [OPTIONS]\n"
     "\n"
     "A promotion of its own, by one log entry: every tag that named something else then names it\n"
     "again; tags that came later stay. It is asked the gates that the stage's \"rollback\" "
     "lists,\n"
     "or without such a list all but those about newness (soak, age, version).\n"
     "\n"
     "  --to-revision N    see caisson env and caisson promotions\n"
     "  --reason TEXT      for those who approve\n"
     "  --wait TIME        wait for the end, such as 90s\n"
     "  --dry-run          plan and judge, change nothing\n"
     "  --key KEY          Idempotency-Key: the same key is the same rollback\n"
     "\n"
     "Example:\n"
     "  caisson rollback prod --pipeline shop --to-revision 88 --reason 'incident 1042'\n",
     run_rollback},
    {NULL, NULL, NULL, NULL, NULL},
};
