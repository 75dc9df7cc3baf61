#include "node/join.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"
#include "node/command_tables.h"
#include "store/level.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The joining side. One request on a loop of its own, against one peer after another, round after
 * round until one of them answers or the time is up. An answer that refuses ends it at once: asking
 * another member with the same wrong token would not help. */

#define ANSWER_MAX     (64u * 1024)
#define REQUEST_MS     15000
#define ROUND_PAUSE_MS 500

/* --- one request ------------------------------------------------------------------------------ */

struct attempt {
    struct stream stream;
    uv_loop_t loop;
    uv_timer_t deadline;
    llhttp_t parser;
    struct bytes request; /* Borrowed. */
    struct buffer answer; /* Its body. */
    bool is_complete;
    enum error error;
    struct reason *why;
};

static int body_cb(llhttp_t *parser, const char *at, size_t size)
{
    struct attempt *attempt = parser->data;

    buffer_append(&attempt->answer, bytes_of(at, size));
    return buffer_status(&attempt->answer) == OK ? 0 : -1;
}

static int complete_cb(llhttp_t *parser)
{
    struct attempt *attempt = parser->data;

    attempt->is_complete = true;
    stream_close(&attempt->stream);
    return 0;
}

static void ready_cb(struct stream *stream)
{
    struct attempt *attempt = stream->data;

    stream_write(stream, attempt->request);
}

static void received_cb(struct stream *stream, struct bytes bytes)
{
    struct attempt *attempt = stream->data;

    if (attempt->is_complete || attempt->error != OK) {
        return;
    }
    if (llhttp_execute(&attempt->parser, (const char *)bytes.data, bytes.size) != HPE_OK) {
        attempt->error = fail(attempt->why, ERROR_PEER, "the answer is not HTTP or too long");
        stream_close(stream);
    }
}

static void ended_cb(struct stream *stream)
{
    stream_close(stream);
}

static void closed_cb(struct stream *stream, enum error error, const char *text)
{
    struct attempt *attempt = stream->data;

    if (!attempt->is_complete && attempt->error == OK) {
        attempt->error =
            fail(attempt->why, ERROR_UNAVAILABLE, "%s",
                 error == OK ? "the connection ended before the answer was complete" : text);
    }
    uv_close((uv_handle_t *)&attempt->deadline, NULL);
}

static void deadline_cb(uv_timer_t *timer)
{
    struct attempt *attempt = timer->data;

    attempt->error =
        fail(attempt->why, ERROR_UNAVAILABLE, "no answer within %d s", REQUEST_MS / 1000);
    stream_close(&attempt->stream);
}

static const struct stream_events attempt_events = {
    .ready = ready_cb, .received = received_cb, .ended = ended_cb, .closed = closed_cb};

/* Sends request to address; the status and body of the answer. */
static enum error attempt_run(struct attempt *attempt, const char *address, struct tls_context *tls)
{
    llhttp_settings_t settings;
    enum error error;

    CHECK(uv_loop_init(&attempt->loop) == 0);
    CHECK(uv_timer_init(&attempt->loop, &attempt->deadline) == 0);
    attempt->deadline.data = attempt;
    llhttp_settings_init(&settings);
    settings.on_body = body_cb;
    settings.on_message_complete = complete_cb;
    llhttp_init(&attempt->parser, HTTP_RESPONSE, &settings);
    attempt->parser.data = attempt;
    attempt->stream.data = attempt;
    CHECK(uv_timer_start(&attempt->deadline, deadline_cb, REQUEST_MS, 0) == 0);
    error =
        stream_connect(&attempt->stream, &attempt->loop, address, tls, 0, 5000, &attempt_events);
    if (error != OK) {
        attempt->error = fail(attempt->why, error, "cannot connect");
        uv_close((uv_handle_t *)&attempt->deadline, NULL);
    }
    uv_run(&attempt->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&attempt->loop) == 0);
    return attempt->error;
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum error refusal(unsigned status, const json_t *body, struct reason *why)
{
    const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
    const char *message = json_member_string(first, "message");
    enum error error = status >= 500 || status == 429   ? ERROR_UNAVAILABLE
                       : status == 401 || status == 403 ? ERROR_DENIED
                                                        : ERROR_INVALID;

    return fail(why, error, "%s (%u)", message == NULL ? "it refused" : message, status);
}

static enum error take_pem(const json_t *body, const char *key, struct buffer *out,
                           struct reason *why)
{
    const char *text = json_member_string(body, key);

    if (text == NULL) {
        return fail(why, ERROR_PEER, "the answer holds no %s", key);
    }
    buffer_append_string(out, text);
    return buffer_status(out);
}

/* The certificate must be for this cluster and the member id that goes with it. */
static enum error take_answer(struct cluster_files *files, const json_t *body, struct reason *why)
{
    struct node_identity *identity = &files->identity;
    char cluster[33];
    enum error error = take_pem(body, "certificate", &files->certificate, why);

    if (error == OK) {
        error = take_pem(body, "ca", &files->ca, why);
    }
    if (error == OK) {
        error =
            tls_certificate_node(buffer_view(&files->certificate), cluster, &identity->member, why);
    }
    if (error == OK && (strcmp(cluster, identity->cluster) != 0 || identity->member == 0)) {
        error = fail(why, ERROR_FOREIGN, "the member belongs to cluster %s, the token to %s",
                     cluster, identity->cluster);
    }
    return error;
}

