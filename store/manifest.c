/* Manifests. What follows from a manifest's bytes and its media type is kept once, under digest and
 * media type together: a body need not name its media type, so the same bytes may rightly be an
 * image here and an index there, and who pushes them first under a wrong type must not decide what
 * they mean in other repositories. What belongs to one repository is its own record. */

#include "base/assert.h"
#include "store/content.h"
#include "store/quota.h"

#include <stdio.h>

#define MEDIA_TYPE_MAX 255

/* --- references ------------------------------------------------------------------------------ */

/* [[kind, digest, size, external], ...], with a platform at the end where one is known. */
void references_pack(struct buffer *out, const struct reference *references, size_t n)
{
    size_t i;

    PRE(n <= REFERENCES_MAX);
    pack_array(out, n);
    for (i = 0; i < n; i++) {
        bool has_platform = references[i].platform[0] != '\0';

        pack_array(out, has_platform ? 5 : 4);
        pack_uint(out, (uint64_t)references[i].kind);
        pack_digest(out, &references[i].digest);
        pack_uint(out, references[i].size);
        pack_bool(out, references[i].external);
        if (has_platform) {
            pack_text(out, references[i].platform);
        }
    }
}

static void reference_unpack(struct unpacker *in, struct reference *out)
{
    size_t fields = unpack_array(in);
    struct bytes platform = BYTES_NONE;
    uint64_t kind;

    kind = unpack_uint(in);
    unpack_digest(in, &out->digest);
    out->size = unpack_uint(in);
    out->external = unpack_bool(in);
    if (fields == 5) {
        platform = unpack_string(in, PLATFORM_TEXT_MAX);
    }
    snprintf(out->platform, sizeof out->platform, "%.*s", BYTES_ARG(platform));
    if (unpack_status(in) == OK &&
        (fields < 4 || fields > 5 || kind > REFERENCE_MANIFEST || out->digest.algorithm == 0)) {
        in->error = ERROR_INVALID;
    }
    out->kind = (enum reference_kind)kind;
}

enum error references_check(struct bytes packed)
{
    struct reference reference;
    struct unpacker in;
    size_t n, i;

    unpack_start(&in, packed);
    n = unpack_array(&in);
    if (n > REFERENCES_MAX) {
        return ERROR_INVALID;
    }
    for (i = 0; i < n && unpack_status(&in) == OK; i++) {
        reference_unpack(&in, &reference);
    }
    return unpack_end(&in);
}

bool manifest_references(const struct manifest_record *manifest,
                         bool (*visit)(void *data, const struct reference *ref), void *data)
{
    struct reference reference;
    struct unpacker in;
    size_t n;

    unpack_start(&in, manifest->references);
    for (n = unpack_array(&in); n > 0; n--) {
        reference_unpack(&in, &reference);
        if (unpack_status(&in) != OK) {
            return false;
        }
        if (!visit(data, &reference)) {
            return true;
        }
    }
    return unpack_end(&in) == OK;
}

/* --- facts ----------------------------------------------------------------------------------- */

static struct table_key facts_key(const struct digest *digest, struct bytes media_type)
{
    struct table_key key = key_of_digest(digest);

    PRE(media_type.size <= MEDIA_TYPE_MAX);
    table_key_add(&key, media_type);
    return key;
}

/* TABLE_MANIFESTS: digest, media type -> [size, artifact type, subject, annotations, references].
 * Kept when the last repository lets go of the manifest, as its content is, until a collection. */
