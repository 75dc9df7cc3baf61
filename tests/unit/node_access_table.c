/* Who may use which route, written down once more: a route that is added, or whose access changes,
 * is red here until somebody has thought about it. */
#include "node/routes.h"
#include "tests/lib/test.h"

#define GET    (HTTP_GET_ | HTTP_HEAD_)
#define PUT    HTTP_PUT_
#define POST   HTTP_POST_
#define PATCH  HTTP_PATCH_
#define DELETE HTTP_DELETE_

static const struct expected {
    unsigned methods;
    const char *pattern;
    enum access access;
} expected[] = {
    /* Anybody: is it alive, where is everybody. */
    {GET, "/healthz", ACCESS_PUBLIC},
    {GET, "/readyz", ACCESS_PUBLIC},
    {GET, "/metrics", ACCESS_PUBLIC},
    {GET, "/api/v1/cluster", ACCESS_PUBLIC},
    {GET, "/api/v1/openapi.json", ACCESS_PUBLIC},
    /* The distribution specification; lists are filtered by the right to pull. */
    {GET, "/v2/", ACCESS_LOGIN},
    {GET, "/v2/_catalog", ACCESS_LOGIN},
    {GET, "/v2/{name}/manifests/{reference}", ACCESS_PULL},
    {PUT | DELETE, "/v2/{name}/manifests/{reference}", ACCESS_PUSH},
    {GET, "/v2/{name}/tags/list", ACCESS_PULL},
    {GET, "/v2/{name}/referrers/{digest}", ACCESS_PULL},
    {GET, "/v2/{name}/blobs/{digest}", ACCESS_PULL},
    {DELETE, "/v2/{name}/blobs/{digest}", ACCESS_PUSH},
    {POST, "/v2/{name}/blobs/uploads/", ACCESS_PUSH},
    {GET | PUT | PATCH | DELETE, "/v2/{name}/blobs/uploads/{uuid}", ACCESS_PUSH},
    /* Promotions: the handlers ask for rights on the repositories that are meant. */
    {GET, "/api/v1/pipelines", ACCESS_LOGIN},
    {GET, "/api/v1/pipelines/{pipeline}", ACCESS_LOGIN},
    {PUT, "/api/v1/pipelines/{pipeline}", ACCESS_ADMIN},
    {GET, "/api/v1/pipelines/{pipeline}/revisions", ACCESS_LOGIN},
    {GET | POST, "/api/v1/pipelines/{pipeline}/change", ACCESS_LOGIN},
    {GET | POST, "/api/v1/promotions", ACCESS_LOGIN},
    {GET, "/api/v1/promotions/{id}", ACCESS_LOGIN},
    {GET, "/api/v1/promotions/{id}/explain", ACCESS_LOGIN},
    {POST, "/api/v1/promotions/{id}/approvals", ACCESS_APPROVE},
    {POST, "/api/v1/promotions/{id}/overrides", ACCESS_APPROVE},
    {POST, "/api/v1/promotions/{id}/cancel", ACCESS_LOGIN},
    {GET, "/api/v1/environments/{stage}", ACCESS_LOGIN},
    {GET, "/api/v1/diff", ACCESS_LOGIN},
    {GET, "/api/v1/environments/{stage}/history", ACCESS_LOGIN},
    {GET, "/api/v1/environments/{stage}/lock", ACCESS_LOGIN},
    {GET, "/api/v1/digests/{digest}", ACCESS_LOGIN},
    {GET, "/api/v1/promotions/{id}/receipt", ACCESS_LOGIN},
    {GET, "/api/v1/audit/entries", ACCESS_ADMIN},
    {GET | POST, "/api/v1/statuses", ACCESS_LOGIN},
    {GET, "/api/v1/holds", ACCESS_LOGIN},
    {POST, "/api/v1/holds", ACCESS_ADMIN},
    {DELETE, "/api/v1/holds/{id}", ACCESS_ADMIN},
    {POST, "/api/v1/quarantines", ACCESS_ADMIN},
    /* Administration. */
    {GET, "/api/v1/users", ACCESS_ADMIN},
    {GET | PUT | DELETE, "/api/v1/users/{user}", ACCESS_ADMIN},
    {PUT, "/api/v1/users/{user}/password", ACCESS_LOGIN},
    {POST, "/api/v1/join-tokens", ACCESS_ADMIN},
    {POST, "/api/v1/cluster/leader", ACCESS_ADMIN},
    {GET | POST, "/api/v1/scrub", ACCESS_ADMIN},
    {GET, "/api/v1/blobs/{digest}", ACCESS_ADMIN},
    {GET, "/api/v1/drills", ACCESS_LOGIN},
    {GET, "/api/v1/drills/{id}", ACCESS_LOGIN},
    {POST, "/api/v1/drills", ACCESS_ADMIN},
    {DELETE, "/api/v1/cluster/members/{member}", ACCESS_ADMIN},
    {GET, "/api/v1/settings", ACCESS_LOGIN},
    {PUT | DELETE, "/api/v1/settings", ACCESS_ADMIN},
    {GET | PUT | DELETE, "/api/v1/quotas", ACCESS_ADMIN},
    /* Nodes. */
    {GET, "/internal/v1/ping", ACCESS_PEER},
    {GET, "/internal/v1/applied/{index}", ACCESS_PEER},
    {GET | PUT, "/internal/v1/blobs/{digest}", ACCESS_PEER},
    {PUT | DELETE, "/internal/v1/uploads/{id}", ACCESS_PEER},
    {POST, "/internal/v1/uploads/{id}/commit", ACCESS_PEER},
    {POST, "/internal/v1/join", ACCESS_JOIN},
};

