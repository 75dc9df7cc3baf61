/* The whole way of a blob over three nodes (tests/lib/blob_cluster.h): pushes in every form,
 * through any node, relayed and durable on two before the 201; pulls from disk and from peers;
 * damage. */
#include "tests/lib/blob_client.h"

/* --- pushes ---------------------------------------------------------------------------------- */

static void test_push__post_and_put(void **state)
{
    struct bytes content = BYTES_LITERAL("a small blob");
    char target[512];
    struct answer answer;

    (void)state;
    push(0, "a/b", content);
    assert_true(count_copies(content) >= 2); /* At the 201 already. */
    for (unsigned i = 0; i < NODES; i++) {
        expect_content(i, "a/b", content);
    }
    blob_target("a/b", content, target);
    ask(1, "HEAD", target, NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.length, content.size);
    assert_non_null(strstr(target, answer.digest));
    buffer_release(&answer.body);
    blob_target("other/repository", content, target);
    assert_int_equal(ask_status(0, "GET", target, NULL, BYTES_NONE), 404);
    wait_for_holders(content, 3);
    assert_int_equal(count_copies(content), 3);
}

static void test_push__big_in_pieces_through_other_nodes(void **state)
{
    uint8_t *data = random_content(BIG_SIZE);
    struct bytes content = bytes_of(data, BIG_SIZE);
    size_t half = BIG_SIZE / 2;
    char location[512], digest[DIGEST_TEXT_MAX];
    struct answer answer;

    (void)state;
    digest_text(content, digest);
    open_session(0, "big", location);
    ask(1, "PATCH", location, "Transfer-Encoding: chunked", bytes_slice(content, 0, half), &answer);
    assert_int_equal(answer.status, 202);
    buffer_release(&answer.body);
    ask(2, "GET", location, NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.status, 204);
    {
        char range[64];

        snprintf(range, sizeof range, "0-%zu", half - 1);
        assert_string_equal(answer.range, range);
    }
    assert_string_equal(answer.location, location);
    buffer_release(&answer.body);
    assert_int_equal(put(2, location, digest, bytes_slice(content, half, BIG_SIZE)), 201);
    assert_true(count_copies(content) >= 2);
    assert_int_equal(put(1, location, digest, BYTES_NONE), 201); /* Again: the same answer. */
    assert_int_equal(ask_status(1, "GET", location, NULL, BYTES_NONE), 404);
    for (unsigned i = 0; i < NODES; i++) {
        expect_content(i, "big", content);
    }
    wait_for_holders(content, 3);
    free(data);
}

static void test_push__chunks_out_of_order_leave_the_session(void **state)
{
    struct bytes content = BYTES_LITERAL("0123456789");
    char location[512], digest[DIGEST_TEXT_MAX], target[800];
    struct answer answer;

    (void)state;
    digest_text(content, digest);
    open_session(0, "chunks", location);
    assert_int_equal(
        ask_status(0, "PATCH", location, "Content-Range: 0-4", bytes_slice(content, 0, 5)), 202);
    ask(1, "PATCH", location, "Content-Range: 7-9", bytes_slice(content, 7, 3), &answer);
    assert_int_equal(answer.status, 416);
    assert_string_equal(answer.range, "0-4");
    assert_string_equal(answer.location, location);
    buffer_release(&answer.body);
    assert_int_equal(
        ask_status(0, "PATCH", location, "Content-Range: 5-9", bytes_slice(content, 5, 3)), 400);
    snprintf(target, sizeof target, "%s?digest=%s", location, digest);
    assert_int_equal(ask_status(0, "PUT", target, "Content-Range: 6-9", bytes_slice(content, 6, 4)),
                     416);
    assert_int_equal(ask_status(0, "PUT", target, "Content-Range: 5-9", bytes_slice(content, 5, 5)),
                     201);
    expect_content(1, "chunks", content);
}

static void test_push__wrong_digest_and_cancel(void **state)
{
    char location[512], digest[DIGEST_TEXT_MAX];

    (void)state;
    digest_text(BYTES_LITERAL("right"), digest);
    open_session(0, "wrong", location);
    assert_int_equal(put(0, location, "sha256:abc", BYTES_LITERAL("wrong")), 400);
    assert_int_equal(ask_status(0, "GET", location, NULL, BYTES_NONE), 204);
    assert_int_equal(put(0, location, digest, BYTES_LITERAL("wrong")), 400);
    assert_int_equal(ask_status(0, "GET", location, NULL, BYTES_NONE), 404);
    assert_int_equal(count_holders(BYTES_LITERAL("wrong")), 0);
    open_session(0, "wrong", location);
    assert_int_equal(ask_status(2, "DELETE", location, NULL, BYTES_NONE), 204);
    assert_int_equal(ask_status(0, "DELETE", location, NULL, BYTES_NONE), 404);
    assert_int_equal(
        ask_status(0, "GET", "/v2/wrong/blobs/uploads/0000000000001000-zz", NULL, BYTES_NONE), 404);
}

