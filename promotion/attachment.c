#include "promotion/attachment.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>

struct references {
    struct digest *items;
    size_t n, capacity;
};

/* The config of a signature manifest lists its layers again and differs with them: left out. */
static bool add_reference(void *data, const struct reference *ref)
{
    struct references *list = data;

    if (ref->kind == REFERENCE_CONFIG) {
        return true;
    }
    if (list->n == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->items = memory_resize(list->items, list->capacity * sizeof *list->items);
    }
    CHECK(list->n < REFERENCES_MAX);
    list->items[list->n++] = ref->digest;
    return true;
}

static int compare_digests(const void *a, const void *b)
{
    const struct digest *x = a, *y = b;

    return x->algorithm != y->algorithm ? (x->algorithm < y->algorithm ? -1 : 1)
                                        : memcmp(x->raw, y->raw, x->size);
}

static bool read_references(struct catalog_txn *txn, struct bytes repository,
                            const struct digest *digest, struct references *out)
{
    struct manifest_record record;

    *out = (struct references){0};
    if (catalog_manifest(txn, repository, digest, &record) != OK ||
        !manifest_references(&record, add_reference, out)) {
        return false;
    }
    if (out->n > 1) {
        qsort(out->items, out->n, sizeof *out->items, compare_digests);
    }
    return true;
}

/* Is each of part in whole? Both are sorted. */
static bool has_all(const struct references *whole, const struct references *part)
{
    size_t i = 0, k;

    for (k = 0; k < part->n; k++) {
        while (i < whole->n && compare_digests(&whole->items[i], &part->items[k]) < 0) {
            i++;
        }
        if (i == whole->n || compare_digests(&whole->items[i], &part->items[k]) != 0) {
            return false;
        }
    }
    return true;
}

enum attachment_step attachment_decide(struct catalog_txn *txn, struct bytes source,
                                       struct bytes target, struct bytes tag,
                                       const struct digest *manifest)
{
    enum attachment_step step = ATTACHMENT_CONFLICT;
    struct references ours, theirs = {0};
    struct tag_record current;

    if (catalog_tag(txn, target, tag, &current) != OK) {
        return ATTACHMENT_SET;
    }
    if (digest_equal(&current.digest, manifest)) {
        return ATTACHMENT_KEEP;
    }
    if (read_references(txn, source, manifest, &ours) &&
        read_references(txn, target, &current.digest, &theirs)) {
        step = has_all(&theirs, &ours)   ? ATTACHMENT_KEEP
               : has_all(&ours, &theirs) ? ATTACHMENT_SET
                                         : ATTACHMENT_CONFLICT;
    }
    free(ours.items);
    free(theirs.items);
    return step;
}
