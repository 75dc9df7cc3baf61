#ifndef RAFT_SNAPSHOT_FILE_H
#define RAFT_SNAPSHOT_FILE_H

#include "base/bytes.h"
#include "base/error.h"

#include <raft.h>

/* One snapshot in one file: written once, in order, under a temporary name.
 *
 *   header   magic, version, cluster, index, term, configuration and its index, CRC32C
 *   chunks   length, CRC32C chained to all before, data; at most SNAPSHOT_CHUNK_MAX each
 *   trailer  marker, bytes of content, CRC32C chained to all before
 *
 * Numbers are little-endian. Any flipped bit, a missing end or anything after the trailer is
 * ERROR_CORRUPT. Nothing in the file names a member, so that its bytes are the same on all. */

#define SNAPSHOT_CHUNK_MAX         (256u * 1024)
#define SNAPSHOT_CONFIGURATION_MAX (64u * 1024)

/* What a snapshot is of. */
struct snapshot_about {
    uint64_t index, term;
    uint64_t configuration_index;
    struct buffer configuration; /* As raft_configuration_encode() writes it. */
    uint64_t content_size;       /* Known once written, or read to the end. */
    uint64_t file_size;
};

void snapshot_about_release(struct snapshot_about *about);

/* --- tokens: what libraft takes for the snapshot's data -------------------------------------- */

#define SNAPSHOT_TOKEN_SIZE 24

/* Fill buf with a raft_malloc'd token for (index, term). */
void snapshot_token_make(uint64_t index, uint64_t term, struct raft_buffer *buf);
/* ERROR_INVALID when buf is no token. */
enum error snapshot_token_parse(const struct raft_buffer *buf, uint64_t *index,
                                uint64_t *term) MUST_USE;

/* Decode a configuration as raft_configuration_encode() writes it (the library does not export its
 * decoder): every length is checked. out is initialised; raft_configuration_close() it when OK.
 * ERROR_CORRUPT. */
enum error configuration_decode(struct bytes encoded, struct raft_configuration *out,
                                struct reason *why) MUST_USE;

/* --- writing --------------------------------------------------------------------------------- */

struct snapshot_writer {
    /* Private. */
    int fd;
    uint32_t crc;
    uint64_t content_size, file_size;
    struct buffer chunk;
    enum error error;
    struct reason why;
};

/* Create path (0600, must not exist) and write the header. */
enum error snapshot_writer_open(struct snapshot_writer *writer, const char *path,
                                const char *cluster, const struct snapshot_about *about,
                                struct reason *why) MUST_USE;
/* The sink of struct machine: sink_data is the writer. The first failure sticks. */
enum error snapshot_writer_sink(void *writer, struct bytes piece);
/* Trailer, fdatasync, close. After any error the caller removes the file. Always ends the writer.
 */
enum error snapshot_writer_finish(struct snapshot_writer *writer, uint64_t *content_size,
                                  uint64_t *file_size, struct reason *why) MUST_USE;
/* Give up: close without a trailer. */
void snapshot_writer_abort(struct snapshot_writer *writer);

/* --- reading --------------------------------------------------------------------------------- */

struct snapshot_reader;

/* Open and check the header. ERROR_NOT_FOUND, ERROR_CORRUPT, ERROR_FOREIGN (another cluster). */
enum error snapshot_reader_open(const char *path, const char *cluster, struct snapshot_reader **out,
                                struct reason *why) MUST_USE;
void snapshot_reader_close(struct snapshot_reader *reader);
const struct snapshot_about *snapshot_reader_about(const struct snapshot_reader *reader);
/* The content in order, each chunk checked before a byte of it is given; *n is 0 at the end, and
 * only when the trailer agreed. The source of struct machine's restore: source_data is the reader.
 */
enum error snapshot_reader_read(void *reader, void *out, size_t size, size_t *n);
/* Why the last read failed. */
const char *snapshot_reader_why(const struct snapshot_reader *reader);
/* Bytes of the file as they are, for a peer; *n is 0 at the end. Independent of read. */
enum error snapshot_reader_raw(struct snapshot_reader *reader, uint64_t offset, void *out,
                               size_t size, size_t *n, struct reason *why) MUST_USE;
/* Read to the end and throw away: ERROR_CORRUPT when anything is wrong. Fills the sizes of about.
 */
enum error snapshot_reader_verify(struct snapshot_reader *reader, struct reason *why) MUST_USE;

#endif
