#include "node/cli_promotion.h"

#include "base/json.h"
#include "node/cli_table.h"

#include <stdio.h>
#include <string.h>

/* `caisson promotions`, `promotion show`, `why`, `approve`, `reject`, `promotion cancel`; and what
 * they share with `promote`. */

#define EXIT_CODES                                                                                 \
    "\nExit codes: 0 committed, 2 blocked or rejected, 3 waiting, 4 a tag moved, 5 no quorum.\n"

int cli_promotion_call(const struct cli_client *client, const struct cli_call *call,
                       struct cli_reply *reply)
{
    int code = cli_request(client, call, reply);

    if (code == CLI_OK) {
        code = cli_reply_check(reply);
    }
    if (code != CLI_OK) {
        cli_reply_release(reply);
    }
    return code;
}

const char *cli_promotion_text(const json_t *object, const char *key)
{
    const char *text = json_member_string(object, key);

    return text != NULL ? text : "";
}

bool cli_promotion_path(const char *id, const char *suffix, char *path, size_t size)
{
    size_t n = strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ");

    if (n != 26 || id[n] != '\0') {
        (void)cli_fail(CLI_USAGE, "'%.64s' is no promotion id: see caisson promotions", id);
        return false;
    }
    snprintf(path, size, "/api/v1/promotions/%s%s", id, suffix);
    return true;
}

static bool is_state(const json_t *promotion, const char *state)
{
    return strcmp(cli_promotion_text(promotion, "state"), state) == 0;
}

int cli_promotion_exit(const json_t *promotion)
{
    if (is_state(promotion, "committed")) {
        return CLI_OK;
    }
    if (is_state(promotion, "superseded")) {
        return CLI_CONFLICT;
    }
    return is_state(promotion, "blocked") || is_state(promotion, "rejected") ||
                   is_state(promotion, "cancelled")
               ? CLI_BLOCKED
               : CLI_WAITING;
}

bool cli_promotion_is_closed(const json_t *promotion)
{
    return is_state(promotion, "committed") || is_state(promotion, "superseded") ||
           is_state(promotion, "rejected") || is_state(promotion, "cancelled");
}

/* "sha256:0123456789ab" */
static const char *short_digest(const json_t *object, const char *key, char text[24])
{
    snprintf(text, 24, "%.19s", cli_promotion_text(object, key));
    return text[0] != '\0' ? text : "absent";
}

void cli_promotion_print_gates(const json_t *promotion)
{
    static const char *const headings[] = {"GATE", "RESULT", "WHY"};
    const json_t *gates = json_object_get(promotion, "gates");
    struct cli_table table;
    size_t i;

    if (json_array_size(gates) == 0) {
        return;
    }
    cli_table_init(&table, 3, headings);
    for (i = 0; i < json_array_size(gates); i++) {
        const json_t *gate = json_array_get(gates, i);

        cli_table_cell(&table, "%s", cli_promotion_text(gate, "id"));
        cli_table_cell(&table, "%s", cli_promotion_text(gate, "result"));
        cli_table_cell(&table, "%s", cli_promotion_text(gate, "detail"));
        if (cli_promotion_text(gate, "fix")[0] != '\0') {
            cli_table_cell(&table, "%s", "");
            cli_table_cell(&table, "%s", "");
            cli_table_cell(&table, "-> %s", cli_promotion_text(gate, "fix"));
        }
    }
    cli_table_print(&table);
}

void cli_promotion_print_items(const json_t *promotion)
{
    static const char *const headings[] = {"FROM", "TO", "TAG", "WAS", "BECOMES"};
    const json_t *items = json_object_get(promotion, "items");
    struct cli_table table;
    char was[24], becomes[24];
    size_t i, k;

    cli_table_init(&table, 5, headings);
    for (i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *tags = json_object_get(item, "tags");
        size_t rows = json_array_size(tags) > 0 ? json_array_size(tags) : 1;

        for (k = 0; k < rows; k++) {
            const json_t *tag = json_array_get(tags, k);

            cli_table_cell(&table, "%s", cli_promotion_text(item, "repo"));
            cli_table_cell(&table, "%s", cli_promotion_text(item, "target"));
            cli_table_cell(&table, "%s", tag != NULL ? cli_promotion_text(tag, "name") : "-");
            cli_table_cell(&table, "%s", tag != NULL ? short_digest(tag, "expect", was) : "-");
            cli_table_cell(&table, "%s", short_digest(item, "digest", becomes));
        }
    }
    cli_table_print(&table);
}

