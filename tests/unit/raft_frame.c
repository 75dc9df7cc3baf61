#include "base/pack.h"
#include "raft/frame.h"
#include "raft/storage.h"
#include "tests/lib/test.h"

#include <stdlib.h>

#define ENTRIES       5
#define RANDOM_ROUNDS 100000

static uint8_t entry_data[ENTRIES][64];

static void make_entries(struct raft_entry entries[ENTRIES])
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        memset(entry_data[i], (int)(i + 1), sizeof entry_data[i]);
        entries[i] = (struct raft_entry){.term = 3 + i,
                                         .type = (unsigned short)(RAFT_COMMAND + i % 3),
                                         .buf = {.base = entry_data[i], .len = 8 * (i + 1)}};
    }
}

/* One message of every type. */
static unsigned make_messages(struct raft_message out[8], struct raft_entry entries[ENTRIES])
{
    unsigned n = 0;

    memset(out, 0, 8 * sizeof out[0]);
    make_entries(entries);
    out[n].type = RAFT_IO_APPEND_ENTRIES;
    out[n++].append_entries = (struct raft_append_entries){.term = 9,
                                                           .prev_log_index = 1u << 20,
                                                           .prev_log_term = 8,
                                                           .leader_commit = 17,
                                                           .entries = entries,
                                                           .n_entries = ENTRIES};
    out[n].type = RAFT_IO_APPEND_ENTRIES;
    out[n++].append_entries = (struct raft_append_entries){.term = 9, .leader_commit = 3};
    out[n].type = RAFT_IO_APPEND_ENTRIES_RESULT;
    out[n++].append_entries_result =
        (struct raft_append_entries_result){.term = 5, .rejected = 6, .last_log_index = 7};
    out[n].type = RAFT_IO_REQUEST_VOTE;
    out[n++].request_vote = (struct raft_request_vote){.term = 5,
                                                       .candidate_id = UINT64_MAX,
                                                       .last_log_index = 7,
                                                       .last_log_term = 4,
                                                       .disrupt_leader = true,
                                                       .pre_vote = true};
    out[n].type = RAFT_IO_REQUEST_VOTE_RESULT;
    out[n++].request_vote_result = (struct raft_request_vote_result){
        .term = 5, .vote_granted = true, .pre_vote = raft_tribool_false};
    out[n].type = RAFT_IO_TIMEOUT_NOW;
    out[n++].timeout_now =
        (struct raft_timeout_now){.term = 5, .last_log_index = 7, .last_log_term = 4};
    return n;
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    assert_int_equal(a->type, b->type);
    if (a->type != RAFT_IO_APPEND_ENTRIES) {
        assert_memory_equal(&a->request_vote, &b->request_vote, sizeof a->request_vote);
        return;
    }
    assert_true(a->append_entries.term == b->append_entries.term);
    assert_true(a->append_entries.prev_log_index == b->append_entries.prev_log_index);
    assert_true(a->append_entries.prev_log_term == b->append_entries.prev_log_term);
    assert_true(a->append_entries.leader_commit == b->append_entries.leader_commit);
    assert_int_equal(a->append_entries.n_entries, b->append_entries.n_entries);
    for (unsigned i = 0; i < a->append_entries.n_entries; i++) {
        const struct raft_entry *x = &a->append_entries.entries[i];
        const struct raft_entry *y = &b->append_entries.entries[i];

        assert_true(x->term == y->term && x->type == y->type);
        assert_int_equal(x->buf.len, y->buf.len);
        assert_memory_equal(x->buf.base, y->buf.base, x->buf.len);
        assert_ptr_equal(y->batch, b->append_entries.entries[0].batch);
        assert_int_equal((uintptr_t)y->buf.base % 8, 0);
    }
}

static struct frame split_one(struct bytes in)
{
    struct frame frame;
    bool complete;

    assert_int_equal(frame_split(in, FRAME_SIZE_MAX, &frame, &complete, NULL), OK);
    assert_true(complete);
    return frame;
}

