#include "node/cli.h"

#include "base/json.h"
#include "node/cli_client.h"
#include "node/cli_promotion.h"
#include "node/cli_table.h"
#include "promotion/pipeline.h"
#include "promotion/promotion.h"

#include <stdio.h>
#include <string.h>

/* `caisson status-check`, `freeze`, `quarantine`, `holds`: what steers promotions beside their
 * gates. */

/* One call; prints the answer as JSON, or the sentence that print makes of it. */
static int call(struct cli_client *client, const char *method, const char *path, json_t *body,
                int (*print)(const json_t *body))
{
    struct cli_call request = {.method = method, .path = path, .body = body};

    return cli_show(client, &request, print);
}

static bool is_digest(const char *text)
{
    struct digest digest;

    return digest_parse(bytes_of_string(text), &digest) == OK;
}

/* --- status-check ----------------------------------------------------------------------------- */

static int print_report(const json_t *body)
{
    printf("%s: %s is %s\n", cli_promotion_text(body, "digest"),
           cli_promotion_text(body, "context"), cli_promotion_text(body, "state"));
    return CLI_OK;
}

static int print_reports(const json_t *body)
{
    static const char *const headings[] = {"CONTEXT", "STATE", "REPORTER", "TIME", "URL"};
    const json_t *list = json_object_get(body, "statuses");
    struct cli_table table;
    size_t i;

    cli_table_init(&table, 5, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *status = json_array_get(list, i);

        cli_table_cell(&table, "%s", cli_promotion_text(status, "context"));
        cli_table_cell(&table, "%s", cli_promotion_text(status, "state"));
        cli_table_cell(&table, "%s", cli_promotion_text(status, "reporter"));
        cli_table_cell(&table, "%s", cli_promotion_text(status, "time"));
        cli_table_cell(&table, "%s", cli_promotion_text(status, "url"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_status_check(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *context = NULL, *state = NULL, *url = NULL, *description = NULL, *ttl = NULL;
    const struct cli_option options[] = {
        {"--context", CLI_TEXT, &context}, {"--state", CLI_TEXT, &state},
        {"--url", CLI_TEXT, &url},         {"--description", CLI_TEXT, &description},
        {"--ttl", CLI_TEXT, &ttl},         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[256];
    json_t *body;
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || !is_digest(argv[1])) {
        return cli_fail(CLI_USAGE, "name the digest: sha256: and 64 hex digits");
    }
    if (context == NULL && state == NULL) {
        snprintf(path, sizeof path, "/api/v1/statuses?digest=%s", argv[1]);
        return call(&client, "GET", path, NULL, print_reports);
    }
    if (context == NULL || state == NULL) {
        return cli_fail(CLI_USAGE, "a report needs both --context and --state");
    }
    body = json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*}", "digest", argv[1], "context", context,
                     "state", state, "url", url, "description", description, "ttl", ttl);
    return call(&client, "POST", "/api/v1/statuses", body, print_report);
}

/* --- freeze, quarantine ----------------------------------------------------------------------- */

static int print_held(const json_t *body)
{
    const char *kind = cli_promotion_text(body, "kind"), *id = cli_promotion_text(body, "id");

    printf("%s %s is in force; lift it with: caisson %s lift %s\n", kind, id, kind, id);
    return CLI_OK;
}

static int run_freeze(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *pipeline = NULL, *repositories = NULL, *reason = NULL, *until = NULL, *ms = NULL;
    bool all = false;
    const struct cli_option options[] = {{"--pipeline", CLI_TEXT, &pipeline},
                                         {"--repositories", CLI_TEXT, &repositories},
                                         {"--all", CLI_FLAG, &all},
                                         {"--reason", CLI_TEXT, &reason},
                                         {"--until", CLI_TEXT, &until},
                                         {"--for", CLI_TEXT, &ms},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    int n = cli_options(argc, argv, tables);
    json_t *body;

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n > 1 || (n == 0 && pipeline == NULL && repositories == NULL && !all) ||
        (n == 1 && !pipeline_name_is_valid(bytes_of_string(argv[1])))) {
        return cli_fail(CLI_USAGE, "say what to freeze: a stage, --pipeline, --repositories or "
                                   "--all");
    }
    if (reason == NULL) {
        return cli_fail(CLI_USAGE, "--reason is needed: who is stopped has to know why");
    }
    body = json_pack("{s:s*, s:s*, s:s*, s:s, s:s*, s:s*}", "stage", n == 1 ? argv[1] : NULL,
                     "pipeline", pipeline, "repositories", repositories, "reason", reason, "until",
                     until, "for", ms);
    return call(&client, "POST", "/api/v1/holds", body, print_held);
}

static int run_quarantine(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *reason = NULL, *until = NULL, *ms = NULL;
    bool blocks_pull = false;
    const struct cli_option options[] = {{"--block-pull", CLI_FLAG, &blocks_pull},
                                         {"--reason", CLI_TEXT, &reason},
                                         {"--until", CLI_TEXT, &until},
                                         {"--for", CLI_TEXT, &ms},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    int n = cli_options(argc, argv, tables);
    json_t *body;

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || !is_digest(argv[1])) {
        return cli_fail(CLI_USAGE, "name the digest: sha256: and 64 hex digits");
    }
    if (reason == NULL) {
        return cli_fail(CLI_USAGE, "--reason is needed: who is stopped has to know why");
    }
    body = json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "digest", argv[1], "mode",
                     blocks_pull ? "block-pull" : "block-promotion", "reason", reason, "until",
                     until, "for", ms);
    return call(&client, "POST", "/api/v1/quarantines", body, print_held);
}

static int run_lift(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    const char *allowed = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct cli_call request = {.method = "DELETE"};
    struct cli_reply reply;
    char path[128];
    int n = cli_options(argc, argv, tables), code;

    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1 || strlen(argv[1]) != PROMOTION_ID_SIZE ||
        argv[1][strspn(argv[1], allowed)] != '\0') {
        return cli_fail(CLI_USAGE, "name one by its id: see caisson holds");
    }
    snprintf(path, sizeof path, "/api/v1/holds/%s", argv[1]);
    request.path = path;
    code = cli_client_ready(&client);
    if (code != CLI_OK) {
        return code;
    }
    code = cli_request(&client, &request, &reply);
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK) {
        printf("%s is lifted\n", argv[1]);
    }
    cli_reply_release(&reply);
    return code;
}

