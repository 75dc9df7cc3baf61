#include "raft/segment.h"
#include "tests/lib/storage_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* The log through raft/storage.h: what was acknowledged comes back, whatever a crash or a damaged
 * file did, or the member refuses to start. Never a silently shorter log. */

#define SEGMENT_1 "log/segment-0000000000000001"

static struct segment_header layout(const struct fixture *f)
{
    struct segment_header header = {0};

    segment_layout(f->entry_max, f->segment_size, &header);
    return header;
}

static void test_log__comes_back_over_many_segments(void **state)
{
    struct storage_status status;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 0, 1, 1);
    storage_set_term(f.storage, 1);
    for (uint64_t index = 1; index < 1200; index += 40) {
        fixture_append(&f, index, 40, 1);
    }
    storage_status(f.storage, &status);
    assert_int_equal(status.last_index, 1200);
    assert_true(status.log_bytes > 3 * f.segment_size);
    assert_true(status.sync_p50_us <= status.sync_p99_us);
    fixture_close(&f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_open(&f), OK);
        fixture_check(&f, 1, 1200, 1, 1);
        assert_int_equal(f.term, 1);
        fixture_close(&f);
    }
    fixture_end(&f);
}

static void test_log__goes_on_after_each_reopen(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (uint64_t index = 1; index <= 30; index++) {
        assert_int_equal(fixture_open(&f), OK);
        fixture_check(&f, 1, index - 1, 1, 3);
        fixture_fill(&f, index, 1, 3);
        fixture_close(&f);
    }
    fixture_end(&f);
}

static void test_log__what_waits_together_is_one_sync(void **state)
{
    struct storage_status before, after;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.segment_size = 4u << 20;
    f.entry_max = 256 * 1024;
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 1, 1);
    storage_status(f.storage, &before);
    f.done = 0;
    for (uint64_t i = 0; i < 400; i++) {
        fixture_start_append(&f, 2 + i, 1, 1);
    }
    fixture_wait(&f, 400);
    storage_status(f.storage, &after);
    /* The thread may have taken some before the last was queued, never one by one. */
    assert_in_range(after.syncs - before.syncs, 1, 200);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 401, 1, 1);
    fixture_end(&f);
}

static void test_log__one_request_is_one_sync(void **state)
{
    struct storage_status before, after;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.segment_size = 4u << 20;
    f.entry_max = 256 * 1024;
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 1, 1);
    storage_status(f.storage, &before);
    fixture_append(&f, 2, 64, 1);
    storage_status(f.storage, &after);
    assert_int_equal(after.syncs - before.syncs, 1);
    fixture_end(&f);
}

static void test_log__truncated_entries_never_come_back(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 100, 1);
    storage_truncate(f.storage, 61);
    fixture_fill(&f, 61, 5, 2);
    fixture_keep(&f, "crash");
    storage_truncate(f.storage, 40);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 39, 1, 1);
    fixture_close(&f);
    fixture_restore(&f, "crash");
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 65, 61, 2);
    assert_int_equal(f.entries[59].term, 1);
    fixture_fill(&f, 66, 1, 2);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 66, 61, 2);
    fixture_end(&f);
}

static void test_log__truncates_back_over_segments(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 1);
    for (uint64_t index = 1; index <= 1000; index += 50) {
        fixture_append(&f, index, 50, 1);
    }
    storage_truncate(f.storage, 11);
    fixture_fill(&f, 11, 20, 2);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 30, 11, 2);
    fixture_end(&f);
}

