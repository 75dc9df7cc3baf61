#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/* The one error type of the tree. A function that can fail for the world's or the client's reasons
 * returns an enum error (OK is 0) and, where a sentence helps, fills the struct reason that its
 * last parameter points to (NULL: nobody will read it). The first failure is kept and reported
 * once. Our own mistakes are not errors: they stop the process (base/assert.h). */

#define ERROR_LIST(X)                                                                              \
    X(OK, "ok")                                                                                    \
    X(ERROR_INVALID, "invalid input")                                                              \
    X(ERROR_UNSUPPORTED, "not supported")                                                          \
    X(ERROR_TOO_LARGE, "over a size limit")                                                        \
    X(ERROR_RANGE, "out of range or out of order")                                                 \
    X(ERROR_NOT_FOUND, "not found")                                                                \
    X(ERROR_EXISTS, "already exists")                                                              \
    X(ERROR_CONFLICT, "changed meanwhile")                                                         \
    X(ERROR_BUSY, "in use")                                                                        \
    X(ERROR_UNAUTHORIZED, "login required")                                                        \
    X(ERROR_DENIED, "denied")                                                                      \
    X(ERROR_REPOSITORY_UNKNOWN, "repository unknown")                                              \
    X(ERROR_MANIFEST_UNKNOWN, "manifest unknown")                                                  \
    X(ERROR_BLOB_UNKNOWN, "blob unknown")                                                          \
    X(ERROR_UPLOAD_UNKNOWN, "upload unknown")                                                      \
    X(ERROR_MANIFEST_BLOB_UNKNOWN, "manifest refers to unknown content")                           \
    X(ERROR_MANIFEST_INVALID, "manifest invalid")                                                  \
    X(ERROR_DIGEST, "digest does not match the content")                                           \
    X(ERROR_PROMOTION_ONLY, "repository takes only promotions")                                    \
    X(ERROR_GATE, "a gate is not passed")                                                          \
    X(ERROR_NOT_ELIGIBLE, "not eligible")                                                          \
    X(ERROR_IDEMPOTENCY, "idempotency key used with another request")                              \
    X(ERROR_UNAVAILABLE, "no quorum or no leader")                                                 \
    X(ERROR_TIMEOUT, "timed out")                                                                  \
    X(ERROR_CANCELED, "canceled")                                                                  \
    X(ERROR_PEER, "a peer failed or misbehaved")                                                   \
    X(ERROR_FULL, "no space left")                                                                 \
    X(ERROR_IO, "input/output error")                                                              \
    X(ERROR_CORRUPT, "stored data is damaged")                                                     \
    X(ERROR_FOREIGN, "belongs to another cluster or node")

enum error {
#define X(code, text) code,
    ERROR_LIST(X)
#undef X
        ERROR_N
};

/* A sentence for a person: what was wrong and what to do about it. */
struct reason {
    char text[512];
};

#define MUST_USE __attribute__((warn_unused_result))

/* "ERROR_IO", for logs and wire formats. */
const char *error_name(enum error error);
/* "input/output error", for people. */
const char *error_text(enum error error);
/* Translate a negative errno (libuv's) or a positive one (libc's); never returns OK for non-zero.
 */
enum error error_from_errno(int code) MUST_USE;

/* Fill why (may be NULL) and return error: `return fail(why, ERROR_INVALID, "n is %d", n);`. */
enum error fail(struct reason *why, enum error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: tell it that fail() gives back what it was given. */
#define fail(why, error, ...) ((void)fail(why, error, __VA_ARGS__), (error))
#endif
/* As fail() for a failed system call: appends strerror of errnum, translates it. */
enum error fail_errno(struct reason *why, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Put "prefix: " before the text that is there. */
void reason_prefix(struct reason *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
