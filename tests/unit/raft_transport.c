#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"
#include "raft/frame.h"
#include "raft/transport.h"
#include "tests/lib/certificates.h"
#include "tests/lib/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLUSTER  "0123456789abcdef0123456789abcdef"
#define GUARD_MS 20000

struct node {
    uint64_t id;
    struct transport *transport;
    struct tls_context *tls;
    char address[80];
    uv_loop_t *loop;
    bool closed;
    unsigned messages, frames, ups, downs;
    struct raft_message last; /* By value: entries are counted and freed. */
    uint64_t last_from;
    unsigned last_kind;
    uint64_t entries;
    char last_body[32];
    /* The snapshot that was received. */
    uint64_t snapshot_size, snapshot_sum;
    unsigned created, released, delivered;
    enum error refuse_write, refuse_finish;
    uint64_t heartbeats_between; /* Messages that came while a snapshot was under way. */
};

/* --- a snapshot that is made of numbers ------------------------------------------------------ */

struct reader {
    uint64_t size, at;
};

struct writer {
    struct node *node;
    uint64_t size, at, sum;
};

static uint8_t snapshot_byte(uint64_t at)
{
    return (uint8_t)(at * 13 + at / 255);
}

static uint64_t snapshot_sum(uint64_t size)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < size; i++) {
        sum = sum * 31 + snapshot_byte(i);
    }
    return sum;
}

static void *snapshot_open(void *data, struct bytes token, uint64_t *size, struct reason *why)
{
    struct reader *reader;

    (void)data;
    if (token.size != sizeof *size) {
        (void)(fail)(why, ERROR_NOT_FOUND, "no such snapshot");
        return NULL;
    }
    memcpy(size, token.data, sizeof *size);
    reader = memory_zero(sizeof *reader);
    reader->size = *size;
    return reader;
}

static enum error snapshot_read(void *data, void *out, size_t size, size_t *n, struct reason *why)
{
    struct reader *reader = data;

    (void)why;
    for (*n = 0; *n < size && reader->at < reader->size; (*n)++) {
        ((uint8_t *)out)[*n] = snapshot_byte(reader->at++);
    }
    return OK;
}

static void snapshot_close(void *reader)
{
    free(reader);
}

static void *snapshot_create(void *data, const struct raft_install_snapshot *about, uint64_t size,
                             struct reason *why)
{
    struct writer *writer = memory_zero(sizeof *writer);

    (void)why;
    assert_int_equal(about->conf.n, 1);
    writer->node = data;
    writer->size = size;
    writer->node->created++;
    return writer;
}

static enum error snapshot_write(void *data, struct bytes piece, struct reason *why)
{
    struct writer *writer = data;

    for (size_t i = 0; i < piece.size; i++) {
        writer->sum = writer->sum * 31 + piece.data[i];
    }
    writer->at += piece.size;
    usleep(1000);
    return writer->node->refuse_write == OK
               ? OK
               : (fail)(why, writer->node->refuse_write, "disk is full");
}

static enum error snapshot_finish(void *data, struct buffer *token, struct reason *why)
{
    struct writer *writer = data;

    buffer_append_string(token, "received");
    return writer->node->refuse_finish == OK
               ? OK
               : (fail)(why, writer->node->refuse_finish, "the checksum is wrong");
}

static void snapshot_release(void *data, bool delivered)
{
    struct writer *writer = data;

    writer->node->released++;
    writer->node->delivered += delivered;
    writer->node->snapshot_size = writer->at;
    writer->node->snapshot_sum = writer->sum;
    free(writer);
}

/* --- nodes ----------------------------------------------------------------------------------- */

static void on_message(void *data, struct raft_message *message)
{
    struct node *node = data;

    node->messages++;
    node->last = *message;
    node->last_from = message->server_id;
    node->last.server_address = NULL;
    node->heartbeats_between += node->created > node->released;
    if (message->type == RAFT_IO_APPEND_ENTRIES) {
        node->entries += message->append_entries.n_entries;
    }
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        assert_int_equal(message->install_snapshot.data.len, 8);
        assert_memory_equal(message->install_snapshot.data.base, "received", 8);
        assert_int_equal(message->install_snapshot.conf.n, 1);
    }
    frame_release_message(message);
}

