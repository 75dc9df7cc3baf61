#include "base/assert.h"
#include "tests/lib/storage_fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* Bootstrap, snapshots, and how they and the log stand together over crashes. */

static void configuration_of(struct raft_configuration *out)
{
    raft_configuration_init(out);
    assert_int_equal(raft_configuration_add(out, 7, "127.0.0.1:5001", RAFT_VOTER), 0);
    assert_int_equal(raft_configuration_add(out, 8, "127.0.0.1:5002", RAFT_STANDBY), 0);
}

/* --- bootstrap ------------------------------------------------------------------------------- */

static void test_storage__bootstrap(void **state)
{
    struct raft_configuration configuration, decoded;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    configuration_of(&configuration);
    assert_int_equal(fixture_open_only(&f), OK);
    assert_true(storage_is_empty(f.storage));
    assert_int_equal(storage_bootstrap(f.storage, &configuration, &f.why), OK);
    for (int i = 0; i < 2; i++) {
        fixture_load(&f);
        assert_int_equal(f.term, 1);
        assert_int_equal(f.start, 1);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.entries[0].type, RAFT_CHANGE);
        assert_int_equal(configuration_decode(bytes_of(f.entries[0].buf.base, f.entries[0].buf.len),
                                              &decoded, &f.why),
                         OK);
        assert_int_equal(decoded.n, 2);
        assert_string_equal(decoded.servers[1].address, "127.0.0.1:5002");
        raft_configuration_close(&decoded);
        fixture_fill(&f, 2 + (unsigned)i, 1, 1);
        fixture_close(&f);
        assert_int_equal(fixture_open_only(&f), OK);
        assert_int_equal(storage_bootstrap(f.storage, &configuration, &f.why), ERROR_EXISTS);
        if (i == 0) {
            fixture_close(&f);
            fixture_remove(f.directory);
            assert_int_equal(fixture_open_only(&f), OK);
            assert_int_equal(storage_bootstrap(f.storage, &configuration, &f.why), OK);
            fixture_close(&f);
            assert_int_equal(fixture_open_only(&f), OK);
        }
    }
    raft_configuration_close(&configuration);
    fixture_end(&f);
}

static void test_configuration_decode__hostile_bytes(void **state)
{
    struct raft_configuration configuration;
    struct raft_buffer encoded;
    struct reason why;

    (void)state;
    configuration_of(&configuration);
    assert_int_equal(raft_configuration_encode(&configuration, &encoded), 0);
    raft_configuration_close(&configuration);
    for (size_t size = 0; size < 56; size++) {
        uint8_t *copy = malloc(size + 1);

        assert_non_null(copy);
        memcpy(copy, encoded.base, size);
        assert_int_equal(configuration_decode(bytes_of(copy, size), &configuration, &why),
                         ERROR_CORRUPT);
        free(copy);
    }
    memset((uint8_t *)encoded.base + 1, 0xff, 8);
    assert_int_equal(
        configuration_decode(bytes_of(encoded.base, encoded.len), &configuration, &why),
        ERROR_CORRUPT);
    raft_free(encoded.base);
}

/* --- snapshots ------------------------------------------------------------------------------- */

struct content {
    size_t size;
    uint8_t seed;
    enum error error;
};

static uint8_t content_byte(const struct content *content, size_t at)
{
    return (uint8_t)(content->seed + at * 31 + at / 251);
}

static enum error content_write(void *view, enum error (*sink)(void *data, struct bytes piece),
                                void *sink_data, struct reason *why)
{
    const struct content *content = view;
    uint8_t piece[1000];

    for (size_t at = 0; at < content->size;) {
        size_t n = 0;
        enum error rv;

        while (n < 1 + at % 1000 && at < content->size) {
            piece[n++] = content_byte(content, at++);
        }
        rv = sink(sink_data, bytes_of(piece, n));
        if (rv != OK) {
            return rv;
        }
    }
    snprintf(why->text, sizeof why->text, "the view is gone");
    return content->error;
}

static void snapshot_done(struct storage_snapshot *request, enum error status, const char *why)
{
    struct fixture *f = request->data;

    snprintf(f->why.text, sizeof f->why.text, "%s", why);
    f->status = status;
    f->done++;
}

