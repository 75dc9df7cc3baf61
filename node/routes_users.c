#include "node/routes_admin.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/password.h"
#include "base/random.h"
#include "node/consistency.h"
#include "node/control.h"
#include "node/user_bindings.h"
#include "node/worker.h"

#include <stdlib.h>

/* Users. A password is hashed here, on the pool, before anything is proposed: the log carries salt
 * and hash only. Reads go through the log first, so that a user that was just made is seen at every
 * node. */

#define PASSWORD_LEAST 8
#define PASSWORD_MOST  PASSWORD_SIZE_MAX
#define BINDINGS_SIZE  (32u * 1024)

struct user_change {
    struct exchange *exchange;
    struct control_propose propose;
    struct control_read read;
    uv_work_t work;
    char name[65];
    char *password; /* NULL: keep. Wiped after hashing. */
    uint8_t salt[16], hash[32];
    struct buffer bindings;
    bool has_bindings;
    bool is_new;
    bool is_password_only;
};

static void wipe_password(struct user_change *change)
{
    if (change->password != NULL) {
        memory_wipe(change->password, strlen(change->password));
        free(change->password);
        change->password = NULL;
    }
}

static void change_free(void *data)
{
    struct user_change *change = data;

    wipe_password(change);
    buffer_release(&change->bindings);
    free(change);
}

static struct user_change *change_new(struct exchange *exchange)
{
    struct user_change *change = memory_zero(sizeof *change);
    struct bytes name = exchange_parameter(exchange, "user");

    change->exchange = exchange;
    buffer_init(&change->bindings, BINDINGS_SIZE);
    if (name.size > 0 && name.size < sizeof change->name) { /* GET of all users has no name. */
        memcpy(change->name, name.data, name.size);
    }
    exchange_set_data(exchange, change, change_free);
    return change;
}

/* --- the write -------------------------------------------------------------------------------- */

static void proposed_cb(struct control_propose *request, enum error status,
                        const struct command_result *result)
{
    struct user_change *change = request->data;
    struct exchange *exchange = change->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (result->error != OK) {
        exchange_fail(exchange, result->error, &result->why);
    } else if (exchange_method(exchange) == HTTP_PUT_ && !change->is_password_only) {
        exchange_set_index(exchange, result->index);
        exchange_answer_json(exchange, change->is_new ? 201 : 200,
                             json_pack("{s:s, s:o}", "name", change->name, "bindings",
                                       user_bindings_json(buffer_view(&change->bindings))));
    } else {
        exchange_set_index(exchange, result->index);
        exchange_answer(exchange, 204, NULL, BYTES_NONE);
    }
    exchange_release(exchange);
}

static void propose_put(struct user_change *change)
{
    struct command_id id;

    command_id_make(&id);
    change->propose.data = change;
    buffer_init(&change->propose.bytes, COMMAND_SIZE_MAX);
    command_user_put(&change->propose.bytes, &id, exchange_actor(change->exchange),
                     bytes_of_string(change->name), bytes_of(change->salt, sizeof change->salt),
                     bytes_of(change->hash, sizeof change->hash), buffer_view(&change->bindings));
    control_propose(exchange_worker(change->exchange), &change->propose, proposed_cb);
}

static void hash_work(uv_work_t *work)
{
    struct user_change *change = work->data;

    CHECK(password_hash(bytes_of_string(change->password), change->salt, change->hash) == OK);
    wipe_password(change);
}

static void hash_cb(uv_work_t *work, int status)
{
    struct user_change *change = work->data;

    CHECK(status == 0);
    propose_put(change);
}

/* What the request leaves out comes from the record that is there. */
static enum error complete_change(struct user_change *change, struct reason *why)
{
    struct worker *worker = exchange_worker(change->exchange);
    struct user_record user;
    struct catalog_txn txn;
    enum error error = OK;

