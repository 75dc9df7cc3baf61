/* The plan of failpoints, process-wide: a point is reached in places that no context leads to, and
 * release builds have nothing of it. One mutex guards it; without a plan a point is one
 * pthread_once away from doing nothing. */
#include "base/failpoint.h"

#ifdef CAISSON_FAILPOINTS

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PLAN_MAX  32
#define SEEN_MAX  256
#define NAME_SIZE 64

/* Of ext4, in no header of libc: shut the file system down without writing the journal. */
#define EXT4_IOC_SHUTDOWN           _IOR('X', 125, uint32_t)
#define EXT4_GOING_FLAGS_NOLOGFLUSH 2u

struct planned {
    char name[NAME_SIZE], action[NAME_SIZE * 4];
    unsigned n, reached;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *plan_path;
static struct timespec plan_time;
static ino_t plan_inode;
static struct planned plan[PLAN_MAX];
static size_t n_plan;
static const char *seen[SEEN_MAX]; /* Literals of the code. */
static size_t n_seen;

static void setup(void)
{
    plan_path = getenv("CAISSON_FAILPOINTS");
}

/* Read the plan again when the file is another one or was written since. */
static void refresh(void)
{
    struct planned *line = plan;
    struct stat info;
    char text[512];
    FILE *file;

    if (stat(plan_path, &info) != 0 ||
        (info.st_ino == plan_inode && info.st_mtim.tv_sec == plan_time.tv_sec &&
         info.st_mtim.tv_nsec == plan_time.tv_nsec)) {
        return;
    }
    plan_inode = info.st_ino;
    plan_time = info.st_mtim;
    n_plan = 0;
    file = fopen(plan_path, "re");
    CHECK(file != NULL);
    while (fgets(text, sizeof text, file) != NULL) {
        CHECK(n_plan < PLAN_MAX);
        line = &plan[n_plan];
        *line = (struct planned){.n = 1};
        if (sscanf(text, "%63s %255s %u", line->name, line->action, &line->n) >= 2) {
            n_plan++;
        }
    }
    fclose(file);
}

static void note(const char *name)
{
    char path[4096], line[NAME_SIZE + 1];
    int fd, size;

    for (size_t i = 0; i < n_seen; i++) {
        if (strcmp(seen[i], name) == 0) {
            return;
        }
    }
    CHECK(n_seen < SEEN_MAX);
    seen[n_seen++] = name;
    snprintf(path, sizeof path, "%s.seen", plan_path);
    size = snprintf(line, sizeof line, "%s\n", name);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        CHECK(write(fd, line, (size_t)size) == size);
        close(fd);
    }
}

static void cut_power(const char *mount)
{
    uint32_t flags = EXT4_GOING_FLAGS_NOLOGFLUSH;
    int fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    CHECK(fd >= 0 && ioctl(fd, EXT4_IOC_SHUTDOWN, &flags) == 0);
    raise(SIGKILL);
}

/* True: the caller shall fail. */
static bool act(const struct planned *planned)
{
    const char *action = planned->action;

    fprintf(stderr, "failpoint %s: %s\n", planned->name, action);
    if (strcmp(action, "exit") == 0) {
        _exit(FAILPOINT_EXIT);
    } else if (strcmp(action, "kill") == 0) {
        raise(SIGKILL);
    } else if (strncmp(action, "cut:", 4) == 0) {
        cut_power(action + 4);
    } else if (strncmp(action, "sleep:", 6) == 0) {
        unsigned long ms = strtoul(action + 6, NULL, 10);
        const struct timespec pause = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

        nanosleep(&pause, NULL);
    } else {
        CHECK(strcmp(action, "error") == 0 || strcmp(action, "errors") == 0);
        return true;
    }
    return false;
}

int failpoint_fails(const char *name)
{
    struct planned due = {.n = 0};
    int code = errno, fails = 0;

    pthread_once(&once, setup);
    if (plan_path == NULL) {
        return 0;
    }
    pthread_mutex_lock(&lock);
    refresh();
    note(name);
    for (size_t i = 0; i < n_plan; i++) {
        struct planned *planned = &plan[i];

        if (strcmp(planned->name, name) == 0) {
            planned->reached++;
            if (planned->reached == planned->n ||
                (planned->reached > planned->n && strcmp(planned->action, "errors") == 0)) {
                due = *planned;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    if (due.n > 0) {
        fails = act(&due);
    }
    errno = fails ? EIO : code;
    return fails;
}

void failpoint_reach(const char *name)
{
    (void)failpoint_fails(name);
}

#endif
