#include "base/assert.h"
#include "promotion/apply.h"
#include "promotion/audit.h"
#include "promotion/policy_change.h"

/* pipeline.put: [name, document, expected revision or nil]; pipeline.decide: [name, revision of the
 * change that waits, yes or no]. Both answer with a policy_result. */

struct putting {
    const struct command_context *context;
    struct bytes name;
    struct policy_record before; /* Zeros: there is none yet. */
    const struct pipeline *pipeline;
    struct outcome *outcome;
};

static void answer(const struct putting *putting, uint64_t number, unsigned given, unsigned wanted)
{
    struct buffer *body = &putting->outcome->body;

    pack_array(body, 4);
    pack_uint(body, number);
    pack_digest(body, &putting->pipeline->revision);
    pack_uint(body, given);
    pack_uint(body, wanted);
}

static json_t *people_of(const struct policy_change *change)
{
    json_t *people = json_array();
    size_t i;

    for (i = 0; i < change->n_people; i++) {
        json_array_append_new(
            people, json_stringn((const char *)change->people[i].data, change->people[i].size));
    }
    return people;
}

/* In force from here. change: NULL when nobody had to agree. */
static void keep(const struct putting *putting, const struct policy_change *change)
{
    const struct command_context *context = putting->context;
    char now[DIGEST_TEXT_MAX], previous[DIGEST_TEXT_MAX] = "";
    json_t *people = change != NULL ? people_of(change) : json_array();
    uint64_t number;

    if (putting->before.revision.algorithm != 0) {
        digest_format(&putting->before.revision, previous);
    }
    digest_format(&putting->pipeline->revision, now);
    number = policy_save(context, putting->pipeline);
    policy_change_drop(context->txn, putting->name);
    audit_append(context, "policy.changed", putting->name, BYTES_NONE,
                 json_pack("{s:I, s:s, s:s, s:o}", "number", (json_int_t)number, "revision", now,
                           "previous", previous, "agreed", people));
    answer(putting, number, 0, 0);
}

static void audit_change(const struct putting *putting, const char *kind)
{
    char now[DIGEST_TEXT_MAX], base[DIGEST_TEXT_MAX];

    digest_format(&putting->pipeline->revision, now);
    digest_format(&putting->before.revision, base);
    audit_append(putting->context, kind, putting->name, BYTES_NONE,
                 json_pack("{s:s, s:s}", "revision", now, "base", base));
}

static bool has_agreed(const struct policy_change *change, struct bytes actor)
{
    size_t i;

    for (i = 0; i < change->n_people && !bytes_equal(change->people[i], actor); i++) {
    }
    return i < change->n_people;
}

/* The actor agrees; it comes into force, which the record says with all who agreed, or waits for
 * more. The change is borrowed from the state: nothing may be written before its last use. */
static void agree(const struct putting *putting, const struct pipeline *in_force,
                  struct policy_change *change, const char *kind)
{
    const struct command_context *context = putting->context;
    unsigned given;

    if (!has_agreed(change, context->actor)) {
        if (change->n_people == CHANGE_PEOPLE_MAX) {
            (void)outcome_fail(putting->outcome, ERROR_TOO_LARGE,
                               "%d people agreed to this change already", CHANGE_PEOPLE_MAX);
            return;
        }
        change->people[change->n_people++] = context->actor;
    }
    given = policy_change_count(change, &in_force->changes);
    if (given >= in_force->changes.min) {
        keep(putting, change);
        return;
    }
    policy_change_save(context->txn, putting->name, change);
    audit_change(putting, kind);
    answer(putting, putting->before.number, given, in_force->changes.min);
}

/* Whoever may put a document may propose it; who counts is asked when it is counted. */
static void propose(const struct putting *putting, const struct pipeline *in_force)
{
    const struct command_context *context = putting->context;
    const char *kind = "policy.change-approved";
    struct policy_change change;
    struct buffer document;

    buffer_init(&document, (size_t)PIPELINE_SIZE_MAX * 6);
    pipeline_write(putting->pipeline, &document);
    CHECK(buffer_status(&document) == OK);
    if (policy_change_find(context->txn, putting->name, context->time_ms, &change) != OK ||
        !digest_equal(&change.revision, &putting->pipeline->revision)) {
        kind = "policy.change-proposed";
        change = (struct policy_change){.revision = putting->pipeline->revision,
                                        .base = putting->before.revision,
                                        .author = context->actor,
                                        .time_ms = context->time_ms,
                                        .until_ms = context->time_ms + in_force->changes_ms};
    }
    change.document = buffer_view(&document);
    agree(putting, in_force, &change, kind);
    buffer_release(&document);
}

