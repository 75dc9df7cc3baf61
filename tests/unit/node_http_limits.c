/* What the HTTP server takes at most: of one request, of one client's time, of clients at once. */
#include "tests/lib/http_answer.h"
#include "tests/lib/http_corpus.h"

static struct http_server server;

static void hello(struct exchange *exchange)
{
    exchange_answer(exchange, 200, "text/plain", BYTES_LITERAL("hello"));
}

static void echo_body(struct exchange *exchange, struct bytes body)
{
    exchange_answer(exchange, 200, "text/plain", body);
}

static void echo(struct exchange *exchange)
{
    exchange_read_body(exchange, 65536, echo_body);
}

static const struct route routes[] = {
    ROUTE(HTTP_GET_, "/hello", ACCESS_PUBLIC, hello),
    ROUTE(HTTP_PUT_, "/echo", ACCESS_PUBLIC, echo),
    {0},
};

static void test_parser__limits(void **state)
{
    struct buffer request;

    (void)state;
    buffer_init(&request, 1u << 20);
    buffer_append_string(&request, "GET /hello?");
    append_repeated(&request, "a", HTTP_TARGET_MAX);
    buffer_append_string(&request, " HTTP/1.1\r\n" H "\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 414 ");

    buffer_clear(&request);
    buffer_append_string(&request, "GET /hello?");
    append_repeated(&request, "a", HTTP_TARGET_MAX - 8);
    buffer_append_string(&request, " HTTP/1.1\r\nConnection: close\r\n" H "\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 200 ");

    buffer_clear(&request);
    buffer_append_string(&request, "GET /hello HTTP/1.1\r\n" H "X: ");
    append_repeated(&request, "a", HTTP_HEADERS_MAX);
    buffer_append_string(&request, "\r\n\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 431 ");

    buffer_clear(&request);
    buffer_append_string(&request, "GET /hello HTTP/1.1\r\n" H);
    append_repeated(&request, "X: a\r\n", HTTP_HEADER_COUNT_MAX);
    buffer_append_string(&request, "\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 431 ");

    /* Without an end in sight: refused as soon as it is certain. */
    buffer_clear(&request);
    buffer_append_string(&request, "GET /hello HTTP/1.1\r\n" H "X: ");
    append_repeated(&request, "a", HTTP_HEADERS_MAX + 100);
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 431 ");

    buffer_clear(&request);
    buffer_append_string(&request, "PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    append_repeated(&request, "8000\r\n", 1);
    append_repeated(&request, "a", 0x8000);
    append_repeated(&request, "\r\n8001\r\n", 1);
    append_repeated(&request, "a", 0x8001);
    buffer_append_string(&request,
                         "\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nConnection: close\r\n" H "\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 413 ");
    assert_answer("hello");
    buffer_release(&request);
}

static void test_server__slow_clients_are_let_go(void **state)
{
    const struct http_listener_options limits = {
        .header_ms = 200, .idle_ms = 300, .body_ms = 200, .write_ms = 300};
    static struct http_server impatient;
    int fd;

    (void)state;
    memset(&impatient, 0, sizeof impatient);
    http_server_start(&impatient, routes, &limits, true);
    fd = http_client_open(&impatient);
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("GET /hello HTTP/1.1\r\nX: "));
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("HTTP/1.1 408 ");
    close(fd);
    fd = http_client_open(&impatient);
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc"));
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("HTTP/1.1 408 ");
    close(fd);
    fd = http_client_open(&impatient); /* Idle after an answer. */
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "\r\n"));
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("hello");
    close(fd);
    http_server_stop(&impatient);
}

static void test_server__over_the_limit_the_oldest_that_waits_goes(void **state)
{
    const struct http_listener_options limits = {.connections_max = 2};
    static struct http_server small;
    int fds[3];

    (void)state;
    memset(&small, 0, sizeof small);
    http_server_start(&small, routes, &limits, true);
    fds[0] = http_client_open(&small);
    fds[1] = http_client_open(&small);
    buffer_clear(&answer);
    http_client_send(fds[1], BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "\r\n"));
    assert_true(http_client_read(fds[1], &answer, "hello"));
    fds[2] = http_client_open(&small);
    buffer_clear(&answer);
    http_client_send(fds[2], BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "\r\n"));
    assert_true(http_client_read(fds[2], &answer, "hello"));
    buffer_clear(&answer);
    (void)http_client_read(fds[0], &answer, NULL); /* Its end: it has said nothing all the time. */
    assert_int_equal(answer.size, 0);
    buffer_clear(&answer);
    http_client_send(fds[1], BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "\r\n"));
    assert_true(http_client_read(fds[1], &answer, "hello"));
    close(fds[0]);
    close(fds[1]);
    close(fds[2]);
    http_server_stop(&small);
}

static int set_up(void **state)
{
    (void)state;
    buffer_init(&answer, 64u << 20);
    http_server_start(&server, routes, NULL, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(&server);
    buffer_release(&answer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parser__limits),
        cmocka_unit_test(test_server__slow_clients_are_let_go),
        cmocka_unit_test(test_server__over_the_limit_the_oldest_that_waits_goes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
