/* docs/openapi.yaml says what is served: every call of the API is in it, and nothing else. */
#include "node/openapi.h"
#include "node/routes.h"
#include "tests/lib/test.h"

static const struct {
    unsigned method;
    const char *name;
} methods[] = {
    {HTTP_GET_, "get"},     {HTTP_POST_, "post"},     {HTTP_PUT_, "put"},
    {HTTP_PATCH_, "patch"}, {HTTP_DELETE_, "delete"},
};

#define METHODS_N (sizeof methods / sizeof methods[0])

/* The distribution API has a specification of its own. */
static bool is_described(const char *pattern)
{
    return strncmp(pattern, "/v2/", 4) != 0;
}

static unsigned served_methods(const char *pattern)
{
    unsigned served = 0;
    size_t i;

    for (i = 0; routes_of_clients[i] != NULL; i++) {
        const struct route *route;

        for (route = routes_of_clients[i]; route->pattern != NULL; route++) {
            served |= strcmp(route->pattern, pattern) == 0 ? route->methods : 0;
        }
    }
    return served;
}

static void test_openapi__describes_every_call_that_is_served(void **state)
{
    json_t *document = openapi_document(), *paths = json_object_get(document, "paths");
    size_t i, k;

    (void)state;
    for (i = 0; routes_of_clients[i] != NULL; i++) {
        const struct route *route;

        for (route = routes_of_clients[i]; route->pattern != NULL; route++) {
            const json_t *path = json_object_get(paths, route->pattern);

            for (k = 0; k < METHODS_N && is_described(route->pattern); k++) {
                if ((route->methods & methods[k].method) != 0 &&
                    json_object_get(path, methods[k].name) == NULL) {
                    fail_msg("docs/openapi.yaml lacks %s %s", methods[k].name, route->pattern);
                }
            }
        }
    }
    json_decref(document);
}

static void test_openapi__describes_nothing_else(void **state)
{
    json_t *document = openapi_document(), *path;
    const char *pattern;
    size_t k;

    (void)state;
    json_object_foreach(json_object_get(document, "paths"), pattern, path)
    {
        for (k = 0; k < METHODS_N; k++) {
            if (json_object_get(path, methods[k].name) != NULL &&
                (served_methods(pattern) & methods[k].method) == 0) {
                fail_msg("docs/openapi.yaml has %s %s, which is not served", methods[k].name,
                         pattern);
            }
        }
    }
    json_decref(document);
}

/* Each reference leads somewhere, each operation has a summary, a name of its own and answers. */
static void check_references(const json_t *document, json_t *value)
{
    const char *reference = json_string_value(json_object_get(value, "$ref"));
    const char *key;
    json_t *member;
    size_t i;

    if (reference != NULL) {
        char kind[32], name[64];

        assert_int_equal(sscanf(reference, "#/components/%31[^/]/%63s", kind, name), 2);
        assert_non_null(
            json_object_get(json_object_get(json_object_get(document, "components"), kind), name));
    }
    json_object_foreach(value, key, member)
    {
        check_references(document, member);
    }
    json_array_foreach(value, i, member)
    {
        check_references(document, member);
    }
}

static void test_openapi__is_sound(void **state)
{
    json_t *document = openapi_document(), *path, *names = json_object();
    const char *pattern;
    size_t k;

    (void)state;
    check_references(document, document);
    json_object_foreach(json_object_get(document, "paths"), pattern, path)
    {
        for (k = 0; k < METHODS_N; k++) {
            const json_t *operation = json_object_get(path, methods[k].name);
            const char *name = json_string_value(json_object_get(operation, "operationId"));

            if (operation == NULL) {
                continue;
            }
            assert_non_null(name);
            assert_null(json_object_get(names, name));
            json_object_set_new(names, name, json_true());
            assert_true(json_is_string(json_object_get(operation, "summary")));
            assert_true(json_object_size(json_object_get(operation, "responses")) > 0);
        }
    }
    json_decref(names);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openapi__describes_every_call_that_is_served),
        cmocka_unit_test(test_openapi__describes_nothing_else),
        cmocka_unit_test(test_openapi__is_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