static enum error check_ca(const struct cluster_files *files, const struct join_token *token,
                           struct reason *why)
{
    uint8_t digest[32];
    enum error error = tls_certificate_sha256(buffer_view(&files->ca), digest, why);

    if (error == OK && memcmp(digest, token->ca_sha256, sizeof digest) != 0) {
        error = fail(why, ERROR_FOREIGN, "the member sent another CA than the token names");
    }
    return error;
}

/* --- the whole -------------------------------------------------------------------------------- */

struct join {
    struct cluster_files *files;
    const struct join_options *options;
    struct join_token token;
    struct tls_context *tls;
    struct buffer request; /* HTTP, written anew for each peer. */
    char *body;
};

static void write_body(struct join *join, struct bytes csr)
{
    const struct node_identity *identity = &join->files->identity;
    const struct command_row *rows[COMMAND_ROWS_MAX];
    size_t n_rows = command_tables(rows, COMMAND_ROWS_MAX);
    json_t *object = json_pack("{s:s, s:s%, s:s, s:s, s:s, s:s, s:I}", "secret", join->token.secret,
                               "csr", (const char *)csr.data, csr.size, "name", identity->name,
                               "raft_address", identity->raft_address, "data_address",
                               identity->data_address, "client_address", identity->client_address,
                               "level", (json_int_t)level_of_rows(rows, n_rows));

    CHECK(object != NULL);
    join->body = json_dumps(object, JSON_COMPACT);
    CHECK(join->body != NULL);
    json_decref(object);
}

static enum error ask_peer(struct join *join, const char *address, struct reason *why)
{
    struct attempt *attempt = memory_zero(sizeof *attempt);
    json_t *body = NULL;
    unsigned status;
    enum error error;

    buffer_clear(&join->request);
    buffer_print(&join->request,
                 "POST /internal/v1/join HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 address, strlen(join->body), join->body);
    CHECK(buffer_status(&join->request) == OK);
    attempt->request = buffer_view(&join->request);
    attempt->why = why;
    buffer_init(&attempt->answer, ANSWER_MAX);
    error = attempt_run(attempt, address, join->tls);
    status = attempt->parser.status_code;
    if (error == OK && json_parse(buffer_view(&attempt->answer), ANSWER_MAX, &body, NULL) != OK) {
        body = NULL;
    }
    if (error == OK) {
        error = status == 201 ? take_answer(join->files, body, why) : refusal(status, body, why);
    }
    json_decref(body);
    buffer_release(&attempt->answer);
    free(attempt);
    if (error != OK) {
        reason_prefix(why, "member at %s", address);
    }
    return error;
}

/* Round after round over the peers until one gives an answer that counts. */
static enum error ask_peers(struct join *join, struct reason *why)
{
    uint64_t end_ms = clock_monotonic_ms() + join->options->timeout_ms;
    enum error error = ERROR_UNAVAILABLE;

    for (;;) {
        for (size_t i = 0; i < join->options->n_peers; i++) {
            error = ask_peer(join, join->options->peers[i], why);
            if (error != ERROR_UNAVAILABLE) {
                return error;
            }
            LOG_DEBUG("joining: %s", why->text);
        }
        if (clock_monotonic_ms() + ROUND_PAUSE_MS >= end_ms) {
            return error;
        }
        usleep(ROUND_PAUSE_MS * 1000);
    }
}

static enum error prepare(struct join *join, struct reason *why)
{
    struct tls_options tls = {.role = TLS_PEER_PIN, .cluster = join->files->identity.cluster};
    struct buffer csr;
    enum error error;

    memcpy(tls.ca_sha256, join->token.ca_sha256, sizeof tls.ca_sha256);
    buffer_init(&csr, ANSWER_MAX);
    error = tls_context_open(&tls, &join->tls, why);
    if (error == OK) {
        error = tls_make_request(&join->files->key, &csr, why);
    }
    if (error == OK) {
        write_body(join, buffer_view(&csr));
    }
    buffer_release(&csr);
    return error;
}

enum error join_cluster(struct cluster_files *files, const struct join_options *options,
                        struct reason *why)
{
    struct join join = {.files = files, .options = options};
    enum cluster_files_state state;
    struct reason reason = {""};
    enum error error = join_token_parse(options->token, &join.token, &reason);

    PRE(options->n_peers > 0 && files->identity.name[0] != '\0');
    buffer_init(&join.request, ANSWER_MAX);
    if (error == OK) {
        error = cluster_files_look(files->directory, &state, &reason);
    }
    if (error == OK && state == CLUSTER_FILES_MEMBER) {
        error = fail(&reason, ERROR_EXISTS, "a node lives in %s already", files->directory);
    }
    if (error == OK) {
        memcpy(files->identity.cluster, join.token.cluster, sizeof join.token.cluster);
        error = prepare(&join, &reason);
    }
    if (error == OK) {
        error = ask_peers(&join, &reason);
    }
    if (error == OK) {
        error = check_ca(files, &join.token, &reason);
    }
    if (error == OK) {
        error = cluster_files_create(files, BYTES_NONE, &reason);
    }
    if (join.tls != NULL) {
        tls_context_release(join.tls);
    }
    memory_wipe(&join.token, sizeof join.token);
    buffer_release(&join.request);
    free(join.body);
    return error == OK ? OK : fail(why, error, "%s", reason.text);
}