static void test_push__monolithic_empty_and_sha512(void **state)
{
    char target[512], digest[DIGEST_TEXT_MAX];
    struct digest long_digest;

    (void)state;
    digest_text(BYTES_LITERAL(""), digest);
    snprintf(target, sizeof target, "/v2/mono/blobs/uploads/?digest=%s", digest);
    assert_int_equal(ask_status(0, "POST", target, NULL, BYTES_LITERAL("")), 201);
    expect_content(1, "mono", BYTES_LITERAL(""));
    digest_of(DIGEST_SHA512, BYTES_LITERAL("long"), &long_digest);
    digest_format(&long_digest, digest);
    snprintf(target, sizeof target, "/v2/mono/blobs/uploads/?digest=%s", digest);
    assert_int_equal(ask_status(0, "POST", target, NULL, BYTES_LITERAL("long")), 201);
    snprintf(target, sizeof target, "/v2/mono/blobs/%s", digest);
    assert_int_equal(ask_status(2, "GET", target, NULL, BYTES_NONE), 200);
}

static void test_push__body_cut_short_is_taken_back(void **state)
{
    struct bytes content = BYTES_LITERAL("0123456789");
    char location[512], digest[DIGEST_TEXT_MAX];
    struct answer answer;
    CURL *easy;
    char url[1024];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Length: 1000");

    (void)state;
    open_session(0, "cut", location);
    assert_int_equal(ask_status(0, "PATCH", location, NULL, bytes_slice(content, 0, 4)), 202);
    easy = curl_easy_init();
    snprintf(url, sizeof url, "%s%s", cluster.nodes[1].url, location);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PATCH");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "half");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 300L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    assert_int_not_equal(curl_easy_perform(easy), CURLE_OK);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    for (int i = 0; i < 500; i++) {
        ask(0, "PATCH", location, "Content-Range: 4-9", bytes_slice(content, 4, 6), &answer);
        buffer_release(&answer.body);
        if (answer.status != 409) { /* The other request is being cleared away. */
            break;
        }
        usleep(10000);
    }
    assert_int_equal(answer.status, 202);
    digest_text(content, digest);
    assert_int_equal(put(0, location, digest, BYTES_NONE), 201);
    expect_content(2, "cut", content);
}

static void test_push__mount(void **state)
{
    struct bytes content = BYTES_LITERAL("to be mounted");
    char target[512], digest[DIGEST_TEXT_MAX];

    (void)state;
    push(0, "source", content);
    digest_text(content, digest);
    snprintf(target, sizeof target, "/v2/target/blobs/uploads/?mount=%s&from=source", digest);
    assert_int_equal(ask_status(1, "POST", target, NULL, BYTES_NONE), 201);
    expect_content(2, "target", content);
    snprintf(target, sizeof target, "/v2/anywhere/blobs/uploads/?mount=%s", digest);
    assert_int_equal(ask_status(1, "POST", target, NULL, BYTES_NONE), 201);
    snprintf(target, sizeof target, "/v2/target2/blobs/uploads/?mount=%s&from=nowhere", digest);
    assert_int_equal(ask_status(1, "POST", target, NULL, BYTES_NONE), 202);
    assert_int_equal(
        ask_status(1, "POST", "/v2/t/blobs/uploads/?mount=rubbish&from=source", NULL, BYTES_NONE),
        202);
    blob_target("target", content, target);
    assert_int_equal(ask_status(0, "DELETE", target, NULL, BYTES_NONE), 202);
    assert_int_equal(ask_status(0, "GET", target, NULL, BYTES_NONE), 404);
    assert_int_equal(ask_status(0, "DELETE", target, NULL, BYTES_NONE), 404);
}

/* --- pulls ----------------------------------------------------------------------------------- */

static void expect_range(unsigned node, const char *target, const char *header, long status,
                         struct bytes expected, const char *content_range)
{
    struct answer answer;

