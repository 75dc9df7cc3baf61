#include "node/cli_promotion.h"

#include "base/json.h"
#include "promotion/document.h"
#include "promotion/duration.h"
#include "promotion/repository_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `caisson promote`. */

struct wish {
    struct cli_client client;
    const char *to, *pipeline, *reason, *wait, *key, *set;
    struct cli_list tags;
    bool is_dry_run;
    uint64_t wait_ms;
    json_t *document; /* Of the set; its texts are borrowed. */
};

/* One IMAGE as an item; NULL after a sentence. */
static json_t *item_of(const struct wish *wish, const char *image)
{
    const char *at = strchr(image, '@');
    const char *slash = strrchr(image, '/');
    const char *colon = at != NULL ? at : strchr(slash != NULL ? slash : image, ':');
    json_t *item, *tags;
    size_t i;

    if (colon == NULL || colon == image || colon[1] == '\0') {
        (void)cli_fail(CLI_USAGE, "'%.200s': write REPOSITORY:TAG or REPOSITORY@sha256:...", image);
        return NULL;
    }
    item = json_pack("{s:s%, s:s}", "repo", image, (size_t)(colon - image),
                     at != NULL ? "digest" : "tag", colon + 1);
    if (item == NULL) {
        (void)cli_fail(CLI_USAGE, "'%.200s' is not UTF-8", image);
        return NULL;
    }
    if (wish->tags.n > 0) {
        tags = json_array();
        for (i = 0; i < wish->tags.n; i++) {
            json_array_append_new(tags, json_string(wish->tags.items[i]));
        }
        json_object_set_new(item, "tags", tags);
    }
    return item;
}

/* Does one of the stages have the repository? */
static bool has_repository(const json_t *document, struct bytes repository)
{
    const json_t *stages = json_object_get(document, "stages");
    size_t i;

    for (i = 0; i < json_array_size(stages); i++) {
        const char *repos = json_member_string(json_array_get(stages, i), "repos");
        struct repository_pattern pattern;
        struct bytes capture;

        if (repos != NULL &&
            repository_pattern_parse(bytes_of_string(repos), &pattern, NULL) == OK &&
            repository_pattern_match(&pattern, repository, &capture)) {
            return true;
        }
    }
    return false;
}

/* The name of the pipeline that has the first image, the caller's; NULL after a sentence. */
static char *find_pipeline(const struct wish *wish, const json_t *items, int *code)
{
    const char *repository = json_member_string(json_array_get(items, 0), "repo");
    struct cli_call call = {.method = "GET", .path = "/api/v1/pipelines"};
    struct cli_reply reply;
    const json_t *list;
    char *name = NULL;
    size_t i;

    *code = cli_promotion_call(&wish->client, &call, &reply);
    if (*code != CLI_OK) {
        return NULL;
    }
    list = json_object_get(reply.body, "pipelines");
    for (i = 0; i < json_array_size(list) && name == NULL; i++) {
        const json_t *pipeline = json_array_get(list, i);

        if (has_repository(json_object_get(pipeline, "document"), bytes_of_string(repository))) {
            name = bytes_to_string(bytes_of_string(cli_promotion_text(pipeline, "name")));
        }
    }
    cli_reply_release(&reply);
    if (name == NULL) {
        *code = cli_fail(CLI_FAILED, "no pipeline has the repository %s: see caisson pipeline list",
                         repository);
    }
    return name;
}

/* An image of a release set: "REPOSITORY:TAG", or an object as the API takes it. NULL after a
 * sentence. */
static json_t *item_of_set(const struct wish *wish, json_t *image)
{
    if (json_is_string(image)) {
        return item_of(wish, json_string_value(image));
    }
    if (!json_is_object(image)) {
        (void)cli_fail(CLI_USAGE,
                       "%s: an image is \"REPOSITORY:TAG\", or an object with repo, "
                       "digest or tag, tags and channels",
                       wish->set);
        return NULL;
    }
    return json_incref(image);
}

/* The images of the file; reason and pipeline too, where no option says them. NULL after a
 * sentence. */
