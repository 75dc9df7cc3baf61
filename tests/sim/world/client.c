#include "tests/sim/world/client.h"

#include "base/assert.h"
#include "base/memory.h"
#include "promotion/commands.h"
#include "promotion/promotion.h"
#include "raft/core.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define COMMAND_MAX   (64u * 1024)
#define PROPOSE_MS    3000u
#define ANSWER_US     3500000u
#define AGAIN_US      60000u
#define ATTEMPTS_MAX  4u
#define ADMIN         CLIENTS_MAX
#define ACTOR         bytes_of_string("ci")
#define APPROVER      bytes_of_string("alice")

const char *const tag_names[TAGS] = {"latest", "1.0", "edge"};

static const char pipeline[] =
    "{\"pipeline\":\"shop\",\"groups\":{\"managers\":[\"alice\"]},\"stages\":["
    "{\"name\":\"dev\",\"repos\":\"dev/shop/*\",\"write\":\"open\"},"
    "{\"name\":\"prod\",\"repos\":\"prod/shop/*\",\"write\":\"promotion-only\",\"from\":\"dev\","
    "\"gates\":[{\"id\":\"4eyes\",\"type\":\"approvals\",\"rules\":[{\"group\":\"managers\","
    "\"min\":1}],\"expire\":\"48h\"}]}]}";

/* An operation at a host. Freed when it is answered; of a process that died, never. */
struct attempt {
    struct operation *operation;
    struct host *host;
    uint64_t life;
    struct proposal proposal;
    struct read_index read;
};

static void go_on(void *data, uint64_t word);

static struct clients *clients_of(void)
{
    return &world_current()->clients;
}

void clients_reset(struct clients *clients, unsigned n)
{
    struct operation *operations = clients->operations;

    if (operations == NULL) {
        operations = memory_zero(OPERATIONS_MAX * sizeof *operations);
    }
    for (size_t i = 0; i < clients->n; i++) {
        buffer_release(&operations[i].command);
    }
    memset(clients, 0, sizeof *clients);
    clients->operations = operations;
    clients->n_clients = n;
}

void manifest_digest(uint64_t value, struct digest *out)
{
    char text[32];

    snprintf(text, sizeof text, "manifest %llu", (unsigned long long)value);
    digest_of(DIGEST_SHA256, bytes_of_string(text), out);
}

void promotion_id(unsigned number, char out[32])
{
    snprintf(out, 32, "01J%023u", number);
}

/* --- commands -------------------------------------------------------------------------------- */

static void build_put(struct operation *operation, const char *repository)
{
    static const uint64_t holders[] = {1, 2};
    struct bytes tag = bytes_of_string(tag_names[operation->tag]);
    struct manifest_put put = {.repository = bytes_of_string(repository),
                               .digest = operation->digest,
                               .size = 100,
                               .media_type = bytes_of_string(MANIFEST_TYPE),
                               .artifact_type = bytes_of_string(""),
                               .annotations = bytes_of_string(""),
                               .tags = &tag,
                               .n_tags = 1,
                               .holders = holders,
                               .n_holders = 2};

    if (operation->kind == OPERATION_PUT_ABSENT) {
        put.condition = 1;
    } else if (operation->kind == OPERATION_PUT_MATCH) {
        put.condition = 2;
        manifest_digest(operation->expected, &put.expected);
    }
    command_manifest_put(&operation->command, &operation->id, ACTOR, &put);
}

static void build_promote(struct operation *operation)
{
    const struct promotion_case *promotion = &clients_of()->promotions[operation->promotion];
    struct promotion_request_item item = {.source = bytes_of_string(DEV_REPOSITORY),
                                          .tag = bytes_of_string(tag_names[promotion->tag])};
    struct promotion_request request = {.pipeline = bytes_of_string("shop"),
                                        .to = bytes_of_string("prod"),
                                        .reason = bytes_of_string("CHG-1"),
                                        .items = &item,
                                        .n_items = 1};
    struct digest hash;
    char id[32], key[16];

    promotion_id(operation->promotion, id);
    snprintf(key, sizeof key, "key-%u", promotion->key);
    digest_of(DIGEST_SHA256, item.tag, &hash);
    command_promotion_create(&operation->command, &operation->id, ACTOR, bytes_of_string(id),
                             &request, bytes_of_string(key), &hash);
}

