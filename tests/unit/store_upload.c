/* Uploads and the commit order. The system calls that matter are replaced in this executable by
 * wrappers that write down their order and fail when told to, so that every step's failure can be
 * tried: a commit that reports success must have synced file and directory in the right order, one
 * that reports failure must not leave a blob behind. */
#include "base/bytes.h"
#include "store/blob_store.h"
#include "tests/lib/directory.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* --- the tracer ------------------------------------------------------------------------------ */

static char trace[4096]; /* One letter a call: w pwrite, d fdatasync, r renameat2, f fsync. */
static size_t trace_size;
static int fail_at; /* The n-th traced call fails; 0: none. */
static int fail_with;
static bool tracing;
static pthread_mutex_t trace_lock = PTHREAD_MUTEX_INITIALIZER;

static bool traced(char letter)
{
    bool failing;

    pthread_mutex_lock(&trace_lock);
    if (!tracing || trace_size + 1 >= sizeof trace) {
        pthread_mutex_unlock(&trace_lock);
        return false;
    }
    trace[trace_size++] = letter;
    trace[trace_size] = '\0';
    failing = fail_at > 0 && trace_size == (size_t)fail_at;
    pthread_mutex_unlock(&trace_lock);
    if (failing) {
        errno = fail_with;
    }
    return failing;
}

static void trace_start(int n, int error)
{
    pthread_mutex_lock(&trace_lock);
    trace_size = 0;
    trace[0] = '\0';
    fail_at = n;
    fail_with = error;
    tracing = true;
    pthread_mutex_unlock(&trace_lock);
}

static void trace_stop(void)
{
    pthread_mutex_lock(&trace_lock);
    tracing = false;
    pthread_mutex_unlock(&trace_lock);
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return traced('w') ? -1 : REAL(pwrite)(fd, data, size, offset);
}

int fdatasync(int fd)
{
    return traced('d') ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return traced('f') ? -1 : REAL(fsync)(fd);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to,
              unsigned flags)
{
    return traced('r') ? -1 : REAL(renameat2)(from_directory, from, to_directory, to, flags);
}

/* --- the fixture ----------------------------------------------------------------------------- */

struct fixture {
    struct test_directory directory;
    struct blob_store *store;
    uv_loop_t loop;
    enum error status; /* Of the last operation. */
    struct reason why;
    bool is_done;
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    test_directory_make(&fixture->directory);
    assert_int_equal(blob_store_open(fixture->directory.path, &fixture->store, NULL), OK);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    blob_store_close(fixture->store);
    test_directory_remove(&fixture->directory);
    free(fixture);
    return 0;
}

static void done_cb(struct upload *upload, void *data, enum error status, const struct reason *why)
{
    struct fixture *fixture = data;

    (void)upload;
    fixture->status = status;
    fixture->why = *why;
    fixture->is_done = true;
}

static enum error finish(struct fixture *fixture)
{
    assert_false(fixture->is_done); /* Never inside the call. */
    while (!fixture->is_done) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    fixture->is_done = false;
    return fixture->status;
}

static enum error append(struct fixture *fixture, struct upload *upload, const char *text)
{
    upload_append(upload, &fixture->loop, bytes_of_string(text), done_cb, fixture);
    return finish(fixture);
}

static enum error commit(struct fixture *fixture, struct upload *upload, struct digest *digest)
{
    upload_commit(upload, &fixture->loop, digest, done_cb, fixture);
    return finish(fixture);
}

static size_t count_files(struct fixture *fixture, const char *name)
{
    char path[128];
    struct dirent *entry;
    size_t n = 0;
    DIR *directory;

    snprintf(path, sizeof path, "%s/%s", fixture->directory.path, name);
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    closedir(directory);
    return n;
}

static struct digest digest_of_text(enum digest_algorithm algorithm, const char *text)
{
    struct digest digest;

    digest_of(algorithm, bytes_of_string(text), &digest);
    return digest;
}

/* --- the tests ------------------------------------------------------------------------------- */

static void test_upload__commit_makes_a_blob(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct digest digest = digest_of_text(DIGEST_SHA256, "hello world");
    struct buffer content;

    assert_int_equal(append(fixture, upload, "hello "), OK);
    assert_int_equal(append(fixture, upload, "world"), OK);
    assert_int_equal(upload_size(upload), 11);
    assert_false(blob_exists(fixture->store, &digest));
    assert_int_equal(commit(fixture, upload, &digest), OK);
    upload_discard(upload, &fixture->loop);
    assert_int_equal(blob_load(fixture->store, &digest, 100, &content, NULL), OK);
    assert_string_equal(buffer_string(&content), "hello world");
    buffer_release(&content);
    assert_int_equal(blob_load(fixture->store, &digest, 10, &content, NULL), ERROR_TOO_LARGE);
    buffer_release(&content);
    assert_int_equal(count_files(fixture, "uploads"), 0);
    assert_int_equal(blob_remove(fixture->store, &digest, NULL), OK);
    assert_int_equal(blob_remove(fixture->store, &digest, NULL), ERROR_NOT_FOUND);
}

static void test_upload__empty_and_sha512(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct digest empty = digest_of_text(DIGEST_SHA256, "");
    struct digest other = digest_of_text(DIGEST_SHA512, "five hundred and twelve");

    assert_int_equal(commit(fixture, upload, &empty), OK);
    upload_discard(upload, NULL);
    assert_int_equal(blob_verify(fixture->store, &empty, NULL), OK);
    upload = upload_create(fixture->store);
    assert_int_equal(append(fixture, upload, "five hundred and twelve"), OK);
    assert_int_equal(commit(fixture, upload, &other), OK);
    upload_discard(upload, NULL);
    assert_int_equal(blob_verify(fixture->store, &other, NULL), OK);
}

