#ifndef TESTS_LIB_PROMOTION_FIXTURE_H
#define TESTS_LIB_PROMOTION_FIXTURE_H

#include "promotion/audit.h"
#include "promotion/commands.h"
#include "promotion/evaluate.h"
#include "promotion/policy.h"
#include "tests/lib/catalog_fixture.h"

/* A catalog with store/'s and promotion/'s commands, two members, some users and a pipeline. */

#define SHOP                                                                                       \
    "{\"pipeline\":\"shop\",\"groups\":{\"managers\":[\"alice\",\"bob\",\"carol\"]},\"stages\":["  \
    "{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"                              \
    "{\"name\":\"test\",\"repos\":\"test/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\"}," \
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"test\"," \
    "\"gates\":[{\"id\":\"soak\",\"type\":\"soak\",\"min\":\"1h\"},"                               \
    "{\"id\":\"4eyes\",\"type\":\"approvals\",\"rules\":[{\"group\":\"managers\",\"min\":2}],"     \
    "\"expire\":\"48h\"}]}]}"

#define HOUR_MS ((uint64_t)3600 * 1000)

static inline void shop_user(struct catalog_fixture *fixture, const char *name, const char *glob,
                             unsigned actions)
{
    struct buffer command = fixture_command(), bindings;
    struct command_id id = fixture_id(fixture);

    buffer_init(&bindings, 1024);
    pack_array(&bindings, 1);
    pack_array(&bindings, 2);
    pack_text(&bindings, glob);
    pack_uint(&bindings, actions);
    command_user_put(&command, &id, text_of("admin"), text_of(name), text_of("0123456789abcdef"),
                     text_of("0123456789abcdef0123456789abcdef"), buffer_view(&bindings));
    assert_int_equal(fixture_apply(fixture, &command), OK);
    buffer_release(&bindings);
}

static inline void shop_cluster(struct catalog_fixture *fixture)
{
    struct cluster_record cluster = {.id = text_of("0123456789abcdef0123456789abcdef"),
                                     .ca_certificate = text_of("certificate"),
                                     .ca_key = text_of("key")};
    struct member_record member = {.id = 1,
                                   .name = text_of("node-1"),
                                   .raft_address = text_of("127.0.0.1:1"),
                                   .data_address = text_of("127.0.0.1:2"),
                                   .client_address = text_of("127.0.0.1:3")};
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_cluster_create(&command, &id, &cluster, &member, NULL);
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static inline void shop_member(struct catalog_fixture *fixture, uint64_t number)
{
    struct member_record member = {.id = number,
                                   .name = text_of(number == 2 ? "node-2" : "node-3"),
                                   .raft_address = text_of("127.0.0.2:1"),
                                   .data_address = text_of("127.0.0.2:2"),
                                   .client_address = text_of("127.0.0.2:3")};
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    uint8_t token[32] = {0};

    token[0] = (uint8_t)number;
    command_join_token_put(&command, &id, text_of("admin"), bytes_of(token, sizeof token),
                           UINT64_MAX, 1);
    assert_int_equal(fixture_apply(fixture, &command), OK);
    command = fixture_command();
    id = fixture_id(fixture);
    command_member_put(&command, &id, text_of("admin"), &member, bytes_of(token, sizeof token));
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

static inline enum error shop_pipeline(struct catalog_fixture *fixture, const char *name,
                                       const char *document)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct digest any = {0};

    command_pipeline_put(&command, &id, text_of("admin"), text_of(name), text_of(document), &any);
    return fixture_apply(fixture, &command);
}

/* directory: of a catalog that is made here. */
static inline void shop_open(struct catalog_fixture *fixture)
{
    fixture_init(fixture);
    catalog_close(fixture->catalog);
    fixture_add_rows(fixture, promotion_commands, promotion_commands_n);
    fixture_open(fixture);
    shop_cluster(fixture);
    shop_member(fixture, 2);
    shop_user(fixture, "alice", "prod/**", ACTION_PULL | ACTION_APPROVE);
    shop_user(fixture, "bob", "prod/**", ACTION_PULL | ACTION_APPROVE);
    shop_user(fixture, "carol", "prod/**", ACTION_PULL | ACTION_APPROVE);
    shop_user(fixture, "dave", "prod/**", ACTION_PULL | ACTION_APPROVE);
    shop_user(fixture, "eve", "dev/**", ACTION_PULL | ACTION_PUSH | ACTION_APPROVE);
    assert_int_equal(shop_pipeline(fixture, "shop", SHOP), OK);
}

static inline int shop_setup(void **state)
{
    *state = memory_zero(sizeof(struct catalog_fixture));
    shop_open(*state);
    return 0;
}

static inline int shop_teardown(void **state)
{
    fixture_release(*state);
    free(*state);
    return 0;
}

/* 26 characters from a short name. */
static inline struct bytes shop_id(const char *name, char memory[PROMOTION_ID_SIZE + 1])
{
    snprintf(memory, PROMOTION_ID_SIZE + 1, "01J%023d", 0);
    memcpy(memory + PROMOTION_ID_SIZE - strlen(name), name, strlen(name));
    return bytes_of(memory, PROMOTION_ID_SIZE);
}

struct shop_result {
    enum error error; /* Of the command. */
    enum error status;
    char code[64], text[512];
    bool is_repeat;
};

static inline struct shop_result shop_result_of(struct catalog_fixture *fixture,
                                                struct buffer *command)
{
    struct shop_result out = {.error = fixture_apply(fixture, command)};
    struct promotion_result result;

    if (out.error != OK) {
        out.status = out.error;
        snprintf(out.text, sizeof out.text, "%s", fixture->result.why.text);
        return out;
    }
    assert_int_equal(promotion_result_read(fixture->result.body, &result), OK);
    out.status = result.status;
    out.is_repeat = result.is_repeat;
    snprintf(out.code, sizeof out.code, "%.*s", BYTES_ARG(result.code));
    snprintf(out.text, sizeof out.text, "%.*s", BYTES_ARG(result.text));
    return out;
}

/* Ask for one image of a repository by tag, to get that tag in the stage. */
static inline struct shop_result shop_create_as(struct catalog_fixture *fixture, const char *actor,
                                                const char *name, const char *to,
                                                const char *repository, const char *tag,
                                                const char *key)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion_request_item item = {.source = text_of(repository), .tag = text_of(tag)};
    struct promotion_request request = {.pipeline = text_of("shop"),
                                        .to = text_of(to),
                                        .reason = text_of("CHG-1"),
                                        .items = &item,
                                        .n_items = 1};
    struct digest hash = digest_of_text(tag);
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_promotion_create(&command, &id, text_of(actor), shop_id(name, memory), &request,
                             text_of(key), &hash);
    return shop_result_of(fixture, &command);
}