static void on_frame(void *data, uint64_t from, unsigned kind, struct bytes body)
{
    struct node *node = data;

    node->frames++;
    node->last_from = from;
    node->last_kind = kind;
    snprintf(node->last_body, sizeof node->last_body, BYTES_FMT, BYTES_ARG(body));
}

static void on_link(void *data, uint64_t id, bool up)
{
    struct node *node = data;

    (void)id;
    node->ups += up;
    node->downs += !up;
}

static void on_transport_closed(void *data)
{
    ((struct node *)data)->closed = true;
}

static void node_listen(struct node *node, const char *address)
{
    struct transport_options options = {.loop = node->loop,
                                        .id = node->id,
                                        .cluster = CLUSTER,
                                        .address = address,
                                        .tls = node->tls,
                                        .data = node,
                                        .ping_ms = 50,
                                        .silence_ms = 2000,
                                        .events = {on_message, on_frame, on_link},
                                        .snapshots = {snapshot_open, snapshot_read, snapshot_close,
                                                      snapshot_create, snapshot_write,
                                                      snapshot_finish, snapshot_release}};
    struct reason why;

    node->closed = false;
    if (transport_open(&options, &node->transport, &why) != OK) {
        fail_msg("%s", why.text);
    }
    transport_start(node->transport);
    snprintf(node->address, sizeof node->address, "%s", transport_address(node->transport));
}

static void node_open(struct node *node, uv_loop_t *loop, const struct test_ca *ca, uint64_t id)
{
    memset(node, 0, sizeof *node);
    node->loop = loop;
    node->id = id;
    node->tls = test_node_context(ca, CLUSTER, id);
    node_listen(node, "127.0.0.1:0");
}

#define RUN_UNTIL(loop, condition)                                                                 \
    do {                                                                                           \
        uint64_t until_ = clock_monotonic_ms() + GUARD_MS;                                         \
        while (!(condition)) {                                                                     \
            assert_true(clock_monotonic_ms() < until_);                                            \
            uv_run(loop, UV_RUN_ONCE);                                                             \
        }                                                                                          \
    } while (0)

static void run_for(uv_loop_t *loop, uint64_t ms)
{
    uint64_t until = clock_monotonic_ms() + ms;

    while (clock_monotonic_ms() < until) {
        uv_run(loop, UV_RUN_ONCE);
    }
}

static void node_stop(struct node *node)
{
    transport_close(node->transport, on_transport_closed, node);
    RUN_UNTIL(node->loop, node->closed);
    node->transport = NULL;
}

static void node_close(struct node *node)
{
    if (node->transport != NULL) {
        node_stop(node);
    }
    tls_context_release(node->tls);
}

static struct transport_peer peer_of(const struct node *node, const struct node *other)
{
    struct transport_peer peer;

    (void)transport_peer(node->transport, other->id, &peer);
    return peer;
}

static void link_both(struct node *a, struct node *b)
{
    transport_connect(a->transport, b->id, b->address);
    transport_connect(b->transport, a->id, a->address);
    RUN_UNTIL(a->loop, peer_of(a, b).up && peer_of(b, a).up);
}

static struct raft_message vote_for(const struct node *node)
{
    struct raft_message message = {
        .type = RAFT_IO_REQUEST_VOTE, .server_id = node->id, .server_address = node->address};

    message.request_vote = (struct raft_request_vote){.term = 5, .candidate_id = 1};
    return message;
}

struct sending {
    struct snapshot_send send;
    bool done;
    enum error status;
};

struct world {
    struct sending sending, second; /* Here, so that they outlive a failed assertion. */
    uv_loop_t loop;
    struct test_ca ca;
    struct node one, two, three;
};

static int set_up(void **state)
{
    struct world *world = memory_zero(sizeof *world);

    uv_loop_init(&world->loop);
    test_ca_make(&world->ca, CLUSTER);
    node_open(&world->one, &world->loop, &world->ca, 1);
    node_open(&world->two, &world->loop, &world->ca, 2);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    node_close(&world->one);
    node_close(&world->two);
    if (world->three.tls != NULL) {
        node_close(&world->three);
    }
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    test_ca_release(&world->ca);
    free(world);
    return 0;
}

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

/* --- snapshots ------------------------------------------------------------------------------- */

