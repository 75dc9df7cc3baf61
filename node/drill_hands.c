#include "node/drill_hands.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_MS 20000
#define POLL_MS 10
#define TEXT    512

struct fault_row {
    const char *name, *begin, *end;
};

static const struct fault_row faults[] = {
#define X(id, name, begin, end) {name, begin, end},
    DRILL_FAULT_LIST(X)
#undef X
};

const char *drill_fault_name(enum drill_fault fault)
{
    return faults[fault].name;
}

const char *drill_fault_begin(enum drill_fault fault)
{
    return faults[fault].begin;
}

const char *drill_fault_end(enum drill_fault fault)
{
    return faults[fault].end;
}

enum error drill_fault_parse(const char *name, enum drill_fault *out, struct reason *why)
{
    for (size_t i = 0; i < DRILL_FAULT_N; i++) {
        if (strcmp(faults[i].name, name) == 0) {
            *out = (enum drill_fault)i;
            return OK;
        }
    }
    return fail(why, ERROR_NOT_FOUND,
                "there is no drill of kind '%.40s'; there are handover, kill-leader, pause, "
                "partition, full-disk and rolling-restart",
                name);
}

enum error drill_hands_can(const struct drill_hands *hands, enum drill_fault fault,
                           struct reason *why)
{
    const char *name = drill_fault_name(fault);

    if (fault == DRILL_HANDOVER || hands->hook != NULL) {
        return OK;
    }
    if (hands->directory == NULL) {
        return fail(why, ERROR_UNSUPPORTED,
                    "%s needs somebody who can do it to a node: --hook COMMAND for machines, "
                    "--cluster-dir DIR for a cluster of scripts/cluster, or --local",
                    name);
    }
    if (fault == DRILL_PARTITION && hands->network[0] == '\0') {
        return fail(why, ERROR_UNSUPPORTED,
                    "partition takes nodes with a network of their own: --local run by root (it "
                    "makes network namespaces, with Debian's iproute2), or --hook");
    }
    if (fault == DRILL_FULL_DISK && hands->disk == 0) {
        return fail(why, ERROR_UNSUPPORTED,
                    "full-disk takes a node with a small disk of its own: --local run by root (it "
                    "mounts a tmpfs), or --hook");
    }
    return OK;
}

/* --- the hook --------------------------------------------------------------------------------- */

static enum error call_hook(const struct drill_hands *hands, const char *action, unsigned number,
                            struct reason *why)
{
    const struct drill_node *node = &hands->setup->nodes[number];
    const char *const arguments[] = {hands->hook, action, node->name, NULL};
    char text[4][TEXT];
    const char *const environment[] = {text[0], text[1], text[2], text[3], NULL};
    enum error error;

    snprintf(text[0], TEXT, "CAISSON_DRILL_ACTION=%s", action);
    snprintf(text[1], TEXT, "CAISSON_DRILL_MEMBER=%s", node->name);
    snprintf(text[2], TEXT, "CAISSON_DRILL_MEMBER_ID=%s", node->id);
    snprintf(text[3], TEXT, "CAISSON_DRILL_URL=%s", node->url);
    error = drill_run_program(arguments, environment,
                              hands->hook_ms == 0 ? DRILL_HOOK_MS : hands->hook_ms, why);
    if (error != OK) {
        reason_prefix(why, "hook, %s %s", action, node->name);
    }
    return error;
}

/* --- a directory of scripts/cluster ------------------------------------------------------------
 */

static bool file_has(const char *path, const char *text)
{
    char content[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof content - 1);

    if (fd >= 0) {
        close(fd);
    }
    for (ssize_t i = 0; i < n; i++) { /* A command line: its words end with a NUL. */
        content[i] = content[i] == '\0' ? ' ' : content[i];
    }
    content[n < 0 ? 0 : n] = '\0';
    return strstr(content, text) != NULL;
}

/* The node's process, if it lives and is what the pid file meant; 0: no. */
static pid_t process_of(const struct drill_hands *hands, const struct drill_node *node)
{
    char path[TEXT], wanted[TEXT], text[32] = "";
    uint64_t pid;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.pid", hands->directory, node->name);
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fgets(text, sizeof text, file) == NULL) {
        text[0] = '\0';
    }
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    if (bytes_to_uint(bytes_of_string(text), &pid) != OK || pid == 0 || pid > INT32_MAX) {
        return 0;
    }
    if (hands->is_ours) {
        (void)waitpid((pid_t)pid, NULL, WNOHANG);
    }
    snprintf(path, sizeof path, "/proc/%llu/cmdline", (unsigned long long)pid);
    snprintf(wanted, sizeof wanted, "%s.yaml", node->name);
    return file_has(path, wanted) ? (pid_t)pid : 0;
}

static enum error wait_gone(const struct drill_hands *hands, const struct drill_node *node,
                            struct reason *why)
{
    uint64_t end = clock_monotonic_ms() + STOP_MS;
    pid_t pid;

