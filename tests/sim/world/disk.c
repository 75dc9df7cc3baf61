#include "tests/sim/world/disk.h"

#include "base/assert.h"
#include "base/memory.h"
#include "tests/sim/world/engine.h"
#include "tests/sim/world/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR       512u
#define FD_FIRST     100000
#define FILES_MAX    256u
#define SLOW_MAX_US  400000u
#define COLLECT_OVER 24u

struct range {
    size_t offset, size;
};

struct content {
    uint8_t *bytes;
    size_t size, capacity;
};

struct inode {
    struct inode *next;
    struct content now, durable;
    struct range *dirty; /* Written since the last sync. */
    size_t n_dirty, dirty_capacity;
};

struct open_file {
    struct disk *disk; /* NULL: free. */
    struct inode *inode;
    char path[DISK_PATH_MAX]; /* Of a directory. */
    bool is_locked;
};

struct virtual_dir {
    DIR *handle; /* Points at itself: says that it is one of these. */
    struct disk *disk;
    char path[DISK_PATH_MAX];
    size_t next;
    int fd;
    struct dirent entry;
};

#define DIRS_MAX 8u

static struct open_file files[FILES_MAX];
static struct virtual_dir dirs[DIRS_MAX];

/* --- bytes ----------------------------------------------------------------------------------- */

static void content_reach(struct content *content, size_t size)
{
    if (size > content->capacity) {
        size_t capacity = content->capacity == 0 ? 4096 : content->capacity;

        while (capacity < size) {
            capacity *= 2;
        }
        content->bytes = memory_resize(content->bytes, capacity);
        memset(content->bytes + content->capacity, 0, capacity - content->capacity);
        content->capacity = capacity;
    }
    content->size = size > content->size ? size : content->size;
}

static void inode_write(struct inode *inode, const void *data, size_t size, size_t offset)
{
    content_reach(&inode->now, offset + size);
    memcpy(inode->now.bytes + offset, data, size);
    if (inode->n_dirty == inode->dirty_capacity) {
        inode->dirty_capacity = inode->dirty_capacity == 0 ? 8 : inode->dirty_capacity * 2;
        inode->dirty = memory_resize(inode->dirty, inode->dirty_capacity * sizeof *inode->dirty);
    }
    inode->dirty[inode->n_dirty++] = (struct range){offset, size};
}

static void make_durable(struct inode *inode, size_t offset, size_t size)
{
    content_reach(&inode->durable, offset + size);
    memcpy(inode->durable.bytes + offset, inode->now.bytes + offset, size);
}

static void inode_sync(struct inode *inode)
{
    for (size_t i = 0; i < inode->n_dirty; i++) {
        make_durable(inode, inode->dirty[i].offset, inode->dirty[i].size);
    }
    content_reach(&inode->durable, inode->now.size);
    inode->n_dirty = 0;
}

/* Each sector that was written reached the disk, or did not. */
static void inode_cut(struct inode *inode)
{
    unsigned odds = (unsigned)draw(1, 4);

    for (size_t i = 0; i < inode->n_dirty; i++) {
        size_t at = inode->dirty[i].offset, end = at + inode->dirty[i].size;

        while (at < end) {
            size_t next = (at / SECTOR + 1) * SECTOR;

            next = next < end ? next : end;
            if (one_in(odds)) {
                make_durable(inode, at, next - at);
            }
            at = next;
        }
    }
    inode->n_dirty = 0;
    if (one_in(2) && inode->now.size > inode->durable.size) {
        content_reach(&inode->durable, inode->now.size);
    }
    inode->now.size = 0;
    if (inode->durable.size > 0) {
        content_reach(&inode->now, inode->durable.size);
        memcpy(inode->now.bytes, inode->durable.bytes, inode->durable.size);
    }
}

static void inode_free(struct inode *inode)
{
    free(inode->now.bytes);
    free(inode->durable.bytes);
    free(inode->dirty);
    free(inode);
}

/* --- names ----------------------------------------------------------------------------------- */

static struct disk_name *name_find(struct disk_names *names, const char *path)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static void names_apply(struct disk_names *names, const struct disk_change *change)
{
    struct disk_name *name = name_find(names, change->path);

    if (change->is_removal) {
        if (name != NULL) {
            *name = names->items[--names->n];
        }
        return;
    }
    if (name == NULL) {
        CHECK(names->n < DISK_NAMES);
        name = &names->items[names->n++];
        memcpy(name->path, change->path, sizeof name->path);
    }
    name->inode = change->inode;
}

