/* Files that the HTTP server sends: whole, in part, checked on the way, and cut where they are bad.
 */
#include "base/memory.h"
#include "base/page_cache.h"
#include "tests/lib/http_answer.h"
#include "tests/lib/http_corpus.h"

#include <fcntl.h>
#include <stdatomic.h>

#define FILE_SIZE (3u * 1024 * 1024 + 17)

static struct http_server server;
static int file_fd, cold_fd; /* Of the second nothing was sent before its one test. */

/* --- handlers --------------------------------------------------------------------------------- */

static void hello(struct exchange *exchange)
{
    exchange_answer(exchange, 200, "text/plain", BYTES_LITERAL("hello"));
}

static void file(struct exchange *exchange)
{
    exchange_start(exchange, 200, "application/octet-stream", FILE_SIZE);
    exchange_send_file(exchange, dup(file_fd), 0, FILE_SIZE, NULL);
}

#define CHUNK     (256u * 1024)
#define PART_SIZE (FILE_SIZE - 4001)

static atomic_uint check_calls, check_releases;
static atomic_ullong check_bad_at, checked_to; /* A byte in the chunk that is bad; UINT64_MAX. */

static enum error check_run(void *data, int fd, uint64_t offset, uint64_t length,
                            struct reason *why)
{
    assert_ptr_equal(data, &check_calls);
    assert_true(fd >= 0 && length > 0 && offset % CHUNK == 0 && length % CHUNK == 0);
    atomic_fetch_add(&check_calls, 1);
    if (atomic_load(&check_bad_at) >= offset && atomic_load(&check_bad_at) < offset + length) {
        return (fail)(why, ERROR_CORRUPT, "a chunk is bad");
    }
    atomic_store(&checked_to, offset + length);
    return page_cache_load(fd, offset, offset < FILE_SIZE ? 1 : 0, why);
}

static void check_release(void *data)
{
    assert_ptr_equal(data, &check_calls);
    atomic_fetch_add(&check_releases, 1);
}

/* The middle of the file, checked. */
static void checked_file(struct exchange *exchange)
{
    const struct file_check check = {&check_calls, CHUNK, check_run, check_release};

    exchange_start(exchange, 200, "application/octet-stream", PART_SIZE);
    exchange_send_file(exchange, dup(file_fd), 4000, PART_SIZE, &check);
}

static void cold_file(struct exchange *exchange)
{
    exchange_start(exchange, 200, "application/octet-stream", FILE_SIZE);
    exchange_send_file(exchange, dup(cold_fd), 0, FILE_SIZE, NULL);
}

/* Longer than the file is. */
static void long_file(struct exchange *exchange)
{
    exchange_start(exchange, 200, "application/octet-stream", FILE_SIZE + 1);
    exchange_send_file(exchange, dup(file_fd), 0, FILE_SIZE + 1, NULL);
}

static const struct route routes[] = {
    ROUTE(HTTP_GET_, "/hello", ACCESS_PUBLIC, hello),
    ROUTE(HTTP_GET_, "/file", ACCESS_PUBLIC, file),
    ROUTE(HTTP_GET_, "/cold", ACCESS_PUBLIC, cold_file),
    ROUTE(HTTP_GET_, "/checked", ACCESS_PUBLIC, checked_file),
    ROUTE(HTTP_GET_, "/long", ACCESS_PUBLIC, long_file),
    {0},
};

/* --- tests ------------------------------------------------------------------------------------ */

static void test_server__a_file_arrives_whole(void **state)
{
    const char *body;

    (void)state;
    talk(&server, "GET /file HTTP/1.1\r\n" H "\r\nHEAD /file HTTP/1.1\r\n" H
                  "\r\nGET /hello HTTP/1.1\r\nConnection: close\r\n" H "\r\n");
    body = strstr(buffer_string(&answer), "\r\n\r\n") + 4;
    assert_int_equal(body[0], 'b');
    assert_int_equal(strspn(body, "b"), FILE_SIZE);
    assert_int_equal(strncmp(body + FILE_SIZE, "HTTP/1.1 200 ", 13), 0);
    assert_int_equal(occurrences("Content-Length: 3145745\r\n"), 2);
    assert_true(bytes_ends_with(buffer_view(&answer), BYTES_LITERAL("\r\n\r\nhello")));
}

