/* The cluster and its members: cluster.create, member.put, member.remove, join-token.put. */

#include "base/assert.h"
#include "base/password.h"
#include "store/apply.h"
#include "store/content.h"

#include <stdlib.h>

#define CLUSTER_KEY     BYTES_LITERAL("cluster")
#define CLUSTER_ID_SIZE 32
#define PEM_MAX         (16u * 1024)
#define MEMBER_NAME_MAX 63
#define ADDRESS_MAX     79
#define TOKEN_SIZE      32
#define TOKENS_MAX      100

/* --- records --------------------------------------------------------------------------------- */

static struct table_key member_key(uint64_t id)
{
    struct table_key key;

    table_key_init(&key);
    table_key_add_uint(&key, id);
    return key;
}

static void member_pack(struct buffer *out, const struct member_record *member)
{
    pack_array(out, 5);
    pack_uint(out, member->id);
    pack_string(out, member->name);
    pack_string(out, member->raft_address);
    pack_string(out, member->data_address);
    pack_string(out, member->client_address);
}

static void member_unpack(struct unpacker *in, struct member_record *out)
{
    *out = (struct member_record){0};
    unpack_array_of(in, 5);
    out->id = unpack_uint(in);
    out->name = unpack_string(in, MEMBER_NAME_MAX);
    out->raft_address = unpack_string(in, ADDRESS_MAX);
    out->data_address = unpack_string(in, ADDRESS_MAX);
    out->client_address = unpack_string(in, ADDRESS_MAX);
}

/* TABLE_MEMBERS: id -> [joined_index, [id, name, raft, data, client]]. */
static void member_record_unpack(struct bytes value, struct member_record *out)
{
    struct unpacker in;
    uint64_t joined_index;

    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    joined_index = unpack_uint(&in);
    member_unpack(&in, out);
    record_check(&in, TABLE_MEMBERS);
    out->joined_index = joined_index;
}