static json_t *items_of_set(struct wish *wish)
{
    static const char *const allowed[] = {"pipeline", "reason", "images", NULL};
    json_t *document = cli_read_yaml(wish->set), *items = NULL, *image, *item;
    struct reason why = {""};
    size_t i;

    if (document == NULL) {
        return NULL;
    }
    wish->document = document;
    if (document_check_members(document, wish->set, allowed, NULL, &why) != OK) {
        (void)cli_fail(CLI_USAGE, "%s", why.text);
        return NULL;
    }
    items = json_array();
    json_array_foreach(json_object_get(document, "images"), i, image)
    {
        item = item_of_set(wish, image);
        if (item == NULL) {
            json_decref(items);
            return NULL;
        }
        json_array_append_new(items, item);
    }
    if (json_array_size(items) == 0) {
        (void)cli_fail(CLI_USAGE, "%s: \"images\" lists what is promoted", wish->set);
        json_decref(items);
        return NULL;
    }
    wish->reason = wish->reason != NULL ? wish->reason : json_member_string(document, "reason");
    wish->pipeline = wish->pipeline != NULL ? wish->pipeline
                                            : json_member_string(document, "pipeline");
    return items;
}

static json_t *items_of_images(const struct wish *wish, int argc, char **argv)
{
    json_t *items = json_array();
    int i;

    for (i = 1; i <= argc; i++) {
        json_t *item = item_of(wish, argv[i]);

        if (item == NULL) {
            json_decref(items);
            return NULL;
        }
        json_array_append_new(items, item);
    }
    return items;
}

/* The request's body; NULL after a sentence. */
static json_t *make_body(struct wish *wish, int argc, char **argv, int *code)
{
    json_t *items = wish->set != NULL ? items_of_set(wish) : items_of_images(wish, argc, argv);
    json_t *body;
    char *found = NULL;

    if (items == NULL) {
        *code = CLI_USAGE;
        return NULL;
    }
    if (wish->pipeline == NULL) {
        found = find_pipeline(wish, items, code);
        if (found == NULL) {
            json_decref(items);
            return NULL;
        }
    }
    body = json_pack("{s:s, s:s, s:s, s:b, s:o}", "pipeline",
                     wish->pipeline != NULL ? wish->pipeline : found, "to", wish->to, "reason",
                     wish->reason != NULL ? wish->reason : "", "dry_run", wish->is_dry_run, "items",
                     items);
    free(found);
    if (body == NULL) {
        *code = cli_fail(CLI_USAGE, "names and texts have to be UTF-8");
    }
    return body;
}

static int read_wish(int argc, char **argv, struct wish *wish, int *n)
{
    const struct cli_option options[] = {{"--to", CLI_TEXT, &wish->to},
                                         {"--pipeline", CLI_TEXT, &wish->pipeline},
                                         {"--reason", CLI_TEXT, &wish->reason},
                                         {"--wait", CLI_TEXT, &wish->wait},
                                         {"--key", CLI_TEXT, &wish->key},
                                         {"--set", CLI_TEXT, &wish->set},
                                         {"--tag", CLI_LIST, &wish->tags},
                                         {"--dry-run", CLI_FLAG, &wish->is_dry_run},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&wish->client), options, NULL};
    struct reason why = {""};

    *n = cli_options(argc, argv, tables);
    if (*n < 0) {
        return CLI_USAGE;
    }
    if ((*n == 0) == (wish->set == NULL) || wish->to == NULL) {
        return cli_fail(CLI_USAGE, "say what and where to: caisson promote REPOSITORY:TAG --to "
                                   "STAGE, or --set FILE instead of the images");
    }
    if (wish->wait != NULL &&
        duration_parse(bytes_of_string(wish->wait), &wish->wait_ms, &why) != OK) {
        return cli_fail(CLI_USAGE, "--wait: %s", why.text);
    }
    return cli_client_ready(&wish->client);
}

int cli_promote_run(int argc, char **argv)
{
    struct wish wish = {.to = NULL};
    json_t *body;
    int n, code = read_wish(argc, argv, &wish, &n);

    if (code != CLI_OK) {
        return code;
    }
    body = make_body(&wish, n, argv, &code);
    if (body != NULL) {
        code = cli_promotion_request(&wish.client, body, wish.key, wish.wait_ms);
    }
    json_decref(wish.document);
    return code;
}
