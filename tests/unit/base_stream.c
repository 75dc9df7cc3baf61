#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/stream.h"
#include "tests/lib/certificates.h"
#include "tests/lib/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLUSTER  "0123456789abcdef0123456789abcdef"
#define GUARD_MS 30000

enum event { EVENT_NONE, EVENT_READY, EVENT_RECEIVED, EVENT_ENDED, EVENT_DRAINED };

struct world;

struct end {
    struct stream stream;
    struct world *world;
    enum event close_in; /* Close in this event. */
    bool echo;           /* Write back what comes, and our end after theirs. */
    bool pause_each;     /* Pause in received, resume from a timer. */
    bool in_call;        /* A call of the stream's is running: no event may come. */
    bool ready, ended, closed;
    unsigned drained;
    uint64_t received, sent, to_send;
    uint32_t sum; /* Of what was received, in order. */
    enum error error;
    char text[160];
};

struct world {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t guard, resume;
    struct tls_context *server_tls, *client_tls;
    char address[64];
    struct end server, client;
    bool shut_early; /* The server ends its side before it is ready. */
    bool timed_out;
};

static struct end *end_of(struct stream *stream)
{
    return container_of(stream, struct end, stream);
}

static uint32_t sum_add(uint32_t sum, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        sum = sum * 31 + bytes.data[i];
    }
    return sum;
}

static void send_more(struct end *end)
{
    uint8_t chunk[50000];

    while (end->sent < end->to_send && stream_queued(&end->stream) < 1u << 20) {
        size_t size = end->to_send - end->sent < sizeof chunk ? (size_t)(end->to_send - end->sent)
                                                              : sizeof chunk;

        for (size_t i = 0; i < size; i++) {
            chunk[i] = (uint8_t)((end->sent + i) * 7 + (end->sent + i) / 251);
        }
        end->sent += size;
        end->in_call = true;
        stream_write(&end->stream, bytes_of(chunk, size));
        end->in_call = false;
        if (end->sent == end->to_send) {
            stream_shutdown(&end->stream);
        }
    }
}

static bool closes_in(struct end *end, enum event event)
{
    assert_false(end->in_call);
    assert_false(end->closed);
    if (end->close_in != event) {
        return false;
    }
    end->in_call = true;
    stream_close(&end->stream);
    stream_close(&end->stream);
    stream_write(&end->stream, BYTES_LITERAL("into the void"));
    stream_shutdown(&end->stream);
    end->in_call = false;
    return true;
}

static void on_ready(struct stream *stream)
{
    struct end *end = end_of(stream);

    assert_false(end->ready);
    end->ready = true;
    if (!closes_in(end, EVENT_READY)) {
        send_more(end);
    }
}

static void on_resume(uv_timer_t *timer)
{
    struct world *world = timer->data;

    if (!world->server.closed && world->server.stream.events != NULL) {
        world->server.in_call = true;
        stream_resume(&world->server.stream);
        world->server.in_call = false;
    }
}

static void on_received(struct stream *stream, struct bytes bytes)
{
    struct end *end = end_of(stream);

    assert_true(end->ready);
    assert_false(end->ended);
    assert_false(end->stream.paused);
    end->received += bytes.size;
    end->sum = sum_add(end->sum, bytes);
    if (closes_in(end, EVENT_RECEIVED)) {
        return;
    }
    if (end->pause_each) {
        stream_pause(stream);
        uv_timer_start(&end->world->resume, on_resume, 1, 0);
    }
    if (end->echo) {
        end->in_call = true;
        stream_write(stream, bytes);
        if (stream_queued(stream) > 1u << 20) {
            stream_pause(stream);
        }
        end->in_call = false;
    }
}

static void on_ended(struct stream *stream)
{
    struct end *end = end_of(stream);

    assert_false(end->ended);
    end->ended = true;
    if (closes_in(end, EVENT_ENDED)) {
        return;
    }
    if (end->echo) {
        stream_shutdown(stream);
    } else {
        stream_close(stream);
        stream_close(&end->world->server.stream);
    }
}

