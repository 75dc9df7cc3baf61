#include "node/cluster_files.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/pack.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Everything is written durably and node.json last: a crash before it leaves a directory that init
 * and join take as empty, a crash after it a complete one. */

#define IDENTITY_FILE  "node.json"
#define BOOTSTRAP_FILE "bootstrap.msgpack"
#define FILE_MAX       (64u * 1024)
#define BOOTSTRAP_MAX  (256u * 1024)

static const char *const registry_directories[] = {"log",   "snapshots", "meta",
                                                   "blobs", "uploads",   "quarantine"};
#define N_DIRECTORIES (sizeof registry_directories / sizeof registry_directories[0])

static void join_path(const struct cluster_files *files, const char *name, char path[512])
{
    CHECK(snprintf(path, 512, "%s/%s", files->directory, name) < 512);
}

/* --- what is there ---------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool directory_is_empty(const char *parent, const char *name)
{
    char path[768];
    struct dirent *entry;
    size_t n = 0;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s", parent, name);
    dir = opendir(path);
    if (dir == NULL) {
        return errno == ENOENT;
    }
    while ((entry = readdir(dir)) != NULL) {
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(dir);
    return n == 0;
}

/* An entry that an init or join that was cut short may have left. Temporary files of
 * durable_write() start with a dot and one of our names. */
static bool is_leftover(const char *directory, const char *name)
{
    static const char *const own[] = {".",   "..",          "lock",        "lost+found",
                                      "tls", "caisson.log", BOOTSTRAP_FILE};

    if (is_one_of(name, own, sizeof own / sizeof own[0]) ||
        strncmp(name, "." IDENTITY_FILE ".", sizeof IDENTITY_FILE + 1) == 0 ||
        strncmp(name, "." BOOTSTRAP_FILE ".", sizeof BOOTSTRAP_FILE + 1) == 0) {
        return true;
    }
    return is_one_of(name, registry_directories, N_DIRECTORIES) &&
           directory_is_empty(directory, name);
}

enum error cluster_files_look(const char *directory, enum cluster_files_state *state,
                              struct reason *why)
{
    struct dirent *entry;
    enum error error = OK;
    DIR *dir = opendir(directory);

    *state = CLUSTER_FILES_EMPTY;
    if (dir == NULL) {
        return errno == ENOENT
                   ? OK
                   : fail_errno(why, errno, "cannot read %s (run as the user who owns it)",
                                directory);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, IDENTITY_FILE) == 0) {
            *state = CLUSTER_FILES_MEMBER;
            error = OK;
            break;
        }
        if (error == OK && !is_leftover(directory, entry->d_name)) {
            error = fail(why, ERROR_FOREIGN,
                         "%s holds '%.64s' but no " IDENTITY_FILE
                         ": it is not a node's data directory; name an empty one",
                         directory, entry->d_name);
        }
    }
    closedir(dir);
    return error;
}

/* --- node.json -------------------------------------------------------------------------------- */

static void write_identity(const struct node_identity *identity, struct buffer *out)
{
    char member[17];
    json_t *object;

    snprintf(member, sizeof member, "%016llx", (unsigned long long)identity->member);
    object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version", 1, "cluster",
                       identity->cluster, "member", member, "name", identity->name, "raft_address",
                       identity->raft_address, "data_address", identity->data_address,
                       "client_address", identity->client_address, "created", identity->created);
    CHECK(object != NULL);
    json_write(out, object);
    buffer_append_byte(out, '\n');
    json_decref(object);
}

static bool copy_member(const json_t *object, const char *key, char *field, size_t size)
{
    const char *text = json_member_string(object, key);

    return text != NULL && text[0] != '\0' && snprintf(field, size, "%s", text) < (int)size;
}

static bool read_identity_object(const json_t *object, struct node_identity *identity)
{
    char member[17], *end;

    if (json_member_int(object, "version", 0) != 1 ||
        !copy_member(object, "member", member, sizeof member)) {
        return false;
    }
    errno = 0;
    identity->member = strtoull(member, &end, 16);
    return errno == 0 && *end == '\0' && identity->member != 0 &&
           copy_member(object, "cluster", identity->cluster, sizeof identity->cluster) &&
           strlen(identity->cluster) == 32 &&
           copy_member(object, "name", identity->name, sizeof identity->name) &&
           copy_member(object, "raft_address", identity->raft_address,
                       sizeof identity->raft_address) &&
           copy_member(object, "data_address", identity->data_address,
                       sizeof identity->data_address) &&
           copy_member(object, "client_address", identity->client_address,
                       sizeof identity->client_address) &&
           copy_member(object, "created", identity->created, sizeof identity->created);
}

