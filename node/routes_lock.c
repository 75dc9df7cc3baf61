#include "base/memory.h"
#include "node/routes_history.h"
#include "node/routes_promotion.h"
#include "node/worker.h"

#include <stdlib.h>

/* GET /environments/{stage}/lock: what is in a stage, by digest, from one view of the state, so
 * that whoever deploys it gets all of one revision. One image per repository: the one under the tag
 * that the query names, else the one that was set last. */

#define IMAGES_MAX    10000
#define REGISTRY_MAX  255
#define LOCK_SIZE_MAX ((size_t)16 << 20)

enum lock_format { LOCK_JSON, LOCK_ENV, LOCK_KUSTOMIZE, LOCK_HELM };

struct locked {
    struct bytes repository, tag; /* Borrowed from the transaction. */
    struct bytes name;            /* What the stage's wildcard stands for, or the last component. */
    struct digest digest;
    uint64_t from_index;
};

struct lock {
    struct exchange *exchange;
    const struct stage *stage;
    struct bytes wanted; /* Tag; empty: the one that was set last. */
    struct bytes registry;
    struct locked *images;
    size_t n;
};

static struct bytes short_name(const struct stage *stage, struct bytes repository)
{
    struct bytes capture = BYTES_NONE;
    size_t i = repository.size;

    if (repository_pattern_match(&stage->repos, repository, &capture) && capture.size > 0) {
        return capture;
    }
    while (i > 0 && repository.data[i - 1] != '/') {
        i--;
    }
    return bytes_slice(repository, i, repository.size);
}

static bool visit_tag(void *data, struct bytes repository, struct bytes tag,
                      const struct tag_interval *interval)
{
    struct lock *lock = data;
    bool is_same = lock->n > 0 && bytes_equal(lock->images[lock->n - 1].repository, repository);

    if ((lock->wanted.size > 0 && !bytes_equal(lock->wanted, tag)) ||
        !exchange_may(lock->exchange, ACTION_PULL, repository)) {
        return true;
    }
    if (is_same && lock->images[lock->n - 1].from_index >= interval->from_index) {
        return true;
    }
    if (!is_same && lock->n == IMAGES_MAX) {
        return false;
    }
    lock->n += !is_same;
    lock->images[lock->n - 1] = (struct locked){.repository = repository,
                                                .tag = tag,
                                                .name = short_name(lock->stage, repository),
                                                .digest = interval->digest,
                                                .from_index = interval->from_index};
    return true;
}

static void write_env_name(struct buffer *out, struct bytes name)
{
    size_t i;

    if (name.data[0] >= '0' && name.data[0] <= '9') {
        buffer_append_byte(out, '_');
    }
    for (i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];

        if (c >= 'a' && c <= 'z') {
            c = (uint8_t)(c - 'a' + 'A');
        }
        buffer_append_byte(out, (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_');
    }
}

/* Names, tags and digests hold nothing that YAML or a shell would take for something else inside
 * double quotes. */
static void write_image(struct buffer *out, const struct lock *lock, const struct locked *image,
                        enum lock_format format)
{
    char digest[DIGEST_TEXT_MAX];

    digest_format(&image->digest, digest);
    if (format == LOCK_ENV) {
        write_env_name(out, image->name);
        buffer_print(out, "_IMAGE=\"%.*s/%.*s@%s\"\n", BYTES_ARG(lock->registry),
                     BYTES_ARG(image->repository), digest);
    } else if (format == LOCK_KUSTOMIZE) {
        buffer_print(out, "- name: \"%.*s\"\n  newName: \"%.*s/%.*s\"\n  digest: \"%s\"\n",
                     BYTES_ARG(image->name), BYTES_ARG(lock->registry),
                     BYTES_ARG(image->repository), digest);
    } else {
        buffer_print(out,
                     "  \"%.*s\":\n    repository: \"%.*s/%.*s\"\n    tag: \"%.*s\"\n"
                     "    digest: \"%s\"\n",
                     BYTES_ARG(image->name), BYTES_ARG(lock->registry),
                     BYTES_ARG(image->repository), BYTES_ARG(image->tag), digest);
    }
}

static void answer_text(const struct lock *lock, enum lock_format format)
{
    struct buffer out;
    size_t i;

    buffer_init(&out, LOCK_SIZE_MAX);
    if (format != LOCK_ENV) {
        buffer_print(&out, "images:%s\n",
                     lock->n > 0                ? ""
                     : format == LOCK_KUSTOMIZE ? " []"
                                                : " {}");
    }
    for (i = 0; i < lock->n; i++) {
        write_image(&out, lock, &lock->images[i], format);
    }
    if (buffer_status(&out) == OK) {
        exchange_answer(lock->exchange, 200,
                        format == LOCK_ENV ? "text/plain; charset=utf-8" : "application/yaml",
                        buffer_view(&out));
    } else {
        exchange_fail(lock->exchange, ERROR_TOO_LARGE, NULL);
    }
    buffer_release(&out);
}

static void answer_json(const struct lock *lock, const char *pipeline, uint64_t revision,
                        uint64_t index)
{
    json_t *images = json_array();
    size_t i;

    for (i = 0; i < lock->n; i++) {
        const struct locked *image = &lock->images[i];

        json_array_append_new(
            images, json_pack("{s:o, s:o, s:o, s:o}", "name", view_text(image->name), "repository",
                              view_text(image->repository), "tag", view_text(image->tag), "digest",
                              view_digest(&image->digest)));
    }
    exchange_answer_json(lock->exchange, 200,
                         json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "pipeline", pipeline, "stage",
                                   lock->stage->name, "revision", (json_int_t)revision,
                                   "raft_index", (json_int_t)index, "registry",
                                   view_text(lock->registry), "images", images));
}

