#ifndef PROMOTION_APPLY_H
#define PROMOTION_APPLY_H

#include "promotion/commands.h"

/* The apply functions of the rows, one file each. Private to promotion/. */

void apply_pipeline_put(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome);
void apply_pipeline_decide(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome);
void apply_promotion_create(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome);
void apply_promotion_decide(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome);
void apply_promotion_commit(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome);
void apply_promotion_cancel(const struct command_context *context, struct unpacker *body,
                            struct outcome *outcome);

void apply_promotion_override(const struct command_context *context, struct unpacker *body,
                              struct outcome *outcome);
void apply_status_put(const struct command_context *context, struct unpacker *body,
                      struct outcome *outcome);
void apply_hold_put(const struct command_context *context, struct unpacker *body,
                    struct outcome *outcome);
void apply_hold_lift(const struct command_context *context, struct unpacker *body,
                     struct outcome *outcome);

void apply_signing_key_put(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome);
void apply_drill_result(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome);

/* Answer with a promotion_result. */
void apply_answer(struct outcome *outcome, struct bytes id, enum error status, const char *code,
                  const char *text, bool is_repeat);
/* Load an open promotion, or fail the outcome. */
bool apply_load_open(const struct command_context *context, struct bytes id, struct promotion *out,
                     struct outcome *outcome);

/* What the audit trail says about a plan. */
json_t *apply_plan_details(const struct promotion *promotion);

#endif
