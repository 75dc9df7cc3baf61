#include "promotion/commands.h"

#include "base/random.h"
#include "promotion/apply.h"

const struct command_row promotion_commands[] = {
    {COMMAND_PIPELINE_PUT, "pipeline.put", apply_pipeline_put},
    {COMMAND_PROMOTION_CREATE, "promotion.create", apply_promotion_create},
    {COMMAND_PROMOTION_APPROVE, "promotion.approve", apply_promotion_decide},
    {COMMAND_PROMOTION_COMMIT, "promotion.commit", apply_promotion_commit},
    {COMMAND_PROMOTION_CANCEL, "promotion.cancel", apply_promotion_cancel},
    {COMMAND_PIPELINE_DECIDE, "pipeline.decide", apply_pipeline_decide},
    {COMMAND_PROMOTION_OVERRIDE, "promotion.override", apply_promotion_override},
    {COMMAND_STATUS_PUT, "status.put", apply_status_put},
    {COMMAND_HOLD_PUT, "hold.put", apply_hold_put},
    {COMMAND_HOLD_LIFT, "hold.lift", apply_hold_lift},
    {COMMAND_SIGNING_KEY_PUT, "signing-key.put", apply_signing_key_put},
    {COMMAND_DRILL_RESULT, "drill.result", apply_drill_result},
};

const size_t promotion_commands_n = sizeof promotion_commands / sizeof promotion_commands[0];

void promotion_id_make(uint64_t wall_ms, char id[PROMOTION_ID_SIZE + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t random[16];
    size_t i;

    /* 10 digits of time, 16 of chance, 5 bits each. */
    for (i = 0; i < 10; i++) {
        id[9 - i] = digits[(wall_ms >> (5 * i)) & 31];
    }
    random_bytes(random, sizeof random);
    for (i = 0; i < 16; i++) {
        id[10 + i] = digits[random[i] & 31];
    }
    id[PROMOTION_ID_SIZE] = '\0';
}

void command_pipeline_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          struct bytes name, struct bytes document, const struct digest *expected)
{
    command_begin(out, COMMAND_PIPELINE_PUT, id, actor);
    pack_array(out, 3);
    pack_string(out, name);
    pack_string(out, document);
    pack_digest(out, expected);
}

static void pack_request(struct buffer *out, const struct promotion_request *request)
{
    size_t i, k;

    pack_bool(out, request->is_rollback);
    pack_string(out, request->pipeline);
    pack_string(out, request->to);
    pack_string(out, request->reason);
    pack_array(out, request->n_items);
    for (i = 0; i < request->n_items; i++) {
        const struct promotion_request_item *item = &request->items[i];

        pack_array(out, 4);
        pack_string(out, item->source);
        pack_digest(out, &item->root);
        pack_string(out, item->tag);
        pack_array(out, item->n_tags);
        for (k = 0; k < item->n_tags; k++) {
            pack_string(out, item->tags[k]);
        }
    }
    pack_array(out, request->n_expects);
    for (i = 0; i < request->n_expects; i++) {
        pack_array(out, 3);
        pack_string(out, request->expects[i].target);
        pack_string(out, request->expects[i].tag);
        pack_digest(out, &request->expects[i].digest);
    }
}

void command_promotion_create(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, const struct promotion_request *request,
                              struct bytes key, const struct digest *request_hash)
{
    command_begin(out, COMMAND_PROMOTION_CREATE, id, actor);
    pack_array(out, 9);
    pack_string(out, promotion);
    pack_string(out, key);
    pack_digest(out, request_hash);
    pack_request(out, request);
}

void command_promotion_decide(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, bool is_approval, struct bytes comment,
                              const struct digest *plan_hash)
{
    command_begin(out, COMMAND_PROMOTION_APPROVE, id, actor);
    pack_array(out, 4);
    pack_string(out, promotion);
    pack_bool(out, is_approval);
    pack_string(out, comment);
    pack_digest(out, plan_hash);
}

void command_promotion_commit(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion)
{
    command_begin(out, COMMAND_PROMOTION_COMMIT, id, actor);
    pack_array(out, 1);
    pack_string(out, promotion);
}

void command_promotion_cancel(struct buffer *out, const struct command_id *id, struct bytes actor,
                              struct bytes promotion, struct bytes reason)
{
    command_begin(out, COMMAND_PROMOTION_CANCEL, id, actor);
    pack_array(out, 2);
    pack_string(out, promotion);
    pack_string(out, reason);
}

void apply_answer(struct outcome *outcome, struct bytes id, enum error status, const char *code,
                  const char *text, bool is_repeat)
{
    pack_array(&outcome->body, 5);
    pack_string(&outcome->body, id);
    pack_uint(&outcome->body, status);
    pack_text(&outcome->body, code);
    pack_text(&outcome->body, text);
    pack_bool(&outcome->body, is_repeat);
}

enum error promotion_result_read(struct bytes body, struct promotion_result *out)
{
    struct unpacker in;
    uint64_t status;

    unpack_start(&in, body);
    unpack_array_of(&in, 5);
    out->id = unpack_string(&in, PROMOTION_ID_SIZE);
    status = unpack_uint(&in);
    out->code = unpack_string(&in, PROMOTION_TEXT_MAX);
    out->text = unpack_string(&in, PROMOTION_TEXT_MAX);
    out->is_repeat = unpack_bool(&in);
    if (unpack_end(&in) != OK || status >= ERROR_N) {
        return ERROR_INVALID;
    }
    out->status = (enum error)status;
    return OK;
}

bool apply_load_open(const struct command_context *context, struct bytes id, struct promotion *out,
                     struct outcome *outcome)
{
    if (promotion_load(context->txn, id, out) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no promotion with this id");
        return false;
    }
    if (out->state != PROMOTION_OPEN) {
        (void)outcome_fail(outcome, ERROR_CONFLICT, "promotion %.*s is %s already", BYTES_ARG(id),
                           promotion_state_name(out->state));
        promotion_release(out);
        return false;
    }
    return true;
}
