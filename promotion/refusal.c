#include "promotion/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#undef refuse

enum error refuse(struct refusal *refusal, const char *code, const char *format, ...)
{
    va_list arguments;

    refusal->code = code;
    va_start(arguments, format);
    vsnprintf(refusal->why.text, sizeof refusal->why.text, format, arguments);
    va_end(arguments);
    return ERROR_DENIED;
}
