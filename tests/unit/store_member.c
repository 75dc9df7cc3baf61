/* The cluster, its members and join tokens; users and what they may do. */

#include "tests/lib/catalog_fixture.h"

static const uint8_t salt[16] = {1}, hash[32] = {2};
static const uint8_t token[32] = {3}, other_token[32] = {4};

static void bindings_init(struct buffer *out, const char *glob, unsigned actions)
{
    buffer_init(out, 256);
    pack_array(out, 1);
    pack_array(out, 2);
    pack_text(out, glob);
    pack_uint(out, actions);
}

static enum error put_user(struct catalog_fixture *fixture, const char *name, const char *glob,
                           unsigned actions)
{
    struct buffer command = fixture_command(), bindings;
    struct command_id id = fixture_id(fixture);

    bindings_init(&bindings, glob, actions);
    command_user_put(&command, &id, text_of("admin"), text_of(name), bytes_of(salt, sizeof salt),
                     bytes_of(hash, sizeof hash), buffer_view(&bindings));
    buffer_release(&bindings);
    return fixture_apply(fixture, &command);
}

static enum error delete_user(struct catalog_fixture *fixture, const char *name)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_user_delete(&command, &id, text_of("admin"), text_of(name));
    return fixture_apply(fixture, &command);
}

static struct member_record member_of(uint64_t id, const char *name)
{
    return (struct member_record){.id = id,
                                  .name = text_of(name),
                                  .raft_address = text_of("127.0.0.1:1"),
                                  .data_address = text_of("127.0.0.1:2"),
                                  .client_address = text_of("127.0.0.1:3")};
}

static enum error join(struct catalog_fixture *fixture, uint64_t id, const char *name,
                       const uint8_t *secret)
{
    struct buffer command = fixture_command();
    struct command_id command_id = fixture_id(fixture);
    struct member_record member = member_of(id, name);

    command_member_put(&command, &command_id, text_of("joining"), &member,
                       bytes_of(secret, secret != NULL ? 32 : 0));
    return fixture_apply(fixture, &command);
}

static enum error put_token(struct catalog_fixture *fixture, const uint8_t *secret,
                            uint64_t expires_ms, uint64_t uses)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_join_token_put(&command, &id, text_of("admin"), bytes_of(secret, 32), expires_ms, uses);
    return fixture_apply(fixture, &command);
}

static enum error create(struct catalog_fixture *fixture)
{
    struct buffer command = fixture_command(), bindings;
    struct command_id id = fixture_id(fixture);
    struct cluster_record cluster = {text_of("0123456789abcdef0123456789abcdef"),
                                     text_of("certificate"), text_of("key")};
    struct member_record first = member_of(1, "node-1");
    struct user_record admin = {.name = text_of("admin"),
                                .salt = bytes_of(salt, sizeof salt),
                                .hash = bytes_of(hash, sizeof hash)};

    bindings_init(&bindings, "**", ACTION_ADMIN);
    admin.bindings = buffer_view(&bindings);
    command_cluster_create(&command, &id, &cluster, &first, &admin);
    buffer_release(&bindings);
    return fixture_apply(fixture, &command);
}

static void end(struct catalog_fixture *fixture)
{
    char text[65];

    fixture_hash(fixture, text);
    fixture_release(fixture);
}

struct names {
    char text[128];
};

static bool collect_member(void *data, const struct member_record *member)
{
    struct names *names = data;
    size_t size = strlen(names->text);

    snprintf(names->text + size, sizeof names->text - size, "%llu:" BYTES_FMT " ",
             (unsigned long long)member->id, BYTES_ARG(member->name));
    return true;
}

static void assert_members(struct catalog_fixture *fixture, const char *expected)
{
    struct names names = {""};
    struct catalog_txn txn;

    catalog_read(fixture->catalog, &txn);
    catalog_members(&txn, collect_member, &names);
    catalog_done(&txn);
    assert_string_equal(names.text, expected);
}

static void test_cluster__is_created_once(void **state)
{
    struct catalog_fixture fixture;
    struct cluster_record cluster;
    struct user_record admin;
    struct catalog_txn txn;

    (void)state;
    fixture_init(&fixture);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_cluster(&txn, &cluster), ERROR_NOT_FOUND);
    catalog_done(&txn);
    assert_int_equal(create(&fixture), OK);
    assert_int_equal(create(&fixture), ERROR_EXISTS);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_cluster(&txn, &cluster), OK);
    assert_true(bytes_equal_string(cluster.ca_key, "key"));
    assert_int_equal(catalog_user(&txn, text_of("admin"), &admin), OK);
    assert_int_equal(user_actions(&admin, text_of("any/thing")), 15);
    catalog_done(&txn);
    assert_members(&fixture, "1:node-1 ");
    end(&fixture);
}

static bool is_good(struct catalog_fixture *fixture, const uint8_t *secret)
{
    struct catalog_txn txn;
    bool good;

    catalog_read(fixture->catalog, &txn);
    good = catalog_join_token_is_good(&txn, secret, fixture->time_ms + 500);
    catalog_done(&txn);
    return good;
}