static void test_frame__messages_come_back_as_they_were(void **state)
{
    struct raft_entry entries[ENTRIES];
    struct raft_message messages[8], back;
    unsigned n = make_messages(messages, entries);
    struct buffer out;

    (void)state;
    buffer_init(&out, FRAME_SIZE_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct frame frame;
        unsigned done = 0;

        buffer_clear(&out);
        assert_int_equal(frame_encode_message(&out, &messages[i], &done), OK);
        frame = split_one(buffer_view(&out));
        assert_int_equal(frame.size, out.size);
        assert_int_equal(frame_decode_message(frame.kind, frame.body, &back, NULL), OK);
        assert_same(&messages[i], &back);
        frame_release_message(&back);
    }
    buffer_release(&out);
}

static void test_frame__the_links_own_frames_come_back_as_they_were(void **state)
{
    struct hello hello = {.id = 77, .cluster = "c1", .address = "127.0.0.1:1"}, hello_back;
    struct snapshot_piece piece = {.number = 1, .offset = 2, .last = true}, piece_back;
    struct snapshot_offer offer = {.number = 3, .size = 4}, offer_back;
    struct raft_install_snapshot install = {.term = 1,
                                            .last_index = 2,
                                            .last_term = 1,
                                            .conf_index = 1},
                                 install_back;
    struct buffer out;
    struct frame frame;
    uint64_t number;

    (void)state;
    buffer_init(&out, FRAME_SIZE_MAX);
    assert_int_equal(frame_encode_hello(&out, &hello), OK);
    frame = split_one(buffer_view(&out));
    assert_int_equal(frame_decode_hello(frame.body, &hello_back, NULL), OK);
    assert_true(hello_back.id == 77);
    assert_string_equal(hello_back.cluster, "c1");
    assert_string_equal(hello_back.address, "127.0.0.1:1");
    buffer_clear(&out);
    assert_int_equal(frame_encode_number(&out, FRAME_PING, UINT64_MAX), OK);
    frame = split_one(buffer_view(&out));
    assert_int_equal(frame_decode_number(frame.body, &number, NULL), OK);
    assert_true(number == UINT64_MAX);
    buffer_clear(&out);
    piece.data = BYTES_LITERAL("bytes");
    assert_int_equal(frame_encode_piece(&out, FRAME_SNAPSHOT_PIECE, &piece), OK);
    frame = split_one(buffer_view(&out));
    assert_int_equal(frame_decode_piece(frame.body, &piece_back, NULL), OK);
    assert_true(piece_back.number == 1 && piece_back.offset == 2 && piece_back.last);
    assert_true(bytes_equal_string(piece_back.data, "bytes"));
    buffer_clear(&out);
    raft_configuration_init(&install.conf);
    assert_int_equal(raft_configuration_add(&install.conf, 5, "127.0.0.1:5", RAFT_VOTER), 0);
    assert_int_equal(raft_configuration_add(&install.conf, 6, "127.0.0.1:6", RAFT_STANDBY), 0);
    assert_int_equal(frame_encode_offer(&out, &offer, &install), OK);
    frame = split_one(buffer_view(&out));
    assert_int_equal(frame_decode_offer(frame.body, &offer_back, &install_back, NULL), OK);
    assert_true(offer_back.number == 3 && offer_back.size == 4 && install_back.last_index == 2);
    assert_int_equal(install_back.conf.n, 2);
    assert_string_equal(install_back.conf.servers[1].address, "127.0.0.1:6");
    raft_configuration_close(&install_back.conf);
    raft_configuration_close(&install.conf);
    buffer_release(&out);
}

/* Decode body as kind whatever it is; nothing may crash, nothing may leak. */
static enum error decode_any(unsigned kind, struct bytes body)
{
    struct raft_message message;
    struct snapshot_piece piece;
    struct snapshot_offer offer;
    struct reason why;
    struct hello hello;
    uint64_t number;
    enum error error;

