/* The HTTP server over real sockets: what it refuses, what it takes, and clients that stall. */
#include "base/memory.h"
#include "tests/lib/http_answer.h"
#include "tests/lib/http_corpus.h"

#include <stdatomic.h>

static struct http_server server;
static atomic_int sink_ended; /* 1 + the last status of a sink's end. */
static atomic_int sinks_begun;

/* --- handlers ----------------------------------------------------------------------------------
 */

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

struct counter {
    size_t n;
    unsigned n_pauses;
    uv_timer_t timer;
};

static void count_resume(uv_timer_t *timer)
{
    exchange_resume_body(timer->data);
}

static void count_piece(struct exchange *exchange, struct bytes piece)
{
    struct counter *counter = exchange_data(exchange);

    assert_false(uv_is_active((uv_handle_t *)&counter->timer));
    counter->n += piece.size;
    if (counter->n_pauses++ < 20) {
        exchange_pause_body(exchange);
        (void)uv_timer_start(&counter->timer, count_resume, 1, 0);
    }
}

static void count_closed(uv_handle_t *handle)
{
    exchange_release(handle->data);
}

static void count_end(struct exchange *exchange, enum error status)
{
    struct counter *counter = exchange_data(exchange);
    char text[32];

    snprintf(text, sizeof text, "%zu", counter->n);
    if (status == OK) {
        exchange_answer(exchange, 200, "text/plain", bytes_of_string(text));
    }
    atomic_store(&sink_ended, 1 + (int)status);
    uv_close((uv_handle_t *)&counter->timer, count_closed);
}

/* Streams the body and pauses after each of the first pieces. */
static void count(struct exchange *exchange)
{
    static const struct exchange_sink sink = {count_piece, count_end};
    struct counter *counter = memory_zero(sizeof *counter);

    (void)uv_timer_init(&exchange_worker(exchange)->loop, &counter->timer);
    counter->timer.data = exchange;
    exchange_set_data(exchange, counter, free);
    exchange_hold(exchange);
    exchange_stream_body(exchange, &sink);
    atomic_fetch_add(&sinks_begun, 1);
}

static void refuse(struct exchange *exchange)
{
    exchange_fail_as(exchange, 403, "DENIED", NULL, "not you");
}

static void pieces(struct exchange *exchange)
{
    exchange_start(exchange, 200, "text/plain", -1);
    exchange_write(exchange, BYTES_LITERAL("one "));
    exchange_write(exchange, BYTES_LITERAL("two"));
    exchange_end(exchange);
}

static void short_of(struct exchange *exchange)
{
    exchange_start(exchange, 200, "text/plain", 10);
    exchange_write(exchange, BYTES_LITERAL("one "));
    exchange_end(exchange);
}

static void name(struct exchange *exchange)
{
    struct bytes value;

    (void)exchange_query(exchange, "q", 1, &value);
    exchange_set_header(exchange, "X-Query", BYTES_FMT, BYTES_ARG(value));
    exchange_set_header(exchange, "X-Bad", "a\r\nInjected: 1");
    exchange_answer(exchange, 200, "text/plain", exchange_parameter(exchange, "name"));
}

static const struct route routes[] = {
    ROUTE(HTTP_GET_, "/hello", ACCESS_PUBLIC, hello),
    ROUTE(HTTP_PUT_, "/echo", ACCESS_PUBLIC, echo),
    ROUTE(HTTP_PUT_, "/count", ACCESS_PUBLIC, count),
    ROUTE(HTTP_PUT_, "/refuse", ACCESS_PUBLIC, refuse),
    ROUTE(HTTP_GET_, "/pieces", ACCESS_PUBLIC, pieces),
    ROUTE(HTTP_GET_, "/short", ACCESS_PUBLIC, short_of),
    ROUTE(HTTP_GET_, "/v2/{name}/x", ACCESS_PULL, name),
    ROUTE(HTTP_GET_, "/admin", ACCESS_PEER, hello),
    {0},
};

/* --- helpers -----------------------------------------------------------------------------------
 */

/* --- requests that must be refused -------------------------------------------------------------
 */

static void test_parser__each_smuggling_attempt_is_refused_and_closed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof http_corpus / sizeof http_corpus[0]; i++) {
        /* A smuggled second request must not be answered. */
        struct buffer request;

        buffer_init(&request, 65536);
        buffer_append(&request, http_corpus[i]);
        buffer_append_string(&request, "GET /hello HTTP/1.1\r\n" H "\r\n");
        http_client_talk(&server, buffer_view(&request), &answer);
        buffer_release(&request);
        if (strncmp(buffer_string(&answer), "HTTP/1.1 400 ", 13) != 0 ||
            occurrences("\r\nDate: ") != 1 || occurrences("\"errors\":[") != 1 ||
            occurrences("Connection: close") != 1) {
            fail_msg("corpus %zu: %s\n%s", i, (const char *)http_corpus[i].data,
                     buffer_string(&answer));
        }
    }
}