static inline struct shop_result shop_create(struct catalog_fixture *fixture, const char *name,
                                             const char *to, const char *repository,
                                             const char *tag)
{
    return shop_create_as(fixture, "ci", name, to, repository, tag, "");
}

static inline struct shop_result shop_commit(struct catalog_fixture *fixture, const char *name)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_promotion_commit(&command, &id, text_of("ci"), shop_id(name, memory));
    return shop_result_of(fixture, &command);
}

/* The record; promotion_release() it. */
static inline struct promotion shop_load(struct catalog_fixture *fixture, const char *name)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion promotion;
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    assert_int_equal(promotion_load(&txn, shop_id(name, memory), &promotion), OK);
    catalog_done(&txn);
    return promotion;
}

static inline enum promotion_state shop_state(struct catalog_fixture *fixture, const char *name)
{
    struct promotion promotion = shop_load(fixture, name);
    enum promotion_state promotion_state = promotion.state;

    promotion_release(&promotion);
    return promotion_state;
}

/* Decide about the plan that is stored. */
static inline struct shop_result shop_decide(struct catalog_fixture *fixture, const char *actor,
                                             const char *name, bool is_approval)
{
    char memory[PROMOTION_ID_SIZE + 1];
    struct promotion promotion = shop_load(fixture, name);
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_promotion_decide(&command, &id, text_of(actor), shop_id(name, memory), is_approval,
                             text_of("looked at it"), &promotion.plan_hash);
    promotion_release(&promotion);
    return shop_result_of(fixture, &command);
}

static inline enum error shop_tag(struct catalog_fixture *fixture, const char *repository,
                                  const char *tag, struct digest *out)
{
    struct tag_record record;
    struct catalog_txn txn;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    error = catalog_tag(&txn, text_of(repository), text_of(tag), &record);
    if (error == OK) {
        *out = record.digest;
    }
    catalog_done(&txn);
    return error;
}

static inline bool shop_has_manifest(struct catalog_fixture *fixture, const char *repository,
                                     const struct digest *digest)
{
    struct manifest_record record;
    struct catalog_txn txn;
    enum error error;

    catalog_read(fixture->catalog, &txn);
    error = catalog_manifest(&txn, text_of(repository), digest, &record);
    catalog_done(&txn);
    return error == OK;
}

/* A manifest that is attached to subject: a signature, an SBOM. */
static inline enum error shop_attach(struct catalog_fixture *fixture, const char *repository,
                                     const char *name, const struct digest *subject,
                                     struct digest *out)
{
    struct manifest_put put = fixture_put_of(repository, name);

    put.artifact_type = text_of("application/spdx+json");
    put.subject = *subject;
    *out = put.digest;
    return fixture_put(fixture, &put);
}

#endif