    switch (kind) {
    case FRAME_HELLO:
        return frame_decode_hello(body, &hello, &why);
    case FRAME_PING:
    case FRAME_PONG:
        return frame_decode_number(body, &number, &why);
    case FRAME_SNAPSHOT_PIECE:
    case FRAME_SNAPSHOT_ACK:
        return frame_decode_piece(body, &piece, &why);
    case FRAME_INSTALL_SNAPSHOT:
        memset(&message, 0, sizeof message);
        message.type = RAFT_IO_INSTALL_SNAPSHOT;
        error = frame_decode_offer(body, &offer, &message.install_snapshot, &why);
        break;
    default:
        error = frame_decode_message(kind, body, &message, &why);
    }
    if (error == OK) {
        frame_release_message(&message);
    }
    return error;
}

/* All kinds of frames, one after the other. */
static void make_all(struct buffer *out)
{
    struct hello hello = {.id = 77, .cluster = "c1", .address = "127.0.0.1:1"};
    struct snapshot_piece piece = {.number = 1, .data = BYTES_LITERAL("some bytes of a file")};
    struct snapshot_offer offer = {.number = 3, .size = 4};
    struct raft_install_snapshot install = {.term = 1, .last_index = 2};
    struct raft_entry entries[ENTRIES];
    struct raft_message messages[8];
    unsigned n = make_messages(messages, entries);

    raft_configuration_init(&install.conf);
    assert_int_equal(raft_configuration_add(&install.conf, 5, "127.0.0.1:5", RAFT_VOTER), 0);
    assert_int_equal(frame_encode_hello(out, &hello), OK);
    assert_int_equal(frame_encode_number(out, FRAME_PING, 1u << 30), OK);
    assert_int_equal(frame_encode_piece(out, FRAME_SNAPSHOT_PIECE, &piece), OK);
    assert_int_equal(frame_encode_offer(out, &offer, &install), OK);
    raft_configuration_close(&install.conf);
    for (unsigned i = 0; i < n; i++) {
        unsigned done = 0;

        assert_int_equal(frame_encode_message(out, &messages[i], &done), OK);
    }
}

static void test_frame__every_truncation_is_refused(void **state)
{
    struct buffer all;
    size_t at = 0;

    (void)state;
    buffer_init(&all, FRAME_SIZE_MAX);
    make_all(&all);
    while (at < all.size) {
        struct frame frame = split_one(bytes_slice(buffer_view(&all), at, all.size));

        assert_int_equal(decode_any(frame.kind, frame.body), OK);
        for (size_t size = 0; size < frame.body.size; size++) {
            /* Memory of exactly that size, so that a sanitizer sees one byte too far. */
            uint8_t *cut = malloc(size > 0 ? size : 1);

            memcpy(cut, frame.body.data, size);
            assert_int_equal(decode_any(frame.kind, bytes_of(cut, size)), ERROR_INVALID);
            free(cut);
        }
        for (size_t size = 0; size < frame.size; size++) {
            struct frame part;
            bool complete;

            assert_int_equal(frame_split(bytes_slice(buffer_view(&all), at, size), FRAME_SIZE_MAX,
                                         &part, &complete, NULL),
                             OK);
            assert_false(complete);
        }
        at += frame.size;
    }
    buffer_release(&all);
}

static void test_frame_split__hostile_headers_are_refused_before_their_body_comes(void **state)
{
    static const struct {
        const char *header;
        enum error error;
    } cases[] = {
        {"\xff\xff\xff\xff\x01\x10", ERROR_TOO_LARGE},
        {"\xfd\xff\xff\x00\x01\x10", ERROR_TOO_LARGE},
        {"\x00\x00\x00\x00\x01\x10", ERROR_INVALID},
        {"\x01\x00\x00\x00\x01\x10", ERROR_INVALID},
        {"\x02\x00\x00\x00\x02\x10", ERROR_UNSUPPORTED},
        {"\x02\x00\x00\x00\x01\x00", ERROR_INVALID},
        {"\x02\x00\x00\x00\x01\x80", ERROR_INVALID},
        {"GET / ", ERROR_TOO_LARGE},
    };
    struct frame frame;
    struct reason why;
    bool complete;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        why.text[0] = '\0';
        assert_int_equal(
            frame_split(bytes_of(cases[i].header, 6), FRAME_SIZE_MAX, &frame, &complete, &why),
            cases[i].error);
        assert_true(strlen(why.text) > 10);
    }
}