/* What is approved is the plan that the host shows. False: it shows none. */
static bool build_approve(struct operation *operation, struct host *host)
{
    struct promotion promotion;
    struct catalog_txn txn;
    enum error error;
    char id[32];

    promotion_id(operation->promotion, id);
    catalog_read(host->catalog, &txn);
    error = promotion_load(&txn, bytes_of_string(id), &promotion);
    catalog_done(&txn);
    if (error != OK) {
        return false;
    }
    command_promotion_decide(&operation->command, &operation->id, APPROVER, bytes_of_string(id),
                             true, BYTES_NONE, &promotion.plan_hash);
    promotion_release(&promotion);
    return true;
}

static void build_holders(struct operation *operation)
{
    struct digest digest;

    manifest_digest(draw(0, clients_of()->next_value), &digest);
    command_blob_holders(&operation->command, &operation->id, draw(1, 5), &digest, 1, one_in(2));
}

/* Encode the command once; every attempt says the same. */
static bool build(struct operation *operation, struct host *host)
{
    char id[32];

    if (operation->command.size > 0) {
        return true;
    }
    buffer_init(&operation->command, COMMAND_MAX);
    switch (operation->kind) {
    case OPERATION_PUT:
    case OPERATION_PUT_ABSENT:
    case OPERATION_PUT_MATCH:
        build_put(operation, DEV_REPOSITORY);
        return true;
    case OPERATION_FORBIDDEN:
        build_put(operation, PROD_REPOSITORY);
        return true;
    case OPERATION_DELETE:
        command_tag_delete(&operation->command, &operation->id, ACTOR,
                           bytes_of_string(DEV_REPOSITORY),
                           bytes_of_string(tag_names[operation->tag]));
        return true;
    case OPERATION_PROMOTE:
        build_promote(operation);
        return true;
    case OPERATION_APPROVE:
        return build_approve(operation, host);
    case OPERATION_COMMIT:
        promotion_id(operation->promotion, id);
        command_promotion_commit(&operation->command, &operation->id, ACTOR, bytes_of_string(id));
        return true;
    case OPERATION_HOLDERS:
        build_holders(operation);
        return true;
    case OPERATION_ADMIN:
        operation->build(operation);
        return true;
    case OPERATION_GET:
        break;
    }
    return false;
}

/* --- an operation's end ---------------------------------------------------------------------- */

static void note_promotion(const struct operation *operation)
{
    struct promotion_case *promotion = &clients_of()->promotions[operation->promotion];
    bool is_done = operation->outcome == OUTCOME_DONE && operation->error == OK;

    if (operation->kind == OPERATION_PROMOTE) {
        promotion->is_created |= is_done;
    } else if (operation->kind == OPERATION_APPROVE) {
        promotion->is_approved |= is_done;
    } else if (operation->kind == OPERATION_COMMIT) {
        promotion->is_committed |= is_done;
    }
}

static void end(struct operation *operation, enum outcome_kind outcome, enum error error)
{
    struct clients *clients = clients_of();
    uint64_t think_us = one_in(4) ? draw(1000, 800000) : draw(500, 120000);

    if (operation->outcome != OUTCOME_OPEN) {
        return;
    }
    operation->outcome = outcome;
    operation->error = error;
    operation->return_us = outcome == OUTCOME_DONE ? engine_now() : UINT64_MAX;
    operation->ticket++;
    clients->open[operation->client] = 0;
    clients->n_done += outcome == OUTCOME_DONE;
    engine_trace_add(operation->value ^ ((uint64_t)error << 32) ^ engine_now());
    trace_line("client %u: operation %zu (%d on %u, value %llu) ends: %s, seen %llu",
               operation->client, (size_t)(operation - clients->operations), (int)operation->kind,
               operation->tag, (unsigned long long)operation->value,
               outcome == OUTCOME_DONE ? error_name(error) : "unknown",
               (unsigned long long)operation->seen);
    if (operation->kind == OPERATION_FORBIDDEN && outcome == OUTCOME_DONE &&
        error != ERROR_PROMOTION_ONLY) {
        violation("a push into a promotion-only repository gave %s", error_name(error));
    }
    note_promotion(operation);
    engine_at(engine_now() + think_us, go_on, clients, operation->client);
}

static void send_attempt(struct operation *operation);

static void again(void *data, uint64_t ticket)
{
    struct operation *operation = data;

    if (operation->outcome == OUTCOME_OPEN && operation->ticket == ticket) {
        send_attempt(operation);
    }
}

/* No answer, or one that says nothing about the outcome. */
static void try_again(struct operation *operation, uint64_t wait_us)
{
    operation->ticket++;
    if (operation->kind != OPERATION_ADMIN && !world_current()->is_calm &&
        operation->attempts >= ATTEMPTS_MAX) {
        end(operation, OUTCOME_UNKNOWN, ERROR_UNAVAILABLE);
        return;
    }
    if (world_current()->bug == BUG_COMMAND_ID_IGNORED && operation->command.size > 0 &&
        operation->kind != OPERATION_APPROVE) {
        buffer_release(&operation->command);
        command_id_make(&operation->id);
    }
    engine_at(engine_now() + wait_us, again, operation, operation->ticket);
}

