#include "base/assert.h"
#include "base/crc32c.h"
#include "base/durable.h"
#include "base/memory.h"
#include "raft/little_endian.h"
#include "raft/snapshot_file.h"
#include "raft/snapshot_format.h"
#include "raft/vote_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading a snapshot file. No byte of a chunk is given before the CRC over all up to it agreed, and
 * the end only when the trailer did. */

struct snapshot_reader {
    int fd;
    char *path;
    uint64_t offset; /* Of what comes after the chunk. */
    uint32_t crc;
    uint8_t *chunk;
    size_t chunk_size, chunk_used;
    uint64_t given; /* Content in all chunks so far. */
    bool is_end;
    enum error error;
    struct reason why;
    struct snapshot_about about;
};

#define TAKE_ANOTHER "it must come again from another member"

static enum error damaged(const struct snapshot_reader *reader, uint64_t offset, struct reason *why)
{
    return fail(why, ERROR_CORRUPT, "%s is damaged or cut at offset %llu; " TAKE_ANOTHER,
                reader->path, (unsigned long long)offset);
}

static enum error read_exactly(struct snapshot_reader *reader, void *out, size_t size,
                               struct reason *why)
{
    size_t n;
    enum error rv = durable_read_at(reader->fd, out, size, reader->offset, &n, why);

    if (rv == OK && n != size) {
        rv = damaged(reader, reader->offset + n, why);
    }
    reader->offset += size;
    return rv;
}

static enum error read_configuration(struct snapshot_reader *reader, uint32_t size, uint32_t crc,
                                     struct reason *why)
{
    uint8_t *bytes = memory_alloc(size == 0 ? 1 : size);
    enum error rv = read_exactly(reader, bytes, size, why);

    if (rv == OK && crc32c(bytes_of(bytes, size)) != crc) {
        rv = damaged(reader, SNAPSHOT_HEADER_SIZE, why);
    }
    buffer_append(&reader->about.configuration, bytes_of(bytes, size));
    free(bytes);
    return rv;
}

static enum error read_header(struct snapshot_reader *reader, const char *cluster,
                              struct reason *why)
{
    uint8_t head[SNAPSHOT_HEADER_SIZE];
    enum error rv = read_exactly(reader, head, sizeof head, why);
    uint32_t size;

    if (rv != OK) {
        return rv;
    }
    size = get_u32(head + 64);
    if (get_u32(head) != SNAPSHOT_MAGIC || get_u32(head + 4) != SNAPSHOT_VERSION ||
        get_u32(head + 72) != crc32c(bytes_of(head, 72)) || size > SNAPSHOT_CONFIGURATION_MAX) {
        return damaged(reader, 0, why);
    }
    if (memcmp(head + 8, cluster, CLUSTER_ID_SIZE) != 0) {
        return fail(why, ERROR_FOREIGN, "%s is of cluster %.32s, not of %s", reader->path,
                    (const char *)head + 8, cluster);
    }
    reader->crc = crc32c(bytes_of(head, sizeof head));
    reader->about.index = get_u64(head + 40);
    reader->about.term = get_u64(head + 48);
    reader->about.configuration_index = get_u64(head + 56);
    return read_configuration(reader, size, get_u32(head + 68), why);
}

enum error snapshot_reader_open(const char *path, const char *cluster, struct snapshot_reader **out,
                                struct reason *why)
{
    struct snapshot_reader *reader;
    struct stat info;
    enum error rv;
    int fd;

    PRE(strlen(cluster) == CLUSTER_ID_SIZE);
    *out = NULL;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(why, errno, "open %s", path);
    }
    reader = memory_zero(sizeof *reader);
    reader->fd = fd;
    reader->path = memory_string(path);
    buffer_init(&reader->about.configuration, SNAPSHOT_CONFIGURATION_MAX);
    reader->chunk = memory_alloc(SNAPSHOT_CHUNK_MAX);
    rv = fstat(fd, &info) != 0 ? fail_errno(why, errno, "stat %s", path) : OK;
    reader->about.file_size = rv == OK ? (uint64_t)info.st_size : 0;
    if (rv == OK) {
        rv = read_header(reader, cluster, why);
    }
    if (rv != OK) {
        snapshot_reader_close(reader);
        return rv;
    }
    *out = reader;
    return OK;
}

void snapshot_reader_close(struct snapshot_reader *reader)
{
    close(reader->fd);
    snapshot_about_release(&reader->about);
    free(reader->path);
    free(reader->chunk);
    free(reader);
}

const struct snapshot_about *snapshot_reader_about(const struct snapshot_reader *reader)
{
    return &reader->about;
}

const char *snapshot_reader_why(const struct snapshot_reader *reader)
{
    return reader->why.text;
}

static enum error read_trailer(struct snapshot_reader *reader,
                               const uint8_t head[CHUNK_HEADER_SIZE])
{
    uint64_t at = reader->offset - CHUNK_HEADER_SIZE;
    uint8_t size[8];
    enum error rv = read_exactly(reader, size, sizeof size, &reader->why);

    if (rv != OK) {
        return rv;
    }
    if (get_u32(head + 4) != crc32c_extend(reader->crc, bytes_of(size, sizeof size)) ||
        get_u64(size) != reader->given || reader->offset != reader->about.file_size) {
        return damaged(reader, at, &reader->why);
    }
    reader->about.content_size = reader->given;
    reader->is_end = true;
    return OK;
}

static enum error next_chunk(struct snapshot_reader *reader)
{
    uint64_t at = reader->offset;
    uint8_t head[CHUNK_HEADER_SIZE];
    enum error rv = read_exactly(reader, head, sizeof head, &reader->why);
    uint32_t size;

    if (rv != OK) {
        return rv;
    }
    size = get_u32(head);
    if (size == TRAILER_MARK) {
        return read_trailer(reader, head);
    }
    if (size == 0 || size > SNAPSHOT_CHUNK_MAX) {
        return damaged(reader, at, &reader->why);
    }
    rv = read_exactly(reader, reader->chunk, size, &reader->why);
    if (rv != OK) {
        return rv;
    }
    reader->crc =
        crc32c_extend(crc32c_extend(reader->crc, bytes_of(head, 4)), bytes_of(reader->chunk, size));
    if (reader->crc != get_u32(head + 4)) {
        return damaged(reader, at, &reader->why);
    }
    reader->given += size;
    reader->chunk_size = size;
    reader->chunk_used = 0;
    return OK;
}

enum error snapshot_reader_read(void *data, void *out, size_t size, size_t *n)
{
    struct snapshot_reader *reader = data;

    *n = 0;
    while (*n < size && reader->error == OK && !reader->is_end) {
        size_t rest = reader->chunk_size - reader->chunk_used;

        if (rest == 0) {
            reader->error = next_chunk(reader);
            continue;
        }
        rest = rest < size - *n ? rest : size - *n;
        memcpy((uint8_t *)out + *n, reader->chunk + reader->chunk_used, rest);
        reader->chunk_used += rest;
        *n += rest;
    }
    return reader->error;
}

enum error snapshot_reader_raw(struct snapshot_reader *reader, uint64_t offset, void *out,
                               size_t size, size_t *n, struct reason *why)
{
    return durable_read_at(reader->fd, out, size, offset, n, why);
}

enum error snapshot_reader_verify(struct snapshot_reader *reader, struct reason *why)
{
    while (reader->error == OK && !reader->is_end) {
        reader->error = next_chunk(reader);
    }
    return reader->error == OK ? OK : fail(why, reader->error, "%s", reader->why.text);
}
