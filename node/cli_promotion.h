#ifndef NODE_CLI_PROMOTION_H
#define NODE_CLI_PROMOTION_H

#include "node/cli_client.h"

#include <stdint.h>

/* Shared by the commands about promotions. */

/* One call that has to succeed; the answer is the caller's then (cli_reply_release()). */
int cli_promotion_call(const struct cli_client *client, const struct cli_call *call,
                       struct cli_reply *reply) MUST_USE;
/* Print a promotion as a person reads it. */
void cli_promotion_print(const json_t *promotion);
/* What moves where. */
void cli_promotion_print_items(const json_t *promotion);
/* Its gates as a table, with the way out of each that does not pass. */
void cli_promotion_print_gates(const json_t *promotion);
/* The exit code that stands for its state. */
int cli_promotion_exit(const json_t *promotion);
/* Is it over? */
bool cli_promotion_is_closed(const json_t *promotion);
/* A member as text, "" when there is none. */
const char *cli_promotion_text(const json_t *object, const char *key);
/* Ask for a promotion (taken: its body), until somebody decides or 15 s are over, and show what
 * came of it; key NULL: one is made; wait_ms: wait that long for its end. Gives the exit code. */
int cli_promotion_request(const struct cli_client *client, json_t *body, const char *key,
                          uint64_t wait_ms) MUST_USE;
/* "/api/v1/promotions/ID" and suffix. False after a sentence: no id. */
bool cli_promotion_path(const char *id, const char *suffix, char *path, size_t size);

/* The YAML (or JSON) document of a file, "-" for standard input; NULL after a sentence. */
json_t *cli_read_yaml(const char *path);

/* The rows of the files. */
int cli_promote_run(int argc, char **argv);
int cli_approve_run(int argc, char **argv);
int cli_reject_run(int argc, char **argv);
int cli_override_run(int argc, char **argv);
int cli_cancel_run(int argc, char **argv);
int cli_pipeline_apply_run(int argc, char **argv);
int cli_pipeline_show_run(int argc, char **argv);
int cli_pipeline_list_run(int argc, char **argv);
int cli_policy_lint_run(int argc, char **argv);
int cli_policy_test_run(int argc, char **argv);
int cli_pipeline_approve_run(int argc, char **argv);
int cli_pipeline_reject_run(int argc, char **argv);

#endif