static bool is_used(const struct disk *disk, const struct inode *inode)
{
    for (size_t i = 0; i < disk->now.n; i++) {
        if (disk->now.items[i].inode == inode) {
            return true;
        }
    }
    for (size_t i = 0; i < disk->durable.n; i++) {
        if (disk->durable.items[i].inode == inode) {
            return true;
        }
    }
    for (size_t i = 0; i < disk->n_changes; i++) {
        if (disk->changes[i].inode == inode) {
            return true;
        }
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].disk != NULL && files[i].inode == inode) {
            return true;
        }
    }
    return false;
}

static void collect(struct disk *disk)
{
    for (struct inode **at = &disk->inodes; *at != NULL;) {
        struct inode *inode = *at;

        if (is_used(disk, inode)) {
            at = &inode->next;
        } else {
            *at = inode->next;
            inode_free(inode);
        }
    }
}

static void change(struct disk *disk, const char *path, struct inode *inode, bool is_removal,
                   unsigned group)
{
    struct disk_change *item = &disk->changes[disk->n_changes++];

    CHECK(disk->n_changes <= DISK_CHANGES && strlen(path) < DISK_PATH_MAX);
    snprintf(item->path, sizeof item->path, "%s", path);
    item->inode = inode;
    item->is_removal = is_removal;
    item->group = group;
    names_apply(&disk->now, item);
}

static bool is_in(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    return strncmp(path, directory, size) == 0 && path[size] == '/' &&
           strchr(path + size + 1, '/') == NULL;
}

static void directory_sync(struct disk *disk, const char *directory)
{
    size_t kept = 0;

    for (size_t i = 0; i < disk->n_changes; i++) {
        if (is_in(disk->changes[i].path, directory)) {
            names_apply(&disk->durable, &disk->changes[i]);
        } else {
            disk->changes[kept++] = disk->changes[i];
        }
    }
    disk->n_changes = kept;
}

void disk_format(struct disk *disk)
{
    disk_close_files(disk);
    disk->now.n = disk->durable.n = disk->n_changes = 0;
    collect(disk);
    disk->slow_until = disk->fail_sync_in = 0;
    disk->is_full = false;
}

void disk_cut(struct disk *disk)
{
    size_t kept = disk->n_changes == 0 ? 0 : draw(0, disk->n_changes);

    /* A rename is in the journal as a whole. */
    while (kept > 0 && kept < disk->n_changes &&
           disk->changes[kept].group == disk->changes[kept - 1].group) {
        kept--;
    }
    disk_close_files(disk);
    for (size_t i = 0; i < kept; i++) {
        names_apply(&disk->durable, &disk->changes[i]);
    }
    disk->n_changes = 0;
    disk->now = disk->durable;
    collect(disk);
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        inode_cut(inode);
    }
    disk->slow_until = disk->fail_sync_in = 0;
}

void disk_close_files(struct disk *disk)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].disk == disk) {
            files[i].disk = NULL;
        }
    }
    for (size_t i = 0; i < DIRS_MAX; i++) {
        if (dirs[i].disk == disk) {
            dirs[i].disk = NULL;
        }
    }
}

bool disk_flip(struct disk *disk, const char *part)
{
    for (size_t i = 0; i < disk->now.n; i++) {
        struct inode *inode = disk->now.items[i].inode;

        if (inode != NULL && strstr(disk->now.items[i].path, part) != NULL && inode->now.size > 0) {
            size_t at = draw(0, inode->now.size - 1);

            content_reach(&inode->durable, inode->now.size);
            inode->now.bytes[at] ^= (uint8_t)(1u << draw(0, 7));
            inode->durable.bytes[at] = inode->now.bytes[at];
            return true;
        }
    }
    return false;
}

/* --- open files ------------------------------------------------------------------------------ */

static struct disk *disk_of(const char *path)
{
    return strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) == 0 ? &host_current()->disk : NULL;
}

static struct open_file *file_of(int fd)
{
    if (fd < FD_FIRST) {
        return NULL;
    }
    CHECK(fd < FD_FIRST + (int)FILES_MAX && files[fd - FD_FIRST].disk != NULL);
    return &files[fd - FD_FIRST];
}

static int file_open(struct disk *disk, struct inode *inode, const char *path)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].disk == NULL) {
            files[i] = (struct open_file){.disk = disk, .inode = inode};
            snprintf(files[i].path, sizeof files[i].path, "%s", path);
            return FD_FIRST + (int)i;
        }
    }
    errno = EMFILE;
    return -1;
}

