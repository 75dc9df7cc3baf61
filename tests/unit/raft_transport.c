#include "tests/lib/transports.h"

/* --- tests ----------------------------------------------------------------------------------- */

static void test_transport__messages_and_frames_flow(void **state)
{
    struct world *world = *state;
    struct raft_message message = vote_for(&world->two);

    /* The first send makes the link; what was sent before it is up is lost, and said so. */
    assert_false(transport_send(world->one.transport, &message));
    RUN_UNTIL(&world->loop, peer_of(&world->one, &world->two).up);
    assert_true(transport_send(world->one.transport, &message));
    RUN_UNTIL(&world->loop, world->two.messages == 1);
    assert_true(world->two.last_from == 1);
    assert_int_equal(world->two.last.type, RAFT_IO_REQUEST_VOTE);
    assert_true(world->two.last.request_vote.term == 5);
    /* The hello of one told two where to reach it. */
    RUN_UNTIL(&world->loop, peer_of(&world->two, &world->one).up);
    assert_true(transport_send_frame(world->two.transport, 1, FRAME_PROPOSE, BYTES_LITERAL("x=1")));
    RUN_UNTIL(&world->loop, world->one.frames == 1);
    assert_int_equal(world->one.last_kind, FRAME_PROPOSE);
    assert_string_equal(world->one.last_body, "x=1");
    RUN_UNTIL(&world->loop, peer_of(&world->one, &world->two).round_trip_us > 0);
    assert_true(peer_of(&world->one, &world->two).heard_ms_ago < 2000);
    assert_false(transport_send_frame(world->two.transport, 99, FRAME_PROPOSE, BYTES_NONE));
    assert_true(peer_of(&world->one, &(struct node){.id = 99}).heard_ms_ago == UINT64_MAX);
}

static void test_transport__long_appends_arrive_whole_and_in_order(void **state)
{
    enum { N = 3000, SIZE = 1024 };
    struct world *world = *state;
    struct raft_entry *entries = calloc(N, sizeof *entries);
    uint8_t *data = calloc(1, SIZE);
    struct raft_message message = {
        .type = RAFT_IO_APPEND_ENTRIES, .server_id = 2, .server_address = world->two.address};

    for (unsigned i = 0; i < N; i++) {
        entries[i] = (struct raft_entry){
            .term = 1, .type = RAFT_COMMAND, .buf = {.base = data, .len = SIZE}};
    }
    message.append_entries =
        (struct raft_append_entries){.term = 1, .entries = entries, .n_entries = N};
    link_both(&world->one, &world->two);
    assert_true(transport_send(world->one.transport, &message));
    RUN_UNTIL(&world->loop, world->two.entries == N);
    /* Far too much at once: dropped, no error, and the link lives. */
    for (int i = 0; i < 10; i++) {
        (void)transport_send(world->one.transport, &message);
    }
    assert_false(transport_send(world->one.transport, &message));
    run_for(&world->loop, 300);
    assert_true(peer_of(&world->one, &world->two).up);
    assert_int_equal(world->one.downs, 0);
    free(entries);
    free(data);
}

static void test_transport__a_peer_that_restarts_is_reached_again(void **state)
{
    struct world *world = *state;
    struct raft_message message = vote_for(&world->two);
    char address[80];

    link_both(&world->one, &world->two);
    snprintf(address, sizeof address, "%s", world->two.address);
    for (unsigned round = 1; round <= 3; round++) {
        node_stop(&world->two);
        RUN_UNTIL(&world->loop, !peer_of(&world->one, &world->two).up);
        run_for(&world->loop, 100);
        assert_false(transport_send(world->one.transport, &message));
        assert_true(peer_of(&world->one, &world->two).error[0] != '\0');
        node_listen(&world->two, address);
        RUN_UNTIL(&world->loop, peer_of(&world->one, &world->two).up);
        assert_true(transport_send(world->one.transport, &message));
        RUN_UNTIL(&world->loop, world->two.messages == round);
    }
    assert_int_equal(world->one.downs, 3);
}

