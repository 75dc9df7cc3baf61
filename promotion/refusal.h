#ifndef PROMOTION_REFUSAL_H
#define PROMOTION_REFUSAL_H

#include "base/error.h"

/* Why a piece of evidence is not believed: a stable code for programs, a sentence for people. */
struct refusal {
    const char *code; /* "SIGNATURE_INVALID"; lives for ever. */
    struct reason why;
};

/* Fill it and return ERROR_DENIED. */
enum error refuse(struct refusal *refusal, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
/* As for fail(): the analyzer sees one file at a time. */
#define refuse(refusal, code, ...) ((void)refuse(refusal, code, __VA_ARGS__), ERROR_DENIED)
#endif

#endif
