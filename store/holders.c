/* Content and the nodes that hold it. Beside the record of each blob two derived tables answer
 * "what does node N lack" and "how much is on too few nodes" without a walk over all blobs, and
 * without rewriting anything when the members change: TABLE_HOLDER_SETS (how many
 * blobs have exactly this set of holders, and their bytes) and TABLE_BLOBS_BY_HOLDERS (set, digest;
 * no value). There are few distinct sets (with three nodes at most eight, a few more while one is
 * replaced). */

#include "base/assert.h"
#include "store/content.h"

#include <stdlib.h>

/* TABLE_BLOBS: digest -> [size, generation, created_ms, [holder, ...]], holders ascending. */
static void blob_record_unpack(struct bytes value, struct blob_record *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 4);
    out->size = unpack_uint(&in);
    out->generation = unpack_uint(&in);
    out->created_ms = unpack_uint(&in);
    out->n_holders = holders_unpack(&in, out->holders);
    record_check(&in, TABLE_BLOBS);
}

static void blob_record_put(struct catalog_txn *txn, const struct digest *digest,
                            const struct blob_record *blob)
{
    struct table_key key = key_of_digest(digest);
    struct buffer value;

    buffer_init(&value, 512);
    pack_array(&value, 4);
    pack_uint(&value, blob->size);
    pack_uint(&value, blob->generation);
    pack_uint(&value, blob->created_ms);
    holders_pack(&value, blob->holders, blob->n_holders);
    CHECK(buffer_status(&value) == OK);
    table_put(txn, TABLE_BLOBS, table_key_view(&key), buffer_view(&value));
    buffer_release(&value);
}

enum error catalog_blob(struct catalog_txn *txn, const struct digest *digest,
                        struct blob_record *out)
{
    struct table_key key = key_of_digest(digest);
    struct bytes value;

    if (table_get(txn, TABLE_BLOBS, table_key_view(&key), &value) != OK) {
        return ERROR_BLOB_UNKNOWN;
    }
    blob_record_unpack(value, out);
    return OK;
}

size_t holders_unpack(struct unpacker *in, uint64_t holders[HOLDERS_MAX])
{
    size_t n = unpack_array(in), i;

    if (n > HOLDERS_MAX) {
        in->error = ERROR_INVALID;
        return 0;
    }
    for (i = 0; i < n; i++) {
        holders[i] = unpack_uint(in);
    }
    return n;
}

void holders_pack(struct buffer *out, const uint64_t *holders, size_t n)
{
    size_t i;

    PRE(n <= HOLDERS_MAX);
    pack_array(out, n);
    for (i = 0; i < n; i++) {
        pack_uint(out, holders[i]);
    }
}

/* --- sets of holders ------------------------------------------------------------------------- */

#define SET_MAX (1 + HOLDERS_MAX * 8)

/* The number of holders in one byte, then each in eight, big-endian. */
struct holder_set {
    uint8_t data[SET_MAX];
    size_t size;
};

static void set_of(const struct blob_record *blob, struct holder_set *out)
{
    size_t i, k;

    out->data[0] = (uint8_t)blob->n_holders;
    out->size = 1;
    for (i = 0; i < blob->n_holders; i++) {
        for (k = 0; k < 8; k++) {
            out->data[out->size++] = (uint8_t)(blob->holders[i] >> (56 - 8 * k));
        }
    }
}

static size_t set_read(struct bytes set, uint64_t holders[HOLDERS_MAX])
{
    size_t n, i, k;

    if (set.size == 0 || set.data[0] > HOLDERS_MAX || set.size != 1 + 8u * set.data[0]) {
        fail_stop("the catalog is damaged: a set of holders does not decode");
    }
    n = set.data[0];
    for (i = 0; i < n; i++) {
        holders[i] = 0;
        for (k = 0; k < 8; k++) {
            holders[i] = holders[i] << 8 | set.data[1 + 8 * i + k];
        }
    }
    return n;
}

/* TABLE_HOLDER_SETS: set -> [number of blobs, their bytes], absent when there are none. */
struct set_sum {
    uint64_t blobs, bytes;
};

static void set_sum_unpack(struct bytes value, struct set_sum *out)
{
    struct unpacker in;

    unpack_start(&in, value);
    unpack_array_of(&in, 2);
    out->blobs = unpack_uint(&in);
    out->bytes = unpack_uint(&in);
    record_check(&in, TABLE_HOLDER_SETS);
}

