/* Raft's messages as frame bodies. The lengths of entries are the sender's exactly (libraft's own
 * encoding silently rounds them up to 8), and their data starts on 8-byte boundaries of the batch.
 */
#include "raft/frame.h"

#include "base/assert.h"
#include "base/pack.h"

#define ENTRY_OVERHEAD 32u /* Of one entry in the frame, at most. */
#define ENTRY_SIZE_MIN 13u /* Four heads, a term, and data of 8 bytes. */
#define ALIGNMENT      8u

static void *batch_alloc(size_t size)
{
    void *memory = raft_malloc(size);

    if (memory == NULL) {
        fail_stop("out of memory asking for %zu bytes", size);
    }
    return memory;
}

/* --- append entries -------------------------------------------------------------------------- */

/* How many entries from first on go into one part: at least one. 0: that one is too large. */
static unsigned part_size(const struct raft_append_entries *message, unsigned first)
{
    size_t size = 0;
    unsigned n = 0;

    while (first + n < message->n_entries) {
        size += message->entries[first + n].buf.len + ENTRY_OVERHEAD;
        if (size > FRAME_PART_SIZE && n > 0) {
            break;
        }
        n++;
    }
    if (n == 1 && message->entries[first].buf.len > FRAME_ENTRY_MAX) {
        return 0;
    }
    return n;
}

static enum error encode_append_entries(struct buffer *out,
                                        const struct raft_append_entries *message, unsigned *done)
{
    unsigned first = *done;
    unsigned n = part_size(message, first);
    uint64_t previous = message->prev_log_index + first;
    uint64_t last = previous + n;
    size_t begin;

    PRE(first < message->n_entries || (first == 0 && message->n_entries == 0));
    if (n == 0 && message->n_entries > 0) {
        return ERROR_TOO_LARGE;
    }
    begin = frame_begin(out, FRAME_APPEND_ENTRIES);
    pack_array(out, 5);
    pack_uint(out, message->term);
    pack_uint(out, previous);
    pack_uint(out, first == 0 ? message->prev_log_term : message->entries[first - 1].term);
    /* A follower takes the commit index of a part on trust: never beyond what the part carries. */
    pack_uint(out, n == message->n_entries || message->leader_commit < last ? message->leader_commit
                                                                            : last);
    pack_array(out, n);
    for (unsigned i = first; i < first + n; i++) {
        const struct raft_entry *entry = &message->entries[i];

        PRE(entry->buf.len > 0 && entry->buf.len % ALIGNMENT == 0);
        pack_array(out, 3);
        pack_uint(out, entry->term);
        pack_uint(out, entry->type);
        pack_bin(out, bytes_of(entry->buf.base, entry->buf.len));
    }
    *done = first + n;
    return frame_end(out, begin);
}

/* One entry, its data still borrowed from the frame. */
static bool decode_entry(struct unpacker *in, struct raft_entry *entry)
{
    struct bytes data;
    uint64_t type;

    unpack_array_of(in, 3);
    entry->term = unpack_uint(in);
    type = unpack_uint(in);
    data = unpack_bin(in, FRAME_ENTRY_MAX);
    entry->type = (unsigned short)type;
    entry->buf.base = (void *)(uintptr_t)data.data;
    entry->buf.len = data.size;
    entry->batch = NULL;
    return unpack_status(in) == OK && entry->term > 0 && data.size > 0 &&
           data.size % ALIGNMENT == 0 && type >= RAFT_COMMAND && type <= RAFT_CHANGE;
}

/* Move the data of all entries into one batch. */
static void gather(struct raft_append_entries *out)
{
    size_t size = 0;
    uint8_t *batch;

    for (unsigned i = 0; i < out->n_entries; i++) {
        size += out->entries[i].buf.len;
    }
    batch = batch_alloc(size);
    size = 0;
    for (unsigned i = 0; i < out->n_entries; i++) {
        struct raft_entry *entry = &out->entries[i];

        memcpy(batch + size, entry->buf.base, entry->buf.len);
        entry->buf.base = batch + size;
        entry->batch = batch;
        size += entry->buf.len;
    }
}

static bool decode_append_entries(struct unpacker *in, struct raft_append_entries *out)
{
    bool valid = true;
    size_t n;

    unpack_array_of(in, 5);
    out->term = unpack_uint(in);
    out->prev_log_index = unpack_uint(in);
    out->prev_log_term = unpack_uint(in);
    out->leader_commit = unpack_uint(in);
    n = unpack_array(in);
    /* An entry takes 13 bytes or more, which bounds the array by some three times the frame. */
    if (unpack_status(in) != OK || n > in->rest.size / ENTRY_SIZE_MIN ||
        out->prev_log_index > UINT64_MAX - n) {
        return false;
    }
    if (n == 0) {
        return true;
    }
    out->entries = batch_alloc(n * sizeof *out->entries);
    out->n_entries = (unsigned)n;
    for (size_t i = 0; i < n && valid; i++) {
        valid = decode_entry(in, &out->entries[i]);
    }
    if (!valid || unpack_end(in) != OK) {
        raft_free(out->entries);
        out->entries = NULL;
        out->n_entries = 0;
        return false;
    }
    gather(out);
    return true;
}

/* --- the small ones -------------------------------------------------------------------------- */

static void encode_append_entries_result(struct buffer *out,
                                         const struct raft_append_entries_result *message)
{
    pack_array(out, 3);
    pack_uint(out, message->term);
    pack_uint(out, message->rejected);
    pack_uint(out, message->last_log_index);
}