static enum error read_identity(struct cluster_files *files, struct reason *why)
{
    json_t *object = NULL;
    struct buffer text;
    enum error error = durable_read(files->directory, IDENTITY_FILE, FILE_MAX, &text, why);

    if (error == OK) {
        error = json_parse(buffer_view(&text), FILE_MAX, &object, why);
        if (error != OK || !read_identity_object(object, &files->identity)) {
            error = fail(why, ERROR_CORRUPT,
                         "%s/" IDENTITY_FILE " is damaged; restore it, or wipe this node and join "
                         "it again",
                         files->directory);
        }
    } else if (error == ERROR_NOT_FOUND) {
        error = fail(why, ERROR_NOT_FOUND,
                     "no node lives in %s; `caisson cluster init` or `cluster join` makes one",
                     files->directory);
    }
    json_decref(object);
    buffer_release(&text);
    return error;
}

/* --- keys and certificates -------------------------------------------------------------------- */

static enum error check_key_file(const struct cluster_files *files, struct reason *why)
{
    char path[512];
    struct stat status;

    join_path(files, "tls/node.key", path);
    if (lstat(path, &status) != 0) {
        return fail_errno(why, errno, "the node's key %s", path);
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
        return fail(why, ERROR_DENIED,
                    "%s must be a file of this user that nobody else can read: chown it, chmod "
                    "600; if others could read it, wipe this node and join it again",
                    path);
    }
    return OK;
}

static enum error read_tls(struct cluster_files *files, struct reason *why)
{
    char path[512];
    enum error error = check_key_file(files, why);

    join_path(files, "tls", path);
    if (error == OK) {
        error = durable_read(path, "node.key", FILE_MAX, &files->key, why);
    }
    if (error == OK) {
        error = durable_read(path, "node.crt", FILE_MAX, &files->certificate, why);
    }
    if (error == OK) {
        error = durable_read(path, "ca.crt", FILE_MAX, &files->ca, why);
    }
    return error;
}

static enum error check_certificate(const struct cluster_files *files, struct reason *why)
{
    char cluster[33];
    uint64_t member;
    struct bytes certificate = buffer_view(&files->certificate);
    struct reason inner;
    enum error error = tls_certificate_node(certificate, cluster, &member, &inner);

    if (error == OK &&
        (strcmp(cluster, files->identity.cluster) != 0 || member != files->identity.member)) {
        return fail(why, ERROR_FOREIGN,
                    "%s: the certificate is that of node %016llx in cluster %s, " IDENTITY_FILE
                    " says node %016llx in cluster %s: files of two nodes are mixed",
                    files->directory, (unsigned long long)member, cluster,
                    (unsigned long long)files->identity.member, files->identity.cluster);
    }
    if (error == OK) {
        error = tls_check_identity(certificate, buffer_view(&files->key), buffer_view(&files->ca),
                                   &inner);
    }
    if (error != OK) {
        return fail(why, error,
                    "%s/tls: %s: node.crt, node.key or ca.crt is damaged; put the file back from a "
                    "copy, or wipe this node and join it again",
                    files->directory, inner.text);
    }
    return OK;
}

void cluster_files_init(struct cluster_files *files)
{
    *files = (struct cluster_files){0};
    buffer_init(&files->key, FILE_MAX);
    buffer_init(&files->certificate, FILE_MAX);
    buffer_init(&files->ca, FILE_MAX);
    files->lock = -1;
}

enum error cluster_files_open(const char *directory, struct cluster_files *out, struct reason *why)
{
    enum cluster_files_state state;
    enum error error;

    cluster_files_init(out);
    if (snprintf(out->directory, sizeof out->directory, "%s", directory) >=
        (int)sizeof out->directory) {
        return fail(why, ERROR_INVALID, "the path of the data directory is too long");
    }
    error = cluster_files_look(directory, &state, why);
    if (error == OK && state == CLUSTER_FILES_EMPTY) {
        error = fail(why, ERROR_NOT_FOUND,
                     "no node lives in %s; `caisson cluster init` or `cluster join` makes one",
                     directory);
    }
    if (error == OK) {
        error = durable_lock(directory, &out->lock, why);
    }
    if (error == OK) {
        error = read_identity(out, why);
    }
    if (error == OK) {
        error = read_tls(out, why);
    }
    return error == OK ? check_certificate(out, why) : error;
}

static enum error write_tls(const struct cluster_files *files, struct reason *why)
{
    char path[512];
    enum error error;