static enum error put(struct fixture *f, uint64_t index, uint64_t term, unsigned trailing,
                      struct content *content)
{
    struct storage_snapshot request = {.data = f};
    struct raft_snapshot snapshot = {.index = index, .term = term, .configuration_index = 1};
    unsigned before = f->done;

    configuration_of(&snapshot.configuration);
    storage_snapshot_put(f->storage, &request, trailing, &snapshot,
                         (struct snapshot_content){content_write, content}, snapshot_done);
    raft_configuration_close(&snapshot.configuration);
    assert_int_equal(f->done, before);
    fixture_wait(f, before + 1);
    return f->status;
}

static enum error check_content(struct fixture *f, uint64_t index, uint64_t term,
                                const struct content *content)
{
    struct snapshot_reader *reader;
    uint8_t piece[777];
    size_t at = 0, n;
    enum error rv = storage_snapshot_open(f->storage, index, term, &reader, &f->why);

    if (rv != OK) {
        return rv;
    }
    assert_int_equal(snapshot_reader_about(reader)->configuration_index, 1);
    while ((rv = snapshot_reader_read(reader, piece, sizeof piece, &n)) == OK && n > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(piece[i], content_byte(content, at + i));
        }
        at += n;
    }
    assert_true(rv != OK || at == content->size);
    snapshot_reader_close(reader);
    return rv;
}

static bool segment_exists(const struct fixture *f, unsigned number)
{
    char name[64];

    snprintf(name, sizeof name, "log/segment-%016x", number);
    return fixture_size(f, name) > 0;
}

static void wait_gone(struct fixture *f, unsigned number)
{
    for (int i = 0; i < 5000 && segment_exists(f, number); i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    assert_false(segment_exists(f, number));
}

static void test_storage__snapshot_and_trim(void **state)
{
    struct content content = {.size = 700000, .seed = 3}, empty = {.size = 0};
    struct storage_status status;
    uint64_t index, term;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 2);
    for (index = 1; index < 1000; index += 50) {
        fixture_append(&f, index, 50, 2);
    }
    assert_int_equal(put(&f, 300, 2, 10, &empty), OK);
    assert_int_equal(check_content(&f, 300, 2, &empty), OK);
    wait_gone(&f, 1);
    assert_int_equal(put(&f, 900, 2, 10, &content), OK);
    assert_int_equal(check_content(&f, 900, 2, &content), OK);
    /* The log still leads on from the one before. */
    assert_int_equal(check_content(&f, 300, 2, &empty), OK);
    storage_status(f.storage, &status);
    assert_int_equal(status.snapshot_index, 900);
    assert_true(status.snapshot_bytes > 700000);
    assert_int_equal(put(&f, 950, 2, 10, &content), OK);
    assert_int_equal(check_content(&f, 300, 2, &empty), ERROR_NOT_FOUND);
    wait_gone(&f, 3);
    fixture_fill(&f, 1001, 3, 2);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.snapshot->index, 950);
    assert_int_equal(f.snapshot->term, 2);
    assert_int_equal(f.snapshot->configuration.n, 2);
    assert_int_equal(snapshot_token_parse(&f.snapshot->bufs[0], &index, &term), OK);
    assert_int_equal(index, 950);
    assert_true(f.start > 1 && f.start <= 901);
    fixture_check(&f, f.start, 1003, f.start, 2);
    assert_int_equal(check_content(&f, 950, 2, &content), OK);
    fixture_end(&f);
}

static void test_storage__snapshot_that_fails_is_not_there(void **state)
{
    struct content content = {.size = 5000, .error = ERROR_INVALID};
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 20, 1);
    assert_int_equal(put(&f, 10, 1, 5, &content), ERROR_INVALID);
    assert_string_equal(f.why.text, "the view is gone");
    assert_int_equal(check_content(&f, 10, 1, &content), ERROR_NOT_FOUND);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_null(f.snapshot);
    fixture_check(&f, 1, 20, 1, 1);
    fixture_end(&f);
}

#define SNAPSHOT_20 "snapshots/snapshot-0000000000000014-0000000000000001"