    catalog_read(worker->catalog, &txn);
    change->is_new = catalog_user(&txn, bytes_of_string(change->name), &user) != OK;
    if (change->is_new && (change->password == NULL || change->is_password_only)) {
        error = fail(why, change->is_password_only ? ERROR_NOT_FOUND : ERROR_INVALID,
                     "there is no user %s yet%s", change->name,
                     change->is_password_only ? "" : ": a new one needs a password");
    }
    if (!change->is_new && !change->has_bindings) {
        buffer_append(&change->bindings, user.bindings);
    } else if (!change->has_bindings) {
        pack_array(&change->bindings, 0);
    }
    if (!change->is_new && change->password == NULL) {
        CHECK(user.salt.size == sizeof change->salt && user.hash.size == sizeof change->hash);
        memcpy(change->salt, user.salt.data, sizeof change->salt);
        memcpy(change->hash, user.hash.data, sizeof change->hash);
    }
    catalog_done(&txn);
    return error;
}

static void current_cb(struct control_read *read, enum error status)
{
    struct user_change *change = read->data;
    struct exchange *exchange = change->exchange;
    struct reason why = {""};

    if (status == OK) {
        status = complete_change(change, &why);
    }
    if (status != OK) {
        exchange_fail(exchange, status, &why);
        exchange_release(exchange);
        return;
    }
    if (change->password == NULL) {
        propose_put(change);
        return;
    }
    random_bytes(change->salt, sizeof change->salt);
    change->work.data = change;
    CHECK(uv_queue_work(&exchange_worker(exchange)->loop, &change->work, hash_work, hash_cb) == 0);
}

/* --- PUT -------------------------------------------------------------------------------------- */

static enum error take_password(struct user_change *change, const json_t *body, struct reason *why)
{
    const json_t *value = json_object_get(body, "password");
    size_t size = json_string_length(value);

    if (value == NULL && !change->is_password_only) {
        return OK;
    }
    if (!json_is_string(value) || size < PASSWORD_LEAST || size > PASSWORD_MOST ||
        strlen(json_string_value(value)) != size) {
        return fail(why, ERROR_INVALID, "a password is a text of %d to %d bytes", PASSWORD_LEAST,
                    PASSWORD_MOST);
    }
    change->password = memory_string(json_string_value(value));
    return OK;
}

static enum error take_body(struct user_change *change, const json_t *body, struct reason *why)
{
    const json_t *bindings = json_object_get(body, "bindings");
    enum error error = user_name_check(bytes_of_string(change->name), why);

    if (error == OK && !json_is_object(body)) {
        error = fail(why, ERROR_INVALID, "the body is a JSON object");
    }
    if (error == OK) {
        error = take_password(change, body, why);
    }
    if (error == OK && bindings != NULL && !change->is_password_only) {
        change->has_bindings = true;
        error = user_bindings_pack(bindings, &change->bindings, why);
    }
    return error;
}

static void put_body(struct exchange *exchange, struct bytes bytes, bool is_password_only)
{
    struct user_change *change = change_new(exchange);
    struct reason why = {""};
    json_t *body = NULL;
    enum error error = json_parse(bytes, API_BODY_MAX, &body, &why);

    change->is_password_only = is_password_only;
    if (error == OK) {
        error = take_body(change, body, &why);
        json_decref(body);
    }
    if (error != OK) {
        exchange_fail(exchange, error, &why);
        return;
    }
    exchange_hold(exchange);
    change->read.data = change;
    control_read(exchange_worker(exchange), &change->read, current_cb);
}

static void put_user_body(struct exchange *exchange, struct bytes bytes)
{
    put_body(exchange, bytes, false);
}

static void put_password_body(struct exchange *exchange, struct bytes bytes)
{
    put_body(exchange, bytes, true);
}

static void put_user(struct exchange *exchange)
{
    exchange_read_body(exchange, API_BODY_MAX, put_user_body);
}

