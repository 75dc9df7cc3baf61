#include "node/config.h"

#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file with this text, read over the defaults. */
static enum error load(const char *text, struct config *config, struct reason *why)
{
    char path[] = "/tmp/node_config.XXXXXX";
    int fd = mkstemp(path);
    enum error error;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config_init(config);
    *why = (struct reason){""};
    error = config_load(config, path, why);
    unlink(path);
    return error;
}

static void expect_error(const char *text, const char *line, const char *words)
{
    struct config config;
    struct reason why;

    assert_int_equal(load(text, &config, &why), ERROR_INVALID);
    if (strstr(why.text, line) == NULL || strstr(why.text, words) == NULL) {
        print_error("wanted '%s' and '%s' in: %s\n", line, words, why.text);
        fail();
    }
}

static void test_config__defaults_are_a_node_on_loopback(void **state)
{
    struct config config;
    struct reason why;

    (void)state;
    assert_int_equal(load("", &config, &why), OK);
    assert_int_equal(config_check(&config, &why), OK);
    assert_string_equal(config.listen, "127.0.0.1:5000");
    assert_string_equal(config.advertise, "127.0.0.1:5000");
    assert_string_equal(config.data_dir, "./caisson-data");
    assert_false(config.open);
    assert_true(config.workers >= 1);
}

static void test_config__every_key_is_read(void **state)
{
    struct config config;
    struct reason why;

    (void)state;
    assert_int_equal(load("# a node\n"
                          "data_dir: /tmp\nname: node-7\nlisten: 0.0.0.0:5000\n"
                          "advertise: 10.0.0.7:5000\nraft_listen: 10.0.0.7:5100\n"
                          "data_listen: '[::1]:5200'\nworkers: 3\nopen: true\nallow_sparse: true\n"
                          "join:\n  token: abc\n  peers: [10.0.0.1:5200, 10.0.0.2:5200]\n"
                          "election_timeout_ms: 900\nheartbeat_ms: 100\n"
                          "snapshot_threshold: 4096\nlog_level: warn\nfree_space_mark: 2GiB\n"
                          "drain_seconds: 90\n"
                          "upload_idle_minutes: 5\n",
                          &config, &why),
                     OK);
    assert_int_equal(config_check(&config, &why), OK);
    assert_string_equal(config.name, "node-7");
    assert_string_equal(config.data_listen, "[::1]:5200");
    assert_int_equal(config.workers, 3);
    assert_true(config.open);
    assert_true(config.allow_sparse);
    assert_string_equal(config.join_token, "abc");
    assert_int_equal(config.n_join_peers, 2);
    assert_string_equal(config.join_peers[1], "10.0.0.2:5200");
    assert_int_equal(config.log_level, LOG_LEVEL_WARN);
    assert_true(config.free_space_mark == 2ull << 30);
    assert_int_equal(config.drain_seconds, 90);
    assert_int_equal(config.upload_idle_minutes, 5);
}

static void test_config__errors_name_line_and_key(void **state)
{
    (void)state;
    expect_error("workers: 2\nlissten: 127.0.0.1:1\n", ":2: ", "lissten");
    expect_error("workers: 2\nlissten: 127.0.0.1:1\n", "known here: ", "raft_listen");
    expect_error("open: true\n\nopen: false\n", ":3: ", "open: is given twice");
    expect_error("workers: many\n", ":1: ", "workers: must be a whole number");
    expect_error("workers: 0\n", ":1: ", "from 1 to 64");
    expect_error("workers: [1]\n", ":1: ", "single value");
    expect_error("open: yes\n", ":1: ", "true or false");
    expect_error("a: b\n", ":1: ", "no such key");
    expect_error("join:\n  tokn: x\n", ":2: ", "join.tokn");
    expect_error("join:\n  tokn: x\n", "known here: ", "token, token_file, peers");
    expect_error("join: x\n", ":1: ", "mapping");
    expect_error("join.token: x\n", ":1: ", "no such key");
    expect_error("join:\n  peers: 10.0.0.1:1\n", ":2: ", "list");
    expect_error("join:\n  peers:\n    - nonsense\n", ":3: ", "join.peers");
    expect_error("listen: localhost:5000\n", ":1: ", "listen");
    expect_error("- 1\n- 2\n", ":1: ", "mapping");
    expect_error("open: {\n", ":", "");
    expect_error("name: 'a b'\n", ":1: ", "letters");
    expect_error("free_space_mark: 5 parsecs\n", ":1: ", "512MiB");
    expect_error("free_space_mark: 99999999999TiB\n", ":1: ", "free_space_mark");
    expect_error("drain_seconds: 0\n", ":1: ", "from 1 to 3600");
    expect_error("upload_idle_minutes: 0\n", ":1: ", "from 1 to 100000");
    expect_error("log_level: loud\n", ":1: ", "debug, info, warn or error");
    expect_error("name: \"a\\0b\"\n", ":1: ", "single value");
}

static void test_config__missing_directory_and_file_are_named(void **state)
{
    struct config config;
    struct reason why;

    (void)state;
    assert_int_equal(load("name: n\ndata_dir: /nonexistent/caisson\n", &config, &why),
                     ERROR_INVALID);
    assert_non_null(strstr(why.text, ":2: data_dir: directory /nonexistent/caisson"));
    assert_int_equal(load("tls:\n  certificate: /nonexistent.pem\n", &config, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, ":2: tls.certificate: file /nonexistent.pem"));
    assert_int_equal(config_load(&config, "/nonexistent.yaml", &why), ERROR_NOT_FOUND);
    assert_non_null(strstr(why.text, "/nonexistent.yaml"));
}

static void test_config__what_belongs_together_is_checked(void **state)
{
    struct config config;
    struct reason why;

    (void)state;
    assert_int_equal(load("tls:\n  certificate: /dev/null\n", &config, &why), OK);
    assert_int_equal(config_check(&config, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "tls.key"));
    assert_int_equal(load("join:\n  token: x\n", &config, &why), OK);
    assert_int_equal(config_check(&config, &why), ERROR_INVALID);
    assert_int_equal(load("heartbeat_ms: 100\nelection_timeout_ms: 200\n", &config, &why), OK);
    assert_int_equal(config_check(&config, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "three times"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config__defaults_are_a_node_on_loopback),
        cmocka_unit_test(test_config__every_key_is_read),
        cmocka_unit_test(test_config__errors_name_line_and_key),
        cmocka_unit_test(test_config__missing_directory_and_file_are_named),
        cmocka_unit_test(test_config__what_belongs_together_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