static void test_frame_decode__hostile_counts_take_no_memory(void **state)
{
    static const struct bytes bodies[] = {
        /* [1, 2, 3, 4, array of 2^32 - 1], of 65,535, of one entry of 2^32 - 1 bytes. */
        BYTES_LITERAL("\x95\x01\x02\x03\x04\xdd\xff\xff\xff\xff"),
        BYTES_LITERAL("\x95\x01\x02\x03\x04\xdc\xff\xff"),
        BYTES_LITERAL("\x95\x01\x02\x03\x04\x91\x93\x01\x01\xc6\xff\xff\xff\xff"),
        /* An entry of 4 bytes, of none, of type 9, of term 0; an index that would wrap. */
        BYTES_LITERAL("\x95\x01\x02\x03\x04\x91\x93\x01\x01\xc4\x04xxxx"),
        BYTES_LITERAL("\x95\x01\x02\x03\x04\x91\x93\x01\x01\xc4\x00xxxxxxxxx"),
        BYTES_LITERAL("\x95\x01\x02\x03\x04\x91\x93\x01\x09\xc4\x08xxxxxxxx"),
        BYTES_LITERAL("\x95\x01\x02\x03\x04\x91\x93\x00\x01\xc4\x08xxxxxxxx"),
        BYTES_LITERAL("\x95\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x03\x04\x91\x93\x01\x01\xc4\x08"
                      "xxxxxxxx"),
    };
    struct raft_message message;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(frame_decode_message(FRAME_APPEND_ENTRIES, bodies[i], &message, NULL),
                         ERROR_INVALID);
        assert_null(message.append_entries.entries);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_frame_decode__garbage_never_crashes(void **state)
{
    static const unsigned kinds[] = {FRAME_HELLO,
                                     FRAME_PING,
                                     FRAME_SNAPSHOT_PIECE,
                                     FRAME_APPEND_ENTRIES,
                                     FRAME_APPEND_ENTRIES_RESULT,
                                     FRAME_REQUEST_VOTE,
                                     FRAME_REQUEST_VOTE_RESULT,
                                     FRAME_INSTALL_SNAPSHOT,
                                     FRAME_TIMEOUT_NOW};
    uint64_t seed = 0x9e3779b97f4a7c15u;
    struct buffer all;
    unsigned refused = 0;

    (void)state;
    buffer_init(&all, FRAME_SIZE_MAX);
    make_all(&all);
    for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
        uint8_t body[160];
        size_t size = next_random(&seed) % sizeof body;

        if (round % 2 == 0) {
            for (size_t i = 0; i < size; i++) {
                body[i] = (uint8_t)next_random(&seed);
            }
        } else {
            /* A stretch of true frames with a few bytes changed. */
            size_t at = next_random(&seed) % (all.size - size);

            memcpy(body, all.data + at, size);
            for (unsigned i = 0; i < 3 && size > 0; i++) {
                body[next_random(&seed) % size] = (uint8_t)next_random(&seed);
            }
        }
        refused +=
            decode_any(kinds[round % (sizeof kinds / sizeof kinds[0])], bytes_of(body, size)) != OK;
    }
    assert_true(refused > RANDOM_ROUNDS / 2);
    buffer_release(&all);
}