/* Damage of the newest snapshot: the one before and the log make up for it, or it is refused. */
static void test_storage__damaged_snapshot(void **state)
{
    struct content content = {.size = 600, .seed = 1};
    uint64_t size;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 30, 1);
    assert_int_equal(put(&f, 10, 1, 5, &content), OK);
    assert_int_equal(put(&f, 20, 1, 5, &content), OK);
    fixture_close(&f);
    fixture_keep(&f, "whole");
    size = fixture_size(&f, SNAPSHOT_20);
    assert_true(size > 600);
    for (uint64_t offset = 0; offset < size; offset += 5) {
        char path[256];

        fixture_path(&f, SNAPSHOT_20, path);
        if (offset % 2 == 0) {
            fixture_xor(&f, SNAPSHOT_20, offset, 0x10);
        } else {
            assert_int_equal(truncate(path, (off_t)offset), 0);
        }
        assert_int_equal(fixture_open(&f), OK);
        assert_int_equal(f.snapshot->index, 10);
        fixture_check(&f, 1, 30, 1, 1);
        fixture_close(&f);
        fixture_restore(&f, "whole");
    }
    fixture_end(&f);
}

/* The log begins behind what is left of the snapshots: a hole. */
static void test_storage__no_snapshot_for_a_trimmed_log(void **state)
{
    struct content content = {.size = 600, .seed = 1};
    struct fixture f;
    char path[256];

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 1);
    for (uint64_t index = 1; index < 500; index += 50) {
        fixture_append(&f, index, 50, 1);
    }
    assert_int_equal(put(&f, 400, 1, 5, &content), OK);
    wait_gone(&f, 1);
    fixture_close(&f);
    fixture_path(&f, "snapshots/snapshot-0000000000000190-0000000000000001", path);
    fixture_xor(&f, "snapshots/snapshot-0000000000000190-0000000000000001", 300, 1);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    assert_non_null(strstr(f.why.text, "offset"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    assert_non_null(strstr(f.why.text, "wipe its data directory"));
    fixture_end(&f);
}

/* --- from a peer ----------------------------------------------------------------------------- */

/* Make a snapshot at one node and send its bytes to another. */
static enum error send_snapshot(struct fixture *from, struct fixture *to, uint64_t index,
                                uint64_t term, size_t damage_at)
{
    struct storage_snapshot request = {.data = to};
    struct snapshot_reader *reader;
    uint8_t piece[999];
    uint64_t offset = 0;
    unsigned before = to->done;
    size_t n;

    assert_int_equal(storage_snapshot_open(from->storage, index, term, &reader, &from->why), OK);
    assert_int_equal(storage_incoming_begin(to->storage, index, term, &to->why), OK);
    for (;;) {
        assert_int_equal(snapshot_reader_raw(reader, offset, piece, sizeof piece, &n, &from->why),
                         OK);
        if (n == 0) {
            break;
        }
        if (damage_at >= offset && damage_at < offset + n) {
            piece[damage_at - offset] ^= 4;
        }
        assert_int_equal(storage_incoming_write(to->storage, bytes_of(piece, n), &to->why), OK);
        offset += n;
    }
    assert_int_equal(offset, snapshot_reader_about(reader)->file_size);
    snapshot_reader_close(reader);
    storage_incoming_finish(to->storage, &request, snapshot_done);
    fixture_wait(to, before + 1);
    return to->status;
}

static void start_install(struct fixture *f, struct storage_snapshot *request, uint64_t index,
                          uint64_t term)
{
    struct raft_snapshot snapshot = {.index = index, .term = term};

    *request = (struct storage_snapshot){.data = f};
    storage_snapshot_install(f->storage, request, &snapshot, snapshot_done);
}

static enum error install(struct fixture *f, uint64_t index, uint64_t term)
{
    struct storage_snapshot request;
    unsigned before = f->done;

    start_install(f, &request, index, term);
    fixture_wait(f, before + 1);
    return f->status;
}

static void leader_with_snapshot(struct fixture *leader, struct content *content)
{
    fixture_init(leader);
    assert_int_equal(fixture_open(leader), OK);
    fixture_fill(leader, 1, 100, 2);
    assert_int_equal(put(leader, 90, 2, 5, content), OK);
}

static void test_storage__install_from_a_peer(void **state)
{
    struct content content = {.size = 300000, .seed = 9};
    struct fixture leader, f;

    (void)state;
    leader_with_snapshot(&leader, &content);
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 30, 1);
    storage_set_term(f.storage, 2);
    assert_int_equal(install(&f, 90, 2), ERROR_NOT_FOUND);
    assert_int_equal(send_snapshot(&leader, &f, 90, 2, 1234), ERROR_CORRUPT);
    assert_int_equal(install(&f, 90, 2), ERROR_NOT_FOUND);
    assert_null(storage_incoming_about(f.storage));
    assert_int_equal(send_snapshot(&leader, &f, 90, 2, SIZE_MAX), OK);
    assert_int_equal(storage_incoming_about(f.storage)->index, 90);
    assert_int_equal(storage_incoming_about(f.storage)->content_size, 300000);
    assert_int_equal(install(&f, 90, 2), OK);
    assert_int_equal(check_content(&f, 90, 2, &content), OK);
    fixture_fill(&f, 91, 10, 2);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.snapshot->index, 90);
    fixture_check(&f, 91, 100, 91, 2);
    fixture_end(&f);
    fixture_end(&leader);
}