static void put_password(struct exchange *exchange)
{
    struct reason why = {""};

    if (!bytes_equal(exchange_actor(exchange), exchange_parameter(exchange, "user")) &&
        !exchange_may(exchange, ACTION_ADMIN, BYTES_NONE)) {
        exchange_fail(exchange,
                      fail(&why, ERROR_DENIED, "only an admin may change another's password"),
                      &why);
        return;
    }
    exchange_read_body(exchange, API_BODY_MAX, put_password_body);
}

/* --- DELETE ----------------------------------------------------------------------------------- */

static void delete_user(struct exchange *exchange)
{
    struct bytes name = exchange_parameter(exchange, "user");
    struct reason why = {""};
    struct user_change *change;
    struct command_id id;

    if (bytes_equal(exchange_actor(exchange), name)) {
        exchange_fail(exchange,
                      fail(&why, ERROR_CONFLICT, "nobody may remove themselves: ask another admin"),
                      &why);
        return;
    }
    change = change_new(exchange);
    command_id_make(&id);
    change->propose.data = change;
    buffer_init(&change->propose.bytes, COMMAND_SIZE_MAX);
    command_user_delete(&change->propose.bytes, &id, exchange_actor(exchange), name);
    exchange_hold(exchange);
    control_propose(exchange_worker(exchange), &change->propose, proposed_cb);
}

/* --- GET -------------------------------------------------------------------------------------- */

static json_t *user_json(const struct user_record *user)
{
    return json_pack("{s:s%, s:o}", "name", (const char *)user->name.data, user->name.size,
                     "bindings", user_bindings_json(user->bindings));
}

struct listing {
    struct catalog_txn *txn;
    json_t *users;
};

static bool list_user(void *data, struct bytes key, struct bytes value)
{
    struct listing *listing = data;
    struct user_record user;

    (void)value;
    if (catalog_user(listing->txn, key, &user) == OK) {
        json_array_append_new(listing->users, user_json(&user));
    }
    return true;
}

static void answer_users(struct exchange *exchange)
{
    struct listing listing = {.users = json_array()};
    struct catalog_txn txn;

    listing.txn = &txn;
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    table_scan(&txn, TABLE_USERS, BYTES_NONE, list_user, &listing);
    catalog_done(&txn);
    exchange_answer_json(exchange, 200, json_pack("{s:o}", "users", listing.users));
}

static void answer_user(struct exchange *exchange)
{
    struct reason why = {""};
    struct user_record user;
    struct catalog_txn txn;
    json_t *object = NULL;

    catalog_read(exchange_worker(exchange)->catalog, &txn);
    if (catalog_user(&txn, exchange_parameter(exchange, "user"), &user) == OK) {
        object = user_json(&user);
    }
    catalog_done(&txn);
    if (object == NULL) {
        exchange_fail(exchange, fail(&why, ERROR_NOT_FOUND, "there is no such user"), &why);
        return;
    }
    exchange_answer_json(exchange, 200, object);
}

static void seen_cb(struct control_read *read, enum error status)
{
    struct user_change *change = read->data;
    struct exchange *exchange = change->exchange;

    if (status != OK) {
        exchange_fail(exchange, status, NULL);
    } else if (exchange_parameter(exchange, "user").size > 0) {
        answer_user(exchange);
    } else {
        answer_users(exchange);
    }
    exchange_release(exchange);
}

static void get_users(struct exchange *exchange)
{
    struct user_change *change = change_new(exchange);

    exchange_hold(exchange);
    change->read.data = change;
    control_read(exchange_worker(exchange), &change->read, seen_cb);
}

const struct route routes_users[] = {
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/users", ACCESS_ADMIN, get_users},
    {HTTP_GET_ | HTTP_HEAD_, "/api/v1/users/{user}", ACCESS_ADMIN, get_users},
    {HTTP_PUT_, "/api/v1/users/{user}", ACCESS_ADMIN, put_user},
    {HTTP_DELETE_, "/api/v1/users/{user}", ACCESS_ADMIN, delete_user},
    {HTTP_PUT_, "/api/v1/users/{user}/password", ACCESS_LOGIN, put_password},
    {0},
};
