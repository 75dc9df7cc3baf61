/* A blob's way when nodes are down, frozen, full or not who they should be, and when there is no
 * quorum. */
#include "tests/lib/blob_client.h"

#include <stdatomic.h>

/* --- nodes that are down ---------------------------------------------------------------------- */

static void test_down__two_of_three_take_a_push_and_the_third_catches_up(void **state)
{
    uint8_t *data = random_content(BIG_SIZE);
    struct bytes content = bytes_of(data, BIG_SIZE);
    struct test_node *node = &cluster.nodes[2];
    char internal[64];

    (void)state;
    memcpy(internal, node->internal, sizeof internal);
    node_stop(node);
    push(0, "down", content);
    assert_int_equal(count_copies(content), 2);
    assert_int_equal(count_holders(content), 2);
    expect_content(1, "down", content);
    node_start(node, internal);
    expect_content(2, "down", content); /* Streamed from a holder, or fetched already. */
    wait_for_holders(content, 3);
    assert_int_equal(count_copies(content), 3);
    free(data);
}

static void test_down__one_of_three_refuses_and_the_same_put_works_later(void **state)
{
    struct bytes content = BYTES_LITERAL("waits for company");
    char location[512], digest[DIGEST_TEXT_MAX], internal[64];

    (void)state;
    memcpy(internal, cluster.nodes[1].internal, sizeof internal);
    digest_text(content, digest);
    open_session(0, "alone", location);
    node_stop(&cluster.nodes[1]);
    node_stop(&cluster.nodes[2]);
    assert_int_equal(put(0, location, digest, content), 503);
    assert_int_equal(count_holders(content), 0);
    node_start(&cluster.nodes[1], internal);
    assert_int_equal(put(0, location, digest, BYTES_NONE), 201);
    assert_int_equal(count_holders(content), 2);
}

static atomic_bool is_thawed;

static void freeze_run(struct task *task)
{
    (void)task;
    for (int i = 0; i < 2000 && !atomic_load(&is_thawed); i++) {
        usleep(10000);
    }
}

/* A node that accepts connections and does nothing else (stopped, or its disk hangs). */
static void test_down__frozen_node_does_not_hold_up_a_push(void **state)
{
    uint8_t *data = random_content(BIG_SIZE);
    struct bytes content = bytes_of(data, BIG_SIZE);
    struct task freeze = {.run = freeze_run};

    (void)state;
    push(0, "warm", BYTES_LITERAL("so that connections are open"));
    atomic_store(&is_thawed, false);
    mailbox_post(&cluster.nodes[2].worker.mailbox, &freeze);
    push(0, "frozen", content);
    expect_content(1, "frozen", content);
    assert_int_equal(count_copies(content), 2);
    atomic_store(&is_thawed, true);
    wait_for_holders(content, 3);
    free(data);
}

static void test_down__owner_gone_is_an_unknown_upload(void **state)
{
    char location[512];

    (void)state;
    open_session(0, "gone", location);
    node_stop(&cluster.nodes[0]);
    assert_int_equal(ask_status(1, "PATCH", location, NULL, BYTES_LITERAL("x")), 404);
}

static void test_down__no_quorum_is_503_and_keeps_the_session(void **state)
{
    struct bytes content = BYTES_LITERAL("log without quorum");
    char location[512], digest[DIGEST_TEXT_MAX], target[512];

    (void)state;
    digest_text(content, digest);
    open_session(0, "frozen", location);
    pthread_mutex_lock(&cluster.lock);
    cluster.is_frozen = true;
    pthread_mutex_unlock(&cluster.lock);
    assert_int_equal(put(0, location, digest, content), 503);
    blob_target("frozen", content, target);
    assert_int_equal(ask_status(1, "GET", target, NULL, BYTES_NONE), 503);
    pthread_mutex_lock(&cluster.lock);
    cluster.is_frozen = false;
    pthread_mutex_unlock(&cluster.lock);
    assert_int_equal(put(0, location, digest, BYTES_NONE), 201);
    expect_content(1, "frozen", content);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void test_limits__full_disk_and_too_many_sessions(void **state)
{
    struct test_node *node = &cluster.nodes[0];
    struct answer answer;
    char location[512];

    (void)state;
    node_stop(node);
    node->uploads.free_min = UINT64_MAX;
    node_start(node, "127.0.0.1:0");
    ask(0, "POST", "/v2/full/blobs/uploads/", NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(buffer_string(&answer.body), "node-under-test has"));
    buffer_release(&answer.body);
    node_stop(node);
    node->uploads.free_min = 1;
    node->uploads.per_actor = 2;
    node_start(node, "127.0.0.1:0");
    open_session(0, "many", location);
    open_session(0, "many", location);
    assert_int_equal(ask_status(0, "POST", "/v2/many/blobs/uploads/", NULL, BYTES_NONE), 429);
    assert_int_equal(ask_status(0, "DELETE", location, NULL, BYTES_NONE), 204);
    open_session(0, "many", location);
}

/* A certificate of another node is not the one that was asked for. */
static void test_peers__another_nodes_certificate_is_refused(void **state)
{
    struct bytes content = BYTES_LITERAL("not to an impostor");
    char first[64], second[64], location[512], digest[DIGEST_TEXT_MAX];
    uint64_t id = cluster.nodes[1].id;

    (void)state;
    memcpy(first, cluster.nodes[1].internal, sizeof first);
    memcpy(second, cluster.nodes[2].internal, sizeof second);
    digest_text(content, digest);
    open_session(0, "impostor", location);
    node_stop(&cluster.nodes[1]);
    node_stop(&cluster.nodes[2]);
    /* Node 3, with its own certificate, at node 2's address. */
    node_start(&cluster.nodes[2], first);
    assert_int_equal(put(0, location, digest, content), 503);
    assert_int_equal(count_copies(content), 1);
    assert_int_equal(cluster.nodes[1].id, id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cluster_setup, cluster_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_down__two_of_three_take_a_push_and_the_third_catches_up),
        TEST(test_down__one_of_three_refuses_and_the_same_put_works_later),
        TEST(test_down__frozen_node_does_not_hold_up_a_push),
        TEST(test_down__owner_gone_is_an_unknown_upload),
        TEST(test_down__no_quorum_is_503_and_keeps_the_session),
        TEST(test_limits__full_disk_and_too_many_sessions),
        TEST(test_peers__another_nodes_certificate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