static void no_answer(void *data, uint64_t ticket)
{
    struct operation *operation = data;

    if (operation->outcome == OUTCOME_OPEN && operation->ticket == ticket) {
        try_again(operation, AGAIN_US);
    }
}

/* --- an answer ------------------------------------------------------------------------------- */

struct answer {
    struct operation *operation;
    enum error status; /* Not OK: nothing is known. */
    enum error error;
    uint64_t seen;
};

static void take_answer(void *data, uint64_t word)
{
    struct answer *answer = data;
    struct operation *operation = answer->operation;

    (void)word;
    if (operation->outcome == OUTCOME_OPEN) {
        if (answer->status == OK) {
            operation->seen = answer->seen;
            if (operation->kind == OPERATION_GET) {
                clients_of()->last_seen[operation->tag] = answer->seen;
            }
            end(operation, OUTCOME_DONE, answer->error);
        } else {
            try_again(operation, AGAIN_US);
        }
    }
    free(answer);
}

static void give_answer(struct operation *operation, enum error status, enum error error,
                        uint64_t seen)
{
    struct answer *answer = memory_zero(sizeof *answer);

    *answer = (struct answer){operation, status, error, seen};
    engine_at(engine_now() + draw(50, 1500), take_answer, answer, 0);
}

/* Promotions answer with a status of their own. */
static enum error error_of(const struct operation *operation, const struct command_result *result)
{
    struct promotion_result promotion;

    if (result->error == OK &&
        (operation->kind == OPERATION_PROMOTE || operation->kind == OPERATION_APPROVE ||
         operation->kind == OPERATION_COMMIT)) {
        CHECK(promotion_result_read(result->body, &promotion) == OK);
        return promotion.status;
    }
    return result->error;
}

static void proposal_done(struct proposal *proposal, enum error status, uint64_t index,
                          struct bytes bytes)
{
    struct attempt *attempt = container_of(proposal, struct attempt, proposal);
    struct operation *operation = attempt->operation;
    struct command_result result;

    (void)index;
    if (status != OK) {
        give_answer(operation, status, OK, 0);
    } else {
        CHECK(command_result_read(bytes, &result) == OK);
        give_answer(operation, OK, error_of(operation, &result), 0);
    }
    free(attempt);
}

static uint64_t value_of(const struct digest *digest)
{
    const struct clients *clients = clients_of();

    for (size_t i = 0; i < clients->n; i++) {
        const struct operation *operation = &clients->operations[i];

        if (operation->value != 0 && digest_equal(&operation->digest, digest)) {
            return operation->value;
        }
    }
    return UINT64_MAX;
}

static void answer_get(struct operation *operation, struct host *host)
{
    struct tag_record record;
    struct catalog_txn txn;
    enum error error;

    catalog_read(host->catalog, &txn);
    error = catalog_tag(&txn, bytes_of_string(DEV_REPOSITORY),
                        bytes_of_string(tag_names[operation->tag]), &record);
    give_answer(operation, OK, error, error == OK ? value_of(&record.digest) : 0);
    catalog_done(&txn);
}

static void read_done(struct read_index *read, enum error status, uint64_t index)
{
    struct attempt *attempt = container_of(read, struct attempt, read);

    (void)index;
    if (status != OK) {
        give_answer(attempt->operation, status, OK, 0);
    } else {
        answer_get(attempt->operation, attempt->host);
    }
    free(attempt);
}

/* --- a question ------------------------------------------------------------------------------ */

/* In the host's loop. */
static void run_attempt(void *data, uint64_t life)
{
    struct attempt *attempt = data;
    struct operation *operation = attempt->operation;
    struct host *host = attempt->host;

    if (host->life != life || host->consensus == NULL || host->is_stopping ||
        operation->outcome != OUTCOME_OPEN) {
        free(attempt);
        return;
    }
    if (operation->kind == OPERATION_GET) {
        if (world_current()->bug == BUG_READ_WITHOUT_QUORUM &&
            host->consensus->raft.state == RAFT_LEADER) {
            answer_get(operation, host);
            free(attempt);
        } else {
            consensus_read_index(host->consensus, &attempt->read, PROPOSE_MS, read_done);
        }
        return;
    }
    if (!build(operation, host)) {
        give_answer(operation, OK, ERROR_NOT_FOUND, 0);
        free(attempt);
        return;
    }
    CHECK(buffer_status(&operation->command) == OK);
    consensus_propose(host->consensus, &attempt->proposal, buffer_view(&operation->command),
                      PROPOSE_MS, proposal_done);
}

