#include "raft/vote_file.h"
#include "tests/lib/storage_fixture.h"

/* The vote file: a promise that was made is never forgotten, and never replaced by an older one. */

#define SLOT_B 4096

static void test_vote__term_and_vote_come_back(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.term, 0);
    assert_int_equal(f.vote, 0);
    storage_set_term(f.storage, 4);
    storage_set_vote(f.storage, 9);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.term, 4);
    assert_int_equal(f.vote, 9);
    storage_set_term(f.storage, 5);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(f.term, 5);
    assert_int_equal(f.vote, 0);
    fixture_end(&f);
}

/* Any one damage leaves the newest promise, whichever copy it hits. */
static void test_vote__one_flipped_bit_changes_nothing(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 4);
    storage_set_vote(f.storage, 9);
    storage_set_term(f.storage, 6);
    storage_set_vote(f.storage, 8);
    fixture_close(&f);
    for (uint64_t offset = 0; offset < 2 * SLOT_B; offset += offset % SLOT_B < 100 ? 1 : 571) {
        fixture_xor(&f, "log/vote", offset, (uint8_t)(1u << (offset % 8)));
        assert_int_equal(fixture_open(&f), OK);
        assert_int_equal(f.term, 6);
        assert_int_equal(f.vote, 8);
        fixture_close(&f);
    }
    fixture_end(&f);
}

/* What a crash inside an update leaves: the first copy torn at any byte, or new and the second one
 * torn or old. The update had not returned, so either promise is right, but never a third. */
static void test_vote__torn_update(void **state)
{
    struct fixture f;
    uint8_t old[SLOT_B], new[SLOT_B];
    char path[256];
    int fd;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 4);
    fixture_path(&f, "log/vote", path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, old, SLOT_B, 0), SLOT_B);
    storage_set_vote(f.storage, 3);
    assert_int_equal(pread(fd, new, SLOT_B, 0), SLOT_B);
    fixture_close(&f);
    for (size_t cut = 0; cut <= 160; cut++) {
        size_t in_a = cut < 80 ? cut : 80, in_b = cut < 80 ? 0 : cut - 80;

        assert_int_equal(pwrite(fd, old, SLOT_B, 0), SLOT_B);
        assert_int_equal(pwrite(fd, old, SLOT_B, SLOT_B), SLOT_B);
        assert_int_equal(pwrite(fd, new, in_a, 0), in_a);
        assert_int_equal(pwrite(fd, new, in_b, SLOT_B), in_b);
        assert_int_equal(fixture_open(&f), OK);
        assert_int_equal(f.term, 4);
        assert_true(f.vote == (cut >= 76 ? 3 : 0) || (cut >= 72 && cut < 76));
        fixture_close(&f);
    }
    close(fd);
    fixture_end(&f);
}

static void test_vote__two_damages_are_refused(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 4);
    fixture_close(&f);
    fixture_xor(&f, "log/vote", 20, 1);
    fixture_xor(&f, "log/vote", SLOT_B + 20, 1);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    assert_non_null(strstr(f.why.text, "log/vote"));
    fixture_end(&f);
}

/* Both copies are intact, but the second is newer: nothing that this program does leaves that. */
static void test_vote__contradiction_is_refused(void **state)
{
    struct fixture f;
    uint8_t old[SLOT_B];
    char path[256];
    int fd;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    storage_set_term(f.storage, 4);
    fixture_path(&f, "log/vote", path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, old, SLOT_B, 0), SLOT_B);
    storage_set_vote(f.storage, 3);
    fixture_close(&f);
    assert_int_equal(pwrite(fd, old, SLOT_B, 0), SLOT_B);
    close(fd);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    fixture_end(&f);
}

static void test_vote__older_than_the_log_is_refused(void **state)
{
    struct fixture f;
    char path[256], kept[256];

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    fixture_fill(&f, 1, 1, 4);
    fixture_keep(&f, "old");
    fixture_fill(&f, 2, 1, 5);
    fixture_close(&f);
    fixture_path(&f, "log/vote", path);
    snprintf(kept, sizeof kept, "%s/old/log/vote", f.root);
    fixture_copy(kept, path);
    assert_int_equal(fixture_open(&f), ERROR_CORRUPT);
    fixture_end(&f);
}

static void test_vote__of_another_member_or_cluster(void **state)
{
    struct storage_options options;
    struct storage *other;
    struct reason why;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    assert_int_equal(fixture_open(&f), OK);
    options = (struct storage_options){
        .loop = &f.loop, .directory = f.directory, .cluster = FIXTURE_CLUSTER, .id = FIXTURE_ID};
    assert_int_equal(storage_open(&options, &other, &why), ERROR_BUSY);
    fixture_close(&f);
    options.id = FIXTURE_ID + 1;
    assert_int_equal(storage_open(&options, &other, &why), ERROR_FOREIGN);
    options.id = FIXTURE_ID;
    options.cluster = "ffffffffffffffffffffffffffffffff";
    assert_int_equal(storage_open(&options, &other, &why), ERROR_FOREIGN);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vote__term_and_vote_come_back),
        cmocka_unit_test(test_vote__one_flipped_bit_changes_nothing),
        cmocka_unit_test(test_vote__torn_update),
        cmocka_unit_test(test_vote__two_damages_are_refused),
        cmocka_unit_test(test_vote__contradiction_is_refused),
        cmocka_unit_test(test_vote__older_than_the_log_is_refused),
        cmocka_unit_test(test_vote__of_another_member_or_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