static void stages_cell(struct cli_table *table, const json_t *promotion)
{
    if (strcmp(cli_promotion_text(promotion, "kind"), "rollback") == 0) {
        cli_table_cell(table, "rollback of %s", cli_promotion_text(promotion, "to"));
    } else {
        cli_table_cell(table, "%s -> %s", cli_promotion_text(promotion, "from"),
                       cli_promotion_text(promotion, "to"));
    }
}

void cli_promotion_print(const json_t *promotion)
{
    static const char *const headings[] = {"PROMOTION", "PIPELINE", "STAGES", "STATE", "ASKED BY"};
    struct cli_table table;

    cli_table_init(&table, 5, headings);
    cli_table_cell(&table, "%s",
                   json_object_get(promotion, "id") != NULL ? cli_promotion_text(promotion, "id")
                                                            : "(dry run)");
    cli_table_cell(&table, "%s", cli_promotion_text(promotion, "pipeline"));
    stages_cell(&table, promotion);
    cli_table_cell(&table, "%s", cli_promotion_text(promotion, "state"));
    cli_table_cell(&table, "%s", cli_promotion_text(promotion, "requester"));
    cli_table_print(&table);
    printf("\n");
    cli_promotion_print_items(promotion);
    printf("\n");
    cli_promotion_print_gates(promotion);
    printf("%s\nplan %s\n", cli_promotion_text(promotion, "summary"),
           cli_promotion_text(promotion, "plan_hash"));
}

/* Options, one id, one GET: what show and why begin with. */
static int get_one(int argc, char **argv, struct cli_client *client, const char *suffix,
                   struct cli_reply *reply)
{
    const struct cli_option *const tables[] = {cli_client_options(client), NULL};
    int n = cli_options(argc, argv, tables), code;
    char path[128];
    struct cli_call call = {.method = "GET", .path = path};

    *reply = (struct cli_reply){0};
    if (n < 0) {
        return CLI_USAGE;
    }
    if (n != 1) {
        return cli_fail(CLI_USAGE, "name one promotion by its id: see caisson promotions");
    }
    if (!cli_promotion_path(argv[1], suffix, path, sizeof path)) {
        return CLI_USAGE;
    }
    code = cli_client_ready(client);
    return code != CLI_OK ? code : cli_promotion_call(client, &call, reply);
}

static int run_show(int argc, char **argv)
{
    struct cli_client client = {0};
    struct cli_reply reply;
    int code = get_one(argc, argv, &client, "", &reply);

    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    } else {
        cli_promotion_print(reply.body);
    }
    cli_reply_release(&reply);
    return CLI_OK;
}

static int run_why(int argc, char **argv)
{
    struct cli_client client = {0};
    struct cli_reply reply;
    int code = get_one(argc, argv, &client, "/explain", &reply);

    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    } else {
        printf("%s is %s\n\n", cli_promotion_text(reply.body, "id"),
               cli_promotion_text(reply.body, "state"));
        cli_promotion_print_gates(reply.body);
        printf("%s\n", cli_promotion_text(reply.body, "summary"));
    }
    code = cli_promotion_exit(reply.body);
    cli_reply_release(&reply);
    return code;
}

/* A filter goes into the path: names and states only. */
static bool add_filter(char *path, size_t size, const char *key, const char *value)
{
    size_t used = strlen(path);

    if (value == NULL) {
        return true;
    }
    if (value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0' ||
        strlen(value) > 64) {
        (void)cli_fail(CLI_USAGE, "--%s '%.64s' is not a name", key, value);
        return false;
    }
    snprintf(path + used, size - used, "%s%s=%s", strchr(path, '?') == NULL ? "?" : "&", key,
             value);
    return true;
}

static void print_list(const json_t *list)
{
    static const char *const headings[] = {"PROMOTION", "PIPELINE", "STAGES",
                                           "STATE",     "IMAGE",    "ASKED BY"};
    struct cli_table table;
    size_t i;

    cli_table_init(&table, 6, headings);
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *promotion = json_array_get(list, i);
        const json_t *items = json_object_get(promotion, "items");

        cli_table_cell(&table, "%s", cli_promotion_text(promotion, "id"));
        cli_table_cell(&table, "%s", cli_promotion_text(promotion, "pipeline"));
        stages_cell(&table, promotion);
        cli_table_cell(&table, "%s", cli_promotion_text(promotion, "state"));
        cli_table_cell(&table, "%s%s", cli_promotion_text(json_array_get(items, 0), "target"),
                       json_array_size(items) > 1 ? ", ..." : "");
        cli_table_cell(&table, "%s", cli_promotion_text(promotion, "requester"));
    }
    cli_table_print(&table);
}