static void deliver(void *data, uint64_t word)
{
    struct attempt *attempt = data;
    struct host *host = attempt->host;

    (void)word;
    if (host->is_up && host->consensus != NULL) {
        attempt->life = host->life;
        loop_post(host, run_attempt, attempt, host->life);
        return;
    }
    if (!host->is_without_power) {
        give_answer(attempt->operation, ERROR_UNAVAILABLE, OK, 0); /* Refused. */
    }
    free(attempt);
}

static void send_attempt(struct operation *operation)
{
    struct world *world = world_current();
    struct attempt *attempt = memory_zero(sizeof *attempt);

    attempt->operation = operation;
    if (!operation->is_stuck_to_host) {
        operation->host = (unsigned)draw(0, world->n_hosts - 1);
    }
    attempt->host = &world->hosts[operation->host];
    operation->attempts++;
    operation->ticket++;
    engine_at(engine_now() + draw(50, 1500), deliver, attempt, 0);
    engine_at(engine_now() + ANSWER_US, no_answer, operation, operation->ticket);
}

/* --- what to do next ------------------------------------------------------------------------- */

static struct operation *operation_begin(unsigned client, enum operation_kind kind)
{
    struct clients *clients = clients_of();
    struct operation *operation = &clients->operations[clients->n];

    CHECK(clients->n < OPERATIONS_MAX && clients->open[client] == 0);
    *operation = (struct operation){.kind = kind, .client = client, .call_us = engine_now()};
    command_id_make(&operation->id);
    clients->open[client] = ++clients->n;
    return operation;
}

static void give_value(struct operation *operation)
{
    operation->value = ++clients_of()->next_value;
    manifest_digest(operation->value, &operation->digest);
}

static enum operation_kind draw_kind(void)
{
    static const enum operation_kind kinds[] = {
        OPERATION_PUT,        OPERATION_PUT,       OPERATION_PUT,     OPERATION_PUT,
        OPERATION_PUT_ABSENT, OPERATION_PUT_MATCH, OPERATION_DELETE,  OPERATION_GET,
        OPERATION_GET,        OPERATION_GET,       OPERATION_GET,     OPERATION_GET,
        OPERATION_GET,        OPERATION_FORBIDDEN, OPERATION_PROMOTE, OPERATION_APPROVE,
        OPERATION_COMMIT,     OPERATION_COMMIT,    OPERATION_HOLDERS};

    return kinds[draw(0, sizeof kinds / sizeof *kinds - 1)];
}

/* A new promotion, or one more try of a key that was used: two keys for three promotions. */
static void begin_promotion(struct operation *operation)
{
    struct clients *clients = clients_of();

    if (operation->kind == OPERATION_PROMOTE && clients->n_promotions < PROMOTIONS_MAX) {
        struct promotion_case *promotion = &clients->promotions[clients->n_promotions];

        promotion->tag = operation->tag;
        promotion->key = clients->n_promotions;
        if (clients->n_promotions > 0 && one_in(3)) {
            const struct promotion_case *other =
                &clients->promotions[draw(0, clients->n_promotions - 1)];

            promotion->tag = other->tag;
            promotion->key = other->key;
        }
        operation->promotion = clients->n_promotions++;
    } else {
        operation->promotion = (unsigned)draw(0, clients->n_promotions - 1);
    }
}

static void begin_operation(unsigned client)
{
    struct clients *clients = clients_of();
    enum operation_kind kind = draw_kind();
    struct operation *operation;
    unsigned tag = (unsigned)draw(0, TAGS - 1);

    if (clients->n_promotions == 0 && (kind == OPERATION_APPROVE || kind == OPERATION_COMMIT)) {
        kind = OPERATION_PROMOTE;
    }
    if (kind == OPERATION_PUT_MATCH && clients->last_seen[tag] == 0) {
        kind = OPERATION_GET;
    }
    operation = operation_begin(client, kind);
    operation->tag = tag;
    if (kind <= OPERATION_PUT_MATCH || kind == OPERATION_FORBIDDEN) {
        give_value(operation);
        operation->expected = clients->last_seen[tag];
    } else if (kind >= OPERATION_PROMOTE && kind <= OPERATION_COMMIT) {
        begin_promotion(operation);
    }
    send_attempt(operation);
}

static void set_up_next(void);