static void test_upload__wrong_digest_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct digest digest = digest_of_text(DIGEST_SHA256, "something else");

    assert_int_equal(append(fixture, upload, "something"), OK);
    assert_int_equal(commit(fixture, upload, &digest), ERROR_DIGEST);
    assert_non_null(strstr(fixture->why.text, "9 uploaded bytes"));
    upload_discard(upload, &fixture->loop);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_false(blob_exists(fixture->store, &digest));
    assert_int_equal(count_files(fixture, "uploads"), 0);
}

static void test_upload__truncate_takes_bytes_back(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct digest digest = digest_of_text(DIGEST_SHA256, "abcdef");

    assert_int_equal(append(fixture, upload, "abc"), OK);
    assert_int_equal(append(fixture, upload, "XXXXXXXX"), OK);
    upload_truncate(upload, &fixture->loop, 3, done_cb, fixture);
    assert_int_equal(finish(fixture), OK);
    assert_int_equal(upload_size(upload), 3);
    assert_int_equal(append(fixture, upload, "def"), OK);
    assert_int_equal(commit(fixture, upload, &digest), OK);
    upload_discard(upload, NULL);
    assert_int_equal(blob_verify(fixture->store, &digest, NULL), OK);
}

static void damage(struct fixture *fixture, const struct digest *digest)
{
    char path[300], hex[DIGEST_HEX_MAX];
    int fd;

    digest_format_hex(digest, hex);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", fixture->directory.path, hex, hex);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void test_upload__damaged_copy_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct digest digest = digest_of_text(DIGEST_SHA256, "content");
    struct upload *upload;
    struct buffer content;

    assert_int_equal(blob_save(fixture->store, &digest, BYTES_LITERAL("content"), NULL), OK);
    assert_int_equal(blob_save(fixture->store, &digest, BYTES_LITERAL("content"), NULL), OK);
    damage(fixture, &digest);
    upload = upload_create(fixture->store);
    assert_int_equal(append(fixture, upload, "content"), OK);
    assert_int_equal(commit(fixture, upload, &digest), OK);
    upload_discard(upload, NULL);
    assert_int_equal(count_files(fixture, "quarantine"), 1);
    assert_int_equal(blob_verify(fixture->store, &digest, NULL), OK);
    damage(fixture, &digest);
    assert_int_equal(blob_load(fixture->store, &digest, 100, &content, NULL), ERROR_CORRUPT);
    buffer_release(&content);
    assert_int_equal(blob_load(fixture->store, &digest, 100, &content, NULL), ERROR_NOT_FOUND);
    buffer_release(&content);
    assert_int_equal(count_files(fixture, "quarantine"), 2);
}

static void test_upload__commit_order(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct digest digest = digest_of_text(DIGEST_SHA256, "ordered");

    trace_start(0, 0);
    assert_int_equal(append(fixture, upload, "ordered"), OK);
    assert_int_equal(commit(fixture, upload, &digest), OK);
    trace_stop();
    assert_string_equal(trace, "wdrf"); /* Write, sync the file, rename, sync the directory. */
    upload_discard(upload, NULL);
    /* The second one finds it there: verified, and the directory is synced all the same. */
    trace_start(0, 0);
    assert_int_equal(blob_save(fixture->store, &digest, BYTES_LITERAL("ordered"), NULL), OK);
    trace_stop();
    assert_string_equal(trace, "wdrf");
}

static void test_upload__each_failing_step_fails_the_commit(void **state)
{
    static const int errors[] = {EIO, ENOSPC};
    struct fixture *fixture = *state;
    struct digest digest = digest_of_text(DIGEST_SHA256, "doomed");

    for (int n = 1; n <= 4; n++) {
        for (size_t i = 0; i < 2; i++) {
            struct upload *upload = upload_create(fixture->store);
            enum error rv;

            trace_start(n, errors[i]);
            rv = append(fixture, upload, "doomed");
            if (rv == OK) {
                rv = commit(fixture, upload, &digest);
            }
            trace_stop();
            assert_int_not_equal(rv, OK);
            assert_int_equal(trace_size, n); /* No second sync of the same file, no step after. */
            assert_false(blob_exists(fixture->store, &digest));
            upload_discard(upload, NULL);
            assert_int_equal(count_files(fixture, "uploads"), 0);
        }
    }
}

static void test_upload__full_disk_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);

    trace_start(1, ENOSPC);
    assert_int_equal(append(fixture, upload, "too much"), ERROR_FULL);
    trace_stop();
    assert_non_null(strstr(fixture->why.text, "No space left"));
    upload_discard(upload, NULL);
}

static void test_store__uploads_of_an_earlier_run_are_swept(void **state)
{
    struct fixture *fixture = *state;
    struct upload *upload = upload_create(fixture->store);
    struct blob_store *again;

    assert_int_equal(append(fixture, upload, "left behind"), OK);
    assert_int_equal(count_files(fixture, "uploads"), 1);
    assert_int_equal(blob_store_open(fixture->directory.path, &again, NULL), OK);
    assert_int_equal(count_files(fixture, "uploads"), 0);
    blob_store_close(again);
    upload_discard(upload, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_upload__commit_makes_a_blob),
        TEST(test_upload__empty_and_sha512),
        TEST(test_upload__wrong_digest_leaves_nothing),
        TEST(test_upload__truncate_takes_bytes_back),
        TEST(test_upload__damaged_copy_is_replaced),
        TEST(test_upload__commit_order),
        TEST(test_upload__each_failing_step_fails_the_commit),
        TEST(test_upload__full_disk_says_so),
        TEST(test_store__uploads_of_an_earlier_run_are_swept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