static int run_list(int argc, char **argv)
{
    struct cli_client client = {0};
    const char *pipeline = NULL, *state = NULL;
    const struct cli_option options[] = {
        {"--pipeline", CLI_TEXT, &pipeline}, {"--state", CLI_TEXT, &state}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&client), options, NULL};
    char path[256] = "/api/v1/promotions?n=1000";
    struct cli_call call = {.method = "GET", .path = path};
    struct cli_reply reply;
    int n = cli_options(argc, argv, tables), code;

    if (n != 0) {
        return n < 0 ? CLI_USAGE : cli_fail(CLI_USAGE, "this command takes no names");
    }
    if (!add_filter(path, sizeof path, "pipeline", pipeline) ||
        !add_filter(path, sizeof path, "state", state)) {
        return CLI_USAGE;
    }
    code = cli_client_ready(&client);
    if (code == CLI_OK) {
        code = cli_promotion_call(&client, &call, &reply);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&client)) {
        cli_reply_print(&reply);
    } else {
        print_list(json_object_get(reply.body, "promotions"));
    }
    cli_reply_release(&reply);
    return CLI_OK;
}

/* --- the table ------------------------------------------------------------------------------- */

#define DECIDE_OPTIONS                                                                             \
    "\n"                                                                                           \
    "  --comment TEXT   kept with the decision\n"                                                  \
    "  --plan HASH      decide only if this is still the plan (default: the one shown)\n"          \
    "\nExit codes: 0 recorded, 2 you may not, 4 it changed meanwhile, 5 no quorum.\n"

#define GROUP "Promotions"

