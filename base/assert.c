#include "base/assert.h"

#include "base/log.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void assert_failed(const char *kind, const char *text, const char *file, int line)
{
    void *frames[32];
    int n;

    fprintf(stderr, "caisson: %s failed: %s (%s:%d)\n", kind, text, file, line);
    n = backtrace(frames, (int)(sizeof frames / sizeof frames[0]));
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    abort();
}

_Noreturn void fail_stop(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    LOG_ERROR("stopping: %s", text);
    /* No destructors: another thread may be half way through what failed. */
    _exit(EXIT_FAIL_STOP);
}