static void decode_append_entries_result(struct unpacker *in,
                                         struct raft_append_entries_result *out)
{
    unpack_array_of(in, 3);
    out->term = unpack_uint(in);
    out->rejected = unpack_uint(in);
    out->last_log_index = unpack_uint(in);
}

static void encode_request_vote(struct buffer *out, const struct raft_request_vote *message)
{
    pack_array(out, 6);
    pack_uint(out, message->term);
    pack_uint(out, message->candidate_id);
    pack_uint(out, message->last_log_index);
    pack_uint(out, message->last_log_term);
    pack_bool(out, message->disrupt_leader);
    pack_bool(out, message->pre_vote);
}

static void decode_request_vote(struct unpacker *in, struct raft_request_vote *out)
{
    unpack_array_of(in, 6);
    out->term = unpack_uint(in);
    out->candidate_id = unpack_uint(in);
    out->last_log_index = unpack_uint(in);
    out->last_log_term = unpack_uint(in);
    out->disrupt_leader = unpack_bool(in);
    out->pre_vote = unpack_bool(in);
}

static void encode_request_vote_result(struct buffer *out,
                                       const struct raft_request_vote_result *message)
{
    pack_array(out, 3);
    pack_uint(out, message->term);
    pack_bool(out, message->vote_granted);
    pack_uint(out, (uint64_t)message->pre_vote);
}

static bool decode_request_vote_result(struct unpacker *in, struct raft_request_vote_result *out)
{
    uint64_t pre_vote;

    unpack_array_of(in, 3);
    out->term = unpack_uint(in);
    out->vote_granted = unpack_bool(in);
    pre_vote = unpack_uint(in);
    out->pre_vote = pre_vote <= raft_tribool_false ? (raft_tribool)pre_vote : raft_tribool_unknown;
    return pre_vote <= raft_tribool_false;
}

static void encode_timeout_now(struct buffer *out, const struct raft_timeout_now *message)
{
    pack_array(out, 3);
    pack_uint(out, message->term);
    pack_uint(out, message->last_log_index);
    pack_uint(out, message->last_log_term);
}

static void decode_timeout_now(struct unpacker *in, struct raft_timeout_now *out)
{
    unpack_array_of(in, 3);
    out->term = unpack_uint(in);
    out->last_log_index = unpack_uint(in);
    out->last_log_term = unpack_uint(in);
}

/* --- all of them ----------------------------------------------------------------------------- */

enum error frame_encode_message(struct buffer *out, const struct raft_message *message,
                                unsigned *done)
{
    size_t begin;

    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        return encode_append_entries(out, &message->append_entries, done);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        begin = frame_begin(out, FRAME_APPEND_ENTRIES_RESULT);
        encode_append_entries_result(out, &message->append_entries_result);
        return frame_end(out, begin);
    case RAFT_IO_REQUEST_VOTE:
        begin = frame_begin(out, FRAME_REQUEST_VOTE);
        encode_request_vote(out, &message->request_vote);
        return frame_end(out, begin);
    case RAFT_IO_REQUEST_VOTE_RESULT:
        begin = frame_begin(out, FRAME_REQUEST_VOTE_RESULT);
        encode_request_vote_result(out, &message->request_vote_result);
        return frame_end(out, begin);
    case RAFT_IO_TIMEOUT_NOW:
        begin = frame_begin(out, FRAME_TIMEOUT_NOW);
        encode_timeout_now(out, &message->timeout_now);
        return frame_end(out, begin);
    default:
        IMPOSSIBLE("a message type that goes another way, or none");
    }
}

/* False: garbage. */
static bool decode(unsigned kind, struct unpacker *in, struct raft_message *out)
{
    switch (kind) {
    case FRAME_APPEND_ENTRIES:
        out->type = RAFT_IO_APPEND_ENTRIES;
        return decode_append_entries(in, &out->append_entries);
    case FRAME_APPEND_ENTRIES_RESULT:
        out->type = RAFT_IO_APPEND_ENTRIES_RESULT;
        decode_append_entries_result(in, &out->append_entries_result);
        return true;
    case FRAME_REQUEST_VOTE:
        out->type = RAFT_IO_REQUEST_VOTE;
        decode_request_vote(in, &out->request_vote);
        return true;
    case FRAME_REQUEST_VOTE_RESULT:
        out->type = RAFT_IO_REQUEST_VOTE_RESULT;
        return decode_request_vote_result(in, &out->request_vote_result);
    case FRAME_TIMEOUT_NOW:
        out->type = RAFT_IO_TIMEOUT_NOW;
        decode_timeout_now(in, &out->timeout_now);
        return true;
    default:
        return false;
    }
}

enum error frame_decode_message(unsigned kind, struct bytes body, struct raft_message *out,
                                struct reason *why)
{
    struct unpacker in;

    memset(out, 0, sizeof *out);
    unpack_start(&in, body);
    if (!decode(kind, &in, out) || unpack_end(&in) != OK) {
        frame_release_message(out);
        return fail(why, ERROR_INVALID, "the body of a %s frame is garbage", frame_kind_name(kind));
    }
    return OK;
}

void frame_release_message(struct raft_message *message)
{
    if (message->type == RAFT_IO_APPEND_ENTRIES && message->append_entries.n_entries > 0) {
        raft_free(message->append_entries.entries[0].batch);
        raft_free(message->append_entries.entries);
        message->append_entries.entries = NULL;
        message->append_entries.n_entries = 0;
    }
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        raft_configuration_close(&message->install_snapshot.conf);
        raft_configuration_init(&message->install_snapshot.conf);
        raft_free(message->install_snapshot.data.base);
        message->install_snapshot.data.base = NULL;
    }
}