/* One blob of that size more (change 1) or less (-1). */
static void set_sum_change(struct catalog_txn *txn, struct bytes set, uint64_t size, int change)
{
    struct set_sum sum = {0, 0};
    struct buffer packed;
    struct bytes value;

    if (table_get(txn, TABLE_HOLDER_SETS, set, &value) == OK) {
        set_sum_unpack(value, &sum);
    }
    CHECK(change > 0 || (sum.blobs > 0 && sum.bytes >= size));
    sum.blobs = change > 0 ? sum.blobs + 1 : sum.blobs - 1;
    sum.bytes = change > 0 ? sum.bytes + size : sum.bytes - size;
    if (sum.blobs == 0) {
        enum error error = table_delete(txn, TABLE_HOLDER_SETS, set);

        CHECK(error == OK);
        return;
    }
    buffer_init(&packed, 32);
    pack_array(&packed, 2);
    pack_uint(&packed, sum.blobs);
    pack_uint(&packed, sum.bytes);
    table_put(txn, TABLE_HOLDER_SETS, set, buffer_view(&packed));
    buffer_release(&packed);
}

static void index_change(struct catalog_txn *txn, const struct digest *digest,
                         const struct blob_record *blob, int change)
{
    struct holder_set set;
    struct table_key key;
    struct bytes view;

    set_of(blob, &set);
    view = bytes_of(set.data, set.size);
    key = key_of_name_digest(view, digest);
    set_sum_change(txn, view, blob->size, change);
    if (change > 0) {
        table_put(txn, TABLE_BLOBS_BY_HOLDERS, table_key_view(&key), BYTES_NONE);
    } else {
        enum error error = table_delete(txn, TABLE_BLOBS_BY_HOLDERS, table_key_view(&key));

        CHECK(error == OK);
    }
}

/* --- changing holders ------------------------------------------------------------------------ */

static bool is_retired(struct catalog_txn *txn, uint64_t node)
{
    struct table_key key;
    struct bytes value;

    table_key_init(&key);
    table_key_add_uint(&key, node);
    return table_get(txn, TABLE_RETIRED_MEMBERS, table_key_view(&key), &value) == OK;
}

/* Drop those who left the cluster: their ids never come back. */
static void prune(struct catalog_txn *txn, struct blob_record *blob)
{
    size_t i, kept = 0;

    for (i = 0; i < blob->n_holders; i++) {
        if (!is_retired(txn, blob->holders[i])) {
            blob->holders[kept++] = blob->holders[i];
        }
    }
    blob->n_holders = kept;
}

static void holder_add(struct blob_record *blob, uint64_t node)
{
    size_t at = 0, i;

    while (at < blob->n_holders && blob->holders[at] < node) {
        at++;
    }
    if ((at < blob->n_holders && blob->holders[at] == node) || blob->n_holders == HOLDERS_MAX) {
        return; /* Known, or more copies than anybody counts. */
    }
    for (i = blob->n_holders; i > at; i--) {
        blob->holders[i] = blob->holders[i - 1];
    }
    blob->holders[at] = node;
    blob->n_holders++;
}

static void holder_remove(struct blob_record *blob, uint64_t node)
{
    size_t i, kept = 0;

    for (i = 0; i < blob->n_holders; i++) {
        if (blob->holders[i] != node) {
            blob->holders[kept++] = blob->holders[i];
        }
    }
    blob->n_holders = kept;
}

static bool same_holders(const struct blob_record *a, const struct blob_record *b)
{
    return a->n_holders == b->n_holders &&
           memcmp(a->holders, b->holders, a->n_holders * sizeof a->holders[0]) == 0;
}

static void blob_replace(struct catalog_txn *txn, const struct digest *digest,
                         const struct blob_record *old, const struct blob_record *new)
{
    if (same_holders(old, new)) {
        return;
    }
    index_change(txn, digest, old, -1);
    index_change(txn, digest, new, 1);
    blob_record_put(txn, digest, new);
}