/* With HEAD where there is GET, as the router does it. */
static unsigned methods_of(const struct route *route)
{
    return route->methods | ((route->methods & HTTP_GET_) ? HTTP_HEAD_ : 0u);
}

static void test_access_table__each_route_has_the_access_that_is_written_here(void **state)
{
    size_t i, k;

    (void)state;
    for (i = 0; routes_of_peers[i] != NULL; i++) {
        const struct route *route;

        for (route = routes_of_peers[i]; route->pattern != NULL; route++) {
            unsigned left = methods_of(route);

            for (k = 0; k < sizeof expected / sizeof expected[0]; k++) {
                if (strcmp(expected[k].pattern, route->pattern) == 0 &&
                    expected[k].access == route->access) {
                    left &= ~expected[k].methods;
                }
            }
            if (left != 0) {
                fail_msg("%s: methods %x have access %d, which is not written here", route->pattern,
                         left, (int)route->access);
            }
        }
    }
}

static void test_access_table__nothing_is_written_that_is_not_there(void **state)
{
    size_t i, k;

    (void)state;
    for (k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        unsigned left = expected[k].methods;

        for (i = 0; routes_of_peers[i] != NULL; i++) {
            const struct route *route;

            for (route = routes_of_peers[i]; route->pattern != NULL; route++) {
                if (strcmp(expected[k].pattern, route->pattern) == 0) {
                    left &= ~methods_of(route);
                }
            }
        }
        if (left != 0) {
            fail_msg("%s: methods %x are not served", expected[k].pattern, left);
        }
    }
}

static void test_access_table__names_of_peers_start_with_internal(void **state)
{
    const char prefix[] = "/internal/";
    size_t k;

    (void)state;
    for (k = 0; k < sizeof expected / sizeof expected[0]; k++) {
        bool is_of_peers = expected[k].access == ACCESS_PEER || expected[k].access == ACCESS_JOIN;

        assert_int_equal(is_of_peers, strncmp(expected[k].pattern, prefix, sizeof prefix - 1) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_access_table__each_route_has_the_access_that_is_written_here),
        cmocka_unit_test(test_access_table__nothing_is_written_that_is_not_there),
        cmocka_unit_test(test_access_table__names_of_peers_start_with_internal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
