/* Snapshots: the whole catalog as a stream, written from a frozen view while commands go on being
 * applied, and read back into a new environment that replaces the current one only when count and
 * hash are right. Neither side holds more than one record in memory.
 *
 * The stream is a row of frames, each four bytes of size (big-endian) and one msgpack array:
 *   [0, "caisson-catalog", format version, applied index]    first
 *   [1, table name]                                           before a table's records
 *   [2, key, value]                                           in key order
 *   [3, number of records, state hash]                        last; nothing may follow
 * An unknown table or version is refused: this program would drop what it does not know. */

#include "base/assert.h"
#include "base/failpoint.h"
#include "base/memory.h"
#include "store/catalog_state.h"
#include "store/level.h"

#include <stdlib.h>

#define SNAPSHOT_FORMAT    1
#define SNAPSHOT_MAGIC     "caisson-catalog"
#define SNAPSHOT_FRAME_MAX (4u * 1024 * 1024)
#define SNAPSHOT_BATCH     ((size_t)8 << 20) /* Bytes restored in one LMDB transaction. */

enum frame_kind { FRAME_HEAD, FRAME_TABLE, FRAME_RECORD, FRAME_END };

struct catalog_view {
    struct catalog_txn txn;
};

struct catalog_view *catalog_view_open(struct catalog *catalog, uint64_t *index)
{
    struct catalog_view *view = memory_zero(sizeof *view);

    catalog_read(catalog, &view->txn);
    *index = catalog_txn_index(&view->txn);
    return view;
}

void catalog_view_close(struct catalog_view *view)
{
    catalog_done(&view->txn);
    free(view);
}

/* --- writing --------------------------------------------------------------------------------- */

struct snapshot_writer {
    enum error (*sink)(void *sink_data, struct bytes piece);
    void *sink_data;
    struct buffer frame; /* Its first four bytes are the size. */
    enum error error;
    uint64_t n;
};

static void frame_begin(struct snapshot_writer *writer, size_t n, enum frame_kind kind)
{
    static const uint8_t room_for_size[4];

    buffer_clear(&writer->frame);
    buffer_append(&writer->frame, bytes_of(room_for_size, sizeof room_for_size));
    pack_array(&writer->frame, n);
    pack_uint(&writer->frame, (uint64_t)kind);
}

static void frame_end(struct snapshot_writer *writer)
{
    size_t size = writer->frame.size - 4, i;

    CHECK(buffer_status(&writer->frame) == OK);
    for (i = 0; i < 4; i++) {
        writer->frame.data[i] = (uint8_t)(size >> (24 - 8 * i));
    }
    writer->error = writer->sink(writer->sink_data, buffer_view(&writer->frame));
}

static bool write_record(void *data, struct bytes key, struct bytes value)
{
    struct snapshot_writer *writer = data;

    frame_begin(writer, 3, FRAME_RECORD);
    pack_bin(&writer->frame, key);
    pack_bin(&writer->frame, value);
    frame_end(writer);
    writer->n++;
    return writer->error == OK;
}

static void write_head(struct snapshot_writer *writer, uint64_t index)
{
    frame_begin(writer, 4, FRAME_HEAD);
    pack_text(&writer->frame, SNAPSHOT_MAGIC);
    pack_uint(&writer->frame, SNAPSHOT_FORMAT);
    pack_uint(&writer->frame, index);
    frame_end(writer);
}

/* An empty table is not named, so that a member that does not know it yet takes the snapshot of one
 * that does. */
static void write_table(struct snapshot_writer *writer, struct catalog_txn *txn, enum table table)
{
    if (table_count(txn, table) == 0) {
        return;
    }
    frame_begin(writer, 2, FRAME_TABLE);
    pack_text(&writer->frame, table_name(table));
    frame_end(writer);
    if (writer->error == OK) {
        table_scan(txn, table, BYTES_NONE, write_record, writer);
    }
}

static void write_end(struct snapshot_writer *writer, const struct catalog_txn *txn)
{
    char hash[65];

    state_hash_format(txn->hash, hash);
    frame_begin(writer, 3, FRAME_END);
    pack_uint(&writer->frame, writer->n);
    pack_text(&writer->frame, hash);
    frame_end(writer);
}

