#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Contracts as sentences, on in every build. A broken one is our bug: print where, abort; two other
 * nodes take over. Never for what a client, a peer or a disk can cause.
 *
 *   PRE(x)         what the caller owes on entry
 *   POST(x)        what we owe on exit
 *   CHECK(x)       what must hold here
 *   ERGO(a, b)     if a then b
 *   IMPOSSIBLE(s)  a branch that cannot be reached */

_Noreturn void assert_failed(const char *kind, const char *text, const char *file, int line);

#define CAISSON_ASSERT(kind, x, text)                                                              \
    (__builtin_expect(!(x), 0) ? assert_failed(kind, text, __FILE__, __LINE__) : (void)0)

#define PRE(x)        CAISSON_ASSERT("precondition", x, #x)
#define POST(x)       CAISSON_ASSERT("postcondition", x, #x)
#define CHECK(x)      CAISSON_ASSERT("check", x, #x)
#define ERGO(a, b)    CAISSON_ASSERT("check", !(a) || (b), #a " implies " #b)
#define IMPOSSIBLE(s) assert_failed("impossible", s, __FILE__, __LINE__)

/* Unlike CHECK, for what can go wrong with the disk under the log, the catalog or a snapshot:
 * nothing but stopping keeps the promises (exit code 70, a supervisor starts it again). */
_Noreturn void fail_stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define EXIT_FAIL_STOP 70

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
