#include "node/manifest_load.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/memory.h"
#include "node/http.h"
#include "node/repair.h"
#include "node/worker.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the cache ---------------------------------------------------------------------------------
 */

#define BUCKETS 1024u

struct cached {
    struct list bucket, age;
    struct digest digest;
    size_t size;
    uint8_t content[];
};

struct manifest_cache {
    struct list buckets[BUCKETS];
    struct list ages; /* Oldest first. */
    size_t bytes;
};

struct manifest_cache *manifest_cache_open(void)
{
    struct manifest_cache *cache = memory_zero(sizeof *cache);
    size_t i;

    for (i = 0; i < BUCKETS; i++) {
        list_init(&cache->buckets[i]);
    }
    list_init(&cache->ages);
    return cache;
}

static void evict(struct manifest_cache *cache, struct cached *entry)
{
    list_remove(&entry->bucket);
    list_remove(&entry->age);
    CHECK(cache->ages.next != &entry->age);
    cache->bytes -= sizeof *entry + entry->size;
    free(entry);
}

void manifest_cache_close(struct manifest_cache *cache)
{
    while (!list_is_empty(&cache->ages)) {
        evict(cache, container_of(cache->ages.next, struct cached, age));
    }
    POST(cache->bytes == 0);
    free(cache);
}

static struct list *bucket_of(struct manifest_cache *cache, const struct digest *digest)
{
    return &cache->buckets[(digest->raw[0] * 256u + digest->raw[1]) % BUCKETS];
}

static struct cached *cache_find(struct manifest_cache *cache, const struct digest *digest)
{
    struct list *bucket = bucket_of(cache, digest);

    LIST_FOR_EACH (item, bucket) {
        struct cached *entry = container_of(item, struct cached, bucket);

        if (digest_equal(&entry->digest, digest)) {
            list_remove(&entry->age);
            list_append(&cache->ages, &entry->age);
            return entry;
        }
    }
    return NULL;
}

static void cache_add(struct manifest_cache *cache, const struct digest *digest,
                      struct bytes content)
{
    struct cached *entry;

    if (content.size > MANIFEST_CACHE_BYTES / 8 || cache_find(cache, digest) != NULL) {
        return;
    }
    entry = memory_alloc(sizeof *entry + content.size);
    entry->digest = *digest;
    entry->size = content.size;
    memcpy(entry->content, content.data, content.size);
    list_append(bucket_of(cache, digest), &entry->bucket);
    list_append(&cache->ages, &entry->age);
    cache->bytes += sizeof *entry + content.size;
    while (cache->bytes > MANIFEST_CACHE_BYTES) {
        evict(cache, container_of(cache->ages.next, struct cached, age));
    }
}

/* --- loading -----------------------------------------------------------------------------------
 */

static void load_over(struct manifest_load *load, enum error status)
{
    struct buffer content = load->content;

    load->content = (struct buffer){0};
    if (status == OK && load->worker->manifests != NULL) {
        cache_add(load->worker->manifests, &load->digest, buffer_view(&content));
    }
    load->cb(load, status, buffer_view(&content));
    buffer_release(&content);
}

/* --- from a peer --- */

static void fetch_next(struct manifest_load *load);

static void fetch_piece(struct peer_request *request, struct bytes piece)
{
    struct manifest_load *load = request->data;

    buffer_append(&load->content, piece);
    if (buffer_status(&load->content) != OK) {
        peer_cancel(request);
    }
}

static void fetch_done(struct peer_request *request, enum error status, const struct reason *why)
{
    struct manifest_load *load = request->data;
    struct digest digest;

    (void)why;
    if (status == OK && peer_status(request) == 200 && buffer_status(&load->content) == OK) {
        digest_of((enum digest_algorithm)load->digest.algorithm, buffer_view(&load->content),
                  &digest);
        if (digest_equal(&digest, &load->digest)) {
            load_over(load, OK);
            return;
        }
    }
    buffer_clear(&load->content);
    fetch_next(load);
}

static const struct peer_events fetch_events = {.piece = fetch_piece, .done = fetch_done};

static void fetch_next(struct manifest_load *load)
{
    char target[64 + DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];

    while (load->next_holder < load->n_holders) {
        uint64_t holder = load->holders[load->next_holder++];

        if (holder != peers_self(load->worker->peers)) {
            digest_format(&load->digest, digest);
            snprintf(target, sizeof target, "/internal/v1/blobs/%s", digest);
            peer_request_init(&load->request, holder, "GET", target, &fetch_events);
            load->request.data = load;
            peer_request_start(load->worker->peers, &load->request);
            return;
        }
    }
    load_over(load, ERROR_UNAVAILABLE);
}

static void fetch_start(struct manifest_load *load)
{
    struct worker *worker = load->worker;
    struct catalog_txn txn;
    struct blob_record blob;

    buffer_clear(&load->content);
    catalog_read(worker->catalog, &txn);
    if (catalog_blob(&txn, &load->digest, &blob) == OK) {
        load->n_holders = catalog_live_holders(&txn, &blob, load->holders);
        if (worker->repair != NULL) {
            repair_want(worker->repair, &load->digest, blob.size);
        }
    }
    catalog_done(&txn);
    if (worker->peers == NULL) {
        load_over(load, ERROR_UNAVAILABLE);
        return;
    }
    fetch_next(load);
}

/* --- from the disk --- */

/* In libuv's pool. */
static void read_work(uv_work_t *work)
{
    struct manifest_load *load = container_of(work, struct manifest_load, work);

    load->status =
        blob_load(load->worker->blobs, &load->digest, MANIFEST_SIZE_MAX, &load->content, NULL);
}

static void read_done_cb(uv_work_t *work, int status)
{
    struct manifest_load *load = container_of(work, struct manifest_load, work);

    if (status == 0 && load->status == OK) {
        load_over(load, OK);
    } else {
        fetch_start(load);
    }
}

void manifest_load_start(struct worker *worker, struct manifest_load *load,
                         const struct digest *digest, manifest_load_cb cb)
{
    const struct cached *entry = worker->manifests == NULL ? NULL
                                                           : cache_find(worker->manifests, digest);

    load->worker = worker;
    load->digest = *digest;
    load->cb = cb;
    load->n_holders = load->next_holder = 0;
    if (entry != NULL) {
        cb(load, OK, bytes_of(entry->content, entry->size));
        return;
    }
    buffer_init(&load->content, MANIFEST_SIZE_MAX);
    CHECK(uv_queue_work(&worker->loop, &load->work, read_work, read_done_cb) == 0);
}
