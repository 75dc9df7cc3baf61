#ifndef TESTS_LIB_BLOB_CLUSTER_H
#define TESTS_LIB_BLOB_CLUSTER_H

/* Three nodes in one process, for tests of the blobs' way: real listeners, TLS between them, peers,
 * sessions, stores and repair. In place of the log there is one catalog that all of them share, and
 * control_propose() applies to it at once: replication of metadata is not what is tested here.
 * Include from one file only (it defines the control thread's door). */

#include "base/assert.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/access.h"
#include "node/control.h"
#include "node/http.h"
#include "node/peers.h"
#include "node/repair.h"
#include "node/routes_blobs.h"
#include "node/routes_internal.h"
#include "node/uploads.h"
#include "node/worker.h"
#include "tests/lib/directory.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NODES          3
#define TEST_CLUSTER   "0123456789abcdef0123456789abcdef"
#define TEST_REPAIR_MS 100

struct test_node {
    struct worker worker;
    uint64_t id;
    char directory[80], url[96], internal[64];
    struct http_listener *clients, *peers_listener;
    struct tls_context *tls;
    struct buffer certificate, key;
    struct uploads_options uploads;
    struct task task;
    uv_thread_t thread;
    uv_timer_t settle_timer;
    unsigned closing;
    bool is_down;
};

static struct {
    struct test_directory directory;
    struct catalog *catalog;
    pthread_mutex_t lock;
    uint64_t index;
    bool is_frozen; /* No quorum: nothing is applied. */
    struct buffer ca, ca_key;
    struct test_node nodes[NODES];
} cluster = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- in place of the log ---------------------------------------------------------------------- */

static inline enum error cluster_apply(struct bytes command, struct buffer *result)
{
    struct catalog_entry entry = {.term = 1, .commands = &command, .n = 1};
    enum error rv = OK;

    pthread_mutex_lock(&cluster.lock);
    if (cluster.is_frozen) {
        rv = ERROR_UNAVAILABLE;
    } else {
        entry.index = ++cluster.index;
        entry.time_ms = entry.index;
        catalog_apply(cluster.catalog, &entry, result);
    }
    pthread_mutex_unlock(&cluster.lock);
    return rv;
}

static inline void propose_answer(struct task *task)
{
    struct control_propose *request = container_of(task, struct control_propose, task);
    struct command_result result = {.error = OK};
    struct buffer bytes = request->bytes;

    if (request->status == OK) {
        assert_int_equal(command_result_read(buffer_view(&bytes), &result), OK);
    }
    request->cb(request, request->status, &result);
    buffer_release(&bytes);
}

void control_propose(struct worker *worker, struct control_propose *request, control_propose_cb cb)
{
    struct buffer result;

    buffer_init(&result, 1024u * 1024);
    request->worker = worker;
    request->cb = cb;
    request->status = cluster_apply(buffer_view(&request->bytes), &result);
    buffer_release(&request->bytes);
    request->bytes = result;
    request->task.run = propose_answer;
    mailbox_post(&worker->mailbox, &request->task);
}

static inline void read_answer(struct task *task)
{
    struct control_read *request = container_of(task, struct control_read, task);

    request->cb(request, request->status);
}

void control_read(struct worker *worker, struct control_read *request, control_read_cb cb)
{
    pthread_mutex_lock(&cluster.lock);
    request->status = cluster.is_frozen ? ERROR_UNAVAILABLE : OK;
    pthread_mutex_unlock(&cluster.lock);
    request->cb = cb;
    request->task.run = read_answer;
    mailbox_post(&worker->mailbox, &request->task);
}

/* All nodes share one catalog: each has applied everything. */
void control_wait_applied(struct worker *worker, struct control_read *request, uint64_t index,
                          control_read_cb cb)
{
    assert_true(index <= cluster.index);
    control_read(worker, request, cb);
}

static inline void cluster_command(struct buffer *command)
{
    struct command_result decoded;
    struct buffer result;

    buffer_init(&result, 1024u * 1024);
    assert_int_equal(buffer_status(command), OK);
    assert_int_equal(cluster_apply(buffer_view(command), &result), OK);
    assert_int_equal(command_result_read(buffer_view(&result), &decoded), OK);
    if (decoded.error != OK) {
        fail_msg("%s", decoded.why.text);
    }
    buffer_release(&result);
    buffer_release(command);
}

/* --- one node --------------------------------------------------------------------------------- */

static inline void node_thread(void *data)
{
    struct test_node *node = data;

    CHECK(uv_run(&node->worker.loop, UV_RUN_DEFAULT) == 0);
}

