/* Frames: the envelope, and the link's own frames. Raft's messages are in frame_message.c. Whatever
 * a peer sends, decoding ends in a value or in ERROR_INVALID with a sentence. */
#include "raft/frame.h"

#include "base/assert.h"
#include "base/pack.h"

#include <stdio.h>

static uint32_t read_u32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

static void write_u32(uint8_t *data, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        data[i] = (uint8_t)(value >> (8 * i));
    }
}

const char *frame_kind_name(unsigned kind)
{
    static const char *const names[FRAME_KIND_LAST + 1] = {
        [FRAME_HELLO] = "hello",
        [FRAME_PING] = "ping",
        [FRAME_PONG] = "pong",
        [FRAME_SNAPSHOT_PIECE] = "snapshot piece",
        [FRAME_SNAPSHOT_ACK] = "snapshot ack",
        [FRAME_APPEND_ENTRIES] = "append entries",
        [FRAME_APPEND_ENTRIES_RESULT] = "append entries result",
        [FRAME_REQUEST_VOTE] = "request vote",
        [FRAME_REQUEST_VOTE_RESULT] = "request vote result",
        [FRAME_INSTALL_SNAPSHOT] = "install snapshot",
        [FRAME_TIMEOUT_NOW] = "timeout now",
        [FRAME_PROPOSE] = "propose",
        [FRAME_PROPOSE_RESULT] = "propose result",
        [FRAME_READ_INDEX] = "read index",
        [FRAME_READ_INDEX_RESULT] = "read index result",
        [FRAME_CONFIRM] = "confirm",
        [FRAME_CONFIRM_RESULT] = "confirm result",
    };

    if (kind > FRAME_KIND_LAST) {
        return "unknown";
    }
    if (names[kind] != NULL) {
        return names[kind];
    }
    return kind >= FRAME_APPLICATION ? "application" : "unknown";
}

static bool kind_is_known(unsigned kind)
{
    return (kind >= FRAME_HELLO && kind <= FRAME_SNAPSHOT_ACK) ||
           (kind >= FRAME_APPEND_ENTRIES && kind <= FRAME_TIMEOUT_NOW) ||
           (kind >= FRAME_APPLICATION && kind <= FRAME_KIND_LAST);
}

enum error frame_split(struct bytes in, size_t size_max, struct frame *out, bool *complete,
                       struct reason *why)
{
    uint32_t length;

    PRE(size_max >= FRAME_HEADER_SIZE && size_max <= FRAME_SIZE_MAX);
    *complete = false;
    memset(out, 0, sizeof *out);
    if (in.size < FRAME_HEADER_SIZE) {
        return OK;
    }
    length = read_u32(in.data);
    if (length < FRAME_HEADER_SIZE - 4) {
        return fail(why, ERROR_INVALID, "a frame of %u bytes is shorter than its header", length);
    }
    if (length > size_max - 4) {
        return fail(why, ERROR_TOO_LARGE, "a frame of %u bytes is over the limit of %zu", length,
                    size_max);
    }
    if (in.data[4] != FRAME_VERSION) {
        return fail(why, ERROR_UNSUPPORTED, "a frame of version %u, this node speaks version %u",
                    in.data[4], FRAME_VERSION);
    }
    out->kind = in.data[5];
    if (!kind_is_known(out->kind)) {
        return fail(why, ERROR_INVALID, "a frame of the unknown kind %u", out->kind);
    }
    out->size = (size_t)length + 4;
    if (in.size < out->size) {
        return OK;
    }
    out->body = bytes_of(in.data + FRAME_HEADER_SIZE, out->size - FRAME_HEADER_SIZE);
    *complete = true;
    return OK;
}

size_t frame_begin(struct buffer *out, unsigned kind)
{
    uint8_t header[FRAME_HEADER_SIZE] = {0, 0, 0, 0, FRAME_VERSION, (uint8_t)kind};
    size_t begin = out->size;

    PRE(kind_is_known(kind));
    buffer_append(out, bytes_of(header, sizeof header));
    return begin;
}

enum error frame_end(struct buffer *out, size_t begin)
{
    if (buffer_status(out) != OK || out->size - begin > FRAME_SIZE_MAX) {
        if (out->size > begin) {
            out->size = begin;
        }
        out->overrun = false;
        return ERROR_TOO_LARGE;
    }
    CHECK(out->size >= begin + FRAME_HEADER_SIZE);
    write_u32(out->data + begin, (uint32_t)(out->size - begin - 4));
    return OK;
}

enum error frame_append(struct buffer *out, unsigned kind, struct bytes body)
{
    size_t begin = frame_begin(out, kind);

    buffer_append(out, body);
    return frame_end(out, begin);
}

/* --- the link's own frames ------------------------------------------------------------------- */

static enum error end_decoding(const struct unpacker *in, unsigned kind, struct reason *why)
{
    if (unpack_end(in) != OK) {
        return fail(why, ERROR_INVALID, "the body of a %s frame is garbage", frame_kind_name(kind));
    }
    return OK;
}

enum error frame_encode_hello(struct buffer *out, const struct hello *hello)
{
    size_t begin = frame_begin(out, FRAME_HELLO);

