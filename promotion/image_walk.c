#include "promotion/image_walk.h"

#define LEVELS_MAX    4
#define MANIFESTS_MAX 1000

struct walk {
    struct catalog_txn *txn;
    struct bytes repository;
    image_visit visit;
    void *data;
    unsigned level;
    size_t n;
    bool is_whole;
};

static bool measure(void *data, const struct reference *ref)
{
    struct image_manifest *manifest = data;

    if (ref->kind == REFERENCE_MANIFEST) {
        manifest->is_index = true;
        return true;
    }
    manifest->bytes += ref->size;
    manifest->has_external = manifest->has_external || ref->external;
    if (ref->kind == REFERENCE_LAYER) {
        manifest->layers++;
        manifest->layer_bytes = ref->size > manifest->layer_bytes ? ref->size
                                                                  : manifest->layer_bytes;
    }
    return true;
}

static void walk_manifest(struct walk *walk, const struct digest *digest);

static bool walk_child(void *data, const struct reference *ref)
{
    struct walk *walk = data;

    if (ref->kind == REFERENCE_MANIFEST) {
        walk_manifest(walk, &ref->digest);
    }
    return walk->is_whole;
}

static void walk_manifest(struct walk *walk, const struct digest *digest)
{
    struct manifest_record record;
    struct image_manifest manifest = {.digest = digest, .record = &record, .is_root = walk->n == 0};

    if (walk->level == LEVELS_MAX || ++walk->n > MANIFESTS_MAX ||
        catalog_manifest(walk->txn, walk->repository, digest, &record) != OK) {
        walk->is_whole = false;
        return;
    }
    manifest.bytes = record.size;
    walk->is_whole = manifest_references(&record, measure, &manifest);
    if (!walk->is_whole) {
        return;
    }
    walk->visit(walk->data, &manifest);
    walk->level++;
    (void)manifest_references(&record, walk_child, walk);
    walk->level--;
}

bool image_walk(struct catalog_txn *txn, struct bytes repository, const struct digest *root,
                image_visit visit, void *data)
{
    struct walk walk = {
        .txn = txn, .repository = repository, .visit = visit, .data = data, .is_whole = true};

    walk_manifest(&walk, root);
    return walk.is_whole;
}
