/* Users: who may log in, and what their bindings grant; user.put and user.delete. */

#include "base/assert.h"
#include "store/apply.h"
#include "store/content.h"

#define USER_NAME_MAX     128
#define USER_SALT_SIZE    16
#define USER_HASH_SIZE    32
#define USER_BINDINGS_MAX (64u * 1024)
#define ACTIONS_ALL       (ACTION_PULL | ACTION_PUSH | ACTION_APPROVE | ACTION_ADMIN)

bool body_check(const struct unpacker *body, struct outcome *outcome)
{
    if (unpack_end(body) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "the command does not decode");
        return false;
    }
    return true;
}

/* --- bindings: [[glob, actions], ...] -------------------------------------------------------- */

static enum error bindings_read(struct bytes bindings, struct bytes repository, unsigned *actions)
{
    struct unpacker in;
    size_t n;

    *actions = 0;
    unpack_start(&in, bindings);
    for (n = unpack_array(&in); n > 0 && unpack_status(&in) == OK; n--) {
        struct bytes glob;
        uint64_t granted;

        unpack_array_of(&in, 2);
        glob = unpack_string(&in, NAME_MAX_SIZE);
        granted = unpack_uint(&in);
        if (granted > ACTIONS_ALL) {
            return ERROR_INVALID;
        }
        if (unpack_status(&in) == OK && repository_glob_match(glob, repository)) {
            *actions |= (unsigned)granted;
        }
    }
    if (unpack_end(&in) != OK) {
        *actions = 0;
        return ERROR_INVALID;
    }
    return OK;
}

unsigned user_actions(const struct user_record *user, struct bytes repository)
{
    unsigned actions;

    if (bindings_read(user->bindings, repository, &actions) != OK) {
        return 0;
    }
    return (actions & ACTION_ADMIN) != 0 ? (unsigned)ACTIONS_ALL : actions;
}

/* --- records --------------------------------------------------------------------------------- */

/* TABLE_USERS: name -> [salt, hash, bindings, revision]. The revision is the time of the command:
 * it grows even when a name is deleted and made again. */
static void user_record_unpack(struct bytes name, struct bytes value, struct user_record *out)
{
    struct unpacker in;

    out->name = name;
    unpack_start(&in, value);
    unpack_array_of(&in, 4);
    out->salt = unpack_bin(&in, USER_SALT_SIZE);
    out->hash = unpack_bin(&in, USER_HASH_SIZE);
    out->bindings = unpack_bin(&in, USER_BINDINGS_MAX);
    out->revision = unpack_uint(&in);
    record_check(&in, TABLE_USERS);
}

enum error catalog_user(struct catalog_txn *txn, struct bytes name, struct user_record *out)
{
    struct bytes value;

    if (name.size == 0 || name.size > USER_NAME_MAX ||
        table_get(txn, TABLE_USERS, name, &value) != OK) {
        return ERROR_NOT_FOUND;
    }
    user_record_unpack(name, value, out);
    return OK;
}

void user_store(const struct command_context *context, const struct user_fields *user)
{
    struct buffer value;

    buffer_init(&value, 256 + USER_BINDINGS_MAX);
    pack_array(&value, 4);
    pack_bin(&value, user->salt);
    pack_bin(&value, user->hash);
    pack_bin(&value, user->bindings);
    pack_uint(&value, context->time_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(context->txn, TABLE_USERS, user->name, buffer_view(&value));
    buffer_release(&value);
}

/* --- fields ---------------------------------------------------------------------------------- */

void user_fields_pack(struct buffer *out, const struct user_fields *user)
{
    pack_array(out, 4);
    pack_string(out, user->name);
    pack_bin(out, user->salt);
    pack_bin(out, user->hash);
    pack_bin(out, user->bindings);
}

void user_fields_unpack(struct unpacker *in, struct user_fields *out)
{
    unpack_array_of(in, 4);
    out->name = unpack_string(in, USER_NAME_MAX);
    out->salt = unpack_bin(in, USER_SALT_SIZE);
    out->hash = unpack_bin(in, USER_HASH_SIZE);
    out->bindings = unpack_bin(in, USER_BINDINGS_MAX);
}

/* No ':' (Basic login ends the name there), no '/' (actors like "node/1" are no users), no control
 * bytes, no spaces. */
static bool user_name_is_valid(struct bytes name)
{
    size_t i;

    for (i = 0; i < name.size; i++) {
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f || name.data[i] == ':' ||
            name.data[i] == '/') {
            return false;
        }
    }
    return name.size > 0 && name.size <= USER_NAME_MAX;
}