void blob_register(struct catalog_txn *txn, const struct digest *digest, uint64_t size,
                   const uint64_t *holders, size_t n_holders, uint64_t time_ms)
{
    struct blob_record old = {0}, new;
    bool is_new = catalog_blob(txn, digest, &old) != OK;
    size_t i;

    new = old;
    prune(txn, &new);
    for (i = 0; i < n_holders; i++) {
        if (!is_retired(txn, holders[i])) {
            holder_add(&new, holders[i]);
        }
    }
    if (is_new) {
        new.size = size;
        new.generation = 1;
        new.created_ms = time_ms;
        index_change(txn, digest, &new, 1);
        blob_record_put(txn, digest, &new);
    } else {
        blob_replace(txn, digest, &old, &new);
    }
}

void blob_set_holder(struct catalog_txn *txn, const struct digest *digest, uint64_t node,
                     bool present)
{
    struct blob_record old, new;

    if (catalog_blob(txn, digest, &old) != OK) {
        return;
    }
    new = old;
    prune(txn, &new);
    if (present) {
        holder_add(&new, node);
    } else {
        holder_remove(&new, node);
    }
    blob_replace(txn, digest, &old, &new);
}

/* --- reading --------------------------------------------------------------------------------- */

bool catalog_holder_is_live(struct catalog_txn *txn, uint64_t node)
{
    struct table_key key;
    struct bytes value;

    table_key_init(&key);
    table_key_add_uint(&key, node);
    return table_get(txn, TABLE_MEMBERS, table_key_view(&key), &value) == OK;
}

static size_t count_live(struct catalog_txn *txn, const uint64_t *holders, size_t n)
{
    size_t live = 0, i;

    for (i = 0; i < n; i++) {
        live += catalog_holder_is_live(txn, holders[i]) ? 1 : 0;
    }
    return live;
}

size_t catalog_live_holders(struct catalog_txn *txn, const struct blob_record *blob,
                            uint64_t out[HOLDERS_MAX])
{
    size_t n = 0, i;

    for (i = 0; i < blob->n_holders; i++) {
        if (catalog_holder_is_live(txn, blob->holders[i])) {
            out[n++] = blob->holders[i];
        }
    }
    return n;
}

struct replication_walk {
    struct catalog_txn *txn;
    uint64_t wanted;
    struct replication_count *out;
};

static bool replication_visit(void *data, struct bytes key, struct bytes value)
{
    struct replication_walk *walk = data;
    uint64_t holders[HOLDERS_MAX];
    struct set_sum sum;
    size_t live;

    live = count_live(walk->txn, holders, set_read(key, holders));
    set_sum_unpack(value, &sum);
    walk->out->blobs += sum.blobs;
    walk->out->bytes += sum.bytes;
    walk->out->under_replicated += live < walk->wanted ? sum.blobs : 0;
    walk->out->lost += live == 0 ? sum.blobs : 0;
    return true;
}

void catalog_count_replication(struct catalog_txn *txn, unsigned copies,
                               struct replication_count *out)
{
    uint64_t members = table_count(txn, TABLE_MEMBERS);
    struct replication_walk walk = {txn, members < copies ? members : copies, out};

    *out = (struct replication_count){0};
    table_scan(txn, TABLE_HOLDER_SETS, BYTES_NONE, replication_visit, &walk);
}

struct sole_walk {
    struct catalog_txn *txn;
    uint64_t node, count;
};

static bool sole_visit(void *data, struct bytes key, struct bytes value)
{
    struct sole_walk *walk = data;
    uint64_t holders[HOLDERS_MAX];
    size_t n = set_read(key, holders), n_others = 0;
    bool is_among = false;
    struct set_sum sum;

    for (size_t i = 0; i < n; i++) {
        is_among |= holders[i] == walk->node;
        n_others += holders[i] != walk->node && catalog_holder_is_live(walk->txn, holders[i]);
    }
    set_sum_unpack(value, &sum);
    walk->count += is_among && n_others == 0 ? sum.blobs : 0;
    return true;
}

uint64_t catalog_count_sole(struct catalog_txn *txn, uint64_t node)
{
    struct sole_walk walk = {txn, node, 0};

    table_scan(txn, TABLE_HOLDER_SETS, BYTES_NONE, sole_visit, &walk);
    return walk.count;
}

struct lack_walk {
    struct catalog_txn *txn;
    uint64_t node;
    unsigned copies;
    struct lack_count *out;
};