static void put(const struct putting *putting)
{
    struct pipeline *in_force = NULL;
    struct reason why = {""};
    enum error error;

    if (digest_equal(&putting->before.revision, &putting->pipeline->revision)) {
        answer(putting, putting->before.number, 0, 0);
        return;
    }
    if (putting->before.revision.algorithm == 0) {
        keep(putting, NULL);
        return;
    }
    error = policy_load(putting->context->txn, putting->name, &in_force, &why);
    if (error != OK) {
        (void)outcome_fail(putting->outcome, error, "%s", why.text);
    } else if (in_force->changes.min == 0) {
        keep(putting, NULL);
    } else {
        propose(putting, in_force);
    }
    pipeline_release(in_force);
}

static void put_document(struct putting *putting, struct bytes document)
{
    struct pipeline *pipeline = NULL;
    struct reason why = {""};
    enum error error = pipeline_parse(document, putting->name, &pipeline, &why);

    if (error == OK) {
        error = policy_check(putting->context->txn, pipeline, &why);
    }
    putting->pipeline = pipeline;
    if (error == OK) {
        put(putting);
    } else {
        (void)outcome_fail(putting->outcome, error, "%s", why.text);
    }
    pipeline_release(pipeline);
}

void apply_pipeline_put(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct putting putting = {.context = context, .outcome = outcome};
    struct digest expected;
    struct bytes document;

    unpack_array_of(body, 3);
    putting.name = unpack_string(body, PIPELINE_NAME_MAX);
    document = unpack_string(body, PIPELINE_SIZE_MAX);
    unpack_digest(body, &expected);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "pipeline.put does not decode");
        return;
    }
    if (policy_find(context->txn, putting.name, &putting.before) != OK) {
        putting.before = (struct policy_record){0};
    }
    if (expected.algorithm != 0 && !digest_equal(&expected, &putting.before.revision)) {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "pipeline %.*s was changed meanwhile: read it again, and put the change "
                           "on what is there now",
                           BYTES_ARG(putting.name));
        return;
    }
    put_document(&putting, document);
}

/* --- deciding about a change that waits ------------------------------------------------------- */

static void reject(const struct putting *putting)
{
    policy_change_drop(putting->context->txn, putting->name);
    audit_change(putting, "policy.change-rejected");
    answer(putting, putting->before.number, 0, 0);
}

static void decide(struct putting *putting, struct policy_change *change, bool is_approval)
{
    struct pipeline *in_force = NULL, *pipeline = NULL;
    struct bytes actor = putting->context->actor;
    struct reason why = {""};
    enum error error = policy_load(putting->context->txn, putting->name, &in_force, &why);

    if (error == OK && !people_have(&in_force->changes, actor) &&
        (is_approval || !bytes_equal(actor, change->author))) {
        error =
            fail(&why, ERROR_NOT_ELIGIBLE,
                 "%.*s has no say about changes of pipeline %.*s: its \"changes\" names who has",
                 BYTES_ARG(actor), BYTES_ARG(putting->name));
    }
    if (error == OK) {
        error = pipeline_parse(change->document, putting->name, &pipeline, &why);
    }
    if (error == OK && is_approval) {
        error = policy_check(putting->context->txn, pipeline, &why);
    }
    putting->pipeline = pipeline;
    if (error != OK) {
        (void)outcome_fail(putting->outcome, error, "%s", why.text);
    } else if (is_approval) {
        agree(putting, in_force, change, "policy.change-approved");
    } else {
        reject(putting);
    }
    pipeline_release(pipeline);
    pipeline_release(in_force);
}

void apply_pipeline_decide(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome)
{
    struct putting putting = {.context = context, .outcome = outcome};
    struct policy_change change;
    struct digest revision;
    bool is_approval;

    unpack_array_of(body, 3);
    putting.name = unpack_string(body, PIPELINE_NAME_MAX);
    unpack_digest(body, &revision);
    is_approval = unpack_bool(body);
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "pipeline.decide does not decode");
        return;
    }
    if (policy_change_find(context->txn, putting.name, context->time_ms, &change) != OK ||
        policy_find(context->txn, putting.name, &putting.before) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND,
                           "no change of this pipeline waits: put one with caisson pipeline apply");
        return;
    }
    if (!digest_equal(&change.revision, &revision)) {
        (void)outcome_fail(outcome, ERROR_CONFLICT,
                           "another change of pipeline %.*s waits than the one you looked at: look "
                           "again, then decide",
                           BYTES_ARG(putting.name));
        return;
    }
    decide(&putting, &change, is_approval);
}
