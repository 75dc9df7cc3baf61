#include "base/error.h"

#include "base/assert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *error_name(enum error error)
{
    static const char *const names[] = {
#define X(code, text) #code,
        ERROR_LIST(X)
#undef X
    };
    PRE(error < ERROR_N);
    return names[error];
}

const char *error_text(enum error error)
{
    static const char *const texts[] = {
#define X(code, text) text,
        ERROR_LIST(X)
#undef X
    };
    PRE(error < ERROR_N);
    return texts[error];
}

enum error error_from_errno(int code)
{
    switch (code < 0 ? -code : code) {
    case 0:
        return OK;
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_EXISTS;
    case EACCES:
    case EPERM:
        return ERROR_DENIED;
    case ENOSPC:
    case EDQUOT:
        return ERROR_FULL;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    case ECANCELED:
        return ERROR_CANCELED;
    case EBUSY:
    case EAGAIN:
        return ERROR_BUSY;
    case ECONNRESET:
    case ECONNREFUSED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return ERROR_PEER;
    default:
        return ERROR_IO;
    }
}

/* In brackets because the analyzer has a macro of this name. */
enum error(fail)(struct reason *why, enum error error, const char *format, ...)
{
    va_list args;

    PRE(error != OK && error < ERROR_N);
    if (why != NULL) {
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return error;
}

enum error fail_errno(struct reason *why, int errnum, const char *format, ...)
{
    va_list args;
    size_t used;
    char text[128];

    PRE(errnum != 0);
    if (why != NULL) {
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
        used = strlen(why->text);
        snprintf(why->text + used, sizeof why->text - used, ": %s",
                 strerror_r(errnum < 0 ? -errnum : errnum, text, sizeof text));
    }
    return error_from_errno(errnum);
}

void reason_prefix(struct reason *why, const char *format, ...)
{
    struct reason rest;
    va_list args;
    size_t used;

    if (why == NULL) {
        return;
    }
    rest = *why;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    used = strlen(why->text);
    snprintf(why->text + used, sizeof why->text - used, ": %s", rest.text);
}
