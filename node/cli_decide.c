#include "node/cli_promotion.h"

#include <stdio.h>

/* `caisson approve`, `reject`, `override`, `promotion cancel`: what people say about a promotion.
 */

struct decision {
    struct cli_client client;
    const char *comment, *plan;
    const char *id;
};

static int read_decision(int argc, char **argv, struct decision *decision)
{
    const struct cli_option options[] = {
        {"--comment", CLI_TEXT, &decision->comment}, {"--plan", CLI_TEXT, &decision->plan}, {0}};
    const struct cli_option *const tables[] = {cli_client_options(&decision->client), options,
                                               NULL};
    int n = cli_options(argc, argv, tables);

    if (n != 1) {
        return n < 0 ? CLI_USAGE
                     : cli_fail(CLI_USAGE, "name one promotion by its id: see caisson promotions");
    }
    decision->id = argv[1];
    return cli_client_ready(&decision->client);
}

/* Show what is decided about, then decide about exactly that plan. */
static int look_first(struct decision *decision, char *plan, size_t size)
{
    char path[128];
    struct cli_call call = {.method = "GET", .path = path};
    struct cli_reply reply;
    int code;

    if (!cli_promotion_path(decision->id, "", path, sizeof path)) {
        return CLI_USAGE;
    }
    code = cli_promotion_call(&decision->client, &call, &reply);
    if (code != CLI_OK) {
        return code;
    }
    snprintf(plan, size, "%s",
             decision->plan != NULL ? decision->plan : cli_promotion_text(reply.body, "plan_hash"));
    if (!cli_client_wants_json(&decision->client)) {
        cli_promotion_print_items(reply.body);
        printf("plan %s\n\n", plan);
    }
    cli_reply_release(&reply);
    return CLI_OK;
}

static int send_decision(const struct decision *decision, const char *suffix, json_t *body)
{
    char path[128];
    struct cli_call call = {.method = "POST", .path = path, .body = body};
    struct cli_reply reply;
    int code;

    if (!cli_promotion_path(decision->id, suffix, path, sizeof path)) {
        json_decref(body);
        return CLI_USAGE;
    }
    code = cli_promotion_call(&decision->client, &call, &reply);
    if (code != CLI_OK) {
        return code;
    }
    if (cli_client_wants_json(&decision->client)) {
        cli_reply_print(&reply);
    } else {
        printf("%s is %s: %s\n", decision->id, cli_promotion_text(reply.body, "state"),
               cli_promotion_text(reply.body, "summary"));
    }
    cli_reply_release(&reply);
    return CLI_OK;
}

static int decide(int argc, char **argv, const char *word)
{
    struct decision decision = {0};
    char plan[160];
    int code = read_decision(argc, argv, &decision);

    if (code == CLI_OK) {
        code = look_first(&decision, plan, sizeof plan);
    }
    if (code != CLI_OK) {
        return code;
    }
    return send_decision(&decision, "/approvals",
                         json_pack("{s:s, s:s, s:s}", "decision", word, "comment",
                                   decision.comment != NULL ? decision.comment : "", "plan_hash",
                                   plan));
}

int cli_approve_run(int argc, char **argv)
{
    return decide(argc, argv, "approve");
}

int cli_reject_run(int argc, char **argv)
{
    return decide(argc, argv, "reject");
}

int cli_override_run(int argc, char **argv)
{
    struct decision decision = {0};
    struct cli_list gates = {.n = 0};
    const char *reason = NULL, *ttl = NULL;
    const struct cli_option options[] = {{"--gate", CLI_LIST, &gates},
                                         {"--reason", CLI_TEXT, &reason},
                                         {"--ttl", CLI_TEXT, &ttl},
                                         {"--plan", CLI_TEXT, &decision.plan},
                                         {0}};
    const struct cli_option *const tables[] = {cli_client_options(&decision.client), options, NULL};
    int n = cli_options(argc, argv, tables), code;
    json_t *list = json_array();
    char plan[160] = "";
    size_t i;

    for (i = 0; i < gates.n; i++) {
        json_array_append_new(list, json_string(gates.items[i]));
    }
    decision.id = n == 1 ? argv[1] : "";
    if (n != 1 || gates.n == 0 || reason == NULL) {
        json_decref(list);
        return n < 0 ? CLI_USAGE
                     : cli_fail(CLI_USAGE, "name one promotion by its id, the gates by --gate, and "
                                           "say why with --reason");
    }
    code = cli_client_ready(&decision.client);
    if (code == CLI_OK) {
        code = look_first(&decision, plan, sizeof plan);
    }
    if (code != CLI_OK) {
        json_decref(list);
        return code;
    }
    return send_decision(&decision, "/overrides",
                         json_pack("{s:o, s:s, s:s*, s:s}", "gates", list, "reason", reason, "ttl",
                                   ttl, "plan_hash", plan));
}

int cli_cancel_run(int argc, char **argv)
{
    struct decision decision = {0};
    int code = read_decision(argc, argv, &decision);

    if (code != CLI_OK) {
        return code;
    }
    return send_decision(
        &decision, "/cancel",
        json_pack("{s:s}", "reason", decision.comment != NULL ? decision.comment : ""));
}