static void test_transport__another_node_at_the_address_is_refused(void **state)
{
    struct world *world = *state;

    transport_connect(world->one.transport, 3, world->two.address);
    RUN_UNTIL(&world->loop,
              strstr(peer_of(&world->one, &(struct node){.id = 3}).error, "not of") != NULL);
    assert_false(peer_of(&world->one, &(struct node){.id = 3}).up);
    assert_int_equal(world->one.ups, 0);
}

static void test_transport__a_node_of_another_ca_is_refused(void **state)
{
    struct world *world = *state;
    struct test_ca other;

    test_ca_make(&other, CLUSTER);
    node_open(&world->three, &world->loop, &other, 3);
    transport_connect(world->three.transport, 1, world->one.address);
    RUN_UNTIL(&world->loop, peer_of(&world->three, &world->one).error[0] != '\0');
    transport_connect(world->one.transport, 3, world->three.address);
    RUN_UNTIL(&world->loop,
              strstr(peer_of(&world->one, &world->three).error, "another CA") != NULL);
    assert_int_equal(world->one.ups + world->three.ups, 0);
    assert_int_equal(world->one.messages, 0);
    test_ca_release(&other);
}

static void test_transport__a_removed_node_is_refused(void **state)
{
    struct world *world = *state;

    link_both(&world->one, &world->two);
    transport_forget(world->one.transport, 2);
    RUN_UNTIL(&world->loop, world->one.downs == 1);
    RUN_UNTIL(&world->loop, !peer_of(&world->two, &world->one).up);
    world->two.ups = 0;
    run_for(&world->loop, 500);
    assert_false(peer_of(&world->one, &world->two).up);
    assert_false(transport_send(world->one.transport,
                                &(struct raft_message){.type = RAFT_IO_REQUEST_VOTE,
                                                       .server_id = 2,
                                                       .server_address = world->two.address}));
    assert_true(peer_of(&world->one, &world->two).heard_ms_ago == UINT64_MAX);
    /* The removal was taken back with the log entry that said it: a member again. */
    link_both(&world->one, &world->two);
}

/* --- strangers, and a member that lies ------------------------------------------------------- */

struct stranger {
    struct stream stream;
    struct bytes say;
    size_t heard;
    bool closed;
    char text[160];
};

static void stranger_ready(struct stream *stream)
{
    struct stranger *stranger = container_of(stream, struct stranger, stream);

    stream_write(stream, stranger->say);
}

static void stranger_received(struct stream *stream, struct bytes bytes)
{
    container_of(stream, struct stranger, stream)->heard += bytes.size;
}

static void stranger_ended(struct stream *stream)
{
    stream_close(stream);
}

static void stranger_drained(struct stream *stream)
{
    (void)stream;
}

static void stranger_closed(struct stream *stream, enum error why, const char *text)
{
    struct stranger *stranger = container_of(stream, struct stranger, stream);

    (void)why;
    stranger->closed = true;
    snprintf(stranger->text, sizeof stranger->text, "%s", text);
}

static const struct stream_events stranger_events = {
    stranger_ready, stranger_received, stranger_ended, stranger_drained, stranger_closed};

static void stranger_call(struct stranger *stranger, const struct node *node,
                          struct tls_context *tls, struct bytes say)
{
    memset(stranger, 0, sizeof *stranger);
    stranger->say = say;
    assert_int_equal(stream_connect(&stranger->stream, node->loop, node->address, tls, 0, 5000,
                                    &stranger_events),
                     OK);
}

static void test_transport__a_port_scan_gets_nothing(void **state)
{
    struct world *world = *state;
    struct stranger stranger;

    link_both(&world->one, &world->two);
    stranger_call(&stranger, &world->one, NULL, BYTES_LITERAL("GET / HTTP/1.0\r\n\r\n"));
    RUN_UNTIL(&world->loop, stranger.closed);
    /* A TLS alert, which names nobody. */
    assert_true(stranger.heard <= 7);
    /* One that says nothing is cut off as well. */
    stranger_call(&stranger, &world->one, NULL, BYTES_NONE);
    RUN_UNTIL(&world->loop, stranger.closed);
    assert_int_equal(stranger.heard, 0);
    assert_true(peer_of(&world->one, &world->two).up);
    assert_int_equal(world->one.downs, 0);
}