static void go_on(void *data, uint64_t client)
{
    struct clients *clients = data;

    if (client == ADMIN) {
        if (!clients->is_set_up) {
            set_up_next();
        }
    } else if (!clients->is_over && clients->open[client] == 0 &&
               clients->n + 16 < OPERATIONS_MAX) {
        begin_operation((unsigned)client);
    }
}

void clients_start(void)
{
    struct clients *clients = clients_of();

    for (unsigned i = 0; i < clients->n_clients; i++) {
        engine_at(engine_now() + draw(0, 200000), go_on, clients, i);
    }
}

void probe_start(void)
{
    struct operation *operation = operation_begin(0, OPERATION_PUT);

    operation->tag = 0;
    give_value(operation);
    send_attempt(operation);
}

bool probe_is_done(void)
{
    return clients_of()->open[0] == 0;
}

/* --- setting up ------------------------------------------------------------------------------ */

static void admin_begin(void (*build_command)(struct operation *operation), uint64_t argument)
{
    struct operation *operation = operation_begin(ADMIN, OPERATION_ADMIN);

    operation->build = build_command;
    operation->argument = argument;
    /* Until there are other members only the first one can answer. */
    operation->is_stuck_to_host = !clients_of()->is_set_up;
    send_attempt(operation);
}

bool admin_is_busy(void)
{
    return clients_of()->open[ADMIN] != 0;
}

static void member_of(const struct host *host, char memory[4][MEMBER_ADDRESS_MAX],
                      struct member_record *out)
{
    host_address(host->number, memory[0]);
    snprintf(memory[1], MEMBER_ADDRESS_MAX, "node-%u", host->number);
    *out = (struct member_record){.id = host->node_id,
                                  .name = bytes_of_string(memory[1]),
                                  .raft_address = bytes_of_string(memory[0]),
                                  .data_address = bytes_of_string(memory[0]),
                                  .client_address = bytes_of_string(memory[0])};
}

static void build_cluster(struct operation *operation)
{
    char memory[4][MEMBER_ADDRESS_MAX];
    struct cluster_record cluster = {.id = bytes_of_string(CLUSTER_ID),
                                     .ca_certificate = bytes_of_string("certificate"),
                                     .ca_key = bytes_of_string("key")};
    struct member_record member;

    member_of(&world_current()->hosts[0], memory, &member);
    command_cluster_create(&operation->command, &operation->id, &cluster, &member, NULL);
}

static void token_of(uint64_t number, uint8_t token[32])
{
    memset(token, 0, 32);
    memcpy(token, &number, sizeof number);
}

static void build_token(struct operation *operation)
{
    uint8_t token[32];

    token_of(1, token);
    command_join_token_put(&operation->command, &operation->id, ACTOR,
                           bytes_of(token, sizeof token), UINT64_MAX, 100);
}

static void build_member(struct operation *operation)
{
    char memory[4][MEMBER_ADDRESS_MAX];
    struct member_record member;
    uint8_t token[32];

    token_of(1, token);
    member_of(&world_current()->hosts[operation->argument], memory, &member);
    command_member_put(&operation->command, &operation->id, ACTOR, &member,
                       bytes_of(token, sizeof token));
}

static void build_pipeline(struct operation *operation)
{
    struct digest any = {0};

    command_pipeline_put(&operation->command, &operation->id, ACTOR, bytes_of_string("shop"),
                         bytes_of_string(pipeline), &any);
}

static void build_user(struct operation *operation)
{
    struct buffer bindings;

    buffer_init(&bindings, 1024);
    pack_array(&bindings, 1);
    pack_array(&bindings, 2);
    pack_string(&bindings, bytes_of_string("**"));
    pack_uint(&bindings, ACTION_PULL | ACTION_APPROVE);
    command_user_put(&operation->command, &operation->id, ACTOR, APPROVER,
                     bytes_of_string("0123456789abcdef"),
                     bytes_of_string("0123456789abcdef0123456789abcdef"), buffer_view(&bindings));
    buffer_release(&bindings);
}

static void set_up_next(void)
{
    static void (*const steps[])(struct operation *) = {build_cluster, build_token, build_user,
                                                        build_pipeline};
    struct clients *clients = clients_of();
    unsigned step = clients->setup_step++;
    unsigned n_steps = sizeof steps / sizeof *steps;

    if (step < n_steps) {
        admin_begin(steps[step], 0);
    } else if (step - n_steps + 1 < world_current()->n_hosts) {
        admin_begin(build_member, step - n_steps + 1);
    } else {
        clients->is_set_up = true;
    }
}

void clients_set_up(void)
{
    set_up_next();
}

void admin_join(struct host *host)
{
    admin_begin(build_member, host->number);
}
