#include "node/cluster_init.h"

#include "base/durable.h"
#include "node/cluster_start.h"
#include "store/command.h"
#include "tests/lib/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char root[32];
    char directory[48];
    struct reason why;
};

static int remove_entry(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    snprintf(fixture->root, sizeof fixture->root, "/tmp/node_cluster.XXXXXX");
    assert_non_null(mkdtemp(fixture->root));
    snprintf(fixture->directory, sizeof fixture->directory, "%s/d", fixture->root);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    nftw(fixture->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

static void make(struct fixture *fixture, struct cluster_init *init, const char *directory)
{
    struct node_identity *identity = &init->files.identity;

    *init = (struct cluster_init){0};
    cluster_files_init(&init->files);
    snprintf(init->files.directory, sizeof init->files.directory, "%s", directory);
    snprintf(identity->name, sizeof identity->name, "node-1");
    snprintf(identity->raft_address, sizeof identity->raft_address, "127.0.0.1:5100");
    snprintf(identity->data_address, sizeof identity->data_address, "127.0.0.1:5200");
    snprintf(identity->client_address, sizeof identity->client_address, "127.0.0.1:5000");
    assert_int_equal(cluster_init(init, &fixture->why), OK);
}

static void test_init__writes_a_directory_that_opens(void **state)
{
    struct fixture *fixture = *state;
    struct bytes commands[BOOTSTRAP_COMMANDS_MAX];
    struct cluster_files files;
    struct cluster_init init;
    struct join_token token;
    struct buffer text;
    struct stat status;
    char path[80];
    size_t n;

    make(fixture, &init, fixture->directory);
    assert_int_equal(strlen(init.password), 32);
    assert_int_equal(join_token_parse(init.token, &token, &fixture->why), OK);
    assert_string_equal(token.cluster, init.files.identity.cluster);
    /* The lock is held: a second process is refused. */
    assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why), ERROR_BUSY);
    cluster_files_release(&files);
    cluster_files_release(&init.files);
    assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why), OK);
    assert_true(files.identity.member == init.files.identity.member);
    assert_string_equal(files.identity.name, "node-1");
    assert_int_equal(cluster_files_bootstrap(&files, &text, commands, &n, &fixture->why), OK);
    assert_int_equal(n, 2);
    buffer_release(&text);
    assert_int_equal(cluster_files_bootstrap_done(&files, &fixture->why), OK);
    assert_int_equal(cluster_files_bootstrap(&files, &text, commands, &n, &fixture->why), OK);
    assert_int_equal(n, 0);
    buffer_release(&text);
    snprintf(path, sizeof path, "%s/tls/node.key", fixture->directory);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    cluster_files_release(&files);
}

static void test_init__leaves_what_is_there_alone(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_init first, second;
    char path[80];

    make(fixture, &first, fixture->directory);
    cluster_files_release(&first.files);
    snprintf(path, sizeof path, "%s/notes.txt", fixture->root);
    assert_int_equal(durable_write(fixture->root, "notes.txt", 0600, BYTES_LITERAL("x"), NULL), OK);
    for (int i = 0; i < 2; i++) {
        struct node_identity identity = first.files.identity;
        second = (struct cluster_init){0};
        cluster_files_init(&second.files);
        second.files.identity = identity;
        snprintf(second.files.directory, sizeof second.files.directory, "%s",
                 i == 0 ? fixture->directory : fixture->root);
        assert_int_equal(cluster_init(&second, &fixture->why),
                         i == 0 ? ERROR_EXISTS : ERROR_FOREIGN);
        cluster_files_release(&second.files);
    }
    assert_int_equal(access(path, F_OK), 0);
}

static void test_open__an_init_that_was_cut_short_counts_as_empty(void **state)
{
    struct fixture *fixture = *state;
    enum cluster_files_state found;
    struct cluster_init init;
    char path[80];

    make(fixture, &init, fixture->directory);
    cluster_files_release(&init.files);
    snprintf(path, sizeof path, "%s/node.json", fixture->directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cluster_files_look(fixture->directory, &found, &fixture->why), OK);
    assert_int_equal(found, CLUSTER_FILES_EMPTY);
    make(fixture, &init, fixture->directory);
    cluster_files_release(&init.files);
    /* But not when content is there. */
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/blobs", fixture->directory);
    assert_int_equal(durable_write(path, "precious", 0600, BYTES_LITERAL("x"), NULL), OK);
    assert_int_equal(cluster_files_look(fixture->directory, &found, &fixture->why), ERROR_FOREIGN);
    assert_non_null(strstr(fixture->why.text, "blobs"));
}

static void test_open__files_of_two_nodes_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_init mine, other;
    struct cluster_files files;
    char directory[64], path[80];
    struct buffer text;

    make(fixture, &mine, fixture->directory);
    snprintf(directory, sizeof directory, "%s/other", fixture->root);
    make(fixture, &other, directory);
    cluster_files_release(&mine.files);
    cluster_files_release(&other.files);
    snprintf(path, sizeof path, "%s/tls", directory);
    assert_int_equal(durable_read(path, "node.crt", 65536, &text, NULL), OK);
    snprintf(path, sizeof path, "%s/tls", fixture->directory);
    assert_int_equal(durable_write(path, "node.crt", 0644, buffer_view(&text), NULL), OK);
    buffer_release(&text);
    assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why), ERROR_FOREIGN);
    assert_non_null(strstr(fixture->why.text, "mixed"));
    cluster_files_release(&files);
}

