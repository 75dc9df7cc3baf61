#include "node/router.h"

#include "base/assert.h"
#include "store/catalog.h"

#include <stdio.h>

#define COMPONENTS_MAX 256 /* A name of 200 bytes has at most 100. */

struct components {
    struct bytes all[COMPONENTS_MAX];
    size_t n;
    bool has_slash; /* The path ended in one. */
};

/* False: too many components, or no leading slash. */
static bool split(struct bytes path, struct components *out)
{
    struct bytes rest = path;

    out->n = 0;
    out->has_slash = false;
    while (rest.size > 0 && rest.data[0] == '/') {
        ptrdiff_t end;

        rest = bytes_slice(rest, 1, rest.size);
        if (rest.size == 0) {
            out->has_slash = true;
            return true;
        }
        if (out->n == COMPONENTS_MAX) {
            return false;
        }
        end = bytes_find(rest, '/');
        out->all[out->n] = bytes_slice(rest, 0, end < 0 ? rest.size : (size_t)end);
        rest = bytes_slice(rest, out->all[out->n].size, rest.size);
        out->n++;
    }
    return rest.size == 0;
}

static bool is_parameter(struct bytes component)
{
    return component.size > 2 && component.data[0] == '{';
}

static bool is_name(struct bytes component)
{
    return bytes_equal_string(component, "{name}");
}

/* One component of the pattern against one of the path. */
static bool match_one(struct bytes pattern, struct bytes component, struct route_match *out)
{
    if (!is_parameter(pattern)) {
        return bytes_equal(pattern, component);
    }
    CHECK(out->n < ROUTE_PARAMETERS_MAX);
    out->keys[out->n] = bytes_slice(pattern, 1, pattern.size - 2);
    out->values[out->n] = component;
    out->n++;
    return true;
}

/* The run of components [from, to) of a path, as the bytes between their slashes. */
static struct bytes run(const struct components *path, size_t from, size_t to)
{
    const uint8_t *start = path->all[from].data;
    const uint8_t *end = path->all[to - 1].data + path->all[to - 1].size;

    return bytes_of(start, (size_t)(end - start));
}

static bool match_pattern(const struct components *pattern, const struct components *path,
                          struct route_match *out)
{
    size_t left = 0, right, i;

    out->n = 0;
    out->repository = BYTES_NONE;
    if (path->has_slash && !pattern->has_slash) {
        return false;
    }
    while (left < pattern->n && !is_name(pattern->all[left])) {
        left++;
    }
    right = left < pattern->n ? pattern->n - left - 1 : 0;
    if (left == pattern->n ? path->n != left : path->n < left + right + 1) {
        return false;
    }
    for (i = 0; i < left; i++) {
        if (!match_one(pattern->all[i], path->all[i], out)) {
            return false;
        }
    }
    for (i = 0; i < right; i++) {
        if (!match_one(pattern->all[pattern->n - 1 - i], path->all[path->n - 1 - i], out)) {
            return false;
        }
    }
    if (left < pattern->n) {
        out->repository = run(path, left, path->n - right);
        return match_one(pattern->all[left], out->repository, out);
    }
    return true;
}

static size_t literals(const struct components *pattern)
{
    size_t n = 0, i;

    for (i = 0; i < pattern->n; i++) {
        n += !is_parameter(pattern->all[i]);
    }
    return n;
}

static unsigned methods_of(const struct route *route)
{
    return route->methods | ((route->methods & HTTP_GET_) ? HTTP_HEAD_ : 0u);
}

/* The best row so far and what of the path's rows is allowed. */
struct search {
    enum http_method method;
    struct components path, pattern;
    struct route_match *best;
    size_t best_literals;
    bool found;
};

/* Can the pattern match at all? By what stands before its first parameter. */
static bool begins_alike(const char *pattern, struct bytes path)
{
    size_t n = strcspn(pattern, "{");

    n -= n > 1 && pattern[n - 1] == '/';
    return path.size >= n && memcmp(pattern, path.data, n) == 0;
}

static void consider(struct search *search, const struct route *route, struct bytes path)
{
    struct route_match match = {.route = route};
    size_t n;

    if (!begins_alike(route->pattern, path)) {
        return;
    }
    CHECK(split(bytes_of_string(route->pattern), &search->pattern));
    n = literals(&search->pattern);
    if (search->found && n < search->best_literals) {
        return;
    }
    if (!match_pattern(&search->pattern, &search->path, &match)) {
        return;
    }
    if (search->found && n == search->best_literals) {
        search->best->allowed |= methods_of(route);
        if (search->best->route != NULL || !(methods_of(route) & search->method)) {
            return;
        }
        match.allowed = search->best->allowed;
    }
    search->found = true;
    search->best_literals = n;
    match.allowed |= methods_of(route);
    if (!(methods_of(route) & search->method)) {
        match.route = NULL;
    }
    *search->best = match;
}

enum error router_match(const struct route *const *tables, enum http_method method,
                        struct bytes path, struct route_match *out)
{
    struct search search = {.method = method, .best = out};
    size_t i;

    *out = (struct route_match){0};
    if (!split(path, &search.path)) {
        return ERROR_NOT_FOUND;
    }
    for (i = 0; tables[i] != NULL; i++) {
        const struct route *route;

        for (route = tables[i]; route->pattern != NULL; route++) {
            consider(&search, route, path);
        }
    }
    if (!search.found) {
        return ERROR_NOT_FOUND;
    }
    if (out->repository.size > 0 && !repository_name_is_valid(out->repository)) {
        return ERROR_INVALID;
    }
    return out->route == NULL ? ERROR_UNSUPPORTED : OK;
}

bool route_is_sound(const struct route *route)
{
    const unsigned known = HTTP_GET_ | HTTP_HEAD_ | HTTP_POST_ | HTTP_PUT_ | HTTP_PATCH_ |
                           HTTP_DELETE_;
    struct components pattern;
    size_t parameters, names = 0, i;

    if (route->methods == 0 || (route->methods & ~known) != 0 || route->pattern[0] != '/' ||
        route->access < ACCESS_PUBLIC || route->access > ACCESS_JOIN || route->handler == NULL ||
        !split(bytes_of_string(route->pattern), &pattern)) {
        return false;
    }
    parameters = pattern.n - literals(&pattern);
    for (i = 0; i < pattern.n; i++) {
        names += is_name(pattern.all[i]);
    }
    /* Access to a repository needs one in the path. */
    return parameters <= ROUTE_PARAMETERS_MAX && names <= 1 &&
           (names == 1 || (route->access != ACCESS_PULL && route->access != ACCESS_PUSH));
}

bool router_is_sound(const struct route *const *tables)
{
    size_t i;

    for (i = 0; tables[i] != NULL; i++) {
        const struct route *route;

        for (route = tables[i]; route->pattern != NULL; route++) {
            if (!route_is_sound(route)) {
                return false;
            }
        }
    }
    return true;
}

void router_allow(unsigned methods, char text[48])
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    size_t used = 0, i;

    text[0] = '\0';
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (methods & (1u << i)) {
            used +=
                (size_t)snprintf(text + used, 48 - used, "%s%s", used > 0 ? ", " : "", names[i]);
        }
    }
    POST(used < 48);
}