    ask(node, "GET", target, header, BYTES_NONE, &answer);
    assert_int_equal(answer.status, status);
    if (status == 206) {
        assert_true(bytes_equal(buffer_view(&answer.body), expected));
    }
    assert_string_equal(answer.content_range, content_range);
    buffer_release(&answer.body);
}

static void test_pull__ranges_local_and_from_a_peer(void **state)
{
    uint8_t *data = random_content(2 * BLOB_TEST_SIZE);
    struct bytes content = bytes_of(data, 2 * BLOB_TEST_SIZE);
    char target[512];

    (void)state;
    push(0, "ranges", content);
    wait_for_holders(content, 3);
    blob_target("ranges", content, target);
    for (unsigned round = 0; round < 2; round++) {
        expect_range(0, target, "Range: bytes=500-1499", 206, bytes_slice(content, 500, 1000),
                     "bytes 500-1499/2097152");
        expect_range(0, target, "Range: bytes=-500", 206,
                     bytes_slice(content, content.size - 500, 500),
                     "bytes 2096652-2097151/2097152");
        expect_range(0, target, "Range: bytes=2097151-9999999", 206,
                     bytes_slice(content, content.size - 1, 1), "bytes 2097151-2097151/2097152");
        expect_range(0, target, "Range: bytes=2097152-", 416, BYTES_NONE, "bytes */2097152");
        expect_range(0, target, "Range: bytes=5-0", 416, BYTES_NONE, "bytes */2097152");
        expect_range(0, target, "Range: pieces=0-1", 200, BYTES_NONE, "");
        remove_copy(0, content); /* Once more, from peers (or what repair has brought back). */
    }
    expect_content(0, "ranges", content);
    free(data);
}

static void test_pull__conditions(void **state)
{
    struct bytes content = BYTES_LITERAL("conditional");
    char target[512], header[200], digest[DIGEST_TEXT_MAX];

    (void)state;
    push(0, "conditions", content);
    blob_target("conditions", content, target);
    digest_text(content, digest);
    snprintf(header, sizeof header, "If-None-Match: \"x\", W/\"%s\"", digest);
    assert_int_equal(ask_status(1, "GET", target, header, BYTES_NONE), 304);
    assert_int_equal(ask_status(1, "GET", target, "If-None-Match: \"x\"", BYTES_NONE), 200);
    assert_int_equal(ask_status(1, "GET", "/v2/conditions/blobs/sha256:12", NULL, BYTES_NONE), 400);
}

/* Both other copies are wrong: the client gets an error or a cut, never a whole wrong body. */
static void test_pull__wrong_bytes_of_a_peer_are_never_complete(void **state)
{
    uint8_t *data = random_content(2 * BLOB_TEST_SIZE);
    struct bytes content = bytes_of(data, 2 * BLOB_TEST_SIZE);
    struct answer answer;
    char target[512];

    (void)state;
    push(0, "peers", content);
    wait_for_holders(content, 3);
    damage_copy(1, content);
    damage_copy(2, content);
    remove_copy(0, content);
    blob_target("peers", content, target);
    ask(0, "GET", target, NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_not_equal(answer.code, CURLE_OK);
    assert_true(answer.body.size < content.size);
    buffer_release(&answer.body);
    free(data);
}

/* A wrong copy is never served: the right bytes come from a peer, and the copy is replaced. */
static void test_pull__damaged_copy_is_healed(void **state)
{
    struct bytes content = BYTES_LITERAL("to be damaged");
    struct test_node *node = &cluster.nodes[1];
    struct digest digest;

    (void)state;
    push(0, "damage", content);
    wait_for_holders(content, 3);
    digest_of(DIGEST_SHA256, content, &digest);
    damage_copy(1, content);
    expect_content(1, "damage", content);
    for (int i = 0; i < 1000 && blob_verify(node->worker.blobs, &digest, NULL) != OK; i++) {
        usleep(10000);
    }
    assert_int_equal(blob_verify(node->worker.blobs, &digest, NULL), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cluster_setup, cluster_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_push__post_and_put),
        TEST(test_push__big_in_pieces_through_other_nodes),
        TEST(test_push__chunks_out_of_order_leave_the_session),
        TEST(test_push__wrong_digest_and_cancel),
        TEST(test_push__monolithic_empty_and_sha512),
        TEST(test_push__body_cut_short_is_taken_back),
        TEST(test_push__mount),
        TEST(test_pull__ranges_local_and_from_a_peer),
        TEST(test_pull__conditions),
        TEST(test_pull__wrong_bytes_of_a_peer_are_never_complete),
        TEST(test_pull__damaged_copy_is_healed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