static void on_drained(struct stream *stream)
{
    struct end *end = end_of(stream);

    end->drained++;
    if (closes_in(end, EVENT_DRAINED)) {
        return;
    }
    send_more(end);
    if (end->echo && !end->pause_each) {
        stream_resume(stream);
    }
}

static void stop_if_done(struct world *world)
{
    if (world->client.closed && (world->server.closed || world->server.stream.events == NULL)) {
        uv_stop(&world->loop);
    }
}

/* The one that was left alone hears of it or not, depending on the event; let it go either way. */
static void close_other(struct end *end)
{
    struct end *other = end == &end->world->client ? &end->world->server : &end->world->client;

    if (!other->closed && other->stream.events != NULL) {
        stream_close(&other->stream);
    }
}

static void on_closed(struct stream *stream, enum error why, const char *text)
{
    struct end *end = end_of(stream);

    assert_false(end->in_call);
    assert_false(end->closed);
    end->closed = true;
    end->error = why;
    snprintf(end->text, sizeof end->text, "%s", text);
    close_other(end);
    stop_if_done(end->world);
}

static const struct stream_events events = {on_ready, on_received, on_ended, on_drained, on_closed};

static void on_connection(uv_stream_t *listener, int status)
{
    struct world *world = container_of(listener, struct world, listener);

    assert_int_equal(status, 0);
    world->server.in_call = true;
    assert_int_equal(stream_accept(&world->server.stream, &world->loop, listener, world->server_tls,
                                   2000, &events),
                     OK);
    if (world->shut_early) {
        stream_shutdown(&world->server.stream);
    }
    world->server.in_call = false;
}

static void on_guard(uv_timer_t *timer)
{
    struct world *world = timer->data;

    world->timed_out = true;
    uv_stop(&world->loop);
}

static void world_open(struct world *world, bool server_tls, bool client_tls)
{
    struct sockaddr_in bound;
    int size = sizeof bound;
    struct test_ca ca;

    memset(world, 0, sizeof *world);
    uv_loop_init(&world->loop);
    test_ca_make(&ca, CLUSTER);
    world->server_tls = server_tls ? test_node_context(&ca, CLUSTER, 1) : NULL;
    world->client_tls = client_tls ? test_node_context(&ca, CLUSTER, 2) : NULL;
    test_ca_release(&ca);
    uv_timer_init(&world->loop, &world->guard);
    uv_timer_init(&world->loop, &world->resume);
    world->guard.data = world->resume.data = world;
    uv_timer_start(&world->guard, on_guard, GUARD_MS, 0);
    assert_int_equal(stream_listen(&world->listener, &world->loop, "127.0.0.1:0", false, 16,
                                   on_connection, NULL),
                     OK);
    uv_tcp_getsockname(&world->listener, (struct sockaddr *)&bound, &size);
    snprintf(world->address, sizeof world->address, "127.0.0.1:%u", ntohs(bound.sin_port));
    world->server.world = world->client.world = world;
}

static void world_connect(struct world *world, uint64_t expect)
{
    world->client.in_call = true;
    assert_int_equal(stream_connect(&world->client.stream, &world->loop, world->address,
                                    world->client_tls, expect, 2000, &events),
                     OK);
    world->client.in_call = false;
}

static void world_run(struct world *world)
{
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_false(world->timed_out);
}

