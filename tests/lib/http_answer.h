#ifndef TESTS_LIB_HTTP_ANSWER_H
#define TESTS_LIB_HTTP_ANSWER_H

/* The last answer of the HTTP server under test, and what is asked of it. A test file initializes
 * the buffer with the size that its answers need, and releases it. */

#include "tests/lib/http_server.h"

static struct buffer answer;

static inline size_t occurrences(const char *text)
{
    const char *at = buffer_string(&answer);
    size_t n = 0;

    while ((at = strstr(at, text)) != NULL) {
        at++;
        n++;
    }
    return n;
}

/* One connection: send all, read to the end. */
static inline void talk(const struct http_server *server, const char *request)
{
    http_client_talk(server, bytes_of_string(request), &answer);
}

static inline void assert_answer(const char *text)
{
    if (strstr(buffer_string(&answer), text) == NULL) {
        print_error("no \"%s\" in: %.600s\n", text, buffer_string(&answer));
        fail();
    }
}

static inline void append_repeated(struct buffer *out, const char *text, size_t n)
{
    while (n-- > 0) {
        buffer_append_string(out, text);
    }
}

#endif
