/* The canary clients. Writers behave as clients behind a load balancer do: one that gets no answer,
 * or an error, tries the next node. Readers stay at their node. Every operation is recorded with
 * what it saw. A manifest is a few hundred bytes: an empty configuration, an empty layer, and the
 * number of the push in its annotations. */
#include "node/drill_canary.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITER_PACE_MS 25
#define READER_PACE_MS 15
#define FAILED_WAIT_MS 60
#define FINAL_TRIES    40
#define FINAL_PACE_MS  100

/* --- operations ------------------------------------------------------------------------------- */

static void manifest_path(const struct drill_setup *setup, unsigned key, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "/v2/%s/manifests/canary-%.12s-%u", setup->repository, setup->id,
             key);
}

static void record(struct canary_client *client, struct drill_operation *operation, long status)
{
    operation->to_us = drill_now_us(client->canary->setup);
    operation->status = status;
    operation->client = client->number;
    snprintf(operation->error, sizeof operation->error, "%s", client->http.error);
    drill_history_add(client->canary->history, operation);
}

static void write_manifest(const struct drill_setup *setup, uint64_t value, struct buffer *out)
{
    buffer_print(out,
                 "{\"schemaVersion\":2,\"mediaType\":\"" CANARY_MANIFEST "\","
                 "\"config\":" CANARY_EMPTY ",\"layers\":[" CANARY_EMPTY "],"
                 "\"annotations\":{\"caisson.drill\":\"%s\",\"caisson.value\":\"%" PRIu64 "\"}}",
                 setup->id, value);
}

/* The number in a canary manifest of this run; UINT64_MAX: it is something else. */
static uint64_t read_value(const struct drill_setup *setup, struct bytes manifest)
{
    uint64_t value = UINT64_MAX;
    json_t *body = NULL, *annotations;
    const char *drill, *text;

    if (json_parse(manifest, MANIFEST_MAX, &body, NULL) != OK) {
        return value;
    }
    annotations = json_object_get(body, "annotations");
    drill = json_member_string(annotations, "caisson.drill");
    text = json_member_string(annotations, "caisson.value");
    if (drill == NULL || text == NULL || strcmp(drill, setup->id) != 0 ||
        bytes_to_uint(bytes_of_string(text), &value) != OK) {
        value = UINT64_MAX;
    }
    json_decref(body);
    return value;
}

bool canary_read(struct canary_client *client, unsigned node, unsigned key, bool is_final,
                 struct canary_seen *seen)
{
    const struct drill_setup *setup = client->canary->setup;
    struct drill_operation operation = {
        .kind = DRILL_READ, .node = node, .key = key, .is_final = is_final};
    char path[PATH_SIZE];
    struct drill_call call = {
        .method = "GET", .node = node, .path = path, .timeout_ms = setup->timeout_ms};
    long status;

    manifest_path(setup, key, path);
    operation.from_us = drill_now_us(setup);
    status = drill_http_call(&client->http, &call);
    operation.outcome = status == 200 || status == 404 ? DRILL_DONE : DRILL_FAILED;
    if (status == 200) {
        operation.value = read_value(setup, buffer_view(&client->http.body));
        digest_of(DIGEST_SHA256, buffer_view(&client->http.body), &seen->digest);
        seen->value = operation.value;
    }
    if (status == 404) { /* An answer as good as any. */
        client->http.error[0] = '\0';
    }
    record(client, &operation, status);
    return status == 200;
}

static bool list(struct canary_client *client, unsigned node, bool is_final)
{
    const struct drill_setup *setup = client->canary->setup;
    struct drill_operation operation = {.kind = DRILL_LIST, .node = node, .is_final = is_final};
    char path[PATH_SIZE], tag[64];
    struct drill_call call = {
        .method = "GET", .node = node, .path = path, .timeout_ms = setup->timeout_ms};
    json_t *body = NULL, *tags, *item;
    long status;
    size_t i;

    snprintf(path, sizeof path, "/v2/%s/tags/list", setup->repository);
    operation.from_us = drill_now_us(setup);
    status = drill_http_call(&client->http, &call);
    operation.outcome = status == 200 ? DRILL_DONE : DRILL_FAILED;
    if (status == 200 &&
        json_parse(buffer_view(&client->http.body), MANIFEST_MAX, &body, NULL) == OK) {
        tags = json_object_get(body, "tags");
        for (unsigned key = 0; key < DRILL_KEYS; key++) {
            snprintf(tag, sizeof tag, "canary-%.12s-%u", setup->id, key);
            json_array_foreach(tags, i, item)
            {
                if (json_is_string(item) && strcmp(json_string_value(item), tag) == 0) {
                    operation.keys |= (uint64_t)1 << key;
                }
            }
        }
    }
    json_decref(body);
    record(client, &operation, status);
    return operation.outcome == DRILL_DONE;
}

/* --- writers ---------------------------------------------------------------------------------- */