static inline void node_tls(struct test_node *node)
{
    struct tls_options options = {.role = TLS_PEER, .cluster = TEST_CLUSTER};
    struct buffer request;

    buffer_init(&node->certificate, 65536);
    buffer_init(&node->key, 65536);
    buffer_init(&request, 65536);
    assert_int_equal(tls_make_request(&node->key, &request, NULL), OK);
    assert_int_equal(tls_sign_request(buffer_view(&cluster.ca), buffer_view(&cluster.ca_key),
                                      buffer_view(&request), TEST_CLUSTER, node->id,
                                      &node->certificate, NULL),
                     OK);
    buffer_release(&request);
    options.certificate = buffer_view(&node->certificate);
    options.key = buffer_view(&node->key);
    options.ca = buffer_view(&cluster.ca);
    assert_int_equal(tls_context_open(&options, &node->tls, NULL), OK);
}

static inline void node_listen(struct test_node *node, const char *clients, const char *internal)
{
    static const struct route *const client_routes[] = {routes_blobs, NULL};
    static const struct route *const peer_routes[] = {routes_blobs, routes_internal, NULL};
    struct http_listener_options options = {
        .worker = &node->worker, .address = clients, .routes = client_routes};
    char address[64];

    assert_int_equal(http_listener_open(&options, &node->clients, NULL), OK);
    http_listener_address(node->clients, address);
    snprintf(node->url, sizeof node->url, "http://%s", address);
    options.address = internal;
    options.tls = node->tls;
    options.is_internal = true;
    options.routes = peer_routes;
    assert_int_equal(http_listener_open(&options, &node->peers_listener, NULL), OK);
    http_listener_address(node->peers_listener, node->internal);
}

static inline void node_start(struct test_node *node, const char *internal)
{
    struct worker *worker = &node->worker;
    struct peers_options peers = {.loop = &worker->loop,
                                  .catalog = cluster.catalog,
                                  .cluster = TEST_CLUSTER,
                                  .self = node->id,
                                  .certificate = buffer_view(&node->certificate),
                                  .key = buffer_view(&node->key),
                                  .ca = buffer_view(&cluster.ca)};
    struct repair_options repair = {.worker = worker, .interval_ms = TEST_REPAIR_MS};

    *worker = (struct worker){.catalog = cluster.catalog};
    CHECK(uv_loop_init(&worker->loop) == 0);
    mailbox_init(&worker->mailbox, &worker->loop);
    CHECK(uv_timer_init(&worker->loop, &node->settle_timer) == 0);
    worker->access = access_cache_open(true);
    node->uploads.loop = &worker->loop;
    node->uploads.self = node->id;
    node->uploads.name = "node-under-test";
    assert_int_equal(blob_store_open(node->directory, &worker->blobs, NULL), OK);
    node->uploads.blobs = worker->blobs;
    assert_int_equal(uploads_open(&node->uploads, &worker->uploads, NULL), OK);
    assert_int_equal(peers_open(&peers, &worker->peers, NULL), OK);
    assert_int_equal(repair_open(&repair, &worker->repair, NULL), OK);
    node_listen(node, "127.0.0.1:0", internal);
    node->is_down = false;
    assert_int_equal(uv_thread_create(&node->thread, node_thread, node), 0);
}

/* What uses a part is closed before it, in the order of node/node_workers.c and node/worker.c: the
 * last commit of a fetch, and a copy that outlived its answer, still ask for the peers. */
static inline void peers_closed_cb(void *data)
{
    struct test_node *node = data;

    uv_close((uv_handle_t *)&node->settle_timer, NULL);
    mailbox_close(&node->worker.mailbox);
}

static inline void uploads_closed_cb(void *data)
{
    struct test_node *node = data;

    peers_close(node->worker.peers, peers_closed_cb, node);
}

static inline void repair_closed_cb(void *data)
{
    struct test_node *node = data;

    uploads_close(node->worker.uploads, uploads_closed_cb, node);
}

static inline void node_settle_cb(uv_timer_t *timer)
{
    struct test_node *node = container_of(timer, struct test_node, settle_timer);

    if (node->worker.exchanges_pending > 0 || node->worker.copies_pending > 0) {
        peers_cancel(node->worker.peers);
        return;
    }
    uv_timer_stop(timer);
    repair_close(node->worker.repair, repair_closed_cb, node);
}

static inline void node_drained_cb(void *data)
{
    struct test_node *node = data;

    if (--node->closing == 0) {
        CHECK(uv_timer_start(&node->settle_timer, node_settle_cb, 0, 5) == 0);
    }
}

static inline void node_stop_run(struct task *task)
{
    struct test_node *node = container_of(task, struct test_node, task);

    node->closing = 2;
    http_listener_close(node->clients, 0, node_drained_cb, node);
    http_listener_close(node->peers_listener, 0, node_drained_cb, node);
}

static inline void node_stop(struct test_node *node)
{
    if (node->is_down) {
        return;
    }
    node->is_down = true;
    node->task.run = node_stop_run;
    mailbox_post(&node->worker.mailbox, &node->task);
    assert_int_equal(uv_thread_join(&node->thread), 0);
    assert_int_equal(uv_loop_close(&node->worker.loop), 0);
    blob_store_close(node->worker.blobs);
    access_cache_close(node->worker.access);
}

