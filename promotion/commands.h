#ifndef PROMOTION_COMMANDS_H
#define PROMOTION_COMMANDS_H

#include "promotion/plan.h"
#include "store/command.h"

/* promotion/'s commands: encoders, results, and the rows for catalog_open().
 *
 * Ids of promotions are made by the proposer (promotion_id_make) and carried, since apply has no
 * randomness. All of them but pipeline.put answer with a promotion_result: a refusal is a decision
 * that is kept (state, audit trail), so it is not an error of the command. Errors of the command
 * itself (nothing changed, nothing kept): ERROR_INVALID, ERROR_NOT_FOUND, ERROR_CONFLICT,
 * ERROR_IDEMPOTENCY, ERROR_TOO_LARGE and those of plan_make(). */

extern const struct command_row promotion_commands[];
extern const size_t promotion_commands_n;

/* A ULID of the time and random bytes, with a NUL. */
void promotion_id_make(uint64_t wall_ms, char id[PROMOTION_ID_SIZE + 1]);

/* expected: the revision that is in force (algorithm 0: whichever). The result is a
 * policy_result (promotion/policy_change.h). ERROR_CONFLICT when another revision is in force. */
void command_pipeline_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes name, struct bytes document, const struct digest *expected);
/* key may be empty; request_hash: of what it stands for. */
void command_promotion_create(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, const struct promotion_request *request,
                              struct bytes key, const struct digest *request_hash);
/* Approve, or reject. plan_hash: what was looked at. */
void command_promotion_decide(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, bool is_approval, struct bytes comment,
                              const struct digest *plan_hash);
void command_promotion_commit(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion);
void command_promotion_cancel(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, struct bytes reason);

/* status: OK, or why the decision was no (ERROR_GATE, ERROR_CONFLICT, ERROR_NOT_ELIGIBLE) with its
 * code and sentence. */
struct promotion_result {
    struct bytes id, code, text;
    enum error status;
    bool is_repeat; /* Create: the key was used before, this is that promotion. */
};

/* Borrowed from body. ERROR_INVALID. */
enum error promotion_result_read(struct bytes body, struct promotion_result *out) MUST_USE;

/* Check what a request may hold: grammar and counts. ERROR_INVALID with a sentence. */
enum error promotion_request_check(const struct promotion_request *request,
                                   struct reason *why) MUST_USE;

#endif