static void test_member__joins_with_a_token(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(create(&fixture), OK);
    assert_int_equal(join(&fixture, 7, "node-2", NULL), ERROR_DENIED);
    assert_int_equal(join(&fixture, 7, "node-2", token), ERROR_DENIED);
    assert_int_equal(put_token(&fixture, token, fixture.time_ms + 1000, 2), OK);
    assert_int_equal(put_token(&fixture, other_token, fixture.time_ms + 15, 9), OK);
    assert_true(is_good(&fixture, token));
    assert_false(is_good(&fixture, other_token)); /* Expired. */
    assert_int_equal(join(&fixture, 7, "node-2", other_token), ERROR_DENIED);
    assert_int_equal(join(&fixture, 7, "node-2", token), OK);
    assert_int_equal(join(&fixture, 5, "node-3", token), OK);
    assert_false(is_good(&fixture, token)); /* Used up. */
    assert_int_equal(join(&fixture, 8, "node-4", token), ERROR_DENIED);
    assert_members(&fixture, "1:node-1 7:node-2 5:node-3 ");
    end(&fixture);
}

static void test_member__comes_back_under_a_new_id(void **state)
{
    struct catalog_fixture fixture;
    struct buffer command;
    struct command_id id;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(create(&fixture), OK);
    assert_int_equal(put_token(&fixture, token, fixture.time_ms + 1000, 9), OK);
    assert_int_equal(join(&fixture, 2, "node-2", token), OK);
    assert_int_equal(join(&fixture, 3, "node-2", token), OK);
    assert_members(&fixture, "1:node-1 3:node-2 ");
    assert_int_equal(join(&fixture, 2, "node-2", token), ERROR_EXISTS);

    command = fixture_command();
    id = fixture_id(&fixture);
    command_member_remove(&command, &id, text_of("admin"), 1);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
    command = fixture_command();
    id = fixture_id(&fixture);
    command_member_remove(&command, &id, text_of("admin"), 3);
    assert_int_equal(fixture_apply(&fixture, &command), ERROR_DENIED);
    assert_members(&fixture, "3:node-2 ");
    end(&fixture);
}

static void test_member__at_most_sixteen_and_failure_gives_the_token_back(void **state)
{
    struct catalog_fixture fixture;
    struct catalog_txn txn;
    struct unpacker in;
    struct bytes value;
    uint64_t i;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(put_token(&fixture, token, fixture.time_ms + 10000, 17), OK);
    for (i = 1; i <= MEMBERS_MAX; i++) {
        char name[16];

        snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
        assert_int_equal(join(&fixture, i, name, token), OK);
    }
    assert_int_equal(join(&fixture, 99, "n99", token), ERROR_TOO_LARGE);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(table_get(&txn, TABLE_JOIN_TOKENS, bytes_of(token, 32), &value), OK);
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    unpack_skip(&in);
    assert_int_equal(unpack_uint(&in), 1);
    catalog_done(&txn);
    end(&fixture);
}

static void test_user__last_admin_stays(void **state)
{
    struct catalog_fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(create(&fixture), OK);
    assert_int_equal(delete_user(&fixture, "admin"), ERROR_DENIED);
    assert_int_equal(put_user(&fixture, "admin", "**", ACTION_PULL), ERROR_DENIED);
    /* Admin of a part is not admin of the cluster. */
    assert_int_equal(put_user(&fixture, "team", "team/*", ACTION_ADMIN), OK);
    assert_int_equal(delete_user(&fixture, "admin"), ERROR_DENIED);
    assert_int_equal(put_user(&fixture, "second", "**", ACTION_ADMIN), OK);
    assert_int_equal(delete_user(&fixture, "admin"), OK);
    assert_int_equal(delete_user(&fixture, "admin"), ERROR_NOT_FOUND);
    assert_int_equal(delete_user(&fixture, "second"), ERROR_DENIED);
    assert_int_equal(put_user(&fixture, "no:good", "**", ACTION_PULL), ERROR_INVALID);
    assert_int_equal(put_user(&fixture, "node/1", "**", ACTION_PULL), ERROR_INVALID);
    assert_int_equal(put_user(&fixture, "ci", "**", 16), ERROR_INVALID);
    end(&fixture);
}

static void test_user__actions_and_revision(void **state)
{
    struct catalog_fixture fixture;
    struct user_record user;
    struct catalog_txn txn;
    uint64_t revision;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(put_user(&fixture, "ci", "dev/**", ACTION_PULL | ACTION_PUSH), OK);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_user(&txn, text_of("ci"), &user), OK);
    assert_int_equal(user_actions(&user, text_of("dev/a/b")), ACTION_PULL | ACTION_PUSH);
    assert_int_equal(user_actions(&user, text_of("prod/a")), 0);
    assert_int_equal(user_actions(&user, BYTES_NONE), 0);
    revision = user.revision;
    assert_int_equal(catalog_user(&txn, text_of("nobody"), &user), ERROR_NOT_FOUND);
    assert_int_equal(catalog_user(&txn, BYTES_NONE, &user), ERROR_NOT_FOUND);
    catalog_done(&txn);
    assert_int_equal(delete_user(&fixture, "ci"), OK);
    assert_int_equal(put_user(&fixture, "ci", "dev/**", ACTION_PULL), OK);
    catalog_read(fixture.catalog, &txn);
    assert_int_equal(catalog_user(&txn, text_of("ci"), &user), OK);
    assert_true(user.revision > revision);
    catalog_done(&txn);
    user.bindings = text_of("\x91\x92\xa2**\xff");
    assert_int_equal(user_actions(&user, text_of("dev/a")), 0); /* What does not decode: nothing. */
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster__is_created_once),
        cmocka_unit_test(test_member__joins_with_a_token),
        cmocka_unit_test(test_member__comes_back_under_a_new_id),
        cmocka_unit_test(test_member__at_most_sixteen_and_failure_gives_the_token_back),
        cmocka_unit_test(test_user__last_admin_stays),
        cmocka_unit_test(test_user__actions_and_revision),
    };

    return cmocka_run_group_tests_name("store/member", tests, NULL, NULL);
}
