#include "node/routes_manifests.h"

#include "base/memory.h"
#include "base/password.h"
#include "node/applied_wait.h"
#include "node/control.h"
#include "node/manifest_load.h"
#include "node/node.h"
#include "node/replicate.h"
#include "tests/lib/catalog_fixture.h"
#include "tests/lib/directory.h"
#include "tests/lib/http_server.h"

#include <stdatomic.h>

/* The metadata routes over a real catalog and blob store; the log and the other nodes are fakes:
 * what is proposed is applied at once, or refused while has_quorum is false. */

static struct catalog_fixture fixture;
static struct test_directory directory;
static struct http_server server;
static struct buffer answer;
static atomic_bool has_quorum;

#define OCI   "application/vnd.oci.image.manifest.v1+json"
#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define IMAGE                                                                                      \
    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" EMPTY                   \
    "\",\"size\":0},\"layers\":[]"

/* --- fakes -------------------------------------------------------------------------------------
 */

static void propose_run(struct task *task)
{
    struct control_propose *request =
        (struct control_propose *)(void *)((char *)task - offsetof(struct control_propose, task));
    struct buffer none = {0};

    if (!atomic_load(&has_quorum)) {
        buffer_release(&request->bytes);
        request->cb(request, ERROR_UNAVAILABLE, NULL);
        return;
    }
    (void)fixture_apply(&fixture, &request->bytes);
    request->bytes = none;
    request->cb(request, OK, &fixture.result);
}

void control_propose(struct worker *worker, struct control_propose *request, control_propose_cb cb)
{
    request->cb = cb;
    request->task.run = propose_run;
    mailbox_post(&worker->mailbox, &request->task);
}

static void read_run(struct task *task)
{
    struct control_read *request =
        (struct control_read *)(void *)((char *)task - offsetof(struct control_read, task));

    request->cb(request, atomic_load(&has_quorum) ? OK : ERROR_UNAVAILABLE);
}

void control_read(struct worker *worker, struct control_read *request, control_read_cb cb)
{
    request->cb = cb;
    request->task.run = read_run;
    mailbox_post(&worker->mailbox, &request->task);
}

void control_wait_applied(struct worker *worker, struct control_read *request, uint64_t index,
                          control_read_cb cb)
{
    (void)index;
    control_read(worker, request, cb);
}

struct fake_replicate {
    struct task task;
    struct replicate *request;
};

static void replicate_run(struct task *task)
{
    struct replicate *request = ((struct fake_replicate *)(void *)task)->request;

    free(task);
    request->holders[0] = 1;
    request->n_holders = 1;
    request->cb(request, OK, NULL);
}

void replicate_start(struct worker *worker, struct replicate *request, struct bytes repository,
                     const struct digest *digest, struct bytes content, replicate_cb cb)
{
    struct fake_replicate *fake = memory_zero(sizeof *fake);

    (void)repository;

    assert_int_equal(blob_save(worker->blobs, digest, content, NULL), OK);
    fake->request = request;
    fake->task.run = replicate_run;
    request->cb = cb;
    mailbox_post(&worker->mailbox, &fake->task);
}

/* No other nodes. */
struct fake_wait {
    struct task task;
    void (*cb)(void *data);
    void *data;
};

static void wait_run(struct task *task)
{
    struct fake_wait *wait = (struct fake_wait *)(void *)task;

    wait->cb(wait->data);
    free(wait);
}

void applied_wait_start(struct worker *worker, uint64_t index, void (*cb)(void *data), void *data)
{
    struct fake_wait *fake = memory_zero(sizeof *fake);

    (void)index;
    fake->task.run = wait_run;
    fake->cb = cb;
    fake->data = data;
    mailbox_post(&worker->mailbox, &fake->task);
}

bool node_allows_sparse(const struct node *node)
{
    (void)node;
    return false;
}

/* --- helpers -----------------------------------------------------------------------------------
 */

static const char *credentials = "YWRtaW46c2VjcmV0"; /* admin:secret */