/* Crash points of an installation: the file not renamed yet; renamed, with the log still as it was
 * (behind the snapshot, beyond it with another term, beyond it with the same); restarted. */
static void test_storage__install_crash_at_each_step(void **state)
{
    struct content content = {.size = 3000, .seed = 9};
    struct fixture leader, f;
    char from[256], to[256];

    (void)state;
    leader_with_snapshot(&leader, &content);
    for (unsigned n = 30; n <= 130; n += 100) {
        for (uint64_t term = 1; term <= 2; term++) {
            fixture_init(&f);
            assert_int_equal(fixture_open(&f), OK);
            fixture_fill(&f, 1, n, term);
            storage_set_term(f.storage, 2);
            assert_int_equal(send_snapshot(&leader, &f, 90, 2, SIZE_MAX), OK);
            fixture_keep(&f, "received");
            assert_int_equal(install(&f, 90, 2), OK);
            fixture_close(&f);
            assert_int_equal(fixture_open(&f), OK);
            fixture_check(&f, 91, 90, 91, 2);
            fixture_close(&f);
            /* Before the rename: as if it had never come. */
            fixture_restore(&f, "received");
            assert_int_equal(fixture_open(&f), OK);
            assert_null(f.snapshot);
            fixture_check(&f, 1, n, 1, term);
            fixture_close(&f);
            /* Renamed; the log knows nothing of it. */
            fixture_restore(&f, "received");
            fixture_path(&f, "snapshots/incoming-000000000000005a-0000000000000002", from);
            fixture_path(&f, "snapshots/snapshot-000000000000005a-0000000000000002", to);
            assert_int_equal(rename(from, to), 0);
            for (int i = 0; i < 2; i++) {
                assert_int_equal(fixture_open(&f), OK);
                assert_int_equal(f.snapshot->index, 90);
                if (n == 130 && term == 2) {
                    fixture_check(&f, 1, 130, 1, 2);
                } else {
                    fixture_check(&f, 91, 90, 91, 2);
                }
                fixture_close(&f);
            }
            assert_int_equal(fixture_open(&f), OK);
            fixture_fill(&f, f.start + f.n, 2, 2);
            fixture_close(&f);
            assert_int_equal(fixture_open(&f), OK);
            assert_int_equal(f.start + f.n, n == 130 && term == 2 ? 133 : 93);
            fixture_end(&f);
        }
    }
    fixture_end(&leader);
}

static void test_storage__appends_before_an_install_are_called_back_first(void **state)
{
    struct content content = {.size = 300, .seed = 9};
    struct storage_snapshot request;
    struct fixture leader, f;

    (void)state;
    leader_with_snapshot(&leader, &content);
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 2);
    assert_int_equal(send_snapshot(&leader, &f, 90, 2, SIZE_MAX), OK);
    f.done = 0;
    for (unsigned i = 0; i < 20; i++) {
        fixture_start_append(&f, 1 + i, 1, 1);
    }
    start_install(&f, &request, 90, 2);
    fixture_wait(&f, 21);
    assert_int_equal(f.status, OK);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 91, 90, 91, 2);
    fixture_end(&f);
    fixture_end(&leader);
}

