#include "tests/lib/transports.h"

/* --- snapshots ------------------------------------------------------------------------------- */

static uint64_t snapshot_sum(uint64_t size)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < size; i++) {
        sum = sum * 31 + snapshot_byte(i);
    }
    return sum;
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_transport__snapshots_stream_while_heartbeats_pass),
        TEST(test_transport__snapshots_that_fail_say_so),
        TEST(test_transport_close__with_a_snapshot_under_way),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_LEVEL_ERROR, "test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