static void talk(const char *method, const char *target, const char *headers, const char *body)
{
    struct buffer request;

    buffer_init(&request, 8u << 20);
    buffer_print(&request,
                 "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic %s\r\n%s",
                 method, target, credentials, headers);
    if (body != NULL) {
        buffer_print(&request, "Content-Length: %zu\r\n", strlen(body));
    }
    buffer_append_string(&request, "\r\n");
    buffer_append_string(&request, body == NULL ? "" : body);
    http_client_talk(&server, buffer_view(&request), &answer);
    buffer_release(&request);
}

static void assert_answer(const char *text)
{
    if (strstr(buffer_string(&answer), text) == NULL) {
        print_error("no \"%s\" in: %.900s\n", text, buffer_string(&answer));
        fail();
    }
}

static void assert_status(unsigned status)
{
    char text[16];

    snprintf(text, sizeof text, "HTTP/1.1 %u ", status);
    assert_answer(text);
}

static void assert_body(const char *text)
{
    const char *end = strstr(buffer_string(&answer), "\r\n\r\n");

    assert_non_null(end);
    assert_string_equal(end + 4, text);
}

static void digest_text(const char *content, char text[DIGEST_TEXT_MAX])
{
    struct digest digest;

    digest_of(DIGEST_SHA256, bytes_of_string(content), &digest);
    digest_format(&digest, text);
}

