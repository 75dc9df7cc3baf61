/* Fuzz target: paths against patterns like those of /v2 and /api. Input: the method's bit, the
 * path. Whatever matches is a path of the pattern: its parameters, put in their places, give it
 * again. */
#include "base/assert.h"
#include "node/router.h"
#include "store/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void handler(struct exchange *exchange)
{
    (void)exchange;
}

static const struct route routes[] = {
    ROUTE(HTTP_GET_, "/v2/", ACCESS_LOGIN, handler),
    ROUTE(HTTP_GET_, "/v2/_catalog", ACCESS_LOGIN, handler),
    ROUTE(HTTP_GET_ | HTTP_PUT_, "/v2/{name}/manifests/{reference}", ACCESS_PULL, handler),
    ROUTE(HTTP_DELETE_, "/v2/{name}/manifests/{reference}", ACCESS_PUSH, handler),
    ROUTE(HTTP_GET_, "/v2/{name}/tags/list", ACCESS_PULL, handler),
    ROUTE(HTTP_GET_, "/v2/{name}/referrers/{digest}", ACCESS_PULL, handler),
    ROUTE(HTTP_POST_, "/v2/{name}/blobs/uploads/", ACCESS_PUSH, handler),
    ROUTE(HTTP_PATCH_ | HTTP_PUT_, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH, handler),
    ROUTE(HTTP_GET_, "/v2/{name}/blobs/{digest}", ACCESS_PULL, handler),
    ROUTE(HTTP_GET_, "/api/v1/things/{id}", ACCESS_ADMIN, handler),
    ROUTE(HTTP_POST_, "/api/v1/things/{id}/parts/{part}", ACCESS_ADMIN, handler),
    {0},
};

static struct bytes value_of(const struct route_match *match, struct bytes key)
{
    size_t i;

    for (i = 0; i < match->n; i++) {
        if (bytes_equal(match->keys[i], key)) {
            return match->values[i];
        }
    }
    IMPOSSIBLE("a parameter of the pattern has no value");
}

/* The pattern with its parameters filled in. */
static void fill(const struct route_match *match, struct buffer *out)
{
    struct bytes rest = bytes_of_string(match->route->pattern);

    while (rest.size > 0) {
        ptrdiff_t open = bytes_find(rest, '{'), shut = bytes_find(rest, '}');

        if (open < 0) {
            buffer_append(out, rest);
            return;
        }
        CHECK(shut > open);
        buffer_append(out, bytes_slice(rest, 0, (size_t)open));
        buffer_append(
            out, value_of(match, bytes_slice(rest, (size_t)open + 1, (size_t)(shut - open - 1))));
        rest = bytes_slice(rest, (size_t)shut + 1, rest.size);
    }
}

static void check_match(const struct route_match *match, unsigned method, struct bytes path)
{
    struct buffer whole;
    struct bytes filled;

    CHECK((match->allowed & method) != 0);
    buffer_init(&whole, path.size + 256);
    fill(match, &whole);
    filled = buffer_view(&whole);
    if (filled.size == path.size + 1) { /* A last slash may be missing. */
        CHECK(filled.data[path.size] == '/');
        filled.size--;
    }
    CHECK(bytes_equal(filled, path));
    buffer_release(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct route *const tables[] = {routes, NULL};
    struct route_match match;
    unsigned method;
    struct bytes path;
    char allow[48];
    enum error rv;

    if (size < 1) {
        return 0;
    }
    CHECK(router_is_sound(tables));
    method = 1u << (data[0] % 6);
    path = bytes_of(data + 1, size - 1);
    rv = router_match(tables, (enum http_method)method, path, &match);
    router_allow(match.allowed, allow);
    if (rv == OK) {
        CHECK(match.repository.size == 0 || repository_name_is_valid(match.repository));
        check_match(&match, method, path);
    } else if (rv == ERROR_UNSUPPORTED) {
        CHECK(match.allowed != 0 && (match.allowed & method) == 0);
    } else {
        CHECK(rv == ERROR_NOT_FOUND || rv == ERROR_INVALID);
    }
    return 0;
}
