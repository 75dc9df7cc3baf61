#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/policy.h"

/* pipeline.put: [name, document, expected revision or nil]. */

static void keep(const struct command_context *context, const struct pipeline *pipeline,
                 const struct policy_record *before, struct outcome *outcome)
{
    char now[DIGEST_TEXT_MAX], previous[DIGEST_TEXT_MAX] = "";
    struct digest revision = pipeline->revision;
    uint64_t number = before->number;

    if (!digest_equal(&before->revision, &revision)) {
        if (before->revision.algorithm != 0) {
            digest_format(&before->revision, previous);
        }
        digest_format(&revision, now);
        number = policy_save(context, pipeline);
        audit_append(context, "policy.changed", bytes_of_string(pipeline->name), BYTES_NONE,
                     json_pack("{s:I, s:s, s:s}", "number", (json_int_t)number, "revision", now,
                               "previous", previous));
    }
    pack_array(&outcome->body, 2);
    pack_uint(&outcome->body, number);
    pack_digest(&outcome->body, &revision);
}

void apply_pipeline_put(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct policy_record before = {0};
    struct pipeline *pipeline = NULL;
    struct digest expected;
    struct bytes name, document;
    struct reason why = {""};
    enum error error;

    unpack_array_of(body, 3);
    name = unpack_string(body, PIPELINE_NAME_MAX);
    document = unpack_string(body, PIPELINE_SIZE_MAX);
    unpack_digest(body, &expected);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "pipeline.put does not decode");
        return;
    }
    if (policy_find(context->txn, name, &before) != OK) {
        before = (struct policy_record){0};
    }
    if (expected.algorithm != 0 && !digest_equal(&expected, &before.revision)) {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "pipeline %.*s was changed meanwhile: read it again, and put the change "
                           "on what is there now",
                           BYTES_ARG(name));
        return;
    }
    error = pipeline_parse(document, name, &pipeline, &why);
    if (error == OK) {
        error = policy_check(context->txn, pipeline, &why);
    }
    if (error == OK) {
        keep(context, pipeline, &before, outcome);
    } else {
        (void)outcome_fail(outcome, error, "%s", why.text);
    }
    pipeline_release(pipeline);
}