bool user_fields_check(const struct user_fields *user, struct outcome *outcome)
{
    unsigned actions;

    if (!user_name_is_valid(user->name)) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "not a user name: 1 to %d printable bytes without ':', '/' and space",
                           USER_NAME_MAX);
        return false;
    }
    if (user->salt.size != USER_SALT_SIZE || user->hash.size != USER_HASH_SIZE) {
        (void)outcome_fail(outcome, ERROR_INVALID, "salt and hash must have %d and %d bytes",
                           USER_SALT_SIZE, USER_HASH_SIZE);
        return false;
    }
    if (bindings_read(user->bindings, BYTES_NONE, &actions) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "the user's bindings do not decode");
        return false;
    }
    return true;
}

/* --- the last admin -------------------------------------------------------------------------- */

static bool is_admin(struct bytes bindings)
{
    const struct user_record user = {.bindings = bindings};

    return (user_actions(&user, BYTES_NONE) & ACTION_ADMIN) != 0;
}

struct admin_walk {
    struct bytes except;
    bool is_found;
};

static bool admin_visit(void *data, struct bytes key, struct bytes value)
{
    struct admin_walk *walk = data;
    struct user_record user;

    user_record_unpack(key, value, &user);
    walk->is_found = !bytes_equal(key, walk->except) && is_admin(user.bindings);
    return !walk->is_found;
}

/* Fails the outcome when the user is the one admin of the cluster. */
static bool another_admin_stays(struct catalog_txn *txn, const struct user_record *user,
                                struct outcome *outcome)
{
    struct admin_walk walk = {.except = user->name};

    if (!is_admin(user->bindings)) {
        return true;
    }
    table_scan(txn, TABLE_USERS, BYTES_NONE, admin_visit, &walk);
    if (!walk.is_found) {
        (void)outcome_fail(outcome, ERROR_DENIED,
                           BYTES_FMT " is the last admin: make another user admin first",
                           BYTES_ARG(user->name));
    }
    return walk.is_found;
}

/* --- user.put: [name, salt, hash, bindings] -------------------------------------------------- */

void command_user_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                      struct bytes name, struct bytes salt, struct bytes hash,
                      struct bytes bindings)
{
    const struct user_fields user = {name, salt, hash, bindings};

    command_begin(out, COMMAND_USER_PUT, id, actor);
    user_fields_pack(out, &user);
}

void apply_user_put(const struct command_context *context, struct unpacker *body,
                    struct outcome *outcome)
{
    struct user_fields user;
    struct user_record old;

    user_fields_unpack(body, &user);
    if (!body_check(body, outcome) || !user_fields_check(&user, outcome)) {
        return;
    }
    if (!is_admin(user.bindings) && catalog_user(context->txn, user.name, &old) == OK &&
        !another_admin_stays(context->txn, &old, outcome)) {
        return;
    }
    user_store(context, &user);
}

/* --- user.delete: [name] --------------------------------------------------------------------- */

void command_user_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                         struct bytes name)
{
    command_begin(out, COMMAND_USER_DELETE, id, actor);
    pack_array(out, 1);
    pack_string(out, name);
}

void apply_user_delete(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    struct user_record user;
    struct bytes name;
    enum error error;

    unpack_array_of(body, 1);
    name = unpack_string(body, USER_NAME_MAX);
    if (!body_check(body, outcome)) {
        return;
    }
    if (catalog_user(context->txn, name, &user) != OK) {
        (void)outcome_fail(outcome, ERROR_NOT_FOUND, "there is no user " BYTES_FMT,
                           BYTES_ARG(name));
        return;
    }
    if (!another_admin_stays(context->txn, &user, outcome)) {
        return;
    }
    error = table_delete(context->txn, TABLE_USERS, name);
    CHECK(error == OK);
}