const struct cli_command cli_promotion_commands[] = {
    {"promote", GROUP, "ask for images to move to the next stage",
     "Usage: caisson promote IMAGE... --to STAGE [OPTIONS]\n"
     "\n"
     "IMAGE is REPOSITORY:TAG or REPOSITORY@DIGEST of the stage before. All images move together,\n"
     "with everything attached to them, or none does.\n"
     "\n"
     "  --to STAGE         where to\n"
     "  --pipeline NAME    default: the one that has the repository\n"
     "  --set FILE         a release set, instead of IMAGE: YAML with \"images\", a list of IMAGEs "
     "or\n"
     "                     of objects {repo, tag or digest, tags, channels}; pipeline, reason\n"
     "  --tag TAG          tag to set there (default: the tag of IMAGE); may be repeated\n"
     "  --reason TEXT      for those who approve\n"
     "  --wait TIME        wait for the end, such as 90s or 10m\n"
     "  --dry-run          plan and judge, change nothing\n"
     "  --key KEY          Idempotency-Key: the same key is the same promotion\n"
     "\n"
     "Examples:\n"
     "  caisson promote dev/shop/web:1.4.2 --to test --wait 1m\n"
     "  caisson promote test/shop/web:1.4.2 test/shop/api:2.0.1 --to prod --reason CHG-1042\n"
     "  caisson promote test/shop/web:1.4.2 --to prod --tag stable --dry-run\n"
     "  caisson promote --set release.yaml --to prod --wait 10m\n" EXIT_CODES,
     cli_promote_run},
    {"promotions", GROUP, "list promotions",
     "Usage: caisson promotions [--pipeline NAME] [--state STATE]\n"
     "\n"
     "States: evaluating, awaiting_approval, blocked, ready, committed, rejected, cancelled,\n"
     "superseded; open stands for the first four.\n"
     "\n"
     "Examples:\n"
     "  caisson promotions --state open\n"
     "  caisson promotions --pipeline shop -o json\n",
     run_list},
    {"promotion show", GROUP, "show one promotion",
     "Usage: caisson promotion show ID\n\nExample:\n"
     "  caisson promotion show 01KAEXAMP1E0000000000000AB\n",
     run_show},
    {"promotion cancel", GROUP, "give up a promotion",
     "Usage: caisson promotion cancel ID [--comment TEXT]\n\nExample:\n"
     "  caisson promotion cancel 01KAEXAMP1E0000000000000AB --comment 'wrong build'\n",
     cli_cancel_run},
    {"why", GROUP, "say why a promotion has not happened, and the way out",
     "Usage: caisson why ID\n\nExample:\n"
     "  caisson why 01KAEXAMP1E0000000000000AB\n" EXIT_CODES,
     run_why},
    {"approve", GROUP, "approve a promotion",
     "Usage: caisson approve ID [OPTIONS]\n"
     "\nShows what moves, then approves exactly that plan.\n" DECIDE_OPTIONS "\nExample:\n"
     "  caisson approve 01KAEXAMP1E0000000000000AB --comment 'tests are green'\n",
     cli_approve_run},
    {"reject", GROUP, "reject a promotion, for good",
     "Usage: caisson reject ID [OPTIONS]\n" DECIDE_OPTIONS "\nExample:\n"
     "  caisson reject 01KAEXAMP1E0000000000000AB --comment 'not before Monday'\n",
     cli_reject_run},
    {"override", GROUP, "override gates of a promotion, together with somebody else",
     "Usage: caisson override ID --gate GATE... --reason TEXT [OPTIONS]\n"
     "\n"
     "Break-glass: takes as many people as the stage's \"override\" says, two or more; each runs\n"
     "this. It is for the plan that is shown, ends after a while, and stays on record. Mandatory\n"
     "gates, freezes, quarantines, missing copies and moved tags are never passed.\n"
     "\n"
     "  --gate GATE     id of the gate, as caisson why shows it; may be repeated\n"
     "  --reason TEXT   kept in the audit trail\n"
     "  --ttl TIME      for how long, such as 30m; at most, and by default, what the stage allows\n"
     "  --plan HASH     only if this is still the plan (default: the one shown)\n"
     "\nExit codes: 0 recorded, 2 you may not, 4 it changed meanwhile, 5 no quorum.\n"
     "\nExample:\n"
     "  caisson override 01KAEXAMP1E0000000000000AB --gate soak --reason 'incident 1042'\n",
     cli_override_run},
    {"pipeline apply", GROUP, "set a pipeline from a file",
     "Usage: caisson pipeline apply -f FILE [--dry-run]\n"
     "\n"
     "  -f, --file FILE   YAML or JSON; '-': standard input\n"
     "  --dry-run         only check\n"
     "\n"
     "A file:\n"
     "  pipeline: shop\n"
     "  groups:\n"
     "    release-managers: [alice, bob, carol]\n"
     "  stages:\n"
     "  - {name: dev, repos: \"dev/shop/*\", write: open}\n"
     "  - {name: test, repos: \"test/shop/*\", write: promotion-only, from: dev}\n"
     "  - name: prod\n"
     "    repos: \"prod/shop/*\"\n"
     "    write: promotion-only\n"
     "    from: test\n"
     "    gates:\n"
     "    - {id: soak, type: soak, min: 24h}\n"
     "    - {id: 4eyes, type: approvals, rules: [{group: release-managers, min: 2}]}\n"
     "\n"
     "Example:\n"
     "  caisson pipeline apply -f shop.yaml --dry-run\n",
     cli_pipeline_apply_run},
    {"pipeline show", GROUP, "print a pipeline's document",
     "Usage: caisson pipeline show NAME\n\nExample:\n  caisson pipeline show shop\n",
     cli_pipeline_show_run},
    {"pipeline list", GROUP, "list pipelines",
     "Usage: caisson pipeline list\n\nExample:\n  caisson pipeline list -o json\n",
     cli_pipeline_list_run},
    {"policy lint", GROUP, "check a pipeline's file, without a server",
     "Usage: caisson policy lint -f FILE\n"
     "\n"
     "Says what would be refused, with its place, and what is allowed but lets more through than\n"
     "it may seem: a stage at the end without approvals, gates that only warn.\n"
     "\nExit codes: 0 good, 2 it would be refused.\n"
     "\nExample:\n  caisson policy lint -f shop.yaml\n",
     cli_policy_lint_run},
    {"policy test", GROUP, "say what a pipeline's file would do to promotions that are open",
     "Usage: caisson policy test -f FILE\n"
     "\n"
     "Changes nothing: the server judges every open promotion of the pipeline by the document in\n"
     "force and by this one.\n"
     "\nExample:\n  caisson policy test -f shop.yaml\n",
     cli_policy_test_run},
    {"policy apply", GROUP, "the same as pipeline apply",
     "Usage: caisson policy apply -f FILE [--dry-run]\n\nSee caisson pipeline apply --help.\n"
     "\nExample:\n  caisson policy apply -f shop.yaml\n",
     cli_pipeline_apply_run},
    {"pipeline approve", GROUP, "agree to the change of a pipeline that waits",
     "Usage: caisson pipeline approve NAME\n"
     "\n"
     "Shows the document that comes, then agrees to exactly that one. A pipeline whose document "
     "has\n"
     "\"changes\" takes a new document only when enough of the people named there agreed.\n"
     "\nExit codes: 0 in force, 2 you have no say, 3 it waits for more, 4 it changed meanwhile.\n"
     "\nExample:\n  caisson pipeline approve shop\n",
     cli_pipeline_approve_run},
    {"pipeline reject", GROUP, "give up the change of a pipeline that waits",
     "Usage: caisson pipeline reject NAME\n\nExample:\n  caisson pipeline reject shop\n",
     cli_pipeline_reject_run},
    {NULL, NULL, NULL, NULL, NULL},
};