/* --- all of them ------------------------------------------------------------------------------ */

static inline void cluster_members(void)
{
    uint8_t token[32] = {0};
    struct command_id id;
    struct buffer command;

    for (unsigned i = 0; i < NODES; i++) {
        struct test_node *node = &cluster.nodes[i];
        char name[16];
        struct member_record member = {.id = node->id};

        snprintf(name, sizeof name, "node-%u", i + 1);
        member.name = bytes_of_string(name);
        member.raft_address = member.client_address = BYTES_LITERAL("127.0.0.1:1");
        member.data_address = bytes_of_string(node->internal);
        buffer_init(&command, COMMAND_SIZE_MAX);
        command_id_make(&id);
        if (i == 0) {
            struct cluster_record record = {.id = bytes_of_string(TEST_CLUSTER)};

            record.ca_certificate = buffer_view(&cluster.ca);
            record.ca_key = buffer_view(&cluster.ca_key);
            command_cluster_create(&command, &id, &record, &member, NULL);
            cluster_command(&command);
            buffer_init(&command, COMMAND_SIZE_MAX);
            command_id_make(&id);
            command_join_token_put(&command, &id, BYTES_LITERAL("admin"), bytes_of(token, 32),
                                   UINT64_MAX / 2, 100);
        } else {
            command_member_put(&command, &id, BYTES_LITERAL("admin"), &member, bytes_of(token, 32));
        }
        cluster_command(&command);
    }
}

static inline int cluster_setup(void **state)
{
    char path[96];

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* As the program does. */
    test_directory_make(&cluster.directory);
    snprintf(path, sizeof path, "%s/meta", cluster.directory.path);
    {
        static const struct command_row *rows[64]; /* Borrowed by the catalog. */

        for (size_t i = 0; i < catalog_commands_n; i++) {
            rows[i] = &catalog_commands[i];
        }
        assert_int_equal(catalog_open(path, rows, catalog_commands_n, &cluster.catalog, NULL), OK);
    }
    cluster.index = 0;
    cluster.is_frozen = false;
    buffer_init(&cluster.ca, 65536);
    buffer_init(&cluster.ca_key, 65536);
    assert_int_equal(tls_make_ca(TEST_CLUSTER, &cluster.ca, &cluster.ca_key, NULL), OK);
    for (unsigned i = 0; i < NODES; i++) {
        struct test_node *node = &cluster.nodes[i];

        *node = (struct test_node){.id = 0x1000 + i};
        snprintf(node->directory, sizeof node->directory, "%s/node-%u", cluster.directory.path,
                 i + 1);
        node_tls(node);
        node_start(node, "127.0.0.1:0");
    }
    cluster_members();
    return 0;
}

static inline int cluster_teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++) {
        struct test_node *node = &cluster.nodes[i];

        node_stop(node);
        tls_context_release(node->tls);
        buffer_release(&node->certificate);
        buffer_release(&node->key);
    }
    catalog_close(cluster.catalog);
    buffer_release(&cluster.ca);
    buffer_release(&cluster.ca_key);
    test_directory_remove(&cluster.directory);
    return 0;
}

/* --- a client --------------------------------------------------------------------------------- */

struct answer {
    long status;
    char location[512], range[64], digest[160], content_range[80];
    int64_t length;
    CURLcode code;
    struct buffer body;
};

static inline size_t answer_write(char *data, size_t size, size_t n, void *buffer)
{
    buffer_append(buffer, bytes_of(data, size * n));
    return size * n;
}

static inline void answer_header(CURL *easy, const char *name, char *out, size_t size)
{
    struct curl_header *header;

    out[0] = '\0';
    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        snprintf(out, size, "%s", header->value);
    }
}

/* body.data NULL: none. header: one more, or NULL. The answer's body is to be released. */
static inline void ask(unsigned node, const char *method, const char *target, const char *header,
                       struct bytes body, struct answer *out)
{
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char url[1024];

    snprintf(url, sizeof url, "%s%s", cluster.nodes[node].url, target);
    *out = (struct answer){.status = 0};
    buffer_init(&out->body, 64u * 1024 * 1024);
    if (header != NULL) {
        headers = curl_slist_append(headers, header);
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, answer_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &out->body);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (body.data != NULL || strcmp(method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body.size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                         body.data != NULL ? (const char *)body.data : "");
    }
    out->code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &out->status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &out->length);
    answer_header(easy, "Location", out->location, sizeof out->location);
    answer_header(easy, "Range", out->range, sizeof out->range);
    answer_header(easy, "Docker-Content-Digest", out->digest, sizeof out->digest);
    answer_header(easy, "Content-Range", out->content_range, sizeof out->content_range);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
}

#endif