static void remove_one(struct canary_client *client, const struct canary_pushed *pushed)
{
    const struct drill_setup *setup = client->canary->setup;
    char path[PATH_SIZE], digest[DIGEST_TEXT_MAX];
    const struct drill_call call = {
        .method = "DELETE", .node = client->node, .path = path, .timeout_ms = setup->timeout_ms};
    long status;

    digest_format(&pushed->digest, digest);
    snprintf(path, sizeof path, "/v2/%s/manifests/%s", setup->repository, digest);
    status = drill_http_call(&client->http, &call);
    if (status != 202 && status != 404 && client->n_left < CANARY_LEFT_MAX) {
        client->left[client->n_left++] = pushed->digest;
    }
}

/* Keep the newest, delete what a later write of our own has replaced for certain. */
static void keep(struct canary_client *client, const struct canary_pushed *pushed)
{
    client->pushed[client->n_pushed++] = *pushed;
    if (pushed->is_acknowledged) {
        client->newest[pushed->key] = pushed->value;
    }
    for (size_t i = 0; client->n_pushed > DRILL_CANARY_KEEP && i < client->n_pushed; i++) {
        struct canary_pushed oldest = client->pushed[i];

        if (oldest.is_acknowledged && client->newest[oldest.key] > oldest.value) {
            client->n_pushed--;
            memmove(&client->pushed[i], &client->pushed[i + 1],
                    (client->n_pushed - i) * sizeof oldest);
            remove_one(client, &oldest);
            return;
        }
    }
    if (client->n_pushed == CANARY_PUSHED_MAX) { /* Nothing but unanswered ones: the end's work. */
        client->n_pushed--;
        if (client->n_left < CANARY_LEFT_MAX) {
            client->left[client->n_left++] = client->pushed[client->n_pushed].digest;
        }
    }
}

static bool push(struct canary_client *client, unsigned key, const struct canary_seen *expected)
{
    const struct drill_setup *setup = client->canary->setup;
    struct drill_operation operation = {.kind = expected == NULL ? DRILL_PUSH : DRILL_SWAP,
                                        .node = client->node,
                                        .key = key,
                                        .expected = expected == NULL ? 0 : expected->value};
    struct canary_pushed pushed = {.key = key};
    char path[PATH_SIZE], digest[DIGEST_TEXT_MAX];
    struct drill_call call = {.method = "PUT",
                              .node = client->node,
                              .path = path,
                              .content_type = CANARY_MANIFEST,
                              .timeout_ms = setup->timeout_ms};
    struct buffer manifest;
    long status;

    buffer_init(&manifest, MANIFEST_MAX);
    operation.value = pushed.value = (uint64_t)client->number << 32 | ++client->sequence;
    write_manifest(setup, pushed.value, &manifest);
    digest_of(DIGEST_SHA256, buffer_view(&manifest), &pushed.digest);
    manifest_path(setup, key, path);
    call.body = buffer_view(&manifest);
    if (expected != NULL) {
        digest_format(&expected->digest, digest);
        call.if_match = digest;
    }
    operation.from_us = drill_now_us(setup);
    status = drill_http_call(&client->http, &call);
    pushed.is_acknowledged = status == 201;
    operation.outcome = status == 201 ? DRILL_DONE : status == 412 ? DRILL_REFUSED : DRILL_FAILED;
    record(client, &operation, status);
    buffer_release(&manifest);
    if (status != 412) {
        keep(client, &pushed);
    }
    return operation.outcome != DRILL_FAILED;
}

static void writer_thread(void *data)
{
    struct canary_client *client = data;
    const struct drill_setup *setup = client->canary->setup;
    struct canary_seen seen;

    while (!atomic_load(&client->canary->is_stopping)) {
        unsigned key = client->sequence % DRILL_KEYS;
        bool is_swap = client->sequence % 5 == 4, is_good;

        if (is_swap && canary_read(client, client->node, key, false, &seen)) {
            is_good = push(client, key, &seen);
        } else {
            is_good = push(client, key, NULL);
        }
        if (!is_good) {
            client->node = (client->node + 1) % (unsigned)setup->n_nodes;
        }
        uv_sleep(is_good ? WRITER_PACE_MS : FAILED_WAIT_MS);
    }
}

