#include "base/assert.h"
#include "tests/lib/storage_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The N-th write or sync fails, or the power goes at it. This program's own pwrite, fdatasync,
 * fsync and rename stand before libc's: they remember what was overwritten since the last sync of
 * its file, so that a cut can put back any of the 512-byte sectors that no sync covered, as a disk
 * with a volatile cache would, and take back the last renames that no sync of a directory covered.
 * A child runs and dies; the parent looks at what is left. */

#define SECTOR 512

enum fault { FAULT_NONE, FAULT_EIO, FAULT_CUT };

struct unsynced {
    struct unsynced *next; /* Newest first. */
    ino_t inode;
    int fd; /* Its own. */
    off_t offset;
    size_t size, old_size;
    uint8_t *old;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A rename that no sync of a directory has covered yet. */
struct renamed {
    struct renamed *next; /* Newest first. */
    char from[300], to[300];
};

static struct unsynced *writes;
static struct renamed *renames;
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
        /* Behind the old end there were zeros. */
        if (next_random() % 2 == 0) {
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
        /* In their order: when one is lost, so are those after it. */
        for (struct renamed *one = renames; one != NULL && next_random() % 4 != 0;
             one = one->next) {
            syscall(SYS_rename, one->to, one->from);
        }
        _exit(EXIT_FAIL_STOP);
    }
    return true;
}

static void remember(int fd, size_t size, off_t offset)
{
    struct unsynced *write = calloc(1, sizeof *write);
    struct stat info;
    ssize_t n;

    if (fstat(fd, &info) != 0 || write == NULL || (write->old = calloc(1, size + 1)) == NULL) {
        abort();
    }
    n = pread(fd, write->old, size, offset);
    *write = (struct unsynced){.next = writes,
                               .inode = info.st_ino,
                               .fd = dup(fd),
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

static void forget_renames(void)
{
    while (renames != NULL) {
        struct renamed *one = renames;

        renames = one->next;
        free(one);
    }
}

static int sync_one(int fd)
{
    struct unsynced **at = &writes;
    struct stat info;
    int rv = 0;

    if (fstat(fd, &info) != 0) {
        abort();
    }
    pthread_mutex_lock(&lock);
    if (strikes()) {
        errno = EIO;
        rv = -1;
    }
    while (*at != NULL && rv == 0) {
        struct unsynced *write = *at;

        if (write->inode == info.st_ino) {
            *at = write->next;
            close(write->fd);
            free(write->old);
            free(write);
        } else {
            at = &write->next;
        }
    }
    if (rv == 0 && S_ISDIR(info.st_mode)) {
        forget_renames();
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
    if (!fails) {
        struct renamed *one = calloc(1, sizeof *one);

        if (one == NULL) {
            abort();
        }
        snprintf(one->from, sizeof one->from, "%s", from);
        snprintf(one->to, sizeof one->to, "%s", to);
        one->next = renames;
        renames = one;
    }
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

static enum error content_write(void *view, enum error (*sink)(void *sink_data, struct bytes piece),
                                void *sink_data, struct reason *why)
{
    static uint8_t content[3000];

    (void)view;
    (void)why;
    memset(content, 0xa5, sizeof content);
    return sink(sink_data, bytes_of(content, sizeof content));
}

static void snapshot_done(struct storage_snapshot *request, enum error status, const char *why)
{
    struct fixture *f = request->data;

    (void)why;
    f->status = status;
    f->done++;
}

/* A snapshot up to index, after which the log keeps next to nothing. */
static void put_snapshot(struct fixture *f, uint64_t index, uint64_t term)
{
    struct storage_snapshot request = {.data = f};
    struct raft_snapshot snapshot = {.index = index, .term = term, .configuration_index = 1};
    unsigned before = f->done;

    raft_configuration_init(&snapshot.configuration);
    assert_int_equal(raft_configuration_add(&snapshot.configuration, 7, "a:1", RAFT_VOTER), 0);
    storage_snapshot_put(f->storage, &request, 1, &snapshot,
                         (struct snapshot_content){content_write, NULL}, snapshot_done);
    raft_configuration_close(&snapshot.configuration);
    fixture_wait(f, before + 1);
    assert_int_equal(f->status, OK);
}

/* Appends, truncations, snapshots and terms from where the log is, each told before the next. */
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
        if (i % 10 == 4) {
            put_snapshot(&f, told.last, told.term);
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
