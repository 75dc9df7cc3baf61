#include "promotion/closure.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/pack.h"

#include <stdio.h>
#include <stdlib.h>

/* Breadth first, so that the depth of an entry is its shortest distance from the root whatever else
 * leads to it. A digest that was met as a blob and turns out to be a manifest too is queued then.
 * The index of slots keeps a hostile graph (thousands of edges to the same digests) from costing
 * more than its edges. */

#define SLOTS_N 16384 /* A power of two, well over CLOSURE_DIGESTS_MAX. */

struct search {
    struct catalog_txn *txn;
    struct bytes repository;
    struct closure *closure;
    struct queued {
        size_t entry;
        unsigned depth;
    } * queue; /* The manifests, as they were found. */
    size_t n_queued;
    unsigned depth; /* Of what is met now. */
    enum error error;
    struct reason *why;
};

static size_t slot_of(const struct closure *closure, const struct digest *digest)
{
    size_t slot = 0;

    memcpy(&slot, digest->raw, 4);
    slot &= SLOTS_N - 1;
    while (closure->slots[slot] != 0 &&
           !digest_equal(&closure->entries[closure->slots[slot] - 1].digest, digest)) {
        slot = (slot + 1) & (SLOTS_N - 1);
    }
    return slot;
}

static void search_fail(struct search *search, enum error error, const struct digest *digest,
                        const char *text)
{
    char name[DIGEST_TEXT_MAX];

    digest_format(digest, name);
    search->error =
        fail(search->why, error, "%s in %.*s %s", name, BYTES_ARG(search->repository), text);
}

static bool enqueue(struct search *search, size_t entry)
{
    if (search->depth > CLOSURE_DEPTH_MAX) {
        search_fail(search, ERROR_TOO_LARGE, &search->closure->entries[entry].digest,
                    "is more than 8 steps away from the image that would move");
        return false;
    }
    CHECK(search->n_queued < CLOSURE_DIGESTS_MAX);
    search->queue[search->n_queued++] = (struct queued){entry, search->depth};
    return true;
}

/* Note that digest belongs to the closure. False ends the search. */
static bool meet(struct search *search, const struct digest *digest, unsigned roles, uint64_t size)
{
    struct closure *closure = search->closure;
    size_t slot = slot_of(closure, digest), entry;
    unsigned before = 0;

    if (closure->slots[slot] == 0) {
        if (closure->n == CLOSURE_DIGESTS_MAX) {
            search_fail(search, ERROR_TOO_LARGE, digest,
                        "is the 5001st digest that would move: split the promotion");
            return false;
        }
        if (closure->n == closure->capacity) {
            closure->capacity = closure->capacity == 0 ? 64 : closure->capacity * 2;
            closure->entries =
                memory_resize(closure->entries, closure->capacity * sizeof *closure->entries);
        }
        closure->entries[closure->n] = (struct closure_entry){.digest = *digest, .size = size};
        closure->bytes += size;
        closure->slots[slot] = ++closure->n;
    }
    entry = closure->slots[slot] - 1;
    before = closure->entries[entry].roles;
    closure->entries[entry].roles |= roles;
    if ((roles & CLOSURE_MANIFEST) != 0 && (before & CLOSURE_MANIFEST) == 0) {
        return enqueue(search, entry);
    }
    return true;
}

static bool meet_manifest(struct search *search, const struct digest *digest, unsigned role)
{
    struct manifest_record record;

    if (catalog_manifest(search->txn, search->repository, digest, &record) != OK) {
        search_fail(search, ERROR_MANIFEST_BLOB_UNKNOWN, digest,
                    "belongs to the image, but is not there: push it first");
        return false;
    }
    return meet(search, digest, CLOSURE_MANIFEST | role, record.size);
}

static bool visit_reference(void *data, const struct reference *ref)
{
    struct search *search = data;
    struct blob_record blob;

    if (ref->kind == REFERENCE_MANIFEST) {
        return meet_manifest(search, &ref->digest, CLOSURE_CHILD);
    }
    if (catalog_link(search->txn, search->repository, &ref->digest) != OK ||
        catalog_blob(search->txn, &ref->digest, &blob) != OK) {
        if (ref->external) {
            return true;
        }
        search_fail(search, ERROR_MANIFEST_BLOB_UNKNOWN, &ref->digest,
                    "belongs to the image, but is not there: push it first");
        return false;
    }
    return meet(search, &ref->digest,
                ref->kind == REFERENCE_CONFIG ? CLOSURE_CONFIG : CLOSURE_LAYER, blob.size);
}

static bool visit_referrer(void *data, const struct digest *digest,
                           const struct manifest_record *manifest)
{
    return meet(data, digest, CLOSURE_MANIFEST | CLOSURE_REFERRER, manifest->size);
}