static void facts_put(struct catalog_txn *txn, const struct digest *digest,
                      const struct manifest_record *facts)
{
    struct table_key key = facts_key(digest, facts->media_type);
    struct buffer value;
    struct bytes present;

    if (table_get(txn, TABLE_MANIFESTS, table_key_view(&key), &present) == OK) {
        return;
    }
    buffer_init(&value,
                512 + facts->annotations.size + facts->references.size + facts->artifact_type.size);
    pack_array(&value, 5);
    pack_uint(&value, facts->size);
    pack_string(&value, facts->artifact_type);
    pack_digest(&value, &facts->subject);
    pack_string(&value, facts->annotations);
    pack_bin(&value, facts->references);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_MANIFESTS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

static void facts_get(struct catalog_txn *txn, const struct digest *digest,
                      struct manifest_record *out)
{
    struct table_key key = facts_key(digest, out->media_type);
    struct unpacker in;
    struct bytes value;
    enum error error = table_get(txn, TABLE_MANIFESTS, table_key_view(&key), &value);

    CHECK(error == OK);
    unpack_start(&in, value);
    unpack_array_of(&in, 5);
    out->size = unpack_uint(&in);
    out->artifact_type = unpack_string(&in, SIZE_MAX);
    unpack_digest(&in, &out->subject);
    out->annotations = unpack_string(&in, SIZE_MAX);
    out->references = unpack_bin(&in, SIZE_MAX);
    record_check(&in, TABLE_MANIFESTS);
}

/* TABLE_REPOSITORY_MANIFESTS: repository, digest -> [media type, since_ms]. */
enum error catalog_manifest(struct catalog_txn *txn, struct bytes repository,
                            const struct digest *digest, struct manifest_record *out)
{
    enum error error = catalog_repository_exists(txn, repository);
    struct unpacker in;
    struct table_key key;
    struct bytes value;

    if (error != OK) {
        return error;
    }
    key = key_of_name_digest(repository, digest);
    if (table_get(txn, TABLE_REPOSITORY_MANIFESTS, table_key_view(&key), &value) != OK) {
        return ERROR_MANIFEST_UNKNOWN;
    }
    *out = (struct manifest_record){0};
    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    out->media_type = unpack_string(&in, MEDIA_TYPE_MAX);
    out->since_ms = unpack_uint(&in);
    record_check(&in, TABLE_REPOSITORY_MANIFESTS);
    facts_get(txn, digest, out);
    return OK;
}

/* --- a repository's manifests ---------------------------------------------------------------- */

struct counting {
    struct catalog_txn *txn;
    struct bytes repository;
    int change;
};

static bool count_reference(void *data, const struct reference *reference)
{
    const struct counting *counting = data;

    reference_count_add(counting->txn, counting->repository, &reference->digest, counting->change);
    return true;
}

bool catalog_is_referred(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest)
{
    return reference_count(txn, repository, digest) > 0;
}

/* Count the manifest's references up or down. A copy of the packed list, since the table that
 * changes lends no memory across a change. */
static void count_references(struct catalog_txn *txn, struct bytes repository,
                             struct bytes references, int change)
{
    struct counting counting = {txn, repository, change};
    struct manifest_record manifest = {0};
    struct buffer copy;
    bool is_sound;

    buffer_init(&copy, references.size);
    buffer_append(&copy, references);
    manifest.references = buffer_view(&copy);
    is_sound = manifest_references(&manifest, count_reference, &counting);
    CHECK(is_sound);
    buffer_release(&copy);
}

/* TABLE_REFERRERS: repository, subject, digest -> (nothing). */
static struct table_key referrer_key(struct bytes repository, const struct digest *subject,
                                     const struct digest *digest)
{
    struct table_key key = key_of_name_digest(repository, subject);

    table_key_add_digest(&key, digest);
    return key;
}

/* With the facts as they are stored, so that taking it out again undoes exactly this. */
static void manifest_add(struct catalog_txn *txn, struct bytes repository,
                         const struct digest *digest, struct bytes media_type, uint64_t time_ms)
{
    struct table_key key = key_of_name_digest(repository, digest);
    struct manifest_record stored = {.media_type = media_type};
    struct buffer value;

    facts_get(txn, digest, &stored);
    usage_add(txn, repository, (int64_t)stored.size, 0);
    facts_get(txn, digest, &stored);
    count_references(txn, repository, stored.references, 1);
    buffer_init(&value, 512);
    pack_array(&value, 2);
    pack_string(&value, media_type);
    pack_uint(&value, time_ms);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_REPOSITORY_MANIFESTS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
    if (stored.subject.algorithm != 0) {
        key = referrer_key(repository, &stored.subject, digest);
        table_put(txn, TABLE_REFERRERS, table_key_view(&key), BYTES_NONE);
    }
}

void manifest_make(struct catalog_txn *txn, struct bytes repository, const struct digest *digest,
                   const struct manifest_record *facts, uint64_t time_ms)
{
    struct manifest_record present;

    if (catalog_manifest(txn, repository, digest, &present) == OK) {
        if (bytes_equal(present.media_type, facts->media_type)) {
            return;
        }
        /* The same bytes under another media type: what they mean here has changed. */
        manifest_remove(txn, repository, digest);
    }
    repository_make(txn, repository, time_ms);
    facts_put(txn, digest, facts);
    manifest_add(txn, repository, digest, facts->media_type, time_ms);
}

void manifest_remove(struct catalog_txn *txn, struct bytes repository, const struct digest *digest)
{
    struct manifest_record manifest;
    struct table_key key = key_of_name_digest(repository, digest);
    struct table_key referrer;
    enum error error = catalog_manifest(txn, repository, digest, &manifest);

    CHECK(error == OK);
    if (manifest.subject.algorithm != 0) {
        referrer = referrer_key(repository, &manifest.subject, digest);
    }
    count_references(txn, repository, manifest.references, -1);
    usage_add(txn, repository, -(int64_t)manifest.size, 0);
    if (manifest.subject.algorithm != 0) {
        error = table_delete(txn, TABLE_REFERRERS, table_key_view(&referrer));
        CHECK(error == OK);
    }
    error = table_delete(txn, TABLE_REPOSITORY_MANIFESTS, table_key_view(&key));
    CHECK(error == OK);
}

/* --- for promotion/ -------------------------------------------------------------------------- */

void catalog_force_link(struct catalog_txn *txn, struct bytes repository,
                        const struct digest *digest, uint64_t time_ms)
{
    struct blob_record blob;

    if (catalog_blob(txn, digest, &blob) == OK && catalog_link(txn, repository, digest) != OK) {
        link_make(txn, repository, digest, time_ms);
    }
}

/* Facts are lent by the transaction and the tables change under them: copy the parts that vary in
 * size into memory (the caller's buffer) and let the record point there. */
static void facts_own(struct manifest_record *facts, struct buffer *memory)
{
    struct bytes *parts[] = {&facts->media_type, &facts->artifact_type, &facts->annotations,
                             &facts->references};
    size_t sizes[4], offset = 0, i;

    buffer_init(memory, (size_t)1 << 40);
    for (i = 0; i < 4; i++) {
        sizes[i] = parts[i]->size;
        buffer_append(memory, *parts[i]);
    }
    CHECK(buffer_status(memory) == OK);
    for (i = 0; i < 4; i++) {
        *parts[i] = bytes_slice(buffer_view(memory), offset, sizes[i]);
        offset += sizes[i];
    }
}

void catalog_force_manifest(struct catalog_txn *txn, struct bytes repository,
                            const struct digest *digest, const struct command_context *context,
                            struct bytes source_repository)
{
    struct manifest_record facts;
    struct buffer memory;

    if (catalog_manifest(txn, source_repository, digest, &facts) != OK) {
        return;
    }
    facts_own(&facts, &memory);
    manifest_make(txn, repository, digest, &facts, context->time_ms);
    buffer_release(&memory);
}

/* --- referrers ------------------------------------------------------------------------------- */

struct referrers_walk {
    struct catalog_txn *txn;
    struct bytes repository, prefix;
    catalog_visit_manifest visit;
    void *data;
};

static bool referrer_visit(void *data, struct bytes key, struct bytes value)
{
    struct referrers_walk *walk = data;
    struct manifest_record manifest;
    struct digest digest;
    enum error error;

    (void)value;
    if (!bytes_starts_with(key, walk->prefix)) {
        return false;
    }
    key_last_digest(key, walk->prefix.size, &digest);
    error = catalog_manifest(walk->txn, walk->repository, &digest, &manifest);
    CHECK(error == OK);
    return walk->visit(walk->data, &digest, &manifest);
}

void catalog_referrers(struct catalog_txn *txn, struct bytes repository,
                       const struct digest *subject, catalog_visit_manifest visit, void *data)
{
    struct table_key prefix;
    struct referrers_walk walk = {txn, repository, BYTES_NONE, visit, data};

    if (!repository_name_is_valid(repository)) {
        return;
    }
    prefix = key_of_name_digest(repository, subject);
    walk.prefix = table_key_view(&prefix);
    table_scan(txn, TABLE_REFERRERS, walk.prefix, referrer_visit, &walk);
}
