#include "raft/snapshot_file.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "raft/little_endian.h"
#include "raft/snapshot_format.h"
#include "raft/vote_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void snapshot_about_release(struct snapshot_about *about)
{
    buffer_release(&about->configuration);
}

/* --- tokens ---------------------------------------------------------------------------------- */

void snapshot_token_make(uint64_t index, uint64_t term, struct raft_buffer *buf)
{
    uint8_t *bytes = raft_malloc(SNAPSHOT_TOKEN_SIZE);

    CHECK(bytes != NULL);
    memset(bytes, 0, SNAPSHOT_TOKEN_SIZE);
    put_u32(bytes, TOKEN_MAGIC);
    put_u64(bytes + 8, index);
    put_u64(bytes + 16, term);
    *buf = (struct raft_buffer){.base = bytes, .len = SNAPSHOT_TOKEN_SIZE};
}

enum error snapshot_token_parse(const struct raft_buffer *buf, uint64_t *index, uint64_t *term)
{
    const uint8_t *bytes = buf->base;

    if (buf->len != SNAPSHOT_TOKEN_SIZE || get_u32(bytes) != TOKEN_MAGIC) {
        return ERROR_INVALID;
    }
    *index = get_u64(bytes + 8);
    *term = get_u64(bytes + 16);
    return OK;
}

/* --- configurations -------------------------------------------------------------------------- */

#define CONFIGURATION_FORMAT 1

/* One server: id, address with its NUL, role. False: it does not fit in what is left. */
static bool decode_server(struct bytes *in, struct raft_configuration *out)
{
    struct bytes address = bytes_slice(*in, 8, in->size);
    ptrdiff_t nul = bytes_find(address, '\0');
    uint64_t id;
    int role;

    if (in->size < 8 || nul < 0 || (size_t)nul + 1 >= address.size) {
        return false;
    }
    id = get_u64(in->data);
    role = address.data[nul + 1];
    *in = bytes_slice(address, (size_t)nul + 2, address.size);
    return id != 0 && (role == RAFT_STANDBY || role == RAFT_VOTER || role == RAFT_SPARE) &&
           raft_configuration_add(out, id, (const char *)address.data, role) == 0;
}

enum error configuration_decode(struct bytes encoded, struct raft_configuration *out,
                                struct reason *why)
{
    struct bytes rest = encoded;
    uint64_t n;

    raft_configuration_init(out);
    if (encoded.size < 9 || encoded.data[0] != CONFIGURATION_FORMAT) {
        return fail(why, ERROR_CORRUPT, "a configuration of %zu bytes is not in the known format",
                    encoded.size);
    }
    n = get_u64(encoded.data + 1);
    rest = bytes_slice(encoded, 9, encoded.size);
    for (uint64_t i = 0; i < n; i++) {
        if (!decode_server(&rest, out)) {
            raft_configuration_close(out);
            return fail(why, ERROR_CORRUPT, "server %llu of a configuration of %llu is malformed",
                        (unsigned long long)i, (unsigned long long)n);
        }
    }
    return OK;
}

/* --- writing --------------------------------------------------------------------------------- */

static enum error emit(struct snapshot_writer *writer, struct bytes bytes)
{
    struct reason why;
    enum error rv;

    if (writer->error != OK) {
        return writer->error;
    }
    rv = durable_write_at(writer->fd, bytes, writer->file_size, &why);
    writer->file_size += bytes.size;
    if (rv != OK) {
        writer->error = rv;
        writer->why = why;
    }
    return rv;
}

static void write_header(struct snapshot_writer *writer, const char *cluster,
                         const struct snapshot_about *about)
{
    struct bytes configuration = buffer_view(&about->configuration);
    uint8_t head[SNAPSHOT_HEADER_SIZE] = {0};

    put_u32(head, SNAPSHOT_MAGIC);
    put_u32(head + 4, SNAPSHOT_VERSION);
    memcpy(head + 8, cluster, CLUSTER_ID_SIZE);
    put_u64(head + 40, about->index);
    put_u64(head + 48, about->term);
    put_u64(head + 56, about->configuration_index);
    put_u32(head + 64, (uint32_t)configuration.size);
    put_u32(head + 68, crc32c(configuration));
    put_u32(head + 72, crc32c(bytes_of(head, 72)));
    writer->crc = crc32c(bytes_of(head, sizeof head));
    emit(writer, bytes_of(head, sizeof head));
    emit(writer, configuration);
}

enum error snapshot_writer_open(struct snapshot_writer *writer, const char *path,
                                const char *cluster, const struct snapshot_about *about,
                                struct reason *why)
{
    PRE(strlen(cluster) == CLUSTER_ID_SIZE);
    PRE(about->configuration.size <= SNAPSHOT_CONFIGURATION_MAX);
    memset(writer, 0, sizeof *writer);
    buffer_init(&writer->chunk, SNAPSHOT_CHUNK_MAX);
    writer->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        return fail_errno(why, errno, "create %s", path);
    }
    write_header(writer, cluster, about);
    return OK;
}

static void write_chunk(struct snapshot_writer *writer)
{
    struct bytes data = buffer_view(&writer->chunk);
    uint8_t head[CHUNK_HEADER_SIZE];

    put_u32(head, (uint32_t)data.size);
    writer->crc = crc32c_extend(crc32c_extend(writer->crc, bytes_of(head, 4)), data);
    put_u32(head + 4, writer->crc);
    emit(writer, bytes_of(head, sizeof head));
    emit(writer, data);
    writer->content_size += data.size;
    buffer_clear(&writer->chunk);
}

enum error snapshot_writer_sink(void *data, struct bytes piece)
{
    struct snapshot_writer *writer = data;

    while (piece.size > 0 && writer->error == OK) {
        size_t room = SNAPSHOT_CHUNK_MAX - writer->chunk.size;

        buffer_append(&writer->chunk, bytes_slice(piece, 0, room));
        piece = bytes_slice(piece, room, piece.size);
        if (writer->chunk.size == SNAPSHOT_CHUNK_MAX) {
            write_chunk(writer);
        }
    }
    return writer->error;
}

void snapshot_writer_abort(struct snapshot_writer *writer)
{
    if (writer->fd >= 0) {
        close(writer->fd);
        writer->fd = -1;
    }
    buffer_release(&writer->chunk);
}

enum error snapshot_writer_finish(struct snapshot_writer *writer, uint64_t *content_size,
                                  uint64_t *file_size, struct reason *why)
{
    uint8_t trailer[TRAILER_SIZE];

    if (writer->chunk.size > 0) {
        write_chunk(writer);
    }
    put_u32(trailer, TRAILER_MARK);
    put_u64(trailer + 8, writer->content_size);
    put_u32(trailer + 4, crc32c_extend(writer->crc, bytes_of(trailer + 8, 8)));
    emit(writer, bytes_of(trailer, sizeof trailer));
    FAILPOINT("snapshot.before_sync");
    if (writer->error == OK && (FAILPOINT_FAILS("snapshot.sync") || fdatasync(writer->fd) != 0)) {
        writer->error = fail_errno(&writer->why, errno, "sync snapshot");
    }
    FAILPOINT("snapshot.after_sync");
    if (close(writer->fd) != 0 && writer->error == OK) {
        writer->error = fail_errno(&writer->why, errno, "close snapshot");
    }
    writer->fd = -1;
    *content_size = writer->content_size;
    *file_size = writer->file_size;
    buffer_release(&writer->chunk);
    return writer->error == OK ? OK : fail(why, writer->error, "%s", writer->why.text);
}