static struct inode *inode_make(struct disk *disk, const char *path)
{
    struct inode *inode = memory_zero(sizeof *inode);
    size_t n = 0;

    for (const struct inode *other = disk->inodes; other != NULL; other = other->next) {
        n++;
    }
    if (n > COLLECT_OVER) {
        collect(disk);
    }
    inode->next = disk->inodes;
    disk->inodes = inode;
    change(disk, path, inode, false, ++disk->groups);
    return inode;
}

/* --- the system calls ------------------------------------------------------------------------ */

#define WRAP(result, name, ...)                                                                    \
    result __real_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__);                                                             \
    result __wrap_##name(__VA_ARGS__)

static int fails(int code)
{
    errno = code;
    return -1;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    struct disk *disk = disk_of(path);
    struct disk_name *name;
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (disk == NULL) {
        return __real_open(path, flags, mode);
    }
    name = name_find(&disk->now, path);
    if (name == NULL && (flags & O_CREAT) == 0) {
        return fails(ENOENT);
    }
    if (name != NULL && (flags & O_EXCL) != 0) {
        return fails(EEXIST);
    }
    if (name != NULL) {
        return file_open(disk, name->inode, path);
    }
    return file_open(disk, inode_make(disk, path), path);
}

WRAP(int, close, int fd)
{
    struct open_file *file = file_of(fd);

    if (file == NULL) {
        return __real_close(fd);
    }
    file->disk = NULL;
    return 0;
}

WRAP(ssize_t, pread, int fd, void *out, size_t size, off_t offset)
{
    struct open_file *file = file_of(fd);
    size_t at = (size_t)offset, n;

    if (file == NULL) {
        return __real_pread(fd, out, size, offset);
    }
    if (at >= file->inode->now.size) {
        return 0;
    }
    n = file->inode->now.size - at;
    n = n < size ? n : size;
    memcpy(out, file->inode->now.bytes + at, n);
    return (ssize_t)n;
}

WRAP(ssize_t, pwrite, int fd, const void *data, size_t size, off_t offset)
{
    struct open_file *file = file_of(fd);

    if (file == NULL) {
        return __real_pwrite(fd, data, size, offset);
    }
    inode_write(file->inode, data, size, (size_t)offset);
    return (ssize_t)size;
}

/* What a sync takes; the others of the host run meanwhile. */
static int sync_wait(struct disk *disk)
{
    uint64_t us = disk->sync_us + draw(0, disk->sync_us);

    if (engine_now() < disk->slow_until) {
        us += draw(0, SLOW_MAX_US);
    }
    fiber_sleep(us);
    if (disk->fail_sync_in > 0 && --disk->fail_sync_in == 0) {
        return fails(EIO);
    }
    return 0;
}

static int sync_file(struct open_file *file)
{
    struct disk *disk = file->disk;
    struct inode *inode = file->inode;

    if (disk->lies || (inode == NULL && disk->forgets_names)) {
        return 0;
    }
    if (sync_wait(disk) != 0) {
        return -1;
    }
    if (inode != NULL) {
        inode_sync(inode);
    } else {
        directory_sync(disk, file->path);
    }
    return 0;
}

WRAP(int, fdatasync, int fd)
{
    struct open_file *file = file_of(fd);

    return file == NULL ? __real_fdatasync(fd) : sync_file(file);
}

WRAP(int, fsync, int fd)
{
    struct open_file *file = file_of(fd);

    return file == NULL ? __real_fsync(fd) : sync_file(file);
}

WRAP(int, fallocate, int fd, int mode, off_t offset, off_t size)
{
    struct open_file *file = file_of(fd);

    if (file == NULL) {
        return __real_fallocate(fd, mode, offset, size);
    }
    if (file->disk->is_full) {
        return fails(ENOSPC);
    }
    content_reach(&file->inode->now, (size_t)(offset + size));
    return 0;
}

static void fill_stat(const struct inode *inode, struct stat *out)
{
    memset(out, 0, sizeof *out);
    out->st_mode = inode != NULL ? S_IFREG | 0600 : S_IFDIR | 0700;
    out->st_size = inode != NULL ? (off_t)inode->now.size : 0;
}

