#include "node/router.h"
#include "node/routes_blobs.h"
#include "node/routes_internal.h"
#include "node/routes_manifests.h"
#include "tests/lib/test.h"

static void handler(struct exchange *exchange)
{
    (void)exchange;
}

static const struct route blobs[] = {
    ROUTE(HTTP_GET_, "/v2/{name}/blobs/{digest}", ACCESS_PULL, handler),
    ROUTE(HTTP_POST_, "/v2/{name}/blobs/uploads/", ACCESS_PUSH, handler),
    ROUTE(HTTP_GET_, "/v2/{name}/blobs/uploads/{id}", ACCESS_PUSH, handler),
    ROUTE(HTTP_PATCH_ | HTTP_PUT_, "/v2/{name}/blobs/uploads/{id}", ACCESS_PUSH, handler),
    {0},
};

static const struct route *const tables[] = {routes_manifests, blobs, NULL};

static void test_router__tricky_names(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *pattern, *name, *last;
    } cases[] = {
        {HTTP_GET_, "/v2", "/v2/", "", ""},
        {HTTP_HEAD_, "/v2/", "/v2/", "", ""},
        {HTTP_GET_, "/v2/_catalog", "/v2/_catalog", "", ""},
        {HTTP_GET_, "/v2/a/manifests/b", "/v2/{name}/manifests/{reference}", "a", "b"},
        {HTTP_GET_, "/v2/manifests/manifests/manifests", "/v2/{name}/manifests/{reference}",
         "manifests", "manifests"},
        {HTTP_GET_, "/v2/a/blobs/uploads/manifests/x", "/v2/{name}/manifests/{reference}",
         "a/blobs/uploads", "x"},
        {HTTP_GET_, "/v2/a/manifests/tags/list", "/v2/{name}/tags/list", "a/manifests", ""},
        {HTTP_GET_, "/v2/tags/list/tags/list", "/v2/{name}/tags/list", "tags/list", ""},
        {HTTP_GET_, "/v2/a/tags/list/manifests/list", "/v2/{name}/manifests/{reference}",
         "a/tags/list", "list"},
        {HTTP_GET_, "/v2/a/referrers/referrers/d", "/v2/{name}/referrers/{digest}", "a/referrers",
         "d"},
        {HTTP_GET_, "/v2/a/blobs/blobs/d", "/v2/{name}/blobs/{digest}", "a/blobs", "d"},
        {HTTP_POST_, "/v2/a/blobs/uploads", "/v2/{name}/blobs/uploads/", "a", ""},
        {HTTP_POST_, "/v2/a/blobs/uploads/", "/v2/{name}/blobs/uploads/", "a", ""},
        {HTTP_PUT_, "/v2/a/b/blobs/uploads/id", "/v2/{name}/blobs/uploads/{id}", "a/b", "id"},
        {HTTP_POST_, "/v2/blobs/uploads/blobs/uploads/", "/v2/{name}/blobs/uploads/",
         "blobs/uploads", ""},
    };
    struct route_match match;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (router_match(tables, cases[i].method, bytes_of_string(cases[i].path), &match) != OK ||
            strcmp(match.route->pattern, cases[i].pattern) != 0 ||
            !bytes_equal_string(match.repository, cases[i].name)) {
            fail_msg("%s", cases[i].path);
        }
        if (cases[i].last[0] != '\0') {
            assert_true(bytes_equal_string(match.values[0], cases[i].last));
        }
    }
}

static void test_router__refusals(void **state)
{
    static const struct {
        enum http_method method;
        const char *path;
        enum error error;
    } cases[] = {
        {HTTP_GET_, "/", ERROR_NOT_FOUND},
        {HTTP_GET_, "/v1/a", ERROR_NOT_FOUND},
        {HTTP_GET_, "/v2/manifests/x", ERROR_NOT_FOUND},
        {HTTP_GET_, "/v2/a/manifests/x/", ERROR_NOT_FOUND},
        {HTTP_GET_, "/v2/A/manifests/x", ERROR_INVALID},
        {HTTP_GET_, "/v2/_a/manifests/x", ERROR_INVALID},
        {HTTP_GET_, "/v2/a b/manifests/x", ERROR_INVALID},
        {HTTP_GET_, "/v2/a./manifests/x", ERROR_INVALID},
        {HTTP_POST_, "/v2/a/manifests/x", ERROR_UNSUPPORTED},
        {(enum http_method)0, "/v2/a/manifests/x", ERROR_UNSUPPORTED},
        {HTTP_DELETE_, "/v2/", ERROR_UNSUPPORTED},
        {HTTP_GET_, "/v2/a/blobs/uploads/", ERROR_UNSUPPORTED},
    };
    struct route_match match;
    char allow[48], longest[300] = "/v2/";
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (router_match(tables, cases[i].method, bytes_of_string(cases[i].path), &match) !=
            cases[i].error) {
            fail_msg("%s", cases[i].path);
        }
    }
    memset(longest + 4, 'a', 201);
    strcpy(longest + 205, "/manifests/x");
    assert_int_equal(router_match(tables, HTTP_GET_, bytes_of_string(longest), &match),
                     ERROR_INVALID);
    assert_int_equal(router_match(tables, HTTP_POST_, BYTES_LITERAL("/v2/a/manifests/x"), &match),
                     ERROR_UNSUPPORTED);
    router_allow(match.allowed, allow);
    assert_string_equal(allow, "GET, HEAD, PUT, DELETE");
}

static void test_router__rows_without_access_are_not_sound(void **state)
{
    struct route row = {HTTP_GET_, "/x", ACCESS_PUBLIC, handler};
    static const struct route *const all[] = {routes_manifests, routes_blobs, routes_internal,
                                              NULL};

    (void)state;
    assert_true(router_is_sound(all));
    assert_true(route_is_sound(&row));
    row.access = (enum access)0;
    assert_false(route_is_sound(&row));
    row.access = ACCESS_PULL; /* Of which repository? */
    assert_false(route_is_sound(&row));
    row.access = ACCESS_PUBLIC;
    row.methods = 0;
    assert_false(route_is_sound(&row));
    row.methods = HTTP_GET_;
    row.handler = NULL;
    assert_false(route_is_sound(&row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router__tricky_names),
        cmocka_unit_test(test_router__refusals),
        cmocka_unit_test(test_router__rows_without_access_are_not_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