static void world_close(struct world *world)
{
    uv_close((uv_handle_t *)&world->listener, NULL);
    uv_close((uv_handle_t *)&world->guard, NULL);
    uv_close((uv_handle_t *)&world->resume, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    tls_context_release(world->server_tls);
    tls_context_release(world->client_tls);
}

/* 50 MiB there and back, the end after it in both directions. */
static void echo(bool tls, bool pause_each, uint64_t size)
{
    struct world *world = memory_zero(sizeof *world);
    uint32_t expected = 0;

    world_open(world, tls, tls);
    world->server.echo = true;
    world->server.pause_each = pause_each;
    world->client.to_send = size;
    world_connect(world, tls ? 1 : 0);
    world_run(world);
    for (uint64_t i = 0; i < size; i++) {
        expected = expected * 31 + (uint8_t)(i * 7 + i / 251);
    }
    assert_true(world->server.received == size);
    assert_true(world->client.received == size);
    assert_int_equal(world->server.sum, expected);
    assert_int_equal(world->client.sum, expected);
    assert_true(world->server.ended && world->client.ended);
    assert_int_equal(world->client.error, OK);
    assert_int_equal(world->server.error, OK);
    world_close(world);
    free(world);
}

static void test_stream__echoes_50_mib_plain(void **state)
{
    (void)state;
    echo(false, false, 50u << 20);
}

static void test_stream__echoes_50_mib_over_tls(void **state)
{
    (void)state;
    echo(true, false, 50u << 20);
}

static void test_stream__pauses_and_resumes_at_every_read(void **state)
{
    (void)state;
    echo(false, true, 2u << 20);
    echo(true, true, 2u << 20);
}

static void test_stream__may_be_closed_in_every_event(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 32; round++) {
        struct world *world = memory_zero(sizeof *world);
        enum event event = (enum event)(EVENT_READY + round % 4);
        bool tls = (round & 4) != 0;
        struct end *closer = (round & 8) != 0 ? &world->server : &world->client;

        world_open(world, tls, tls);
        closer->close_in = event;
        world->server.echo = true;
        world->client.to_send = 4u << 20;
        world_connect(world, 0);
        world_run(world);
        assert_true(world->client.closed);
        if (closer->closed && (event != EVENT_DRAINED || closer->drained > 0)) {
            assert_int_equal(closer->error, OK);
        }
        world_close(world);
        free(world);
    }
}

static void test_stream__a_full_queue_closes(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct world *world = memory_zero(sizeof *world);
        uint8_t *much = memory_zero(1u << 20);

        world_open(world, tls != 0, tls != 0);
        world->server.stream.paused = false;
        world_connect(world, 0);
        while (!world->client.ready || !world->server.ready) {
            uv_run(&world->loop, UV_RUN_ONCE);
        }
        stream_pause(&world->server.stream);
        for (int i = 0; i < 64; i++) {
            stream_write(&world->client.stream, bytes_of(much, 1u << 20));
            assert_true(stream_queued(&world->client.stream) <= STREAM_QUEUE_MAX + (1u << 20));
        }
        assert_false(world->client.closed);
        while (!world->client.closed) {
            uv_run(&world->loop, UV_RUN_ONCE);
        }
        assert_int_equal(world->client.error, ERROR_TOO_LARGE);
        assert_non_null(strstr(world->client.text, "reads too slowly"));
        stream_close(&world->server.stream);
        world_run(world);
        world_close(world);
        free(world);
        free(much);
    }
}

static void test_stream__tls_against_plain_ends_with_a_reason(void **state)
{
    struct world *world = memory_zero(sizeof *world);

    (void)state;
    /* What a plain port makes of a ClientHello is its owner's to say; here it comes back. */
    world_open(world, false, true);
    world->server.echo = true;
    world_connect(world, 0);
    world_run(world);
    assert_non_null(strstr(world->client.text, "does not speak TLS"));
    assert_false(world->client.ready);
    world_close(world);
    memset(world, 0, sizeof *world);
    world_open(world, true, false);
    world->client.to_send = 1000;
    world_connect(world, 0);
    world_run(world);
    assert_non_null(strstr(world->server.text, "does not speak TLS"));
    assert_false(world->server.ready);
    world_close(world);
    free(world);
}

static void test_stream__a_node_that_is_not_the_expected_one_is_refused(void **state)
{
    struct world *world = memory_zero(sizeof *world);

    (void)state;
    world_open(world, true, true);
    world_connect(world, 3);
    world_run(world);
    assert_int_equal(world->client.error, ERROR_FOREIGN);
    assert_non_null(strstr(world->client.text, "0000000000000001, not of 0000000000000003"));
    assert_false(world->client.ready);
    world_close(world);
    free(world);
}