/* --- requests that must work -------------------------------------------------------------------
 */

static void test_server__pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    talk(&server,
         "GET /hello HTTP/1.1\r\n" H "\r\n"
         "PUT /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
         "\r\n" /* RFC 9112, 2.2 */
         "PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
         "3\r\ndef\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
         "PUT /count HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"
         "PUT /count HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
         "PUT /echo HTTP/1.1\r\n" H "\r\n"
         "HEAD /hello HTTP/1.1\r\n" H "\r\n"
         "GET /pieces HTTP/1.1\r\n" H "\r\n"
         "DELETE /hello HTTP/1.1\r\n" H "\r\n"
         "OPTIONS /hello HTTP/1.1\r\n" H "\r\n"
         "GET http://A/hello HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: upgrade, close\r\n\r\n"
         "GET /hello HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(occurrences("HTTP/1.1 200 "), 9);
    assert_int_equal(occurrences("HTTP/1.1 405 "), 2);
    assert_int_equal(occurrences("Allow: GET, HEAD\r\n"), 2);
    assert_int_equal(occurrences("X-Request-Id: "), 11);
    assert_answer("\r\n\r\nhelloHTTP/1.1");
    assert_answer("\r\n\r\nabcHTTP/1.1");
    assert_answer("\r\n\r\ndef0123456789HTTP/1.1");
    assert_answer("\r\n\r\n3HTTP/1.1");
    assert_answer("\r\n\r\n0HTTP/1.1");
    assert_answer("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n");
    assert_int_equal(occurrences("hello"), 2);
    assert_true(bytes_ends_with(buffer_view(&answer), BYTES_LITERAL("close\r\n\r\nhello")));
}

static void test_server__bytes_one_by_one(void **state)
{
    const char *request = "PUT /echo HTTP/1.1\r\n" H
                          "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                          "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    int fd = http_client_open(&server), one = 1;
    size_t i;

    (void)state;
    assert_int_equal(setsockopt(fd, 6 /* TCP */, 1 /* NODELAY */, &one, sizeof one), 0);
    buffer_clear(&answer);
    for (i = 0; request[i] != '\0'; i++) {
        http_client_send(fd, bytes_of(request + i, 1));
        usleep(200);
    }
    assert_true(http_client_read(fd, &answer, NULL));
    close(fd);
    assert_answer("HTTP/1.1 200 ");
    assert_answer("\r\n\r\nabcde");
}

static void test_server__http_1_0(void **state)
{
    (void)state;
    talk(&server, "GET /pieces HTTP/1.0\r\n\r\n");
    assert_answer("Connection: close");
    assert_true(bytes_ends_with(buffer_view(&answer), BYTES_LITERAL("\r\n\r\none two")));
    talk(&server,
         "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hello HTTP/1.0\r\n\r\n");
    assert_int_equal(occurrences("HTTP/1.1 200 "), 2);
    assert_int_equal(occurrences("Connection: keep-alive"), 1);
}