WRAP(int, fstat, int fd, struct stat *out)
{
    struct open_file *file = file_of(fd);

    if (file == NULL) {
        return __real_fstat(fd, out);
    }
    fill_stat(file->inode, out);
    return 0;
}

WRAP(int, stat, const char *path, struct stat *out)
{
    struct disk *disk = disk_of(path);
    struct disk_name *name;

    if (disk == NULL) {
        return __real_stat(path, out);
    }
    name = name_find(&disk->now, path);
    if (name == NULL) {
        return fails(ENOENT);
    }
    fill_stat(name->inode, out);
    return 0;
}

WRAP(int, rename, const char *from, const char *to)
{
    struct disk *disk = disk_of(from);
    struct disk_name *name;

    if (disk == NULL) {
        return __real_rename(from, to);
    }
    name = name_find(&disk->now, from);
    if (name == NULL) {
        return fails(ENOENT);
    }
    disk->groups++;
    change(disk, to, name->inode, false, disk->groups);
    change(disk, from, NULL, true, disk->groups);
    return 0;
}

static int remove_path(struct disk *disk, const char *path)
{
    if (name_find(&disk->now, path) == NULL) {
        return fails(ENOENT);
    }
    change(disk, path, NULL, true, ++disk->groups);
    return 0;
}

WRAP(int, unlink, const char *path)
{
    struct disk *disk = disk_of(path);

    return disk == NULL ? __real_unlink(path) : remove_path(disk, path);
}

WRAP(int, unlinkat, int fd, const char *name, int flags)
{
    struct open_file *file = file_of(fd);
    char path[2 * DISK_PATH_MAX];

    if (file == NULL) {
        return __real_unlinkat(fd, name, flags);
    }
    snprintf(path, sizeof path, "%s/%s", file->path, name);
    return remove_path(file->disk, path);
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
    struct disk *disk = disk_of(path);

    if (disk == NULL) {
        return __real_mkdir(path, mode);
    }
    if (name_find(&disk->now, path) != NULL) {
        return fails(EEXIST);
    }
    change(disk, path, NULL, false, ++disk->groups);
    return 0;
}

WRAP(int, flock, int fd, int operation)
{
    struct open_file *file = file_of(fd);

    if (file == NULL) {
        return __real_flock(fd, operation);
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].disk != NULL && files[i].inode == file->inode && files[i].is_locked) {
            return fails(EWOULDBLOCK);
        }
    }
    file->is_locked = true;
    return 0;
}

static struct virtual_dir *dir_of(DIR *dir)
{
    uintptr_t at = (uintptr_t)dir;

    return at >= (uintptr_t)dirs && at < (uintptr_t)(dirs + DIRS_MAX) ? (struct virtual_dir *)at
                                                                      : NULL;
}

WRAP(DIR *, opendir, const char *path)
{
    struct disk *disk = disk_of(path);

    if (disk == NULL) {
        return __real_opendir(path);
    }
    for (size_t i = 0; i < DIRS_MAX; i++) {
        struct virtual_dir *dir = &dirs[i];

        if (dir->disk == NULL) {
            *dir = (struct virtual_dir){.disk = disk, .fd = file_open(disk, NULL, path)};
            snprintf(dir->path, sizeof dir->path, "%s", path);
            return (DIR *)(void *)dir;
        }
    }
    IMPOSSIBLE("more open directories than there can be");
}

WRAP(struct dirent *, readdir, DIR *handle)
{
    struct virtual_dir *dir = dir_of(handle);

    if (dir == NULL) {
        return __real_readdir(handle);
    }
    /* From the back, so that the caller may remove what it was just given. */
    if (dir->next == 0) {
        dir->next = dir->disk->now.n + 1;
    }
    while (--dir->next > 0) {
        const char *path = dir->disk->now.items[dir->next - 1].path;

        if (is_in(path, dir->path)) {
            snprintf(dir->entry.d_name, sizeof dir->entry.d_name, "%s",
                     path + strlen(dir->path) + 1);
            return &dir->entry;
        }
    }
    dir->next = 1;
    return NULL;
}

WRAP(int, closedir, DIR *handle)
{
    struct virtual_dir *dir = dir_of(handle);

    if (dir == NULL) {
        return __real_closedir(handle);
    }
    __wrap_close(dir->fd);
    dir->disk = NULL;
    return 0;
}

WRAP(int, dirfd, DIR *handle)
{
    struct virtual_dir *dir = dir_of(handle);

    return dir == NULL ? __real_dirfd(handle) : dir->fd;
}