static void add_tag(struct closure *closure, const char *name, const struct digest *digest)
{
    struct closure_tag *tag;

    if (closure->n_tags == closure->tags_capacity) {
        closure->tags_capacity = closure->tags_capacity == 0 ? 8 : closure->tags_capacity * 2;
        closure->tags =
            memory_resize(closure->tags, closure->tags_capacity * sizeof *closure->tags);
    }
    tag = &closure->tags[closure->n_tags++];
    *tag = (struct closure_tag){.digest = *digest};
    snprintf(tag->name, sizeof tag->name, "%.*s", TAG_MAX_SIZE, name);
}

/* What cosign and clients without the referrers API attach by tags (the distribution specification
 * cuts the hex part at 64). */
static bool visit_attachments(struct search *search, const struct digest *subject)
{
    static const char *const suffixes[] = {"", ".att", ".sbom", ".sig"};
    char hex[DIGEST_HEX_MAX], name[DIGEST_HEX_MAX + 16];
    size_t i;

    digest_format_hex(subject, hex);
    for (i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct tag_record record;

        snprintf(name, sizeof name, "%s-%.64s%s", digest_algorithm_name(subject->algorithm), hex,
                 suffixes[i]);
        if (catalog_tag(search->txn, search->repository, bytes_of_string(name), &record) != OK) {
            continue;
        }
        if (!meet_manifest(search, &record.digest, CLOSURE_ATTACHMENT)) {
            return false;
        }
        add_tag(search->closure, name, &record.digest);
    }
    return true;
}

/* All edges of one manifest of the queue. */
static void expand(struct search *search, const struct queued *queued)
{
    struct digest digest = search->closure->entries[queued->entry].digest;
    struct manifest_record record;

    if (catalog_manifest(search->txn, search->repository, &digest, &record) != OK) {
        search_fail(search, ERROR_MANIFEST_BLOB_UNKNOWN, &digest, "is not there any more");
        return;
    }
    search->depth = queued->depth + 1;
    if (!manifest_references(&record, visit_reference, search) || search->error != OK) {
        if (search->error == OK) {
            search_fail(search, ERROR_CORRUPT, &digest, "has a damaged record");
        }
        return;
    }
    catalog_referrers(search->txn, search->repository, &digest, visit_referrer, search);
    if (search->error == OK) {
        (void)visit_attachments(search, &digest);
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct digest *x = &((const struct closure_entry *)a)->digest;
    const struct digest *y = &((const struct closure_entry *)b)->digest;

    return x->algorithm != y->algorithm ? (x->algorithm < y->algorithm ? -1 : 1)
                                        : memcmp(x->raw, y->raw, x->size);
}

static int compare_tags(const void *a, const void *b)
{
    return strcmp(((const struct closure_tag *)a)->name, ((const struct closure_tag *)b)->name);
}

static void closure_finish(struct closure *closure)
{
    struct buffer packed;
    struct hasher hasher;
    size_t i;

    qsort(closure->entries, closure->n, sizeof *closure->entries, compare_entries);
    if (closure->n_tags > 1) {
        qsort(closure->tags, closure->n_tags, sizeof *closure->tags, compare_tags);
    }
    buffer_init(&packed, 1024);
    hasher_init(&hasher, DIGEST_SHA256);
    for (i = 0; i < closure->n; i++) {
        const struct closure_entry *entry = &closure->entries[i];

        buffer_clear(&packed);
        pack_digest(&packed, &entry->digest);
        pack_uint(&packed, entry->size);
        pack_bool(&packed, (entry->roles & CLOSURE_MANIFEST) != 0);
        hasher_update(&hasher, buffer_view(&packed));
    }
    for (i = 0; i < closure->n_tags; i++) {
        buffer_clear(&packed);
        pack_text(&packed, closure->tags[i].name);
        pack_digest(&packed, &closure->tags[i].digest);
        hasher_update(&hasher, buffer_view(&packed));
    }
    CHECK(buffer_status(&packed) == OK);
    hasher_peek(&hasher, &closure->hash);
    hasher_release(&hasher);
    buffer_release(&packed);
}

enum error closure_find(struct catalog_txn *txn, struct bytes repository, const struct digest *root,
                        struct closure *out, struct reason *why)
{
    struct search search = {.txn = txn, .repository = repository, .closure = out, .why = why};
    struct manifest_record record;
    size_t i;

    *out = (struct closure){0};
    if (catalog_manifest(txn, repository, root, &record) != OK) {
        search_fail(&search, ERROR_MANIFEST_UNKNOWN, root, "is not there");
        return search.error;
    }
    out->slots = memory_zero(SLOTS_N * sizeof *out->slots);
    search.queue = memory_zero(CLOSURE_DIGESTS_MAX * sizeof *search.queue);
    (void)meet(&search, root, CLOSURE_MANIFEST, record.size);
    for (i = 0; i < search.n_queued && search.error == OK; i++) {
        struct queued queued = search.queue[i];

        expand(&search, &queued);
    }
    free(search.queue);
    free(out->slots);
    out->slots = NULL;
    if (search.error != OK) {
        closure_release(out);
        return search.error;
    }
    closure_finish(out);
    return OK;
}

void closure_release(struct closure *closure)
{
    free(closure->entries);
    free(closure->tags);
    *closure = (struct closure){0};
}