    pack_array(out, 4);
    pack_text(out, "caisson");
    pack_uint(out, hello->id);
    pack_text(out, hello->cluster);
    pack_text(out, hello->address);
    return frame_end(out, begin);
}

static void copy_text(char *out, struct bytes text)
{
    if (text.size > 0) {
        memcpy(out, text.data, text.size);
    }
    out[text.size] = '\0';
}

enum error frame_decode_hello(struct bytes body, struct hello *out, struct reason *why)
{
    struct unpacker in;
    struct bytes magic;
    enum error error;

    memset(out, 0, sizeof *out);
    unpack_start(&in, body);
    unpack_array_of(&in, 4);
    magic = unpack_string(&in, 16);
    out->id = unpack_uint(&in);
    copy_text(out->cluster, unpack_string(&in, HELLO_CLUSTER_MAX));
    copy_text(out->address, unpack_string(&in, HELLO_ADDRESS_MAX));
    error = end_decoding(&in, FRAME_HELLO, why);
    if (error == OK && (!bytes_equal_string(magic, "caisson") || out->id == 0)) {
        error = fail(why, ERROR_INVALID, "the hello is not that of a caisson node");
    }
    return error;
}

enum error frame_encode_number(struct buffer *out, unsigned kind, uint64_t number)
{
    size_t begin = frame_begin(out, kind);

    pack_uint(out, number);
    return frame_end(out, begin);
}

enum error frame_decode_number(struct bytes body, uint64_t *number, struct reason *why)
{
    struct unpacker in;

    unpack_start(&in, body);
    *number = unpack_uint(&in);
    return end_decoding(&in, FRAME_PING, why);
}

enum error frame_encode_piece(struct buffer *out, unsigned kind, const struct snapshot_piece *piece)
{
    size_t begin = frame_begin(out, kind);

    PRE(piece->data.size <= SNAPSHOT_PIECE_MAX);
    pack_array(out, 4);
    pack_uint(out, piece->number);
    pack_uint(out, piece->offset);
    pack_bool(out, piece->last);
    pack_bin(out, piece->data);
    return frame_end(out, begin);
}

enum error frame_decode_piece(struct bytes body, struct snapshot_piece *out, struct reason *why)
{
    struct unpacker in;

    unpack_start(&in, body);
    unpack_array_of(&in, 4);
    out->number = unpack_uint(&in);
    out->offset = unpack_uint(&in);
    out->last = unpack_bool(&in);
    out->data = unpack_bin(&in, SNAPSHOT_PIECE_MAX);
    return end_decoding(&in, FRAME_SNAPSHOT_PIECE, why);
}

/* --- the announcement of a snapshot ---------------------------------------------------------- */

enum error frame_encode_offer(struct buffer *out, const struct snapshot_offer *offer,
                              const struct raft_install_snapshot *message)
{
    size_t begin = frame_begin(out, FRAME_INSTALL_SNAPSHOT);

    pack_array(out, 7);
    pack_uint(out, offer->number);
    pack_uint(out, offer->size);
    pack_uint(out, message->term);
    pack_uint(out, message->last_index);
    pack_uint(out, message->last_term);
    pack_uint(out, message->conf_index);
    pack_array(out, message->conf.n);
    for (unsigned i = 0; i < message->conf.n; i++) {
        pack_array(out, 3);
        pack_uint(out, message->conf.servers[i].id);
        pack_text(out, message->conf.servers[i].address);
        pack_uint(out, (uint64_t)message->conf.servers[i].role);
    }
    return frame_end(out, begin);
}

/* False for what libraft would not take: id 0, twice the same id or address, no such role. */
static bool decode_server(struct unpacker *in, struct raft_configuration *configuration)
{
    char address[HELLO_ADDRESS_MAX + 1];
    uint64_t id;
    uint64_t role;

    unpack_array_of(in, 3);
    id = unpack_uint(in);
    copy_text(address, unpack_string(in, HELLO_ADDRESS_MAX));
    role = unpack_uint(in);
    if (unpack_status(in) != OK || id == 0 || address[0] == '\0' || role > RAFT_SPARE) {
        return false;
    }
    return raft_configuration_add(configuration, id, address, (int)role) == 0;
}

enum error frame_decode_offer(struct bytes body, struct snapshot_offer *offer,
                              struct raft_install_snapshot *message, struct reason *why)
{
    struct unpacker in;
    bool valid = true;
    size_t n;

    memset(message, 0, sizeof *message);
    raft_configuration_init(&message->conf);
    unpack_start(&in, body);
    unpack_array_of(&in, 7);
    offer->number = unpack_uint(&in);
    offer->size = unpack_uint(&in);
    message->term = unpack_uint(&in);
    message->last_index = unpack_uint(&in);
    message->last_term = unpack_uint(&in);
    message->conf_index = unpack_uint(&in);
    n = unpack_array(&in);
    for (size_t i = 0; i < n && valid; i++) {
        valid = decode_server(&in, &message->conf);
    }
    if (!valid || unpack_end(&in) != OK || message->last_index == 0) {
        raft_configuration_close(&message->conf);
        raft_configuration_init(&message->conf);
        return fail(why, ERROR_INVALID, "the body of an install snapshot frame is garbage");
    }
    return OK;
}