static void test_open__a_damaged_certificate_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_init init;
    struct cluster_files files;
    char path[80];
    struct buffer text;

    make(fixture, &init, fixture->directory);
    cluster_files_release(&init.files);
    snprintf(path, sizeof path, "%s/tls", fixture->directory);
    assert_int_equal(durable_read(path, "node.crt", 65536, &text, NULL), OK);
    /* Near its end: in the CA's signature, which nothing else looks at. */
    text.data[text.size - 60] = text.data[text.size - 60] == 'A' ? 'B' : 'A';
    assert_int_equal(durable_write(path, "node.crt", 0644, buffer_view(&text), NULL), OK);
    buffer_release(&text);
    assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why), ERROR_INVALID);
    assert_non_null(strstr(fixture->why.text, "wipe this node"));
    cluster_files_release(&files);
}

static void test_open__a_key_that_others_can_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_init init;
    struct cluster_files files;
    char path[80];

    make(fixture, &init, fixture->directory);
    cluster_files_release(&init.files);
    snprintf(path, sizeof path, "%s/tls/node.key", fixture->directory);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why), ERROR_DENIED);
    assert_non_null(strstr(fixture->why.text, "node.key"));
    cluster_files_release(&files);
}

static void test_open__damaged_files_are_refused(void **state)
{
    static const char *const bad[] = {"", "{}", "nonsense", "{\"version\":2}", "[1,2"};
    struct fixture *fixture = *state;
    struct bytes commands[BOOTSTRAP_COMMANDS_MAX];
    struct cluster_init init;
    struct cluster_files files;
    struct buffer text;
    size_t n;

    make(fixture, &init, fixture->directory);
    assert_int_equal(durable_write(fixture->directory, "bootstrap.msgpack", 0600,
                                   BYTES_LITERAL("\xdd\xff\xff\xff\xff"), NULL),
                     OK);
    assert_int_equal(cluster_files_bootstrap(&init.files, &text, commands, &n, &fixture->why),
                     ERROR_CORRUPT);
    assert_int_equal(n, 0);
    buffer_release(&text);
    cluster_files_release(&init.files);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(
            durable_write(fixture->directory, "node.json", 0644, bytes_of_string(bad[i]), NULL),
            OK);
        assert_int_equal(cluster_files_open(fixture->directory, &files, &fixture->why),
                         ERROR_CORRUPT);
        cluster_files_release(&files);
    }
}

static void test_start__refuses_what_it_was_not_told_to_make(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_files files;
    struct cluster_init init;
    struct config config;

    config_init(&config);
    snprintf(config.data_dir, sizeof config.data_dir, "%s", fixture->directory);
    assert_int_equal(config_check(&config, &fixture->why), OK);
    assert_int_equal(cluster_start(&config, &files, &fixture->why), ERROR_NOT_FOUND);
    cluster_files_release(&files);
    make(fixture, &init, fixture->directory);
    cluster_files_release(&init.files);
    snprintf(config.name, sizeof config.name, "node-2");
    assert_int_equal(cluster_start(&config, &files, &fixture->why), ERROR_FOREIGN);
    assert_non_null(strstr(fixture->why.text, "node-1"));
    cluster_files_release(&files);
    snprintf(config.name, sizeof config.name, "node-1");
    assert_int_equal(cluster_start(&config, &files, &fixture->why), OK);
    cluster_files_release(&files);
}

static void test_join_token__only_the_exact_form_is_taken(void **state)
{
    struct join_token token = {.cluster = "0123456789abcdef0123456789abcdef",
                               .secret = "fedcba9876543210fedcba9876543210"};
    char text[JOIN_TOKEN_MAX], bad[JOIN_TOKEN_MAX + 8];
    struct join_token parsed;
    struct reason why;

    (void)state;
    memset(token.ca_sha256, 0xa5, sizeof token.ca_sha256);
    join_token_format(&token, text);
    assert_int_equal(join_token_parse(text, &parsed, &why), OK);
    assert_memory_equal(&parsed, &token, sizeof token);
    for (size_t cut = 0; cut < strlen(text); cut++) {
        snprintf(bad, sizeof bad, "%.*s", (int)cut, text);
        assert_int_equal(join_token_parse(bad, &parsed, &why), ERROR_INVALID);
    }
    snprintf(bad, sizeof bad, "%sa", text);
    assert_int_equal(join_token_parse(bad, &parsed, &why), ERROR_INVALID);
    snprintf(bad, sizeof bad, "%s\n", text);
    assert_int_equal(join_token_parse(bad, &parsed, &why), ERROR_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_init__writes_a_directory_that_opens),
        TEST(test_init__leaves_what_is_there_alone),
        TEST(test_open__an_init_that_was_cut_short_counts_as_empty),
        TEST(test_open__files_of_two_nodes_are_refused),
        TEST(test_open__a_damaged_certificate_is_refused),
        TEST(test_open__a_key_that_others_can_read_is_refused),
        TEST(test_open__damaged_files_are_refused),
        TEST(test_start__refuses_what_it_was_not_told_to_make),
        cmocka_unit_test(test_join_token__only_the_exact_form_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
