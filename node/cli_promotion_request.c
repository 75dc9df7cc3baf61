#include "node/cli_promotion.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Asking for a promotion. The request carries a key, so that it can be sent again while the cluster
 * has no leader, and still is one promotion. */

#define RETRY_MS    15000
#define POLL_US     500000
#define KEY_HEX_MAX 33

/* Send it until somebody decides; the key makes that once. */
static int send_request(const struct cli_client *client, const char *key, json_t *body,
                        struct cli_reply *reply)
{
    uint64_t end = clock_monotonic_ms() + RETRY_MS;
    bool has_told = false;
    int code;

    for (;;) {
        struct cli_call call = {.method = "POST",
                                .path = "/api/v1/promotions",
                                .body = json_incref(body),
                                .idempotency_key = key,
                                .is_repeated = has_told};

        code = cli_request(client, &call, reply);
        if ((code == CLI_OK && reply->status != 503) || clock_monotonic_ms() >= end) {
            if (has_told && code != CLI_OK) {
                (void)cli_fail(CLI_NO_QUORUM, "no answer within %d s", RETRY_MS / 1000);
            }
            return code;
        }
        if (code != CLI_OK && !has_told) {
            fprintf(stderr, "trying again for %d s\n", RETRY_MS / 1000);
            has_told = true;
        }
        cli_reply_release(reply);
        usleep(POLL_US);
    }
}

/* What the server said about the promotion: its document, also when it comes as an error's detail.
 */
static json_t *promotion_of(const struct cli_reply *reply)
{
    const json_t *error = json_array_get(json_object_get(reply->body, "errors"), 0);
    json_t *detail = json_object_get(error, "detail");

    return error == NULL                                  ? reply->body
           : json_object_get(detail, "plan_hash") != NULL ? detail
                                                          : NULL;
}

/* Ask again until it is over or the time is; *promotion is replaced by the newest document. */
static void wait_for(const struct cli_client *client, uint64_t wait_ms, json_t **promotion)
{
    uint64_t end = clock_monotonic_ms() + wait_ms;
    char path[128], shown[64] = "";
    bool is_terminal = isatty(STDERR_FILENO) == 1, has_failed = false;

    if (!cli_promotion_path(cli_promotion_text(*promotion, "id"), "", path, sizeof path)) {
        return;
    }
    while (!cli_promotion_is_closed(*promotion) && clock_monotonic_ms() < end) {
        struct cli_call call = {.method = "GET", .path = path, .is_repeated = has_failed};
        const char *state = cli_promotion_text(*promotion, "state");
        struct cli_reply reply;

        if (is_terminal || strcmp(shown, state) != 0) {
            fprintf(stderr, "%s%s: %.160s%s", is_terminal ? "\r\033[K" : "", state,
                    cli_promotion_text(*promotion, "summary"), is_terminal ? "" : "\n");
            snprintf(shown, sizeof shown, "%s", state);
        }
        usleep(POLL_US);
        has_failed = cli_request(client, &call, &reply) != CLI_OK;
        if (!has_failed && reply.status == 200 && reply.body != NULL) {
            json_decref(*promotion);
            *promotion = json_incref(reply.body);
        }
        cli_reply_release(&reply);
    }
    if (is_terminal) {
        fprintf(stderr, "\r\033[K");
    }
}

static int show_end(const struct cli_client *client, const struct cli_reply *reply,
                    uint64_t wait_ms, bool is_dry_run)
{
    json_t *promotion = promotion_of(reply);
    int code;

    if (promotion == NULL) {
        return cli_reply_check(reply);
    }
    promotion = json_incref(promotion);
    if (wait_ms > 0 && !is_dry_run) {
        wait_for(client, wait_ms, &promotion);
    }
    if (cli_client_wants_json(client)) {
        json_dumpf(promotion, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        cli_promotion_print(promotion);
    }
    code = cli_promotion_exit(promotion);
    if (is_dry_run && strcmp(cli_promotion_text(promotion, "state"), "ready") == 0) {
        code = CLI_OK;
    }
    json_decref(promotion);
    return code;
}

int cli_promotion_request(const struct cli_client *client, json_t *body, const char *key,
                          uint64_t wait_ms)
{
    bool is_dry_run = json_is_true(json_object_get(body, "dry_run"));
    struct cli_reply reply = {0};
    char made[KEY_HEX_MAX];
    int code;

    random_hex(made, (KEY_HEX_MAX - 1) / 2);
    code = send_request(client, key != NULL ? key : made, body, &reply);
    json_decref(body);
    if (code == CLI_OK) {
        code = show_end(client, &reply, wait_ms, is_dry_run);
    }
    cli_reply_release(&reply);
    return code;
}
