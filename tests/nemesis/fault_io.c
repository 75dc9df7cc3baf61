/* Preloaded into a node: the n-th call that changes a file, or the n-th allocation, fails. What to
 * do is in a small file that the test maps as well (FAULT_IO_CONTROL), so that it can be armed and
 * read while the node runs. Only regular files and directories count, never the log on standard
 * error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    _Atomic int64_t io_calls, io_at, io_errno, io_from_then_on;
    _Atomic int64_t memory_calls, memory_at;
};

static struct control *control;

__attribute__((constructor)) static void setup(void)
{
    const char *path = getenv("FAULT_IO_CONTROL");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        control = at == MAP_FAILED ? NULL : at;
        close(fd);
    }
}

static int fails(void)
{
    int64_t n, at;

    if (control == NULL) {
        return 0;
    }
    n = atomic_fetch_add(&control->io_calls, 1) + 1;
    at = atomic_load(&control->io_at);
    if (at == 0 || !(n == at || (n > at && atomic_load(&control->io_from_then_on)))) {
        return 0;
    }
    errno = (int)atomic_load(&control->io_errno);
    return 1;
}

static int counts(int fd)
{
    struct stat info;
    int code = errno, is_ours;

    if (control == NULL || fd <= STDERR_FILENO) {
        return 0;
    }
    is_ours = fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode));
    errno = code;
    return is_ours;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t size)
{
    return counts(fd) && fails() ? -1 : NEXT(write)(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return counts(fd) && fails() ? -1 : NEXT(pwrite)(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    return counts(fd) && fails() ? -1 : NEXT(pwrite64)(fd, bytes, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
    return counts(fd) && fails() ? -1 : NEXT(pwritev)(fd, parts, n, offset);
}

int fsync(int fd)
{
    return counts(fd) && fails() ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    return counts(fd) && fails() ? -1 : NEXT(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
    return counts(fd) && fails() ? -1 : NEXT(ftruncate)(fd, size);
}

int rename(const char *from, const char *to)
{
    return fails() ? -1 : NEXT(rename)(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return fails() ? -1 : NEXT(renameat)(from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return fails() ? -1 : NEXT(renameat2)(from_fd, from, to_fd, to, flags);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return fails() ? -1 : NEXT(linkat)(from_fd, from, to_fd, to, flags);
}

int unlink(const char *path)
{
    return fails() ? -1 : NEXT(unlink)(path);
}

int unlinkat(int fd, const char *path, int flags)
{
    return fails() ? -1 : NEXT(unlinkat)(fd, path, flags);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
    return fails() ? -1 : NEXT(mkdirat)(fd, path, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;

    if ((flags & O_CREAT) != 0) {
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return fails() ? -1 : NEXT(openat)(fd, path, flags, mode);
}

/* --- memory ---------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static int lacks(void)
{
    if (control == NULL ||
        atomic_fetch_add(&control->memory_calls, 1) + 1 != atomic_load(&control->memory_at)) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return lacks() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return lacks() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return lacks() ? NULL : __libc_realloc(old, size);
}
