#ifndef TESTS_LIB_BLOB_CLIENT_H
#define TESTS_LIB_BLOB_CLIENT_H

/* What tests of the blobs' way do and look at, over tests/lib/blob_cluster.h. */

#include "tests/lib/blob_cluster.h"

#define BIG_SIZE       (9u * 1024 * 1024 + 123)
#define BLOB_TEST_SIZE (1024u * 1024)

static inline void digest_text(struct bytes content, char text[DIGEST_TEXT_MAX])
{
    struct digest digest;

    digest_of(DIGEST_SHA256, content, &digest);
    digest_format(&digest, text);
}

static inline uint8_t *random_content(size_t size)
{
    uint8_t *content = memory_alloc(size);

    random_bytes(content, size);
    return content;
}

static inline long ask_status(unsigned node, const char *method, const char *target,
                              const char *header, struct bytes body)
{
    struct answer answer;

    ask(node, method, target, header, body, &answer);
    if (answer.status >= 400) {
        print_message("%s %s: %ld %s\n", method, target, answer.status,
                      buffer_string(&answer.body));
    }
    buffer_release(&answer.body);
    return answer.status;
}

/* POST, and the Location's path. */
static inline void open_session(unsigned node, const char *repository, char location[512])
{
    char target[256];
    struct answer answer;

    snprintf(target, sizeof target, "/v2/%s/blobs/uploads/", repository);
    ask(node, "POST", target, NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.status, 202);
    assert_string_equal(answer.range, "0-0");
    assert_true(strncmp(answer.location, target, strlen(target)) == 0);
    memcpy(location, answer.location, 512);
    buffer_release(&answer.body);
}

static inline long put(unsigned node, const char *location, const char *digest, struct bytes body)
{
    char target[800];

    snprintf(target, sizeof target, "%s?digest=%s", location, digest);
    return ask_status(node, "PUT", target, NULL, body);
}

static inline void push(unsigned node, const char *repository, struct bytes content)
{
    char location[512], digest[DIGEST_TEXT_MAX];

    digest_text(content, digest);
    open_session(node, repository, location);
    assert_int_equal(put(node, location, digest, content), 201);
}

static inline void blob_target(const char *repository, struct bytes content, char target[512])
{
    char digest[DIGEST_TEXT_MAX];

    digest_text(content, digest);
    snprintf(target, 512, "/v2/%s/blobs/%s", repository, digest);
}

static inline void expect_content(unsigned node, const char *repository, struct bytes content)
{
    char target[512];
    struct answer answer;

    blob_target(repository, content, target);
    ask(node, "GET", target, NULL, BYTES_NONE, &answer);
    assert_int_equal(answer.code, CURLE_OK);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.length, content.size);
    assert_true(bytes_equal(buffer_view(&answer.body), content));
    buffer_release(&answer.body);
}

static inline unsigned count_copies(struct bytes content)
{
    struct digest digest;
    unsigned n = 0;

    digest_of(DIGEST_SHA256, content, &digest);
    for (unsigned i = 0; i < NODES; i++) {
        n += !cluster.nodes[i].is_down && blob_exists(cluster.nodes[i].worker.blobs, &digest);
    }
    return n;
}

static inline size_t count_holders(struct bytes content)
{
    struct catalog_txn txn;
    struct blob_record record;
    struct digest digest;
    size_t n = 0;

    digest_of(DIGEST_SHA256, content, &digest);
    catalog_read(cluster.catalog, &txn);
    if (catalog_blob(&txn, &digest, &record) == OK) {
        n = record.n_holders;
    }
    catalog_done(&txn);
    return n;
}

static inline void wait_for_holders(struct bytes content, size_t n)
{
    for (int i = 0; i < 1000 && count_holders(content) != n; i++) {
        usleep(10000);
    }
    assert_int_equal(count_holders(content), n);
}

static inline void remove_copy(unsigned node, struct bytes content)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, content, &digest);
    (void)!blob_remove(cluster.nodes[node].worker.blobs, &digest, NULL);
}

static inline void damage_copy(unsigned node, struct bytes content)
{
    struct digest digest;
    char path[400], hex[DIGEST_HEX_MAX];
    FILE *file;

    digest_of(DIGEST_SHA256, content, &digest);
    digest_format_hex(&digest, hex);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", cluster.nodes[node].directory, hex, hex);
    file = fopen(path, "r+");
    assert_non_null(file);
    assert_true(fputs("XX", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#endif