    join_path(files, "tls", path);
    error = durable_make_directory(path, why);
    if (error == OK) {
        FAILPOINT("identity.before_key");
        error = durable_write(path, "node.key", 0600, buffer_view(&files->key), why);
    }
    if (error == OK) {
        error = durable_write(path, "node.crt", 0644, buffer_view(&files->certificate), why);
    }
    if (error == OK) {
        error = durable_write(path, "ca.crt", 0644, buffer_view(&files->ca), why);
    }
    return error;
}

static enum error make_registry_directories(const struct cluster_files *files, struct reason *why)
{
    char path[512];
    enum error error = OK;

    for (size_t i = 0; error == OK && i < N_DIRECTORIES; i++) {
        join_path(files, registry_directories[i], path);
        error = durable_make_directory(path, why);
    }
    return error;
}

/* The directory, ours alone, locked, and with nothing in it that we would write over. */
static enum error claim(struct cluster_files *files, struct reason *why)
{
    enum cluster_files_state state;
    enum error error = durable_make_directory(files->directory, why);

    if (error == OK) {
        error = durable_lock(files->directory, &files->lock, why);
    }
    if (error == OK) {
        error = cluster_files_look(files->directory, &state, why);
    }
    if (error == OK && state != CLUSTER_FILES_EMPTY) {
        error = fail(why, ERROR_EXISTS, "a node lives in %s already", files->directory);
    }
    if (error == OK && chmod(files->directory, 0700) != 0) {
        error = fail_errno(why, errno, "chmod %s", files->directory);
    }
    return error;
}

enum error cluster_files_create(struct cluster_files *files, struct bytes bootstrap,
                                struct reason *why)
{
    struct buffer text;
    enum error error;

    PRE(files->identity.member != 0 && strlen(files->identity.cluster) == 32);
    PRE(files->lock == -1);
    error = claim(files, why);
    if (error == OK) {
        error = make_registry_directories(files, why);
    }
    if (error == OK) {
        error = write_tls(files, why);
    }
    if (error == OK && bootstrap.size > 0) {
        error = durable_write(files->directory, BOOTSTRAP_FILE, 0600, bootstrap, why);
    }
    if (error == OK && bootstrap.size == 0) {
        /* One of an init that was cut short must not speak for this node. */
        error = cluster_files_bootstrap_done(files, why);
    }
    if (error == OK) {
        clock_format(clock_wall_ms(), files->identity.created);
        buffer_init(&text, FILE_MAX);
        write_identity(&files->identity, &text);
        FAILPOINT("identity.before_write");
        error = durable_write(files->directory, IDENTITY_FILE, 0644, buffer_view(&text), why);
        FAILPOINT("identity.after_write");
        buffer_release(&text);
    }
    return error;
}

void cluster_files_release(struct cluster_files *files)
{
    if (files->key.data != NULL) {
        memory_wipe(files->key.data, files->key.size);
    }
    buffer_release(&files->key);
    buffer_release(&files->certificate);
    buffer_release(&files->ca);
    if (files->lock >= 0) {
        close(files->lock);
        files->lock = -1;
    }
}

/* --- bootstrap -------------------------------------------------------------------------------- */

enum error cluster_files_bootstrap(const struct cluster_files *files, struct buffer *text,
                                   struct bytes commands[BOOTSTRAP_COMMANDS_MAX], size_t *n,
                                   struct reason *why)
{
    struct unpacker in;
    enum error error = durable_read(files->directory, BOOTSTRAP_FILE, BOOTSTRAP_MAX, text, why);

    *n = 0;
    if (error != OK) {
        return error == ERROR_NOT_FOUND ? OK : error;
    }
    unpack_start(&in, buffer_view(text));
    *n = unpack_array(&in);
    if (*n > BOOTSTRAP_COMMANDS_MAX) {
        *n = 0;
    }
    for (size_t i = 0; i < *n; i++) {
        commands[i] = unpack_bin(&in, BOOTSTRAP_MAX);
    }
    if (*n == 0 || unpack_end(&in) != OK) {
        *n = 0;
        return fail(why, ERROR_CORRUPT,
                    "%s/" BOOTSTRAP_FILE " is damaged; make the cluster anew in an empty directory",
                    files->directory);
    }
    return OK;
}

enum error cluster_files_bootstrap_done(const struct cluster_files *files, struct reason *why)
{
    char path[512];

    join_path(files, BOOTSTRAP_FILE, path);
    FAILPOINT("bootstrap.before_done");
    if (unlink(path) != 0) {
        return errno == ENOENT ? OK : fail_errno(why, errno, "remove %s", path);
    }
    return durable_sync_directory(files->directory, why);
}