/* The empty blob is in the repository. */
static void link_blob(const char *repository)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(&fixture);
    const uint64_t holder = 1;
    struct digest digest;

    digest_of(DIGEST_SHA256, BYTES_LITERAL(""), &digest);
    command_blob_commit(&command, &id, bytes_of_string("admin"), bytes_of_string(repository),
                        &digest, 0, &holder, 1);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void test_manifests__push_pull_delete(void **state)
{
    char digest[DIGEST_TEXT_MAX], target[300];

    (void)state;
    digest_text(IMAGE "}", digest);
    talk("PUT", "/v2/a/b/manifests/v1", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(201);
    snprintf(target, sizeof target, "Location: /v2/a/b/manifests/%s\r\n", digest);
    assert_answer(target);
    snprintf(target, sizeof target, "Docker-Content-Digest: %s\r\n", digest);
    assert_answer(target);
    assert_answer("X-Raft-Index: ");
    talk("GET", "/v2/a/b/manifests/v1", "", NULL);
    assert_status(200);
    assert_answer(target);
    assert_answer("Content-Type: " OCI "\r\n");
    assert_body(IMAGE "}");
    talk("HEAD", "/v2/a/b/manifests/v1", "", NULL);
    assert_status(200);
    assert_answer(target);
    assert_answer("Content-Length: 152\r\n");
    assert_body("");
    snprintf(target, sizeof target, "/v2/a/b/manifests/%s", digest);
    talk("GET", target, "", NULL);
    assert_body(IMAGE "}");
    snprintf(target, sizeof target, "If-None-Match: \"%s\"\r\n", digest);
    talk("GET", "/v2/a/b/manifests/v1", target, NULL);
    assert_status(304);
    snprintf(target, sizeof target, "/v2/a/b/manifests/%s?tag=x&tag=y&tag=x", digest);
    talk("PUT", target, "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(201);
    assert_answer("OCI-Tag: x, y\r\n");
    talk("GET", "/v2/a/b/tags/list", "", NULL);
    assert_body("{\"name\":\"a/b\",\"tags\":[\"v1\",\"x\",\"y\"]}");
    talk("DELETE", "/v2/a/b/manifests/x", "", NULL);
    assert_status(202);
    talk("GET", "/v2/a/b/manifests/x", "", NULL);
    assert_status(404);
    assert_answer("MANIFEST_UNKNOWN");
    snprintf(target, sizeof target, "/v2/a/b/manifests/%s", digest);
    talk("DELETE", target, "", NULL);
    assert_status(202);
    talk("GET", target, "", NULL);
    assert_status(404);
    talk("DELETE", target, "", NULL);
    assert_status(404);
    talk("GET", "/v2/a/b/tags/list", "", NULL);
    assert_body("{\"name\":\"a/b\",\"tags\":[]}");
}

static void test_manifests__bad_pushes(void **state)
{
    char *large = memory_alloc(MANIFEST_SIZE_MAX + 2);
    char digest[DIGEST_TEXT_MAX], target[300];

    (void)state;
    memset(large, ' ', MANIFEST_SIZE_MAX + 1);
    large[MANIFEST_SIZE_MAX + 1] = '\0';
    talk("PUT", "/v2/a/b/manifests/v1", "Content-Type: " OCI "\r\n", large);
    free(large);
    assert_status(413);
    assert_answer("MANIFEST_INVALID");
    talk("PUT", "/v2/a/b/manifests/v1", "Content-Type: " OCI "\r\n", "{\"schemaVersion\":2");
    assert_status(400);
    assert_answer("MANIFEST_INVALID");
    talk("PUT", "/v2/a/b/manifests/v1", "Content-Type: text/plain\r\n", IMAGE "}");
    assert_status(400);
    digest_text("another", digest);
    snprintf(target, sizeof target, "/v2/a/b/manifests/%s", digest);
    talk("PUT", target, "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(400);
    assert_answer("DIGEST_INVALID");
    talk("PUT", "/v2/a/b/manifests/sha256:baddigeststring", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(400);
    assert_answer("DIGEST_INVALID");
    talk("GET", "/v2/a/b/manifests/sha256:baddigeststring", "", NULL);
    assert_status(400);
    talk("PUT", "/v2/a/b/manifests/-x", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(400);
    talk("PUT", "/v2/other/manifests/v1", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(400);
    assert_answer("MANIFEST_BLOB_UNKNOWN");
    assert_answer("\"detail\":{\"digest\":\"" EMPTY "\"");
    talk("GET", "/v2/none/manifests/v1", "", NULL);
    assert_status(404);
    talk("GET", "/v2/none/tags/list", "", NULL);
    assert_status(404);
    assert_answer("NAME_UNKNOWN");
}

static void test_manifests__conditions(void **state)
{
    (void)state;
    talk("PUT", "/v2/a/b/manifests/c", "Content-Type: " OCI "\r\nIf-None-Match: *\r\n", IMAGE "}");
    assert_status(201);
    talk("PUT", "/v2/a/b/manifests/c", "Content-Type: " OCI "\r\nIf-None-Match: *\r\n", IMAGE "}");
    assert_status(412);
    talk("PUT", "/v2/a/b/manifests/c", "Content-Type: " OCI "\r\nIf-Match: \"" EMPTY "\"\r\n",
         IMAGE ",\"x\":1}");
    assert_status(412);
    talk("PUT", "/v2/a/b/manifests/c", "Content-Type: " OCI "\r\nIf-Match: junk\r\n", IMAGE "}");
    assert_status(400);
}

static void test_manifests__promotion_only_is_refused_with_the_way_to_go(void **state)
{
    (void)state;
    talk("PUT", "/v2/prod/b/manifests/v1", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(403);
    assert_answer("\"code\":\"DENIED\"");
    assert_answer("\"pipeline\":\"shop\"");
    assert_answer("--to live");
    talk("DELETE", "/v2/prod/b/manifests/v1", "", NULL);
    assert_status(403);
}

static void test_manifests__without_a_quorum(void **state)
{
    (void)state;
    talk("PUT", "/v2/a/b/manifests/q", "Content-Type: " OCI "\r\n", IMAGE "}");
    assert_status(201);
    atomic_store(&has_quorum, false);
    talk("PUT", "/v2/a/b/manifests/q", "Content-Type: " OCI "\r\n", IMAGE ",\"x\":1}");
    assert_status(503);
    assert_answer("Retry-After: 1\r\n");
    talk("GET", "/v2/a/b/manifests/q", "", NULL);
    assert_status(503);
    talk("GET", "/v2/a/b/manifests/q?consistency=stale", "", NULL);
    atomic_store(&has_quorum, true);
    assert_status(200);
    assert_answer("X-Caisson-Consistency: stale\r\n");
}

static void test_lists__pages(void **state)
{
    (void)state;
    link_blob("pages");
    talk("PUT", "/v2/pages/manifests/a", "Content-Type: " OCI "\r\n", IMAGE "}");
    talk("PUT", "/v2/pages/manifests/b", "Content-Type: " OCI "\r\n", IMAGE "}");
    talk("PUT", "/v2/pages/manifests/c", "Content-Type: " OCI "\r\n", IMAGE "}");
    talk("GET", "/v2/pages/tags/list?n=2", "", NULL);
    assert_answer("Link: </v2/pages/tags/list?last=b&n=2>; rel=\"next\"\r\n");
    assert_body("{\"name\":\"pages\",\"tags\":[\"a\",\"b\"]}");
    talk("GET", "/v2/pages/tags/list?last=aa&n=2", "", NULL);
    assert_null(strstr(buffer_string(&answer), "Link:"));
    assert_body("{\"name\":\"pages\",\"tags\":[\"b\",\"c\"]}");
    talk("GET", "/v2/pages/tags/list?n=0", "", NULL);
    assert_null(strstr(buffer_string(&answer), "Link:"));
    assert_body("{\"name\":\"pages\",\"tags\":[]}");
    talk("GET", "/v2/pages/tags/list?n=-1", "", NULL);
    assert_status(400);
    talk("GET", "/v2/_catalog?n=1", "", NULL);
    assert_body("{\"repositories\":[\"a/b\"]}");
    assert_answer("Link: </v2/_catalog?last=a/b&n=1>; rel=\"next\"\r\n");
}

static void test_referrers__list_and_filter(void **state)
{
    char digest[DIGEST_TEXT_MAX];

    (void)state;
    talk("GET", "/v2/none/referrers/" EMPTY, "", NULL);
    assert_status(200);
    assert_answer("Content-Type: application/vnd.oci.image.index.v1+json\r\n");
    assert_answer("\"manifests\":[]}");
    talk("GET", "/v2/none/referrers/sha256:x", "", NULL);
    assert_status(400);
    talk("PUT", "/v2/a/b/manifests/r", "Content-Type: " OCI "\r\n",
         IMAGE ",\"artifactType\":\"my/type+json\",\"annotations\":{\"k\":\"v\"},"
               "\"subject\":{\"mediaType\":\"" OCI "\",\"digest\":\"" EMPTY "\",\"size\":0}}");
    assert_status(201);
    assert_answer("OCI-Subject: " EMPTY "\r\n");
    digest_text(IMAGE ",\"artifactType\":\"my/type+json\",\"annotations\":{\"k\":\"v\"},"
                      "\"subject\":{\"mediaType\":\"" OCI "\",\"digest\":\"" EMPTY
                      "\",\"size\":0}}",
                digest);
    talk("GET", "/v2/a/b/referrers/" EMPTY, "", NULL);
    assert_answer(digest);
    assert_answer("\"artifactType\":\"my/type+json\",\"annotations\":{\"k\":\"v\"}}]}");
    talk("GET", "/v2/a/b/referrers/" EMPTY "?artifactType=my/type+json", "", NULL);
    assert_answer("OCI-Filters-Applied: artifactType\r\n");
    assert_answer(digest);
    talk("GET", "/v2/a/b/referrers/" EMPTY "?artifactType=other/type", "", NULL);
    assert_answer("\"manifests\":[]}");
}

static void test_access__basic(void **state)
{
    const char *admin = credentials;
    int i;

    (void)state;
    credentials = "Og=="; /* Empty. */
    talk("GET", "/v2/", "", NULL);
    assert_status(401);
    assert_answer("WWW-Authenticate: Basic realm=\"registry\"\r\n");
    assert_answer("UNAUTHORIZED");
    credentials = "YWRtaW46d3Jvbmc="; /* admin:wrong */
    talk("GET", "/v2/", "", NULL);
    assert_status(401);
    credentials = "bm9ib2R5OnNlY3JldA=="; /* nobody:secret */
    talk("GET", "/v2/", "", NULL);
    assert_status(401);
    credentials = "not base64!";
    talk("GET", "/v2/", "", NULL);
    assert_status(401);
    credentials = "cHVsbGVyOnNlY3JldA=="; /* puller:secret */
    for (i = 0; i < 2; i++) {             /* Hashed, then remembered. */
        talk("GET", "/v2/", "", NULL);
        assert_status(200);
    }
    talk("PUT", "/v2/a/b/manifests/v1", "", "");
    assert_status(403);
    assert_answer("DENIED");
    talk("GET", "/v2/private/tags/list", "", NULL);
    assert_status(403);
    talk("GET", "/v2/_catalog", "", NULL);
    assert_body("{\"repositories\":[\"a/b\"]}");
    credentials = admin;
}

/* --- set up ------------------------------------------------------------------------------------
 */

static void put_user(const char *name, const char *glob, unsigned actions)
{
    static const uint8_t salt[PASSWORD_SALT_SIZE] = {1, 2, 3};
    struct buffer command = fixture_command(), bindings;
    struct command_id id = fixture_id(&fixture);
    uint8_t hash[PASSWORD_HASH_SIZE];

    assert_int_equal(password_hash(BYTES_LITERAL("secret"), salt, hash), OK);
    buffer_init(&bindings, 256);
    pack_array(&bindings, 1);
    pack_array(&bindings, 2);
    pack_text(&bindings, glob);
    pack_uint(&bindings, actions);
    command_user_put(&command, &id, bytes_of_string("test"), bytes_of_string(name),
                     bytes_of(salt, sizeof salt), bytes_of(hash, sizeof hash),
                     buffer_view(&bindings));
    buffer_release(&bindings);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
}

/* A command of this test alone: sets the rule that promotion/ would set. */
static void apply_rule(const struct command_context *context, struct unpacker *body,
                       struct outcome *outcome)
{
    const struct bytes pattern = BYTES_LITERAL("prod/**"), stage = BYTES_LITERAL("live");
    const enum write_mode mode = WRITE_PROMOTION_ONLY;

    (void)outcome;
    unpack_skip(body);
    catalog_set_rules(context->txn, BYTES_LITERAL("shop"), &pattern, &stage, &mode, 1);
}

static const struct command_row rule_row = {COMMAND_PIPELINE_PUT, "pipeline.put", apply_rule};

static void put_rule(void)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(&fixture);

    command_begin(&command, COMMAND_PIPELINE_PUT, &id, bytes_of_string("test"));
    pack_nil(&command);
    assert_int_equal(fixture_apply(&fixture, &command), OK);
}

static int set_up(void **state)
{
    (void)state;
    fixture_init(&fixture);
    catalog_close(fixture.catalog);
    fixture_add_rows(&fixture, &rule_row, 1);
    fixture_open(&fixture);
    test_directory_make(&directory);
    assert_int_equal(blob_store_open(directory.path, &server.worker.blobs, NULL), OK);
    put_user("admin", "**", ACTION_ADMIN);
    put_user("puller", "a/*", ACTION_PULL);
    put_rule();
    link_blob("a/b");
    atomic_store(&has_quorum, true);
    buffer_init(&answer, 16u << 20);
    server.worker.catalog = fixture.catalog;
    server.worker.manifests = manifest_cache_open();
    http_server_start(&server, routes_manifests, NULL, false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(&server);
    manifest_cache_close(server.worker.manifests);
    blob_store_close(server.worker.blobs);
    fixture_release(&fixture);
    test_directory_remove(&directory);
    buffer_release(&answer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifests__push_pull_delete),
        cmocka_unit_test(test_manifests__bad_pushes),
        cmocka_unit_test(test_manifests__conditions),
        cmocka_unit_test(test_manifests__promotion_only_is_refused_with_the_way_to_go),
        cmocka_unit_test(test_manifests__without_a_quorum),
        cmocka_unit_test(test_access__basic),
        cmocka_unit_test(test_lists__pages),
        cmocka_unit_test(test_referrers__list_and_filter),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