/* What the log would stop the process at does not come in, nor go out. */
static void test_frame__an_entry_that_the_log_does_not_take_is_refused(void **state)
{
    enum { LARGEST = STORAGE_ENTRY_MAX, LARGER = STORAGE_ENTRY_MAX + 8 };
    uint8_t *data = calloc(1, LARGER);
    struct raft_entry entry = {.term = 1, .type = RAFT_COMMAND, .buf = {.base = data}};
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES}, part;
    struct buffer out, body;
    unsigned done = 0;
    struct frame frame;

    (void)state;
    buffer_init(&out, FRAME_SIZE_MAX);
    buffer_init(&body, FRAME_SIZE_MAX);
    message.append_entries =
        (struct raft_append_entries){.term = 1, .entries = &entry, .n_entries = 1};
    entry.buf.len = LARGEST;
    assert_int_equal(frame_encode_message(&out, &message, &done), OK);
    frame = split_one(buffer_view(&out));
    assert_int_equal(frame_decode_message(frame.kind, frame.body, &part, NULL), OK);
    frame_release_message(&part);
    entry.buf.len = LARGER;
    done = 0;
    assert_int_equal(frame_encode_message(&out, &message, &done), ERROR_TOO_LARGE);

    pack_array(&body, 5);
    for (int i = 0; i < 4; i++) {
        pack_uint(&body, 1);
    }
    pack_array(&body, 1);
    pack_array(&body, 3);
    pack_uint(&body, 1);
    pack_uint(&body, RAFT_COMMAND);
    pack_bin(&body, bytes_of(data, LARGER));
    assert_int_not_equal(
        frame_decode_message(FRAME_APPEND_ENTRIES, buffer_view(&body), &part, NULL), OK);
    buffer_release(&out);
    buffer_release(&body);
    free(data);
}

static void test_frame_encode_message__long_appends_are_cut_into_whole_ones(void **state)
{
    enum { N = 5000, SIZE = 1024 };
    struct raft_entry *entries = calloc(N, sizeof *entries);
    uint8_t *data = calloc(1, SIZE);
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES};
    unsigned done = 0, parts = 0;
    uint64_t next = 101;
    struct buffer out;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        entries[i] = (struct raft_entry){
            .term = 1 + i / 1000, .type = RAFT_COMMAND, .buf = {.base = data, .len = SIZE}};
    }
    message.append_entries = (struct raft_append_entries){.term = 9,
                                                          .prev_log_index = 100,
                                                          .prev_log_term = 1,
                                                          .leader_commit = 3000,
                                                          .entries = entries,
                                                          .n_entries = N};
    buffer_init(&out, FRAME_SIZE_MAX);
    do {
        unsigned before = done;
        struct raft_message part;
        struct frame frame;

        buffer_clear(&out);
        assert_int_equal(frame_encode_message(&out, &message, &done), OK);
        assert_true(out.size < FRAME_PART_SIZE + 65536);
        frame = split_one(buffer_view(&out));
        assert_int_equal(frame_decode_message(frame.kind, frame.body, &part, NULL), OK);
        assert_true(part.append_entries.prev_log_index == next - 1);
        assert_true(part.append_entries.prev_log_term ==
                    (before == 0 ? 1 : entries[before - 1].term));
        next += part.append_entries.n_entries;
        assert_true(part.append_entries.leader_commit <= next - 1);
        assert_true(part.append_entries.leader_commit == (next - 1 < 3000 ? next - 1 : 3000));
        frame_release_message(&part);
        parts++;
    } while (done < N);
    assert_true(next == 101 + N);
    assert_true(parts >= 5);
    buffer_release(&out);
    free(entries);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame__messages_come_back_as_they_were),
        cmocka_unit_test(test_frame__the_links_own_frames_come_back_as_they_were),
        cmocka_unit_test(test_frame__every_truncation_is_refused),
        cmocka_unit_test(test_frame_split__hostile_headers_are_refused_before_their_body_comes),
        cmocka_unit_test(test_frame_decode__hostile_counts_take_no_memory),
        cmocka_unit_test(test_frame_decode__garbage_never_crashes),
        cmocka_unit_test(test_frame__an_entry_that_the_log_does_not_take_is_refused),
        cmocka_unit_test(test_frame_encode_message__long_appends_are_cut_into_whole_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