/* --- space ----------------------------------------------------------------------------------- */

/* On a small file system of its own. The log says early that space is low, uses up what it has, and
 * stops the process rather than lose an entry. */
static void fill_without_space(const char *directory)
{
    struct fixture f;
    uint64_t index;

    fixture_init(&f);
    fixture_remove(f.root);
    snprintf(f.directory, sizeof f.directory, "%s", directory);
    if (fixture_open(&f) != OK) {
        _exit(1);
    }
    storage_set_term(f.storage, 1);
    for (index = 1;; index++) {
        struct storage_status status;
        char path[256];
        int fd;

        fixture_append(&f, index, 1, 1);
        storage_status(f.storage, &status);
        if (f.is_low && status.is_low_space) {
            fixture_path(&f, "said-low", path);
            fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
            if (fd >= 0) {
                close(fd);
            }
        }
    }
}

/* Exit codes: 0 all held, 77 cannot mount here, else the step that failed. */
static int full_disk_in_namespace(const char *directory)
{
    struct fixture f;
    char path[256];
    pid_t child;
    int status;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(directory, 0700) != 0 || mount("none", directory, "tmpfs", 0, "size=400k") != 0) {
        return 77;
    }
    child = fork();
    if (child == 0) {
        fill_without_space(directory);
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != EXIT_FAIL_STOP) {
        return 2;
    }
    snprintf(path, sizeof path, "%s/said-low", directory);
    if (access(path, F_OK) != 0 || mount("none", directory, NULL, MS_REMOUNT, "size=8m") != 0) {
        return 3;
    }
    fixture_init(&f);
    fixture_remove(f.root);
    snprintf(f.directory, sizeof f.directory, "%s", directory);
    if (fixture_open(&f) != OK || f.n < 400) {
        return 4;
    }
    for (uint64_t i = 0; i < f.n; i++) {
        uint8_t data[4000];
        size_t size = fixture_data(i + 1, 1, data);

        if (f.entries[i].buf.len != size || memcmp(f.entries[i].buf.base, data, size) != 0) {
            return 5;
        }
    }
    fixture_fill(&f, f.n + 1, 300, 1);
    fixture_close(&f);
    return 0;
}

static void test_storage__full_disk(void **state)
{
    struct fixture f;
    pid_t child;
    int status;

    (void)state;
    fixture_init(&f);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(full_disk_in_namespace(f.directory));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    fixture_end(&f);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: a mount of its own needs root\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_storage__entries_of_any_size(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 8, 3999, 4000};
    struct raft_entry entries[6];
    struct fixture_append *append = calloc(1, sizeof *append);
    struct fixture f;

    (void)state;
    assert_non_null(append);
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 1);
    append->fixture = &f;
    append->req.data = append;
    for (size_t i = 0; i < 6; i++) {
        entries[i] = (struct raft_entry){.term = 1, .type = RAFT_BARRIER};
        entries[i].buf.len = sizes[i];
        entries[i].buf.base = calloc(1, sizes[i] + 1);
        assert_non_null(entries[i].buf.base);
    }
    storage_append(f.storage, &append->req, entries, 6, fixture_appended);
    fixture_wait(&f, 1);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(f.entries[i].buf.len, sizes[i]);
        assert_int_equal(f.entries[i].type, RAFT_BARRIER);
        free(entries[i].buf.base);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: it forks, and later ones leave libuv's pool running. */
        cmocka_unit_test(test_storage__full_disk),
        cmocka_unit_test(test_storage__bootstrap),
        cmocka_unit_test(test_configuration_decode__hostile_bytes),
        cmocka_unit_test(test_storage__snapshot_and_trim),
        cmocka_unit_test(test_storage__snapshot_that_fails_is_not_there),
        cmocka_unit_test(test_storage__damaged_snapshot),
        cmocka_unit_test(test_storage__no_snapshot_for_a_trimmed_log),
        cmocka_unit_test(test_storage__install_from_a_peer),
        cmocka_unit_test(test_storage__install_crash_at_each_step),
        cmocka_unit_test(test_storage__appends_before_an_install_are_called_back_first),
        cmocka_unit_test(test_storage__entries_of_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
