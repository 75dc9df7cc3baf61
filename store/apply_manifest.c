/* Commands on manifests and tags: manifest.put, manifest.delete, tag.delete. */

#include "base/assert.h"
#include "store/apply.h"
#include "store/content.h"

#define TAGS_MAX        1000
#define MEDIA_TYPE_MAX  255
#define ANNOTATIONS_MAX (512u * 1024)
#define REFERENCES_SIZE (1024u * 1024)
/* Digests of missing content that a result lists: it is kept for repetitions, so not all of 10,000.
 */
#define MISSING_MAX 256

enum condition { CONDITION_NONE, CONDITION_ABSENT, CONDITION_MATCH };

/* --- manifest.put: [repository, digest, size, media type, artifact type, subject, annotations,
 *     references, [tag, ...], [holder, ...], allow missing, condition, expected] ---------------
 * references is a bin that holds [[kind, digest, size, external(, platform)], ...].
 * ERROR_MANIFEST_BLOB_UNKNOWN has a body: an array of the digests that are missing (packed form),
 * at most 256. */

void command_manifest_put(struct buffer *out, const struct command_id *id, struct bytes actor,
                          const struct manifest_put *put)
{
    struct buffer references;
    size_t i;

    buffer_init(&references, REFERENCES_SIZE);
    references_pack(&references, put->references, put->n_references);
    CHECK(buffer_status(&references) == OK);
    command_begin(out, COMMAND_MANIFEST_PUT, id, actor);
    pack_array(out, 13);
    pack_string(out, put->repository);
    pack_digest(out, &put->digest);
    pack_uint(out, put->size);
    pack_string(out, put->media_type);
    pack_string(out, put->artifact_type);
    pack_digest(out, &put->subject);
    pack_string(out, put->annotations);
    pack_bin(out, buffer_view(&references));
    pack_array(out, put->n_tags);
    for (i = 0; i < put->n_tags; i++) {
        pack_string(out, put->tags[i]);
    }
    holders_pack(out, put->holders, put->n_holders);
    pack_bool(out, put->allow_missing);
    pack_uint(out, (uint64_t)put->condition);
    pack_digest(out, &put->expected);
    buffer_release(&references);
}

struct put_body {
    struct bytes repository;
    struct digest digest, expected;
    struct manifest_record facts;
    struct bytes tags[TAGS_MAX];
    uint64_t holders[HOLDERS_MAX];
    size_t n_tags, n_holders;
    bool allow_missing;
    uint64_t condition;
};

static void put_body_unpack(struct unpacker *in, struct put_body *put)
{
    size_t i;

    unpack_array_of(in, 13);
    put->repository = unpack_string(in, NAME_MAX_SIZE);
    unpack_digest(in, &put->digest);
    put->facts = (struct manifest_record){.size = unpack_uint(in)};
    put->facts.media_type = unpack_string(in, MEDIA_TYPE_MAX);
    put->facts.artifact_type = unpack_string(in, MEDIA_TYPE_MAX);
    unpack_digest(in, &put->facts.subject);
    put->facts.annotations = unpack_string(in, ANNOTATIONS_MAX);
    put->facts.references = unpack_bin(in, REFERENCES_SIZE);
    put->n_tags = unpack_array(in);
    if (put->n_tags > TAGS_MAX) {
        in->error = ERROR_INVALID;
        put->n_tags = 0;
    }
    for (i = 0; i < put->n_tags; i++) {
        put->tags[i] = unpack_string(in, TAG_MAX_SIZE);
    }
    put->n_holders = holders_unpack(in, put->holders);
    put->allow_missing = unpack_bool(in);
    put->condition = unpack_uint(in);
    unpack_digest(in, &put->expected);
}

/* What no state of the catalog could make right. */
static bool put_is_sound(const struct put_body *put, struct outcome *outcome)
{
    size_t i;

    if (put->digest.algorithm == 0 || put->condition > CONDITION_MATCH ||
        references_check(put->facts.references) != OK) {
        (void)outcome_fail(outcome, ERROR_INVALID, "manifest.put: not a sound command");
        return false;
    }
    if (put->condition != CONDITION_NONE && put->n_tags != 1) {
        (void)outcome_fail(outcome, ERROR_INVALID,
                           "If-Match and If-None-Match need exactly one tag, there are %zu",
                           put->n_tags);
        return false;
    }
    for (i = 0; i < put->n_tags; i++) {
        if (!tag_is_valid(put->tags[i])) {
            (void)outcome_fail(outcome, ERROR_INVALID, "not a tag");
            return false;
        }
    }
    return true;
}

static bool condition_holds(struct catalog_txn *txn, const struct put_body *put,
                            struct outcome *outcome)
{
    struct tag_record tag;
    char text[DIGEST_TEXT_MAX];
    bool exists;

    if (put->condition == CONDITION_NONE) {
        return true;
    }
    exists = catalog_tag(txn, put->repository, put->tags[0], &tag) == OK;
    if (put->condition == CONDITION_ABSENT
            ? !exists
            : exists && put->expected.algorithm != 0 && digest_equal(&tag.digest, &put->expected)) {
        return true;
    }
    if (exists) {
        digest_format(&tag.digest, text);
        (void)outcome_fail(outcome, ERROR_CONFLICT, "tag " BYTES_FMT " is at %s",
                           BYTES_ARG(put->tags[0]), text);
    } else {
        (void)outcome_fail(outcome, ERROR_CONFLICT, "there is no tag " BYTES_FMT,
                           BYTES_ARG(put->tags[0]));
    }
    return false;
}

/* --- what a manifest refers to --------------------------------------------------------------- */

