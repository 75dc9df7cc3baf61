/* Other programs, without a shell in between. */
#include "node/drill_hands.h"

#include "base/clock.h"
#include "base/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define POLL_MS 5

/* Our own block signals while they wait; others must not inherit that. */
static void set_attributes(posix_spawnattr_t *attributes, short group)
{
    sigset_t none;

    sigemptyset(&none);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setflags(attributes, (short)(POSIX_SPAWN_SETSIGMASK | group));
}

static char **make_environment(const char *const *added)
{
    size_t n = 0, k = 0;
    char **out;

    while (environ[n] != NULL) {
        n++;
    }
    while (added != NULL && added[k] != NULL) {
        k++;
    }
    out = memory_zero((n + k + 1) * sizeof(char *));
    memcpy(out, environ, n * sizeof(char *));
    for (size_t i = 0; i < k; i++) {
        out[n + i] = (char *)(uintptr_t)added[i];
    }
    return out;
}

static enum error wait_for(pid_t pid, const char *name, uint64_t timeout_ms, struct reason *why)
{
    uint64_t end = clock_monotonic_ms() + timeout_ms;
    int status = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_monotonic_ms() >= end) {
            (void)kill(-pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return fail(why, ERROR_TIMEOUT, "%s did not end within %llu ms and was killed", name,
                        (unsigned long long)timeout_ms);
        }
        uv_sleep(POLL_MS);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return OK;
    }
    return fail(why, ERROR_IO, "%s failed with %s %d", name,
                WIFEXITED(status) ? "exit code" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

enum error drill_run_program(const char *const *arguments, const char *const *environment,
                             uint64_t timeout_ms, struct reason *why)
{
    char **variables = make_environment(environment);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int rv;

    set_attributes(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    rv = posix_spawnp(&pid, arguments[0], &actions, &attributes,
                      (char *const *)(uintptr_t)arguments, variables);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(variables);
    return rv != 0 ? fail_errno(why, rv, "cannot run %s", arguments[0])
                   : wait_for(pid, arguments[0], timeout_ms, why);
}

enum error drill_start_program(const char *const *arguments, const char *output, pid_t *pid,
                               struct reason *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rv;

    set_attributes(&attributes, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    rv = posix_spawnp(pid, arguments[0], &actions, &attributes, (char *const *)(uintptr_t)arguments,
                      environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rv != 0 ? fail_errno(why, rv, "cannot run %s", arguments[0]) : OK;
}
