#include "base/assert.h"
#include "tests/lib/storage_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The N-th write or sync fails, or the power goes at it. This program's own pwrite, fdatasync,
 * fsync and rename stand before libc's: they remember what was overwritten since the last sync of
 * its file, so that a cut can put back any of the 512-byte sectors that no sync covered, as a disk
 * with a volatile cache would. A child runs and dies; the parent looks at what is left. */

#define SECTOR 512

enum fault { FAULT_NONE, FAULT_EIO, FAULT_CUT };

struct unsynced {
    struct unsynced *next; /* Newest first. */
    int fd;
    off_t offset;
    size_t size, old_size;
    uint8_t *old;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct unsynced *writes;
static enum fault fault;
static unsigned calls_left;
static unsigned seed;

static unsigned next_random(void)
{
    seed = seed * 1103515245u + 12345u;
    return seed >> 16;
}

static void put_back(const struct unsynced *write)
{
    for (size_t at = 0; at < write->size;) {
        size_t n = SECTOR - (size_t)(write->offset + (off_t)at) % SECTOR;

        n = n < write->size - at ? n : write->size - at;
        if (next_random() % 2 == 0 && at + n <= write->old_size) {
            syscall(SYS_pwrite64, write->fd, write->old + at, n, write->offset + (off_t)at);
        }
        at += n;
    }
}

/* True when this call is the one that fails. With FAULT_CUT it does not return then. */
static bool strikes(void)
{
    if (fault == FAULT_NONE || calls_left == 0 || --calls_left > 0) {
        return false;
    }
    if (fault == FAULT_CUT) {
        for (struct unsynced *write = writes; write != NULL; write = write->next) {
            put_back(write);
        }
        _exit(EXIT_FAIL_STOP);
    }
    return true;
}

static void remember(int fd, size_t size, off_t offset)
{
    struct unsynced *write = calloc(1, sizeof *write);
    ssize_t n;

    if (write == NULL || (write->old = calloc(1, size + 1)) == NULL) {
        abort();
    }
    n = pread(fd, write->old, size, offset);
    *write = (struct unsynced){.next = writes,
                               .fd = fd,
                               .offset = offset,
                               .size = size,
                               .old_size = n < 0 ? 0 : (size_t)n,
                               .old = write->old};
    writes = write;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    ssize_t n;

    pthread_mutex_lock(&lock);
    if (fault == FAULT_CUT) {
        remember(fd, size, offset);
    }
    n = (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, offset);
    if (strikes()) {
        errno = EIO;
        n = -1;
    }
    pthread_mutex_unlock(&lock);
    return n;
}

static int sync_one(int fd)
{
    struct unsynced **at = &writes;
    int rv = 0;

    pthread_mutex_lock(&lock);
    if (strikes()) {
        errno = EIO;
        rv = -1;
    }
    while (*at != NULL && rv == 0) {
        struct unsynced *write = *at;

        if (write->fd == fd) {
            *at = write->next;
            free(write->old);
            free(write);
        } else {
            at = &write->next;
        }
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

int fdatasync(int fd)
{
    return sync_one(fd);
}

int fsync(int fd)
{
    return sync_one(fd);
}

int rename(const char *from, const char *to)
{
    bool fails;

    pthread_mutex_lock(&lock);
    fails = strikes();
    pthread_mutex_unlock(&lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_rename, from, to);
}

/* --- what the child does --------------------------------------------------------------------- */

struct told {
    uint64_t last; /* Acknowledged, and whose term. */
    uint64_t term;
};

/* Appends, truncations and terms from where the log is, each told before the next. */
static void work(const struct fixture *parent, int pipe_fd)
{
    struct told told;
    struct fixture f;

    fixture_init(&f);
    fixture_remove(f.root);
    memcpy(f.directory, parent->directory, sizeof f.directory);
    f.segment_size = parent->segment_size;
    f.entry_max = parent->entry_max;
    if (fixture_open(&f) != OK) {
        fprintf(stderr, "refused: %s\n", f.why.text);
        _exit(f.why.text[0] != '\0' && strstr(f.why.text, "wipe") == NULL ? EXIT_FAIL_STOP : 2);
    }
    told.last = f.start + f.n - 1;
    told.term = f.term + 1;
    storage_set_term(f.storage, told.term);
    for (unsigned i = 0; i < 40; i++) {
        if (i % 10 == 9 && told.last > 2) {
            told.last--;
            if (write(pipe_fd, &told, sizeof told) != sizeof told) {
                _exit(3);
            }
            storage_truncate(f.storage, told.last + 1);
        }
        fixture_append(&f, told.last + 1, 1 + i % 4, told.term);
        told.last += 1 + i % 4;
        if (write(pipe_fd, &told, sizeof told) != sizeof told) {
            _exit(3);
        }
    }
    fixture_close(&f);
    _exit(0);
}

/* 0: the fault was not reached. */
static bool run_child(const struct fixture *f, enum fault kind, unsigned calls, struct told *told)
{
    int pipe_fd[2], status;
    struct told next;
    pid_t child;

    assert_int_equal(pipe(pipe_fd), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipe_fd[0]);
        fault = kind;
        calls_left = calls;
        seed = calls * 2654435761u;
        work(f, pipe_fd[1]);
    }
    close(pipe_fd[1]);
    while (read(pipe_fd[0], &next, sizeof next) == sizeof next) {
        *told = next;
    }
    close(pipe_fd[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 0) {
        return false;
    }
    assert_int_equal(WEXITSTATUS(status), EXIT_FAIL_STOP);
    return true;
}

/* Everything acknowledged is there, in its term. */
static void check_told(struct fixture *f, const struct told *told)
{
    uint8_t data[4000];

    if (fixture_open(f) != OK) {
        fail_msg("refused: %s", f->why.text);
    }
    assert_true(f->start + f->n - 1 >= told->last);
    assert_true(f->term >= told->term);
    for (size_t i = 0; i < f->n; i++) {
        size_t size = fixture_data(f->start + i, f->entries[i].term, data);

        assert_int_equal(f->entries[i].buf.len, size);
        assert_memory_equal(f->entries[i].buf.base, data, size);
    }
    fixture_close(f);
}

static void each_call(enum fault kind, unsigned step)
{
    unsigned calls = 1, n = 0;
    struct fixture f;
    bool was_reached = true;

    while (was_reached) {
        struct told told = {0};

        fixture_init(&f);
        f.segment_size = 4096;
        f.entry_max = 400;
        /* A log that is there already, and then one more life. */
        if (calls % 2 == 0) {
            run_child(&f, FAULT_NONE, 0, &told);
        }
        was_reached = run_child(&f, kind, calls, &told);
        check_told(&f, &told);
        /* Dying again in recovery changes nothing. */
        run_child(&f, kind, 1 + calls % 12, &told);
        check_told(&f, &told);
        fixture_end(&f);
        calls += step;
        n++;
    }
    assert_true(n > 20);
}

static void test_power__each_failing_call_stops_the_process(void **state)
{
    (void)state;
    each_call(FAULT_EIO, 2);
}

static void test_power__cut_at_each_call(void **state)
{
    (void)state;
    each_call(FAULT_CUT, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power__each_failing_call_stops_the_process),
        cmocka_unit_test(test_power__cut_at_each_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