struct missing_walk {
    struct catalog_txn *txn;
    struct bytes repository;
    struct digest found[MISSING_MAX];
    size_t n;
};

static bool is_present(struct catalog_txn *txn, struct bytes repository,
                       const struct reference *reference)
{
    struct table_key key = key_of_name_digest(repository, &reference->digest);
    enum table table = reference->kind == REFERENCE_MANIFEST ? TABLE_REPOSITORY_MANIFESTS
                                                             : TABLE_LINKS;
    struct bytes value;

    return table_get(txn, table, table_key_view(&key), &value) == OK;
}

static bool missing_visit(void *data, const struct reference *reference)
{
    struct missing_walk *walk = data;
    size_t i;

    if (reference->external || is_present(walk->txn, walk->repository, reference)) {
        return true;
    }
    for (i = 0; i < walk->n; i++) {
        if (digest_equal(&walk->found[i], &reference->digest)) {
            return true;
        }
    }
    walk->found[walk->n++] = reference->digest;
    return walk->n < MISSING_MAX;
}

static bool references_are_present(struct catalog_txn *txn, const struct put_body *put,
                                   struct outcome *outcome)
{
    struct missing_walk walk = {.txn = txn, .repository = put->repository};
    char text[DIGEST_TEXT_MAX];
    bool is_sound;
    size_t i;

    if (put->allow_missing) {
        return true;
    }
    is_sound = manifest_references(&put->facts, missing_visit, &walk);
    CHECK(is_sound);
    if (walk.n == 0) {
        return true;
    }
    pack_array(&outcome->body, walk.n);
    for (i = 0; i < walk.n; i++) {
        pack_digest(&outcome->body, &walk.found[i]);
    }
    digest_format(&walk.found[0], text);
    (void)outcome_fail(outcome, ERROR_MANIFEST_BLOB_UNKNOWN,
                       "repository " BYTES_FMT " lacks %s%s, which the manifest refers to: push "
                       "that first",
                       BYTES_ARG(put->repository), text, walk.n > 1 ? " and more" : "");
    return false;
}

static bool put_size_check(struct catalog_txn *txn, const struct put_body *put,
                           struct outcome *outcome)
{
    struct blob_record blob;

    if (catalog_blob(txn, &put->digest, &blob) == OK && blob.size != put->facts.size) {
        (void)outcome_fail(outcome, ERROR_INVALID, "the content has %llu bytes, not %llu",
                           (unsigned long long)blob.size, (unsigned long long)put->facts.size);
        return false;
    }
    return true;
}

void apply_manifest_put(const struct command_context *context, struct unpacker *body,
                        struct outcome *outcome)
{
    struct put_body put;
    size_t i;

    put_body_unpack(body, &put);
    if (!body_check(body, outcome) || !put_is_sound(&put, outcome) ||
        !repository_check_open(context->txn, put.repository, outcome) ||
        !put_size_check(context->txn, &put, outcome) ||
        !condition_holds(context->txn, &put, outcome) ||
        !references_are_present(context->txn, &put, outcome)) {
        return;
    }
    blob_register(context->txn, &put.digest, put.facts.size, put.holders, put.n_holders,
                  context->time_ms);
    manifest_make(context->txn, put.repository, &put.digest, &put.facts, context->time_ms);
    for (i = 0; i < put.n_tags; i++) {
        tag_set(context, put.repository, put.tags[i], &put.digest);
    }
}

/* --- manifest.delete: [repository, digest] --------------------------------------------------- */

void command_manifest_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                             struct bytes repository, const struct digest *digest)
{
    command_begin(out, COMMAND_MANIFEST_DELETE, id, actor);
    pack_array(out, 2);
    pack_string(out, repository);
    pack_digest(out, digest);
}

void apply_manifest_delete(const struct command_context *context, struct unpacker *body,
                           struct outcome *outcome)
{
    struct manifest_record manifest;
    struct bytes repository;
    struct digest digest;
    enum error error;

    unpack_array_of(body, 2);
    repository = unpack_string(body, NAME_MAX_SIZE);
    unpack_digest(body, &digest);
    if (!body_check(body, outcome) || !repository_check_open(context->txn, repository, outcome)) {
        return;
    }
    if (digest.algorithm == 0) {
        (void)outcome_fail(outcome, ERROR_INVALID, "no digest");
        return;
    }
    error = catalog_manifest(context->txn, repository, &digest, &manifest);
    if (error != OK) {
        (void)outcome_fail(outcome, error, "repository " BYTES_FMT " has no such manifest",
                           BYTES_ARG(repository));
        return;
    }
    tags_clear_of(context, repository, &digest);
    manifest_remove(context->txn, repository, &digest);
}

/* --- tag.delete: [repository, tag] ----------------------------------------------------------- */

void command_tag_delete(struct buffer *out, const struct command_id *id, struct bytes actor,
                        struct bytes repository, struct bytes tag)
{
    command_begin(out, COMMAND_TAG_DELETE, id, actor);
    pack_array(out, 2);
    pack_string(out, repository);
    pack_string(out, tag);
}

void apply_tag_delete(const struct command_context *context, struct unpacker *body,
                      struct outcome *outcome)
{
    struct bytes repository, tag;
    enum error error;

    unpack_array_of(body, 2);
    repository = unpack_string(body, NAME_MAX_SIZE);
    tag = unpack_string(body, TAG_MAX_SIZE);
    if (!body_check(body, outcome) || !repository_check_open(context->txn, repository, outcome)) {
        return;
    }
    error = tag_clear(context, repository, tag);
    if (error != OK) {
        (void)outcome_fail(outcome, error, "repository " BYTES_FMT " has no tag " BYTES_FMT,
                           BYTES_ARG(repository), BYTES_ARG(tag));
    }
}