static const char *answer_body(void)
{
    const char *end = strstr(buffer_string(&answer), "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static void wait_for_releases(unsigned n)
{
    for (int i = 0; i < 1000 && atomic_load(&check_releases) < n; i++) {
        usleep(5000);
    }
    assert_int_equal(atomic_load(&check_releases), n);
}

static void test_server__a_file_that_is_not_in_memory_arrives_whole(void **state)
{
    (void)state;
    /* Pages that a socket still refers to would stay, hence a file of its own. */
    assert_int_equal(fsync(cold_fd), 0);
    assert_int_equal(posix_fadvise(cold_fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_false(page_cache_holds(cold_fd, 0, FILE_SIZE));
    talk(&server, "GET /cold HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    assert_int_equal(strspn(answer_body(), "b"), FILE_SIZE);
    assert_true(page_cache_holds(cold_fd, 0, FILE_SIZE));
}

static void test_server__a_checked_file_leaves_only_as_far_as_it_is_good(void **state)
{
    static const uint64_t bad[] = {0, CHUNK, 1u << 20, (2u << 20) + 1, FILE_SIZE - 1};
    unsigned i;

    (void)state;
    atomic_store(&check_releases, 0);
    atomic_store(&check_bad_at, UINT64_MAX);
    talk(&server, "GET /checked HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    assert_int_equal(strspn(answer_body(), "b"), PART_SIZE);
    assert_true(atomic_load(&checked_to) >= FILE_SIZE - 1);
    assert_int_equal(atomic_load(&check_calls), 4);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t good = bad[i] - bad[i] % CHUNK;

        atomic_store(&check_bad_at, bad[i]);
        talk(&server, "GET /checked HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
        assert_true(strlen(answer_body()) < PART_SIZE);
        assert_true(strlen(answer_body()) <= (good > 4000 ? good - 4000 : 0));
    }
    wait_for_releases(1 + i);
}

static void test_server__a_file_shorter_than_announced_is_cut(void **state)
{
    (void)state;
    talk(&server, "GET /long HTTP/1.1\r\n" H "\r\nGET /hello HTTP/1.1\r\n" H "\r\n");
    assert_true(strspn(answer_body(), "b") <= FILE_SIZE);
    assert_int_equal(occurrences("hello"), 0);
}

/* A client that stops reading holds none of the file in memory, and gets all of it later. */
static void test_server__a_client_that_reads_later_gets_it_all(void **state)
{
    int fds[8], i;

    (void)state;
    atomic_store(&check_bad_at, UINT64_MAX);
    for (i = 0; i < 8; i++) {
        fds[i] = http_client_open(&server);
        http_client_send(fds[i],
                         BYTES_LITERAL("GET /checked HTTP/1.1\r\n" H "Connection: close\r\n\r\n"));
    }
    usleep(100000);
    talk(&server, "GET /hello HTTP/1.1\r\nConnection: close\r\n" H "\r\n");
    assert_answer("hello");
    for (i = 0; i < 8; i++) {
        buffer_clear(&answer);
        assert_true(http_client_read(fds[i], &answer, NULL));
        assert_int_equal(strspn(answer_body(), "b"), PART_SIZE);
        close(fds[i]);
    }
}

/* A client that goes away in the middle: the check is released all the same. */
static void test_server__a_client_that_leaves_a_file_behind(void **state)
{
    unsigned before = atomic_load(&check_releases);
    int fd = http_client_open(&server);
    char first;

    (void)state;
    http_client_send(fd, BYTES_LITERAL("GET /checked HTTP/1.1\r\n" H "\r\n"));
    assert_int_equal(recv(fd, &first, 1, 0), 1); /* It is being answered. */
    close(fd);                                   /* With bytes unread: a reset. */
    wait_for_releases(before + 1);
}

/* --- set up ----------------------------------------------------------------------------------- */

/* A file that is all 'b', without a name. */
static int make_file(void)
{
    char path[] = "/tmp/caisson-http-XXXXXX";
    char *content = memory_alloc(FILE_SIZE);
    int fd = mkstemp(path);

    memset(content, 'b', FILE_SIZE);
    assert_true(fd >= 0 && write(fd, content, FILE_SIZE) == FILE_SIZE);
    free(content);
    unlink(path);
    return fd;
}

static int set_up(void **state)
{
    (void)state;
    file_fd = make_file();
    cold_fd = make_file();
    buffer_init(&answer, 64u << 20);
    http_server_start(&server, routes, NULL, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(&server);
    buffer_release(&answer);
    close(file_fd);
    close(cold_fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__a_file_arrives_whole),
        cmocka_unit_test(test_server__a_file_that_is_not_in_memory_arrives_whole),
        cmocka_unit_test(test_server__a_checked_file_leaves_only_as_far_as_it_is_good),
        cmocka_unit_test(test_server__a_file_shorter_than_announced_is_cut),
        cmocka_unit_test(test_server__a_client_that_reads_later_gets_it_all),
        cmocka_unit_test(test_server__a_client_that_leaves_a_file_behind),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