static void test_server__headers_of_answers(void **state)
{
    (void)state;
    talk(&server,
         "GET /v2/a/blobs/c/x?q=1&p=2&q=a%2Bb+c HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    assert_answer("Docker-Distribution-API-Version: registry/2.0\r\n");
    assert_answer("X-Query: a+b c\r\n");
    assert_answer("\r\n\r\na/blobs/c");
    assert_int_equal(occurrences("Injected"), 0);
    talk(&server, "GET /v2/a/B/x HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    assert_answer("HTTP/1.1 400 ");
    assert_answer("NAME_INVALID");
    assert_answer("Docker-Distribution-API-Version: registry/2.0\r\n");
    talk(&server, "GET /nowhere HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    assert_answer("HTTP/1.1 404 ");
    assert_answer("Content-Type: application/json\r\n");
    talk(&server,
         "GET /admin HTTP/1.1\r\n" H "X-Caisson-Actor: node/1\r\nConnection: close\r\n\r\n");
    assert_answer("HTTP/1.1 403 ");
}

static void test_server__expect_continue(void **state)
{
    int fd = http_client_open(&server);

    (void)state;
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                                       "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_true(http_client_read(fd, &answer, "HTTP/1.1 100 Continue\r\n\r\n"));
    http_client_send(fd, BYTES_LITERAL("abc"));
    assert_true(http_client_read(fd, &answer, "\r\n\r\nabc"));
    /* A refusal comes instead of the invitation, and the body that will not come is not awaited. */
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("PUT /refuse HTTP/1.1\r\n" H
                                       "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_true(http_client_read(fd, &answer, NULL));
    assert_true(bytes_starts_with(buffer_view(&answer), BYTES_LITERAL("HTTP/1.1 403 ")));
    close(fd);
    talk(&server, "PUT /echo HTTP/1.1\r\n" H "Expect: a-miracle\r\nContent-Length: 3\r\n\r\nabc");
    assert_answer("HTTP/1.1 417 ");
}

static void test_server__an_early_answer_survives_the_unread_body(void **state)
{
    struct buffer request;

    (void)state;
    buffer_init(&request, 16u << 20);
    /* Small: dropped, and the connection goes on. */
    buffer_append_string(&request, "PUT /refuse HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n");
    append_repeated(&request, "a", 100000);
    buffer_append_string(&request, "GET /hello HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 403 ");
    assert_answer("hello");
    /* Large: the answer arrives all the same, no reset eats it. */
    buffer_clear(&request);
    buffer_append_string(&request, "PUT /refuse HTTP/1.1\r\n" H "Content-Length: 8000000\r\n\r\n");
    append_repeated(&request, "a", 8000000);
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 403 ");
    assert_answer("Connection: close");
    /* Large and chunked: its size shows only on the way. */
    buffer_clear(&request);
    buffer_append_string(&request,
                         "PUT /refuse HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    buffer_append_string(&request, "7a1200\r\n");
    append_repeated(&request, "a", 8000000);
    buffer_append_string(&request, "\r\n0\r\n\r\n");
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_answer("HTTP/1.1 403 ");
    buffer_release(&request);
}

static void test_server__a_paused_sink_holds_the_client_back(void **state)
{
    struct buffer request;

    (void)state;
    buffer_init(&request, 16u << 20);
    buffer_append_string(&request, "PUT /count HTTP/1.1\r\n" H
                                   "Content-Length: 3000000\r\nConnection: close\r\n\r\n");
    append_repeated(&request, "a", 3000000);
    http_client_talk(&server, buffer_view(&request), &answer);
    assert_true(bytes_ends_with(buffer_view(&answer), BYTES_LITERAL("\r\n\r\n3000000")));
    buffer_release(&request);
}

static void test_server__a_short_answer_is_cut_not_completed(void **state)
{
    (void)state;
    talk(&server, "GET /short HTTP/1.1\r\n" H "\r\nGET /hello HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(occurrences("hello"), 0);
}

/* --- clients that leave or stall ---------------------------------------------------------------
 */

static void test_server__a_body_cut_short_ends_the_sink(void **state)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = http_client_open(&server), begun = atomic_load(&sinks_begun), i;

    (void)state;
    /* With a reset. */
    atomic_store(&sink_ended, 0);
    http_client_send(fd, BYTES_LITERAL("PUT /count HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc"));
    for (i = 0; i < 2000 && atomic_load(&sinks_begun) == begun; i++) {
        usleep(5000);
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    for (i = 0; i < 2000 && atomic_load(&sink_ended) == 0; i++) {
        usleep(5000);
    }
    assert_int_equal(atomic_load(&sink_ended), 1 + ERROR_PEER);
    /* Half closed: the client can still be told. */
    fd = http_client_open(&server);
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("HTTP/1.1 400 ");
    close(fd);
    fd = http_client_open(&server);
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("GET /hello HTTP/1.1\r\nHo"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("HTTP/1.1 400 ");
    close(fd);
    /* A whole request before the FIN is answered. */
    fd = http_client_open(&server);
    buffer_clear(&answer);
    http_client_send(fd, BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "\r\n"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(http_client_read(fd, &answer, NULL));
    assert_answer("hello");
    close(fd);
}

/* --- set up ------------------------------------------------------------------------------------
 */

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
        cmocka_unit_test(test_parser__each_smuggling_attempt_is_refused_and_closed),
        cmocka_unit_test(test_server__pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_server__bytes_one_by_one),
        cmocka_unit_test(test_server__http_1_0),
        cmocka_unit_test(test_server__headers_of_answers),
        cmocka_unit_test(test_server__expect_continue),
        cmocka_unit_test(test_server__an_early_answer_survives_the_unread_body),
        cmocka_unit_test(test_server__a_paused_sink_holds_the_client_back),
        cmocka_unit_test(test_server__a_short_answer_is_cut_not_completed),
        cmocka_unit_test(test_server__a_body_cut_short_ends_the_sink),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