static int print_holds(const json_t *body)
{
    static const char *const headings[] = {"ID", "KIND", "SCOPE", "UNTIL", "BY", "REASON"};
    const json_t *list = json_object_get(body, "holds");
    struct cli_table table;
    size_t i;

    if (json_array_size(list) == 0) {
        printf("nothing is frozen or quarantined\n");
        return CLI_OK;
    }
    cli_table_init(&table, 6, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *hold = json_array_get(list, i);
        const char *digest = cli_promotion_text(hold, "digest");
        const char *until = cli_promotion_text(hold, "until");
        const char *parts[] = {cli_promotion_text(hold, "pipeline"),
                               cli_promotion_text(hold, "stage"),
                               cli_promotion_text(hold, "repositories")};
        char scope[512] = "";
        size_t used = 0, k;

        for (k = 0; k < 3; k++) {
            if (parts[k][0] != '\0' && used < sizeof scope) {
                used += (size_t)snprintf(scope + used, sizeof scope - used, "%s%s",
                                         used > 0 ? " " : "", parts[k]);
            }
        }
        cli_table_cell(&table, "%s", cli_promotion_text(hold, "id"));
        cli_table_cell(&table, "%s", cli_promotion_text(hold, "kind"));
        cli_table_cell(&table, "%s",
                       digest[0] != '\0'  ? digest
                       : scope[0] != '\0' ? scope
                                          : "everything");
        cli_table_cell(&table, "%s", until[0] != '\0' ? until : "lifted");
        cli_table_cell(&table, "%s", cli_promotion_text(hold, "by"));
        cli_table_cell(&table, "%s", cli_promotion_text(hold, "reason"));
    }
    cli_table_print(&table);
    return CLI_OK;
}

static int run_holds(int argc, char **argv)
{
    struct cli_client client = {0};
    const struct cli_option *const tables[] = {cli_client_options(&client), NULL};
    int n = cli_options(argc, argv, tables);

    if (n < 0) {
        return CLI_USAGE;
    }
    return n > 0 ? cli_fail(CLI_USAGE, "this command takes no names")
                 : call(&client, "GET", "/api/v1/holds", NULL, print_holds);
}

#define GROUP "Promotions"
#define END_OPTIONS                                                                                \
    "  --reason TEXT        shown to everybody who is stopped by it\n"                             \
    "  --until TIME         when it ends by itself, such as 2030-12-24T18:00:00Z\n"                \
    "  --for TIME           the same, from now on: 4h\n"

const struct cli_command cli_controls_commands[] = {
    {"status-check", GROUP, "report what a check found about a digest, or show the reports",
     "Usage: caisson status-check DIGEST --context NAME --state STATE [OPTIONS]\n"
     "       caisson status-check DIGEST\n"
     "\n"
     "  --context NAME       the check: e2e\n"
     "  --state STATE        pending, success, failure or error\n"
     "  --url URL            where its log is\n"
     "  --description TEXT\n"
     "  --ttl TIME           how long the report is worth something, such as 24h\n"
     "\n"
     "Whoever is logged in is the reporter; a gate of type status names those it believes.\n"
     "\n"
     "Example:\n"
     "  caisson status-check sha256:4f53...a1 --context e2e --state success --url "
     "https://ci.example/7\n",
     run_status_check},
    {"freeze", GROUP, "stop promotions: of a stage, a pipeline, some repositories, or all",
     "Usage: caisson freeze [STAGE] --reason TEXT [OPTIONS]\n"
     "\n"
     "  --pipeline NAME      only this pipeline\n"
     "  --repositories GLOB  only these repositories, as source or target\n"
     "  --all                everything\n" END_OPTIONS "\nExample:\n"
     "  caisson freeze prod --pipeline shop --for 4h --reason 'incident 1042'\n",
     run_freeze},
    {"freeze lift", GROUP, "end a freeze",
     "Usage: caisson freeze lift ID\n\nExample:\n"
     "  caisson freeze lift 01KAEXAMP1E0000000000000AB\n",
     run_lift},
    {"quarantine", GROUP, "keep whatever contains a digest from being promoted, or pulled",
     "Usage: caisson quarantine DIGEST --reason TEXT [OPTIONS]\n"
     "\n"
     "DIGEST is of a manifest, a config or a layer: every image that contains it is stopped.\n"
     "\n"
     "  --block-pull         refuse to serve it too\n" END_OPTIONS "\nExample:\n"
     "  caisson quarantine sha256:4f53...a1 --block-pull --reason CVE-2026-1111\n",
     run_quarantine},
    {"quarantine lift", GROUP, "end a quarantine",
     "Usage: caisson quarantine lift ID\n\nExample:\n"
     "  caisson quarantine lift 01KAEXAMP1E0000000000000AB\n",
     run_lift},
    {"holds", GROUP, "list what is frozen and quarantined",
     "Usage: caisson holds\n\nExample:\n  caisson holds -o json\n", run_holds},
    {NULL, NULL, NULL, NULL, NULL},
};