enum error catalog_view_write(struct catalog_view *view,
                              enum error (*sink)(void *sink_data, struct bytes piece),
                              void *sink_data, struct reason *why)
{
    struct snapshot_writer writer = {.sink = sink, .sink_data = sink_data};
    unsigned table;

    buffer_init(&writer.frame, SNAPSHOT_FRAME_MAX);
    write_head(&writer, catalog_txn_index(&view->txn));
    for (table = 0; table < TABLE_N && writer.error == OK; table++) {
        write_table(&writer, &view->txn, (enum table)table);
    }
    if (writer.error == OK) {
        write_end(&writer, &view->txn);
    }
    buffer_release(&writer.frame);
    return writer.error == OK ? OK
                              : fail(why, writer.error, "cannot write the catalog's snapshot: %s",
                                     error_text(writer.error));
}

/* --- restoring ------------------------------------------------------------------------------- */

struct snapshot_reader {
    enum error (*source)(void *source_data, void *out, size_t size, size_t *n);
    void *source_data;
    struct reason *why;
    uint8_t *frame;
    size_t capacity;
    struct catalog_txn txn; /* Into the new environment. */
    uint64_t index;         /* From the head. */
    enum table table;       /* TABLE_N before the first. */
    uint64_t n;
    size_t pending; /* Bytes since the last LMDB commit. */
    bool is_headed, is_ended;
};

static enum error damaged(const struct snapshot_reader *reader, const char *what)
{
    return fail(reader->why, ERROR_CORRUPT, "the catalog's snapshot is damaged: %s", what);
}

/* Exactly size bytes; *n less than that only at the end of the stream. */
static enum error read_whole(struct snapshot_reader *reader, uint8_t *out, size_t size, size_t *n)
{
    *n = 0;
    while (*n < size) {
        size_t got = 0;
        enum error error = reader->source(reader->source_data, out + *n, size - *n, &got);

        if (error != OK) {
            return fail(reader->why, error, "cannot read the catalog's snapshot: %s",
                        error_text(error));
        }
        if (got == 0) {
            return OK;
        }
        CHECK(got <= size - *n);
        *n += got;
    }
    return OK;
}

/* The next frame's content, empty at the end of the stream. */
static enum error read_frame(struct snapshot_reader *reader, struct bytes *out)
{
    uint8_t head[4];
    size_t size, n;
    enum error error = read_whole(reader, head, sizeof head, &n);

    *out = BYTES_NONE;
    if (error != OK || n == 0) {
        return error;
    }
    size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (n < sizeof head || size == 0 || size > SNAPSHOT_FRAME_MAX) {
        return damaged(reader, "a frame of impossible size");
    }
    if (size > reader->capacity) {
        reader->frame = memory_resize(reader->frame, size);
        reader->capacity = size;
    }
    error = read_whole(reader, reader->frame, size, &n);
    if (error != OK) {
        return error;
    }
    if (n < size) {
        return damaged(reader, "it ends in the middle of a frame");
    }
    *out = bytes_of(reader->frame, size);
    return OK;
}

static enum error restore_head(struct snapshot_reader *reader, struct unpacker *in)
{
    struct bytes magic = unpack_string(in, 64);
    uint64_t format = unpack_uint(in);

    reader->index = unpack_uint(in);
    if (unpack_end(in) != OK || reader->is_headed || !bytes_equal_string(magic, SNAPSHOT_MAGIC)) {
        return damaged(reader, "its head");
    }
    if (format != SNAPSHOT_FORMAT) {
        return fail(reader->why, ERROR_UNSUPPORTED,
                    "the catalog's snapshot has format %llu, this program knows %d: upgrade it",
                    (unsigned long long)format, SNAPSHOT_FORMAT);
    }
    reader->is_headed = true;
    return OK;
}

static enum error restore_table(struct snapshot_reader *reader, struct unpacker *in)
{
    struct bytes name = unpack_string(in, 64);
    unsigned table;