    while ((pid = process_of(hands, node)) != 0) {
        if (clock_monotonic_ms() >= end) {
            (void)kill(pid, SIGKILL);
            return fail(why, ERROR_TIMEOUT, "%s did not stop within %d s and was killed",
                        node->name, STOP_MS / 1000);
        }
        uv_sleep(POLL_MS);
    }
    return OK;
}

static enum error send_signal(const struct drill_hands *hands, const struct drill_node *node,
                              int number, struct reason *why)
{
    pid_t pid = process_of(hands, node);

    if (pid == 0) {
        return fail(why, ERROR_NOT_FOUND, "%s has no running process in %s", node->name,
                    hands->directory);
    }
    if (kill(pid, number) != 0) {
        return fail_errno(why, errno, "cannot signal %s", node->name);
    }
    return number == SIGKILL || number == SIGTERM ? wait_gone(hands, node, why) : OK;
}

static enum error write_pid(const struct drill_hands *hands, const struct drill_node *node,
                            pid_t pid, struct reason *why)
{
    char path[TEXT];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.pid", hands->directory, node->name);
    file = fopen(path, "we");
    if (file == NULL) {
        return fail_errno(why, errno, "cannot write %s", path);
    }
    fprintf(file, "%d\n", (int)pid);
    return fclose(file) == 0 ? OK : fail_errno(why, errno, "cannot write %s", path);
}

static enum error start_node(const struct drill_hands *hands, const struct drill_node *node,
                             struct reason *why)
{
    char program[TEXT], config[TEXT], output[TEXT], space[TEXT];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    const char *const plain[] = {program, "serve", "--config", config, NULL};
    const char *const inside[] = {"ip",    "netns",    "exec", space, program,
                                  "serve", "--config", config, NULL};
    enum error error;
    pid_t pid;

    if (size <= 0) {
        return fail_errno(why, errno, "this program cannot find itself");
    }
    program[size] = '\0';
    snprintf(config, sizeof config, "%s/%s.yaml", hands->directory, node->name);
    snprintf(output, sizeof output, "%s/%s/caisson.log", hands->directory, node->name);
    snprintf(space, sizeof space, "%s%s", hands->network, node->name);
    error = drill_start_program(hands->network[0] != '\0' ? inside : plain, output, &pid, why);
    return error == OK ? write_pid(hands, node, pid, why) : error;
}

static enum error set_link(const struct drill_hands *hands, unsigned node, const char *state,
                           struct reason *why)
{
    char name[24];
    const char *const arguments[] = {"ip", "link", "set", name, state, NULL};

    snprintf(name, sizeof name, "%s%u", hands->network, node + 1);
    return drill_run_program(arguments, NULL, 5000, why);
}

/* A file takes what is left of the node's disk. */
static enum error fill_disk(const struct drill_hands *hands, const struct drill_node *node,
                            bool is_full, struct reason *why)
{
    static const char zeros[65536];
    char path[TEXT];
    ssize_t n = 1;
    int fd;

    snprintf(path, sizeof path, "%s/%s/balloon", hands->directory, node->name);
    if (!is_full) {
        return unlink(path) == 0 || errno == ENOENT ? OK
                                                    : fail_errno(why, errno, "remove %s", path);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail_errno(why, errno, "cannot write %s", path);
    }
    for (size_t total = 0; n > 0 && total < (size_t)1 << 30; total += (size_t)n) {
        n = write(fd, zeros, sizeof zeros);
    }
    n = n > 0 ? 0 : errno;
    close(fd);
    return n == ENOSPC ? OK : fail_errno(why, (int)n, "%s cannot be filled", path);
}

static enum error do_here(const struct drill_hands *hands, const char *action, unsigned number,
                          struct reason *why)
{
    const struct drill_node *node = &hands->setup->nodes[number];
    enum error error;

    if (strcmp(action, "kill") == 0) {
        return send_signal(hands, node, SIGKILL, why);
    }
    if (strcmp(action, "pause") == 0 || strcmp(action, "resume") == 0) {
        return send_signal(hands, node, action[0] == 'p' ? SIGSTOP : SIGCONT, why);
    }
    if (strcmp(action, "start") == 0) {
        return process_of(hands, node) != 0 ? OK : start_node(hands, node, why);
    }
    if (strcmp(action, "restart") == 0) {
        error = send_signal(hands, node, SIGTERM, why);
        return error == OK ? start_node(hands, node, why) : error;
    }
    if (strcmp(action, "cut") == 0 || strcmp(action, "heal") == 0) {
        return set_link(hands, number, action[0] == 'c' ? "down" : "up", why);
    }
    CHECK(strcmp(action, "fill") == 0 || strcmp(action, "free") == 0);
    error = fill_disk(hands, node, strcmp(action, "fill") == 0, why);
    /* A node whose log cannot be written stops: it comes back when there is space. */
    if (error == OK && strcmp(action, "free") == 0 && process_of(hands, node) == 0) {
        error = start_node(hands, node, why);
    }
    return error;
}

enum error drill_hands_do(const struct drill_hands *hands, const char *action, unsigned node,
                          struct reason *why)
{
    PRE(node < hands->setup->n_nodes);
    return hands->hook != NULL ? call_hook(hands, action, node, why)
                               : do_here(hands, action, node, why);
}