static bool lack_visit(void *data, struct bytes key, struct bytes value)
{
    struct lack_walk *walk = data;
    uint64_t holders[HOLDERS_MAX];
    size_t n = set_read(key, holders), live = count_live(walk->txn, holders, n);
    struct set_sum sum;
    bool is_held = false;

    for (size_t i = 0; i < n; i++) {
        is_held |= holders[i] == walk->node;
    }
    set_sum_unpack(value, &sum);
    if (is_held) {
        walk->out->held_blobs += sum.blobs;
        walk->out->held_bytes += sum.bytes;
    } else if (live > 0 && live < walk->copies) {
        walk->out->blobs += sum.blobs;
        walk->out->bytes += sum.bytes;
    }
    return true;
}

void catalog_count_lacking(struct catalog_txn *txn, uint64_t node, unsigned copies,
                           struct lack_count *out)
{
    struct lack_walk walk = {txn, node, copies, out};

    *out = (struct lack_count){0};
    table_scan(txn, TABLE_HOLDER_SETS, BYTES_NONE, lack_visit, &walk);
}

/* --- by digest ------------------------------------------------------------------------------- */

struct blobs_walk {
    struct bytes after;
    catalog_visit_record visit;
    void *data;
};

static bool blobs_visit(void *data, struct bytes key, struct bytes value)
{
    struct blobs_walk *walk = data;
    struct blob_record blob;
    struct digest digest;

    if (bytes_equal(key, walk->after)) {
        return true;
    }
    if (digest_unpack(key, &digest) != OK) {
        fail_stop("the catalog is damaged: a key does not end in a digest");
    }
    blob_record_unpack(value, &blob);
    return walk->visit(walk->data, &digest, &blob);
}

void catalog_blobs(struct catalog_txn *txn, const struct digest *after, catalog_visit_record visit,
                   void *data)
{
    struct table_key from = {.size = 0};
    struct blobs_walk walk = {.visit = visit, .data = data};

    if (after->algorithm != 0) {
        from = key_of_digest(after);
    }
    walk.after = table_key_view(&from);
    table_scan(txn, TABLE_BLOBS, walk.after, blobs_visit, &walk);
}

/* --- who lacks what -------------------------------------------------------------------------- */

struct missing_walk {
    struct catalog_txn *txn;
    uint64_t node;
    struct table_key *cursor;
    struct bytes set; /* The set whose blobs are visited. */
    catalog_visit_blob visit;
    void *data;
    bool is_stopped;
};

static bool missing_blob_visit(void *data, struct bytes key, struct bytes value)
{
    struct missing_walk *walk = data;
    struct digest digest;

    (void)value;
    if (!bytes_starts_with(key, walk->set)) {
        return false;
    }
    if (bytes_equal(key, table_key_view(walk->cursor))) {
        return true; /* Where the last call ended. */
    }
    key_last_digest(key, walk->set.size, &digest);
    *walk->cursor = key_of_name(key);
    walk->is_stopped = !walk->visit(walk->data, &digest);
    return !walk->is_stopped;
}

static bool missing_set_visit(void *data, struct bytes set, struct bytes value)
{
    struct missing_walk *walk = data;
    uint64_t holders[HOLDERS_MAX];
    size_t n = set_read(set, holders), i;
    struct bytes from = set;

    (void)value;
    for (i = 0; i < n; i++) {
        if (holders[i] == walk->node) {
            return true;
        }
    }
    if (walk->cursor->size > 0) {
        struct bytes cursor = table_key_view(walk->cursor);

        if (bytes_starts_with(cursor, set)) {
            from = cursor;
        } else if (bytes_compare(set, cursor) < 0) {
            return true; /* Done before. */
        }
    }
    walk->set = set;
    table_scan(walk->txn, TABLE_BLOBS_BY_HOLDERS, from, missing_blob_visit, walk);
    return !walk->is_stopped;
}

void catalog_blobs_missing(struct catalog_txn *txn, uint64_t node, struct table_key *cursor,
                           catalog_visit_blob visit, void *data)
{
    struct missing_walk walk = {
        .txn = txn, .node = node, .cursor = cursor, .visit = visit, .data = data};

    table_scan(txn, TABLE_HOLDER_SETS, BYTES_NONE, missing_set_visit, &walk);
}