static void test_stream__silence_and_refusal_are_bounded(void **state)
{
    struct world *world = memory_zero(sizeof *world);

    (void)state;
    /* A TLS server whose client never says a word. */
    world_open(world, true, false);
    world_connect(world, 0);
    world_run(world);
    assert_int_equal(world->server.error, ERROR_TIMEOUT);
    assert_non_null(strstr(world->server.text, "no TLS handshake within 2000 ms"));
    world_close(world);
    /* Nobody listens. */
    memset(world, 0, sizeof *world);
    world_open(world, false, false);
    snprintf(world->address, sizeof world->address, "127.0.0.1:1");
    world_connect(world, 0);
    world_run(world);
    assert_int_equal(world->client.error, ERROR_PEER);
    assert_non_null(strstr(world->client.text, "refused"));
    world_close(world);
    free(world);
}

/* A listener that closes may do this to a connection that shakes hands. */
static void test_stream__a_shutdown_before_ready_closes(void **state)
{
    struct world *world = memory_zero(sizeof *world);

    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        world_open(world, tls == 1, tls == 1);
        world->shut_early = true;
        world_connect(world, tls == 1 ? 1 : 0);
        world_run(world);
        assert_true(world->server.closed);
        assert_int_equal(world->server.error, OK);
        assert_false(world->server.ready);
        world_close(world);
    }
    free(world);
}

static void test_address_parse__literals_only(void **state)
{
    static const char *const bad[] = {
        "",       "localhost:80", "127.0.0.1", "127.0.0.1:", "1.2.3.4:65536", "[::1:80",
        "::1:80", "[]:80",        ":80",       "1.2.3:80",   "1.2.3.4:+1"};
    struct sockaddr_storage out;
    struct reason why;

    (void)state;
    assert_int_equal(address_parse("127.0.0.1:5001", &out, &why), OK);
    assert_int_equal(out.ss_family, AF_INET);
    assert_int_equal(address_parse("[::1]:5001", &out, &why), OK);
    assert_int_equal(out.ss_family, AF_INET6);
    assert_int_equal(address_parse("0.0.0.0:0", &out, &why), OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(address_parse(bad[i], &out, &why), ERROR_INVALID);
    }
}

static void test_stream_listen__a_taken_address_is_an_error_and_leaves_nothing(void **state)
{
    struct world *world = memory_zero(sizeof *world);
    struct reason why;
    uv_tcp_t second;

    (void)state;
    world_open(world, false, false);
    assert_int_equal(
        stream_listen(&second, &world->loop, world->address, false, 16, on_connection, &why),
        ERROR_BUSY);
    assert_int_equal(stream_address_is_free(world->address, &why), ERROR_BUSY);
    assert_non_null(strstr(why.text, "another process does already"));
    assert_int_equal(stream_address_is_free("127.0.0.1:0", &why), OK);
    world_close(world);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream__echoes_50_mib_plain),
        cmocka_unit_test(test_stream__echoes_50_mib_over_tls),
        cmocka_unit_test(test_stream__pauses_and_resumes_at_every_read),
        cmocka_unit_test(test_stream__may_be_closed_in_every_event),
        cmocka_unit_test(test_stream__a_full_queue_closes),
        cmocka_unit_test(test_stream__tls_against_plain_ends_with_a_reason),
        cmocka_unit_test(test_stream__a_node_that_is_not_the_expected_one_is_refused),
        cmocka_unit_test(test_stream__silence_and_refusal_are_bounded),
        cmocka_unit_test(test_stream__a_shutdown_before_ready_closes),
        cmocka_unit_test(test_address_parse__literals_only),
        cmocka_unit_test(test_stream_listen__a_taken_address_is_an_error_and_leaves_nothing),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* As base/stream.h demands of every process. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
