#include "raft/snapshot_list.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void snapshot_path(const char *directory, const char *prefix, uint64_t index, uint64_t term,
                   char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s-%016llx-%016llx", directory, prefix,
                     (unsigned long long)index, (unsigned long long)term);

    CHECK(n < PATH_MAX);
}

static bool parse_name(const char *name, struct snapshot_name *out)
{
    char expected[64];
    char *end;

    if (strncmp(name, "snapshot-", 9) != 0) {
        return false;
    }
    out->index = strtoull(name + 9, &end, 16);
    if (*end != '-') {
        return false;
    }
    out->term = strtoull(end + 1, NULL, 16);
    snprintf(expected, sizeof expected, "snapshot-%016llx-%016llx", (unsigned long long)out->index,
             (unsigned long long)out->term);
    return strcmp(name, expected) == 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct snapshot_name *x = a, *y = b;

    if (x->index != y->index) {
        return x->index < y->index ? 1 : -1;
    }
    return (x->term < y->term) - (x->term > y->term);
}

enum error snapshot_names_read(const char *directory, struct snapshot_names *out,
                               struct reason *why)
{
    DIR *dir = opendir(directory);
    struct dirent *item;

    *out = (struct snapshot_names){0};
    if (dir == NULL) {
        return fail_errno(why, errno, "open directory %s", directory);
    }
    while ((item = readdir(dir)) != NULL) {
        struct snapshot_name name;

        if (parse_name(item->d_name, &name)) {
            out->items = memory_resize(out->items, (out->n + 1) * sizeof *out->items);
            out->items[out->n++] = name;
        }
    }
    closedir(dir);
    if (out->n > 0) {
        qsort(out->items, out->n, sizeof *out->items, newest_first);
    }
    return OK;
}

void snapshot_names_release(struct snapshot_names *names)
{
    free(names->items);
    *names = (struct snapshot_names){0};
}

enum error snapshot_list_clean(const char *directory, struct reason *why)
{
    DIR *dir = opendir(directory);
    struct dirent *item;
    enum error rv = OK;

    if (dir == NULL) {
        return fail_errno(why, errno, "open directory %s", directory);
    }
    while ((item = readdir(dir)) != NULL && rv == OK) {
        if ((strncmp(item->d_name, "incoming-", 9) == 0 ||
             strncmp(item->d_name, "writing-", 8) == 0) &&
            unlinkat(dirfd(dir), item->d_name, 0) != 0) {
            rv = fail_errno(why, errno, "remove %s/%s", directory, item->d_name);
        }
    }
    closedir(dir);
    return rv;
}

enum error snapshot_list_prune(const char *directory, size_t keep, uint64_t *previous,
                               struct reason *why)
{
    struct snapshot_names names;
    enum error rv = snapshot_names_read(directory, &names, why);

    *previous = 0;
    for (size_t i = 0; i < names.n && rv == OK; i++) {
        char path[PATH_MAX];

        if (i < keep) {
            *previous = names.items[i].index;
            continue;
        }
        FAILPOINT("snapshot.before_remove");
        snapshot_path(directory, "snapshot", names.items[i].index, names.items[i].term, path);
        if (unlink(path) != 0) {
            rv = fail_errno(why, errno, "remove %s", path);
        }
        FAILPOINT("snapshot.after_remove");
    }
    snapshot_names_release(&names);
    return rv;
}

enum error snapshot_check(const char *path, const char *cluster, const struct snapshot_name *name,
                          struct snapshot_about *about, struct reason *why)
{
    struct snapshot_reader *reader;
    struct raft_configuration configuration;
    enum error rv = snapshot_reader_open(path, cluster, &reader, why);

    if (rv != OK) {
        return rv;
    }
    rv = snapshot_reader_verify(reader, why);
    *about = *snapshot_reader_about(reader); /* Its configuration is still the reader's. */
    if (rv == OK && (about->index != name->index || about->term != name->term)) {
        rv =
            fail(why, ERROR_CORRUPT, "%s says of itself that it is of another index or term", path);
    }
    if (rv == OK) {
        rv = configuration_decode(buffer_view(&about->configuration), &configuration, why);
    }
    if (rv == OK) {
        struct bytes encoded = buffer_view(&about->configuration);

        raft_configuration_close(&configuration);
        buffer_init(&about->configuration, SNAPSHOT_CONFIGURATION_MAX);
        buffer_append(&about->configuration, encoded);
    }
    if (rv != OK) {
        *about = (struct snapshot_about){0};
    }
    snapshot_reader_close(reader);
    return rv;
}

enum error snapshot_list_newest(const char *directory, const char *cluster,
                                struct snapshot_about *about, bool *found, size_t *n_damaged,
                                struct reason *why)
{
    struct snapshot_names names;
    enum error rv = snapshot_names_read(directory, &names, why);

    *found = false;
    *n_damaged = 0;
    for (size_t i = 0; i < names.n && rv == OK && !*found; i++) {
        char path[PATH_MAX];

        snapshot_path(directory, "snapshot", names.items[i].index, names.items[i].term, path);
        rv = snapshot_check(path, cluster, &names.items[i], about, *n_damaged == 0 ? why : NULL);
        *found = rv == OK;
        if (rv == ERROR_CORRUPT) {
            (*n_damaged)++;
            rv = OK;
        }
    }
    snapshot_names_release(&names);
    return rv;
}