/* Offset behind the last batch of segment 1, by its format. */
static uint64_t end_of_log(const struct fixture *f, uint64_t *last)
{
    struct segment_header header = layout(f);
    uint64_t offset = segment_body_offset(&header);
    char path[256];
    uint8_t size[8];
    int fd;

    fixture_path(f, SEGMENT_1, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (;;) {
        uint64_t n = 0;

        assert_int_equal(pread(fd, size, 8, (off_t)offset + 16), 8);
        for (int i = 7; i >= 0; i--) {
            n = n << 8 | size[i];
        }
        if (n == 0) {
            break;
        }
        *last = offset;
        offset += n;
    }
    close(fd);
    return offset;
}

/* A crash while the last batch was written: each of its two copies is there up to some byte, in
 * every combination of one byte of the one and a step of the other. It was not acknowledged, so it
 * may be there or not, but nothing before it may be missing. */
static void test_log__torn_tail_at_every_byte(void **state)
{
    struct segment_header header;
    uint64_t last = 0, end;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    header = layout(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 9, 1);
    fixture_close(&f);
    end = end_of_log(&f, &last);
    fixture_keep(&f, "whole");
    for (uint64_t cut = last; cut <= end; cut += cut % 8 == 3 ? 5 : 1) {
        uint64_t slot = SEGMENT_PAGE + 1 * header.slot_size; /* Batch 9. */
        uint64_t kept = (cut * 13) % (end - last + SLOT_HEADER_SIZE);

        fixture_restore(&f, "whole");
        fixture_zero(&f, SEGMENT_1, cut, (size_t)(end - cut) + 8);
        fixture_zero(&f, SEGMENT_1, slot + kept, (size_t)(end - last + SLOT_HEADER_SIZE - kept));
        assert_int_equal(fixture_open(&f), OK);
        assert_in_range(f.n, 8, 9);
        fixture_check(&f, 1, f.n, 1, 1);
        fixture_fill(&f, f.n + 1, 2, 1);
        fixture_close(&f);
        assert_int_equal(fixture_open(&f), OK);
        assert_in_range(f.n, 10, 11);
        fixture_check(&f, 1, f.n, 1, 1);
        fixture_close(&f);
    }
    fixture_end(&f);
}

/* Damage one thing in a copy of a directory whose log is 1..last of term 1, and open it: either all
 * entries are there, or it is refused with the name of the file and what to do. */
static bool is_safe_with(struct fixture *f, uint64_t last)
{
    enum error rv = fixture_open(f);

    if (rv == OK) {
        fixture_check(f, 1, last, 1, 1);
        fixture_close(f);
        /* What was mended stays so. */
        assert_int_equal(fixture_open(f), OK);
        fixture_check(f, 1, last, 1, 1);
        fixture_close(f);
        return true;
    }
    assert_int_equal(rv, ERROR_CORRUPT);
    assert_non_null(strstr(f->why.text, f->directory));
    assert_non_null(strstr(f->why.text, "wipe its data directory"));
    return false;
}

struct damage_count {
    unsigned mended, refused;
};

static void flip_all(struct fixture *f, const char *name, uint64_t from, uint64_t to, uint64_t step,
                     uint64_t last, struct damage_count *count)
{
    for (uint64_t offset = from; offset < to; offset += step) {
        fixture_xor(f, name, offset, (uint8_t)(1u << (offset % 8)));
        if (is_safe_with(f, last)) {
            count->mended++;
        } else {
            count->refused++;
        }
        fixture_restore(f, "whole");
    }
}

static void test_log__one_flipped_bit_anywhere(void **state)
{
    struct damage_count middle = {0}, tail = {0}, slots = {0}, head = {0};
    struct segment_header header;
    uint64_t last = 0, end;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    header = layout(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 20, 1);
    fixture_close(&f);
    end = end_of_log(&f, &last);
    fixture_keep(&f, "whole");
    flip_all(&f, SEGMENT_1, 0, SEGMENT_HEADER_SIZE, 7, 20, &head);
    assert_true(head.refused > 0);
    flip_all(&f, SEGMENT_1, segment_body_offset(&header), last - 400, 41, 20, &middle);
    assert_true(middle.refused > 0);
    assert_int_equal(middle.mended, 0);
    /* The last batch is mended from its slot, and its slot from it. */
    flip_all(&f, SEGMENT_1, last, end, 3, 20, &tail);
    assert_int_equal(tail.refused, 0);
    flip_all(&f, SEGMENT_1, SEGMENT_PAGE, SEGMENT_PAGE + 200, 9, 20, &slots);
    flip_all(&f, SEGMENT_1, SEGMENT_PAGE + header.slot_size, SEGMENT_PAGE + header.slot_size + 200,
             9, 20, &slots);
    assert_int_equal(slots.refused, 0);
    fixture_end(&f);
}

static void test_log__flipped_bits_in_closed_segments(void **state)
{
    struct damage_count count = {0};
    struct segment_header header;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    header = layout(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 1);
    for (uint64_t index = 1; index <= 750; index += 25) {
        fixture_append(&f, index, 25, 1);
    }
    fixture_close(&f);
    assert_true(fixture_size(&f, "log/segment-0000000000000003") > 0);
    fixture_keep(&f, "whole");
    flip_all(&f, "log/segment-0000000000000002", 0, SEGMENT_HEADER_SIZE, 13, 750, &count);
    assert_true(count.refused > 0);
    count = (struct damage_count){0};
    flip_all(&f, "log/segment-0000000000000002", segment_body_offset(&header),
             header.file_size - 12000, 2111, 750, &count);
    assert_int_equal(count.mended, 0);
    flip_all(&f, "log/segment-0000000000000002", header.file_size - 12000, header.file_size, 997,
             750, &count);
    fixture_end(&f);
}

static void test_log__zeroed_pages_and_cut_files(void **state)
{
    static const char *const files[] = {SEGMENT_1, "log/segment-0000000000000002", "log/vote"};
    struct segment_header header;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    header = layout(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 1);
    for (uint64_t index = 1; index <= 375; index += 25) {
        fixture_append(&f, index, 25, 1);
    }
    fixture_close(&f);
    fixture_keep(&f, "whole");
    for (size_t i = 0; i < 3; i++) {
        uint64_t size = fixture_size(&f, files[i]);
        char path[256];

        assert_true(size > 0);
        fixture_path(&f, files[i], path);
        for (uint64_t offset = 0; offset < size && offset < header.file_size; offset += 4096) {
            fixture_zero(&f, files[i], offset, 4096);
            is_safe_with(&f, 375);
            fixture_restore(&f, "whole");
            assert_int_equal(truncate(path, (off_t)offset), 0);
            assert_false(is_safe_with(&f, 375));
            fixture_restore(&f, "whole");
        }
        assert_int_equal(unlink(path), 0);
        assert_false(is_safe_with(&f, 375));
        fixture_restore(&f, "whole");
    }
    fixture_end(&f);
}

/* The batch before the one that a crash tore is damaged as well, in its body: its slot has it. */
static void test_log__torn_tail_and_damage_before_it(void **state)
{
    struct segment_header header;
    uint64_t last = 0, end;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    header = layout(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 10, 1);
    fixture_close(&f);
    end = end_of_log(&f, &last);
    /* Batch 11 was begun: junk behind the end and in its slot. */
    fixture_xor(&f, SEGMENT_1, end, 0x42);
    fixture_zero(&f, SEGMENT_1, SEGMENT_PAGE + header.slot_size + 30, 60);
    fixture_keep(&f, "torn");
    fixture_xor(&f, SEGMENT_1, last + 60, 1);
    assert_int_equal(fixture_open(&f), OK);
    fixture_check(&f, 1, 10, 1, 1);
    fixture_close(&f);
    /* With its slot damaged too nothing is sure. */
    fixture_restore(&f, "torn");
    fixture_xor(&f, SEGMENT_1, SEGMENT_PAGE + 60, 1);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    fixture_end(&f);
}

/* A child appends until it is killed, telling each acknowledged index. */
static void append_until_killed(const struct fixture *parent, int pipe_fd)
{
    uint64_t index = 1;
    struct fixture f;

    fixture_init(&f);
    fixture_remove(f.root);
    memcpy(f.directory, parent->directory, sizeof f.directory);
    f.segment_size = parent->segment_size;
    f.entry_max = parent->entry_max;
    if (fixture_open(&f) != OK) {
        _exit(2);
    }
    storage_set_term(f.storage, 1);
    for (index = f.start + f.n;; index += 3) {
        fixture_append(&f, index, 3, 1);
        if (write(pipe_fd, &(uint64_t){index + 2}, 8) != 8) {
            _exit(3);
        }
    }
}

static uint64_t run_and_kill(const struct fixture *f, unsigned delay_us)
{
    uint64_t acked = 0, index;
    int pipe_fd[2], status;
    pid_t child;

    assert_int_equal(pipe(pipe_fd), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipe_fd[0]);
        append_until_killed(f, pipe_fd[1]);
    }
    close(pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &acked, 8), 8);
    usleep(delay_us);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    while (read(pipe_fd[0], &index, 8) == 8) {
        acked = index;
    }
    close(pipe_fd[0]);
    return acked;
}

static void test_log__killed_while_it_appends_and_rolls(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    f.segment_size = 4096; /* Raised to the least. */
    f.entry_max = 900;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t acked = run_and_kill(&f, 3000 + i * 1777 % 9000);

        assert_int_equal(fixture_open(&f), OK);
        assert_true(f.n >= acked);
        fixture_check(&f, 1, f.n, 1, 1);
        fixture_close(&f);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__comes_back_over_many_segments),
        cmocka_unit_test(test_log__goes_on_after_each_reopen),
        cmocka_unit_test(test_log__what_waits_together_is_one_sync),
        cmocka_unit_test(test_log__one_request_is_one_sync),
        cmocka_unit_test(test_log__truncated_entries_never_come_back),
        cmocka_unit_test(test_log__truncates_back_over_segments),
        cmocka_unit_test(test_log__torn_tail_at_every_byte),
        cmocka_unit_test(test_log__one_flipped_bit_anywhere),
        cmocka_unit_test(test_log__flipped_bits_in_closed_segments),
        cmocka_unit_test(test_log__zeroed_pages_and_cut_files),
        cmocka_unit_test(test_log__torn_tail_and_damage_before_it),
        cmocka_unit_test(test_log__killed_while_it_appends_and_rolls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