/* host, host:port, or with a path: where the cluster is reached. */
static bool registry_is_valid(struct bytes text)
{
    size_t i;

    for (i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!is_word && (c == '\0' || strchr(".:-[]_/", c) == NULL)) {
            return false;
        }
    }
    return text.size > 0 && text.size <= REGISTRY_MAX;
}

/* False: answered. */
static bool read_query(struct exchange *exchange, struct lock *lock, enum lock_format *format)
{
    static const char *const formats[] = {"json", "env", "kustomize", "helm"};
    struct bytes value;
    size_t i;

    if (!exchange_query(exchange, "format", 0, &value)) {
        value = BYTES_LITERAL("json");
    }
    for (i = 0; i < 4 && !bytes_equal_string(value, formats[i]); i++) {
    }
    *format = (enum lock_format)i;
    if (!exchange_query(exchange, "registry", 0, &lock->registry)) {
        lock->registry = exchange_header(exchange, "Host");
    }
    (void)exchange_query(exchange, "tag", 0, &lock->wanted);
    if (i == 4) {
        exchange_fail_as(exchange, 400, "INVALID", NULL,
                         "format must be json, env, kustomize or helm");
    } else if (!registry_is_valid(lock->registry)) {
        exchange_fail_as(exchange, 400, "INVALID", NULL,
                         "registry must be where images are pulled from: a host, and a port");
    }
    return i < 4 && registry_is_valid(lock->registry);
}

static void answer_lock(struct exchange *exchange)
{
    struct lock lock = {.exchange = exchange};
    struct environment_moment moment;
    struct pipeline *pipeline;
    struct catalog_txn txn;
    enum lock_format format;
    struct reason why = {""};

    if (!read_query(exchange, &lock, &format) ||
        !stage_view_open(exchange, &txn, &pipeline, &lock.stage)) {
        return;
    }
    if (environment_read_moment(exchange, &txn, pipeline, lock.stage, &moment, &why) == OK) {
        uint64_t index = catalog_txn_index(&txn);

        lock.images = memory_alloc(IMAGES_MAX * sizeof *lock.images);
        environment_walk(&txn, lock.stage, &moment, visit_tag, &lock);
        exchange_set_header(exchange, "X-Raft-Index", "%llu", (unsigned long long)index);
        if (format == LOCK_JSON) {
            answer_json(&lock, pipeline->name,
                        promotion_stage_revision(&txn, bytes_of_string(pipeline->name),
                                                 bytes_of_string(lock.stage->name)),
                        index);
        } else {
            answer_text(&lock, format);
        }
        free(lock.images);
    } else {
        exchange_fail(exchange, ERROR_INVALID, &why);
    }
    stage_view_close(&txn, pipeline);
}

void lock_get(struct exchange *exchange)
{
    promotion_read_then(exchange, answer_lock);
}