    if (unpack_end(in) != OK) {
        return damaged(reader, "a table's name");
    }
    for (table = 0; table < TABLE_N; table++) {
        if (bytes_equal_string(name, table_name((enum table)table))) {
            reader->table = (enum table)table;
            return OK;
        }
    }
    return fail(reader->why, ERROR_UNSUPPORTED,
                "the catalog's snapshot has a table \"" BYTES_FMT
                "\" that this program does not know: upgrade it",
                BYTES_ARG(name));
}

static void commit_batch(struct snapshot_reader *reader)
{
    struct environment *environment = reader->txn.environment;

    environment_commit(&reader->txn, 0);
    environment_begin(environment, true, &reader->txn);
    reader->pending = 0;
}

static enum error restore_record(struct snapshot_reader *reader, struct unpacker *in)
{
    struct bytes key = unpack_bin(in, TABLE_KEY_MAX);
    struct bytes value = unpack_bin(in, SNAPSHOT_FRAME_MAX);

    if (unpack_end(in) != OK || reader->table == TABLE_N ||
        table_fill(&reader->txn, reader->table, key, value) != OK) {
        return damaged(reader, "a record");
    }
    reader->n++;
    reader->pending += key.size + value.size;
    if (reader->pending >= SNAPSHOT_BATCH) {
        commit_batch(reader);
    }
    return OK;
}

static enum error restore_end(struct snapshot_reader *reader, struct unpacker *in)
{
    uint64_t n = unpack_uint(in);
    struct bytes expected = unpack_string(in, 64);
    char hash[65];

    state_hash_format(reader->txn.hash, hash);
    if (unpack_end(in) != OK || n != reader->n) {
        return damaged(reader, "the number of records");
    }
    if (!bytes_equal_string(expected, hash)) {
        return damaged(reader, "the state hash");
    }
    reader->is_ended = true;
    return OK;
}

static enum error restore_frame(struct snapshot_reader *reader, struct bytes frame)
{
    struct unpacker in;
    uint64_t kind;

    unpack_start(&in, frame);
    (void)unpack_array(&in);
    kind = unpack_uint(&in);
    if (reader->is_ended || (!reader->is_headed && kind != FRAME_HEAD)) {
        return damaged(reader, "frames out of order");
    }
    switch (kind) {
    case FRAME_HEAD:
        return restore_head(reader, &in);
    case FRAME_TABLE:
        return restore_table(reader, &in);
    case FRAME_RECORD:
        return restore_record(reader, &in);
    case FRAME_END:
        return restore_end(reader, &in);
    default:
        return damaged(reader, "an unknown frame");
    }
}

static enum error restore_frames(struct snapshot_reader *reader, uint64_t index)
{
    struct bytes frame;
    enum error error;

    do {
        error = read_frame(reader, &frame);
        if (error == OK && frame.size > 0) {
            error = restore_frame(reader, frame);
        }
    } while (error == OK && frame.size > 0);
    if (error != OK) {
        return error;
    }
    if (!reader->is_ended) {
        return damaged(reader, "it ends too early");
    }
    if (reader->index > index) {
        return damaged(reader, "it is newer than its name says");
    }
    return OK;
}

enum error catalog_restore(struct catalog *catalog, uint64_t index,
                           enum error (*source)(void *source_data, void *out, size_t size,
                                                size_t *n),
                           void *source_data, struct reason *why)
{
    struct snapshot_reader reader = {
        .source = source, .source_data = source_data, .why = why, .table = TABLE_N};
    struct environment *environment;
    enum error error = catalog_new_environment(catalog, &environment, why);

    if (error != OK) {
        return error;
    }
    reader.txn.catalog = catalog;
    environment_begin(environment, true, &reader.txn);
    error = restore_frames(&reader, index);
    free(reader.frame);
    if (error != OK) {
        environment_abort(&reader.txn);
        environment->is_obsolete = true;
        environment_close(environment);
        return error;
    }
    environment_commit(&reader.txn, index);
    FAILPOINT("catalog.before_swap");
    catalog_swap_environment(catalog, environment);
    FAILPOINT("catalog.after_swap");
    catalog_load_state(catalog);
    changes_forget(catalog);
    return level_check(catalog, why);
}
