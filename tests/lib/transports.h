#ifndef TESTS_LIB_TRANSPORTS_H
#define TESTS_LIB_TRANSPORTS_H

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

/* Two transports on loopback, each with a snapshot made of numbers. */

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

#endif