static void on_sent(struct snapshot_send *send, enum error status)
{
    struct sending *sending = container_of(send, struct sending, send);

    assert_false(sending->done);
    sending->done = true;
    sending->status = status;
}

static void send_snapshot(struct world *world, struct sending *sending, uint64_t size)
{
    struct raft_message message = {
        .type = RAFT_IO_INSTALL_SNAPSHOT, .server_id = 2, .server_address = world->two.address};
    struct raft_install_snapshot *install = &message.install_snapshot;

    memset(sending, 0, sizeof *sending);
    raft_configuration_init(&install->conf);
    assert_int_equal(raft_configuration_add(&install->conf, 1, world->one.address, RAFT_VOTER), 0);
    install->term = 4;
    install->last_index = 1000;
    install->last_term = 3;
    install->data.base = &size;
    install->data.len = sizeof size;
    transport_send_snapshot(world->one.transport, &sending->send, &message, on_sent);
    assert_false(sending->done);
    raft_configuration_close(&install->conf);
}

static void test_transport__snapshots_stream_while_heartbeats_pass(void **state)
{
    static const uint64_t sizes[] = {1, SNAPSHOT_PIECE_MAX, SNAPSHOT_PIECE_MAX + 1, 20u << 20};
    struct world *world = *state;
    struct raft_message vote = vote_for(&world->two);
    struct sending *sending = &world->sending, *second = &world->second;

    link_both(&world->one, &world->two);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        world->two.messages = 0;
        send_snapshot(world, sending, sizes[i]);
        send_snapshot(world, second, 5);
        while (!sending->done) {
            assert_true(transport_send(world->one.transport, &vote));
            uv_run(&world->loop, UV_RUN_ONCE);
        }
        RUN_UNTIL(&world->loop, second->done);
        assert_int_equal(second->status, ERROR_BUSY);
        assert_int_equal(sending->status, OK);
        assert_true(world->two.snapshot_size == sizes[i]);
        assert_true(world->two.snapshot_sum == snapshot_sum(sizes[i]));
        assert_int_equal(world->two.delivered, i + 1);
    }
    assert_true(world->two.heartbeats_between > 10);
}

static void test_transport__snapshots_that_fail_say_so(void **state)
{
    struct world *world = *state;
    struct sending *sending = &world->sending;

    send_snapshot(world, sending, 100); /* No link yet. */
    RUN_UNTIL(&world->loop, sending->done);
    assert_int_equal(sending->status, ERROR_UNAVAILABLE);
    link_both(&world->one, &world->two);
    world->two.refuse_write = ERROR_FULL;
    send_snapshot(world, sending, 5u << 20);
    RUN_UNTIL(&world->loop, sending->done);
    assert_int_equal(sending->status, ERROR_PEER);
    world->two.refuse_write = OK;
    world->two.refuse_finish = ERROR_CORRUPT;
    send_snapshot(world, sending, 5u << 20);
    RUN_UNTIL(&world->loop, sending->done);
    assert_int_equal(sending->status, ERROR_PEER);
    world->two.refuse_finish = OK;
    /* The receiver dies half way. */
    send_snapshot(world, sending, 20u << 20);
    run_for(&world->loop, 20);
    node_stop(&world->two);
    RUN_UNTIL(&world->loop, sending->done);
    assert_int_equal(sending->status, ERROR_UNAVAILABLE);
    assert_int_equal(world->two.created, world->two.released);
    assert_int_equal(world->two.delivered, 0);
    assert_int_equal(world->two.messages, 0);
}

static void test_transport_close__with_a_snapshot_under_way(void **state)
{
    struct world *world = *state;
    struct sending *sending = &world->sending;

    link_both(&world->one, &world->two);
    send_snapshot(world, sending, 20u << 20);
    run_for(&world->loop, 20);
    node_stop(&world->one);
    assert_true(sending->done);
    assert_int_not_equal(sending->status, OK);
    RUN_UNTIL(&world->loop, world->two.created == world->two.released);
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
        TEST(test_transport__snapshots_stream_while_heartbeats_pass),
        TEST(test_transport__snapshots_that_fail_say_so),
        TEST(test_transport_close__with_a_snapshot_under_way),
        TEST(test_transport_open__a_taken_address_is_an_error),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_LEVEL_ERROR, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