static void member_store(struct catalog_txn *txn, const struct member_record *member)
{
    struct table_key key = member_key(member->id);
    struct buffer value;

    buffer_init(&value, 1024);
    pack_array(&value, 2);
    pack_uint(&value, member->joined_index);
    member_pack(&value, member);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_MEMBERS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

enum error catalog_member(struct catalog_txn *txn, uint64_t id, struct member_record *out)
{
    struct table_key key = member_key(id);
    struct bytes value;

    if (table_get(txn, TABLE_MEMBERS, table_key_view(&key), &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    member_record_unpack(value, out);
    return OK;
}

struct members_list {
    struct member_record members[MEMBERS_MAX];
    size_t n;
};

static bool list_visit(void *data, struct bytes key, struct bytes value)
{
    struct members_list *list = data;

    (void)key;
    CHECK(list->n < MEMBERS_MAX);
    member_record_unpack(value, &list->members[list->n++]);
    return true;
}

static int order_of_joining(const void *a, const void *b)
{
    const struct member_record *left = a, *right = b;

    if (left->joined_index != right->joined_index) {
        return left->joined_index < right->joined_index ? -1 : 1;
    }
    return left->id < right->id ? -1 : 1;
}

void catalog_members(struct catalog_txn *txn, catalog_visit_member visit, void *data)
{
    struct members_list list = {.n = 0};
    size_t i;

    table_scan(txn, TABLE_MEMBERS, BYTES_NONE, list_visit, &list);
    qsort(list.members, list.n, sizeof list.members[0], order_of_joining);
    for (i = 0; i < list.n && visit(data, &list.members[i]); i++) {
    }
}

enum error catalog_cluster(struct catalog_txn *txn, struct cluster_record *out)
{
    struct unpacker in;
    struct bytes value;

    if (table_get(txn, TABLE_META, CLUSTER_KEY, &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    unpack_start(&in, value);
    unpack_array_of(&in, 3);
    out->id = unpack_string(&in, CLUSTER_ID_SIZE);
    out->ca_certificate = unpack_string(&in, PEM_MAX);
    out->ca_key = unpack_string(&in, PEM_MAX);
    record_check(&in, TABLE_META);
    return OK;
}

/* --- members come and go --------------------------------------------------------------------- */

static bool member_check(const struct member_record *member, struct outcome *outcome)
{
    if (member->id == 0 || member->name.size == 0 || member->raft_address.size == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "a member needs an id, a name and a raft address");
        return false;
    }
    return true;
}

/* TABLE_RETIRED_MEMBERS: id -> [name, left_ms]. An id that left never comes back: it may stand in
 * records of blobs that its successor does not have. */
static void member_retire(const struct command_context *context, uint64_t id)
{
    struct table_key key = member_key(id);
    struct member_record member;
    struct buffer value;
    enum error error = catalog_member(context->txn, id, &member);

    CHECK(error == OK);
    buffer_init(&value, 256);
    pack_array(&value, 2);
    pack_string(&value, member.name);
    pack_uint(&value, context->time_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_RETIRED_MEMBERS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
    error = table_delete(context->txn, TABLE_MEMBERS, table_key_view(&key));
    CHECK(error == OK);
    level_member_left(context, id);
}

bool catalog_member_is_retired(struct catalog_txn *txn, uint64_t id)
{
    struct table_key key = member_key(id);
    struct bytes value;

    return table_get(txn, TABLE_RETIRED_MEMBERS, table_key_view(&key), &value) == OK;
}

struct namesake_walk {
    const struct member_record *member;
    uint64_t id; /* 0: none. */
};

static bool namesake_visit(void *data, const struct member_record *member)
{
    struct namesake_walk *walk = data;

    if (member->id != walk->member->id && bytes_equal(member->name, walk->member->name)) {
        walk->id = member->id;
    }
    return walk->id == 0;
}

/* Put a member in; another one of its name goes: that is the same machine with an empty disk. */
static void member_join(const struct command_context *context, struct member_record *member,
                        struct outcome *outcome)
{
    struct namesake_walk walk = {.member = member};
    struct member_record old;

    catalog_members(context->txn, namesake_visit, &walk);
    if (walk.id != 0) {
        member_retire(context, walk.id);
    }
    if (catalog_member(context->txn, member->id, &old) == OK) {
        member->joined_index = old.joined_index;
    } else if (table_count(context->txn, TABLE_MEMBERS) == MEMBERS_MAX) {
        (void)outcome_fail(outcome, ERROR_TOO_LARGE, "a cluster has at most %d members",
                           MEMBERS_MAX);
        return;
    } else {
        member->joined_index = context->index;
    }
    member_store(context->txn, member);
}

/* --- cluster.create: [[id, certificate, key], member, user or nil] --------------------------- */

void command_cluster_create(struct buffer *out, const struct command_id *id,
                            const struct cluster_record *cluster, const struct member_record *first,
                            const struct user_record *admin)
{
    command_begin(out, COMMAND_CLUSTER_CREATE, id, BYTES_LITERAL("cluster"));
    pack_array(out, 3);
    pack_array(out, 3);
    pack_string(out, cluster->id);
    pack_string(out, cluster->ca_certificate);
    pack_string(out, cluster->ca_key);
    member_pack(out, first);
    if (admin == NULL || admin->name.size == 0) {
        pack_nil(out);
    } else {
        const struct user_fields user = {admin->name, admin->salt, admin->hash, admin->bindings};

        user_fields_pack(out, &user);
    }
}

static void cluster_store(struct catalog_txn *txn, const struct cluster_record *cluster)
{
    struct buffer value;

    buffer_init(&value, 256 + 2 * PEM_MAX);
    pack_array(&value, 3);
    pack_string(&value, cluster->id);
    pack_string(&value, cluster->ca_certificate);
    pack_string(&value, cluster->ca_key);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_META, CLUSTER_KEY, buffer_view(&value));
    buffer_release(&value);
}

void apply_cluster_create(const struct command_context *context, struct unpacker *body,
                          struct outcome *outcome)
{
    struct cluster_record cluster, present;
    struct member_record first;
    struct user_fields admin = {.name = BYTES_NONE};

    unpack_array_of(body, 3);
    unpack_array_of(body, 3);
    cluster.id = unpack_string(body, CLUSTER_ID_SIZE);
    cluster.ca_certificate = unpack_string(body, PEM_MAX);
    cluster.ca_key = unpack_string(body, PEM_MAX);
    member_unpack(body, &first);
    if (!unpack_nil(body)) {
        user_fields_unpack(body, &admin);
    }
    if (!body_check(body, outcome) || !member_check(&first, outcome) ||
        (admin.name.size > 0 && !user_fields_check(&admin, outcome))) {
        return;
    }
    if (cluster.id.size != CLUSTER_ID_SIZE) {
        (void)outcome_fail(outcome, ERROR_INVALID, "a cluster's id has %d hex digits",
                           CLUSTER_ID_SIZE);
        return;
    }
    if (catalog_cluster(context->txn, &present) == OK) {
        (void)outcome_fail(outcome, ERROR_EXISTS, "the cluster was created before");
        return;
    }
    cluster_store(context->txn, &cluster);
    member_join(context, &first, outcome);
    if (admin.name.size > 0) {
        user_store(context, &admin);
    }
}

/* --- join-token.put: [sha256 of the token, expires_ms, uses] --------------------------------- */

void command_join_token_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                            struct bytes token_sha256, uint64_t expires_ms, uint64_t uses)
{
    command_begin(out, COMMAND_JOIN_TOKEN_PUT, id, actor);
    pack_array(out, 3);
    pack_bin(out, token_sha256);
    pack_uint(out, expires_ms);
    pack_uint(out, uses);
}

struct token {
    uint64_t expires_ms, uses;
};

/* TABLE_JOIN_TOKENS: sha256 -> [expires_ms, uses left]; used up ones are removed. */
static void token_unpack(struct bytes value, struct token *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    out->expires_ms = unpack_uint(&in);
    out->uses = unpack_uint(&in);
    record_check(&in, TABLE_JOIN_TOKENS);
}

struct token_search {
    const uint8_t *sha256;
    uint64_t now_ms;
    bool is_good;
};

/* Goes through all of them, whatever was found. */
static bool search_visit(void *data, struct bytes key, struct bytes value)
{
    struct token_search *search = data;
    struct token token;

    CHECK(key.size == TOKEN_SIZE);
    token_unpack(value, &token);
    search->is_good |= password_hash_equal(key.data, search->sha256) && token.uses > 0 &&
                       token.expires_ms > search->now_ms;
    return true;
}

bool catalog_join_token_is_good(struct catalog_txn *txn, const uint8_t sha256[32], uint64_t now_ms)
{
    struct token_search search = {.sha256 = sha256, .now_ms = now_ms};

    table_scan(txn, TABLE_JOIN_TOKENS, BYTES_NONE, search_visit, &search);
    return search.is_good;
}

static void token_store(struct catalog_txn *txn, struct bytes sha256, const struct token *token)
{
    struct buffer value;
    enum error error;

    if (token->uses == 0) {
        error = table_delete(txn, TABLE_JOIN_TOKENS, sha256);
        CHECK(error == OK);
        return;
    }
    buffer_init(&value, 64);
    pack_array(&value, 2);
    pack_uint(&value, token->expires_ms);
    pack_uint(&value, token->uses);
    table_put(txn, TABLE_JOIN_TOKENS, sha256, buffer_view(&value));
    buffer_release(&value);
}

struct expired_walk {
    uint64_t now_ms;
    uint8_t sha256[TOKEN_SIZE];
    bool is_found;
};

static bool expired_visit(void *data, struct bytes key, struct bytes value)
{
    struct expired_walk *walk = data;
    struct token token;

    token_unpack(value, &token);
    if (token.expires_ms > walk->now_ms) {
        return true;
    }
    CHECK(key.size == sizeof walk->sha256);
    memcpy(walk->sha256, key.data, key.size);
    walk->is_found = true;
    return false;
}

static void tokens_expire(const struct command_context *context)
{
    for (;;) {
        struct expired_walk walk = {.now_ms = context->time_ms};
        enum error error;

        table_scan(context->txn, TABLE_JOIN_TOKENS, BYTES_NONE, expired_visit, &walk);
        if (!walk.is_found) {
            return;
        }
        error = table_delete(context->txn, TABLE_JOIN_TOKENS,
                             bytes_of(walk.sha256, sizeof walk.sha256));
        CHECK(error == OK);
    }
}

void apply_join_token_put(const struct command_context *context, struct unpacker *body,
                          struct outcome *outcome)
{
    struct bytes sha256;
    struct token token;

    unpack_array_of(body, 3);
    sha256 = unpack_bin(body, TOKEN_SIZE);
    token.expires_ms = unpack_uint(body);
    token.uses = unpack_uint(body);
    if (!body_check(body, outcome)) {
        return;
    }
    if (sha256.size != TOKEN_SIZE || token.uses == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "a join token has a SHA-256 and at least one use");
        return;
    }
    tokens_expire(context);
    if (table_count(context->txn, TABLE_JOIN_TOKENS) >= TOKENS_MAX) {
        (void)outcome_fail(outcome, ERROR_TOO_LARGE,
                           "there are %d join tokens already: wait until some expire", TOKENS_MAX);
        return;
    }
    token_store(context->txn, sha256, &token);
}

/* --- member.put: [member, sha256 of the join token] ------------------------------------------ */

void command_member_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                        const struct member_record *member, struct bytes join_token_sha256)
{
    command_begin(out, COMMAND_MEMBER_PUT, id, actor);
    pack_array(out, 2);
    member_pack(out, member);
    pack_bin(out, join_token_sha256);
}

/* Use a join token once. Which of the reasons it is, is not told to who guesses. */
static bool token_spend(const struct command_context *context, struct bytes sha256,
                        struct outcome *outcome)
{
    struct token token;
    struct bytes value;

    if (sha256.size == TOKEN_SIZE &&
        table_get(context->txn, TABLE_JOIN_TOKENS, sha256, &value) == OK) {
        token_unpack(value, &token);
        if (token.expires_ms > context->time_ms && token.uses > 0) {
            token.uses--;
            token_store(context->txn, sha256, &token);
            return true;
        }
    }
    (void)outcome_fail(outcome, ERROR_DENIED,
                       "the join token is unknown, used up or expired: make a new one with "
                       "'caisson cluster token'");
    return false;
}

void apply_member_put(const struct command_context *context, struct unpacker *body,
                      struct outcome *outcome)
{
    struct member_record member;
    struct table_key key;
    struct bytes sha256, value;

    unpack_array_of(body, 2);
    member_unpack(body, &member);
    sha256 = unpack_bin(body, TOKEN_SIZE);
    if (!body_check(body, outcome) || !member_check(&member, outcome)) {
        return;
    }
    key = member_key(member.id);
    if (table_get(context->txn, TABLE_RETIRED_MEMBERS, table_key_view(&key), &value) == OK) {
        (void)outcome_fail(outcome, ERROR_EXISTS,
                           "member id %llu has left the cluster: join under a new one",
                           (unsigned long long)member.id);
        return;
    }
    /* A member speaks for itself: its peers know it by its certificate. */
    if (!bytes_starts_with(context->actor, BYTES_LITERAL("node/")) &&
        !token_spend(context, sha256, outcome)) {
        return;
    }
    member_join(context, &member, outcome);
}

/* --- member.remove: [id] --------------------------------------------------------------------- */

void command_member_remove(struct buffer *out, const struct command_id *id, struct bytes actor,
                           uint64_t member)
{
    command_begin(out, COMMAND_MEMBER_REMOVE, id, actor);
    pack_array(out, 1);
    pack_uint(out, member);
}

void apply_member_remove(const struct command_context *context, struct unpacker *body,
                         struct outcome *outcome)
{
    struct member_record member;
    uint64_t id;

    unpack_array_of(body, 1);
    id = unpack_uint(body);
    if (!body_check(body, outcome)) {
        return;
    }
    if (catalog_member(context->txn, id, &member) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no member %llu",
                           (unsigned long long)id);
    } else if (table_count(context->txn, TABLE_MEMBERS) == 1) {
        (void)outcome_fail(outcome, ERROR_DENIED, "the last member cannot be removed");
    } else {
        member_retire(context, id);
    }
}