static void reader_thread(void *data)
{
    struct canary_client *client = data;
    struct canary_seen seen;
    unsigned turn;

    for (turn = 0; !atomic_load(&client->canary->is_stopping); turn++) {
        bool is_good = turn % 8 == 7
                           ? list(client, client->node, false)
                           : canary_read(client, client->node, turn % DRILL_KEYS, false, &seen);

        uv_sleep(is_good || client->http.error[0] == '\0' ? READER_PACE_MS : FAILED_WAIT_MS);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* The empty blob that all canary manifests name. */
static enum error push_empty_blob(struct canary_client *client, struct reason *why)
{
    const struct drill_setup *setup = client->canary->setup;
    char path[PATH_SIZE];
    struct drill_call call = {.method = "POST",
                              .path = path,
                              .content_type = "application/octet-stream",
                              .body = BYTES_LITERAL("{}"),
                              .timeout_ms = setup->timeout_ms};
    long status = 0;

    snprintf(path, sizeof path, "/v2/%s/blobs/uploads/?digest=" CANARY_EMPTY_DIGEST,
             setup->repository);
    for (call.node = 0; call.node < setup->n_nodes && status != 201; call.node++) {
        status = drill_http_call(&client->http, &call);
        if (status == 401 || status == 403) {
            return fail(why, ERROR_DENIED,
                        "not allowed to push to %s: give --user and --password-file of somebody "
                        "who may push to it",
                        setup->repository);
        }
    }
    return status == 201 ? OK
                         : fail(why, ERROR_UNAVAILABLE, "the canary cannot be pushed to %s: %s",
                                setup->repository, client->http.error);
}

static void start_threads(struct drill_canary *canary)
{
    for (size_t i = 0; i < canary->n_clients; i++) {
        struct canary_client *client = &canary->clients[i];
        int rv = uv_thread_create(&client->thread,
                                  i < DRILL_WRITERS ? writer_thread : reader_thread, client);

        CHECK(rv == 0);
    }
}

enum error drill_canary_start(const struct drill_setup *setup, struct drill_history *history,
                              struct drill_canary **out, struct reason *why)
{
    struct drill_canary *canary = memory_zero(sizeof *canary);
    enum error error;

    canary->setup = setup;
    canary->history = history;
    atomic_init(&canary->is_stopping, false);
    canary->n_clients = DRILL_WRITERS + setup->n_nodes;
    for (unsigned i = 0; i < canary->n_clients; i++) {
        struct canary_client *client = &canary->clients[i];

        client->canary = canary;
        client->number = i;
        client->node = (i < DRILL_WRITERS ? i : i - DRILL_WRITERS) % (unsigned)setup->n_nodes;
        drill_http_open(&client->http, setup);
    }
    error = push_empty_blob(&canary->clients[0], why);
    for (unsigned key = 0; error == OK && key < DRILL_KEYS; key++) {
        if (!push(&canary->clients[0], key, NULL)) {
            error = fail(why, ERROR_UNAVAILABLE, "the canary cannot be tagged in %s: %s",
                         setup->repository, canary->clients[0].http.error);
        }
    }
    if (error != OK) {
        (void)drill_canary_clean(canary);
        return error;
    }
    start_threads(canary);
    *out = canary;
    return OK;
}

static void read_all(struct drill_canary *canary)
{
    struct canary_client *client = &canary->clients[0];
    struct canary_seen seen;

    for (unsigned node = 0; node < canary->setup->n_nodes; node++) {
        unsigned tries = FINAL_TRIES;

        for (unsigned key = 0; key < DRILL_KEYS && tries > 0; key++) {
            while (!canary_read(client, node, key, true, &seen) && client->http.error[0] != '\0' &&
                   --tries > 0) {
                uv_sleep(FINAL_PACE_MS);
            }
        }
        while (tries > 0 && !list(client, node, true) && --tries > 0) {
            uv_sleep(FINAL_PACE_MS);
        }
    }
}

/* Acknowledged and not deleted since: each node must give it by digest. */
static uint64_t count_lost(struct drill_canary *canary, const struct canary_pushed *pushed)
{
    const struct drill_setup *setup = canary->setup;
    char path[PATH_SIZE], digest[DIGEST_TEXT_MAX];
    struct drill_call call = {.method = "GET", .path = path, .timeout_ms = setup->timeout_ms};
    uint64_t lost = 0;

    digest_format(&pushed->digest, digest);
    snprintf(path, sizeof path, "/v2/%s/manifests/%s", setup->repository, digest);
    for (call.node = 0; call.node < setup->n_nodes; call.node++) {
        lost += drill_http_call(&canary->clients[0].http, &call) == 404;
    }
    return lost;
}

void drill_canary_finish(struct drill_canary *canary, uint64_t *lost)
{
    *lost = 0;
    atomic_store(&canary->is_stopping, true);
    for (size_t i = 0; i < canary->n_clients; i++) {
        int rv = uv_thread_join(&canary->clients[i].thread);

        CHECK(rv == 0);
    }
    read_all(canary);
    for (size_t i = 0; i < DRILL_WRITERS; i++) {
        const struct canary_client *client = &canary->clients[i];

        for (size_t k = 0; k < client->n_pushed; k++) {
            if (client->pushed[k].is_acknowledged) {
                *lost += count_lost(canary, &client->pushed[k]);
            }
        }
    }
}

size_t drill_canary_clean(struct drill_canary *canary)
{
    size_t left = 0;

    for (size_t i = 0; i < canary->n_clients; i++) {
        struct canary_client *client = &canary->clients[i];
        size_t n = client->n_left;

        client->n_left = 0;
        for (size_t k = 0; k < n; k++) {
            const struct canary_pushed pushed = {.digest = client->left[k]};
            remove_one(client, &pushed);
        }
        for (size_t k = 0; k < client->n_pushed; k++) {
            remove_one(client, &client->pushed[k]);
        }
        left += client->n_left;
        drill_http_close(&client->http);
    }
    free(canary);
    return left;
}