static void test_transport__a_flood_of_strangers_leaves_room_for_peers(void **state)
{
    enum { N = 150 };
    struct world *world = *state;
    struct stranger *strangers = memory_zero(N * sizeof *strangers);
    unsigned closed = 0;

    for (int i = 0; i < N; i++) {
        stranger_call(&strangers[i], &world->one, NULL, BYTES_NONE);
    }
    run_for(&world->loop, 50);
    transport_connect(world->two.transport, 1, world->one.address);
    RUN_UNTIL(&world->loop, peer_of(&world->two, &world->one).up);
    do {
        uv_run(&world->loop, UV_RUN_ONCE);
        closed = 0;
        for (int i = 0; i < N; i++) {
            closed += strangers[i].closed;
        }
    } while (closed < N);
    free(strangers);
}

static void test_transport__lies_and_garbage_close_only_that_link(void **state)
{
    struct world *world = *state;
    struct tls_context *tls = test_node_context(&world->ca, CLUSTER, 3);
    struct hello hello = {.id = 3, .cluster = CLUSTER, .address = "127.0.0.1:1"};
    struct stranger stranger;
    struct buffer say[6];
    unsigned messages;

    for (unsigned i = 0; i < 6; i++) {
        buffer_init(&say[i], 65536);
    }
    hello.id = 2; /* Whom its certificate does not name. */
    assert_int_equal(frame_encode_hello(&say[0], &hello), OK);
    hello.id = 3;
    snprintf(hello.cluster, sizeof hello.cluster, "another");
    assert_int_equal(frame_encode_hello(&say[1], &hello), OK);
    snprintf(hello.cluster, sizeof hello.cluster, CLUSTER);
    assert_int_equal(frame_encode_number(&say[2], FRAME_PING, 1), OK); /* No hello. */
    for (unsigned i = 3; i < 6; i++) {
        assert_int_equal(frame_encode_hello(&say[i], &hello), OK);
    }
    buffer_append_string(&say[3], "garbage garbage garbage");
    assert_int_equal(frame_append(&say[4], FRAME_APPEND_ENTRIES, BYTES_LITERAL("\xdd\xff\xff")),
                     OK);
    assert_int_equal(frame_encode_number(&say[5], FRAME_PONG, 1), OK);
    link_both(&world->one, &world->two);
    messages = world->one.messages;
    for (unsigned i = 0; i < 6; i++) {
        stranger_call(&stranger, &world->one, tls, buffer_view(&say[i]));
        RUN_UNTIL(&world->loop, stranger.closed);
        assert_true(peer_of(&world->one, &world->two).up);
        buffer_release(&say[i]);
    }
    assert_int_equal(world->one.messages, messages);
    assert_int_equal(world->one.downs + world->two.downs, 0);
    tls_context_release(tls);
}

static void test_transport_open__a_taken_address_is_an_error(void **state)
{
    struct world *world = *state;
    struct transport_options options = {.loop = &world->loop,
                                        .id = 9,
                                        .cluster = CLUSTER,
                                        .address = world->one.address,
                                        .tls = world->one.tls,
                                        .events = {on_message, on_frame, on_link}};
    struct transport *transport;
    struct reason why;

    assert_int_equal(transport_open(&options, &transport, &why), ERROR_BUSY);
    options.address = "nowhere:80";
    assert_int_equal(transport_open(&options, &transport, &why), ERROR_INVALID);
    assert_null(transport);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_transport__messages_and_frames_flow),
        TEST(test_transport__long_appends_arrive_whole_and_in_order),
        TEST(test_transport__a_peer_that_restarts_is_reached_again),
        TEST(test_transport__another_node_at_the_address_is_refused),
        TEST(test_transport__a_node_of_another_ca_is_refused),
        TEST(test_transport__a_removed_node_is_refused),
        TEST(test_transport__a_port_scan_gets_nothing),
        TEST(test_transport__a_flood_of_strangers_leaves_room_for_peers),
        TEST(test_transport__lies_and_garbage_close_only_that_link),
        TEST(test_transport_open__a_taken_address_is_an_error),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_LEVEL_ERROR, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
