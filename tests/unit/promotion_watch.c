#include "promotion/watch.h"

#include "promotion/statuses.h"
#include "store/changes.h"
#include "tests/lib/promotion_fixture.h"

/* Promotions are looked at when something that they depend on changed, and not else. */

#define DUE_MAX 256

struct turned {
    size_t looks, due;
    char first[PROMOTION_ID_SIZE + 1];
    uint64_t next_ms;
};

/* One turn, that may look at all; now_ms: as the fixture's clock says. */
static struct turned turn(struct catalog_fixture *fixture, struct promotion_watch *watch)
{
    static char due[DUE_MAX][PROMOTION_ID_SIZE + 1];
    struct watch_turn turn = {
        .now_ms = fixture->time_ms, .looks = SIZE_MAX, .due = due, .due_max = DUE_MAX};
    uint64_t before = promotion_watch_looks(watch);
    struct turned out;

    promotion_watch_turn(watch, &turn);
    out = (struct turned){
        .looks = promotion_watch_looks(watch) - before, .due = turn.n_due, .next_ms = turn.next_ms};
    if (turn.n_due > 0) {
        snprintf(out.first, sizeof out.first, "%s", due[0]);
    }
    return out;
}

static void report(struct catalog_fixture *fixture, const struct digest *digest)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_status_put(&command, &id, text_of("ci"), digest, text_of("e2e"), STATUS_SUCCESS,
                       text_of(""), text_of(""), 0);
    assert_int_equal(fixture_apply(fixture, &command), OK);
}

/* 30 promotions of 30 repositories wait: for a soak of an hour, and for people. */
#define WAITING 30

static void open_many(struct catalog_fixture *fixture, struct digest images[WAITING])
{
    int i;

    for (i = 0; i < WAITING; i++) {
        char repository[64], source[64], id[16], other[16];

        snprintf(repository, sizeof repository, "dev/shop/web-%d", i);
        snprintf(source, sizeof source, "test/shop/web-%d", i);
        snprintf(id, sizeof id, "T%02d", i);
        snprintf(other, sizeof other, "W%02d", i);
        images[i] = fixture_image(fixture, repository, source, "1.0");
        assert_int_equal(shop_create(fixture, id, "test", repository, "1.0").status, OK);
        assert_int_equal(shop_commit(fixture, id).status, OK);
        assert_int_equal(shop_create(fixture, other, "prod", source, "1.0").status, OK);
    }
}

static void test_watch__looks_only_at_what_a_change_concerns(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion_watch *watch = promotion_watch_open(fixture->catalog);
    struct digest images[WAITING], attached;

    open_many(fixture, images);
    assert_int_equal(turn(fixture, watch).looks, WAITING);
    assert_int_equal(turn(fixture, watch).looks, 0);
    (void)fixture_image(fixture, "dev/shop/other", "other", "1.0");
    (void)fixture_image(fixture, "elsewhere/web", "elsewhere", "1.0");
    assert_int_equal(turn(fixture, watch).looks, 0);
    report(fixture, &images[7]);
    assert_int_equal(turn(fixture, watch).looks, 1);
    assert_int_equal(shop_attach(fixture, "dev/shop/web-7", "sbom", &images[7], &attached), OK);
    assert_int_equal(turn(fixture, watch).looks, 0);
    assert_int_equal(shop_pipeline(fixture, "shop", SHOP), OK);
    assert_int_equal(turn(fixture, watch).looks, 0);
    shop_user(fixture, "frank", "prod/**", ACTION_APPROVE);
    assert_int_equal(turn(fixture, watch).looks, WAITING);
    promotion_watch_close(watch);
}

/* Gates say when they will pass; what says nothing is looked at once in a while all the same. */
static void test_watch__wakes_up_when_a_gate_said_so(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion_watch *watch = promotion_watch_open(fixture->catalog);
    struct digest images[WAITING];
    struct turned turned;

    open_many(fixture, images);
    turned = turn(fixture, watch);
    assert_int_equal(turned.next_ms, fixture->time_ms + WATCH_LOOK_AGAIN_MS);
    fixture->time_ms += WATCH_LOOK_AGAIN_MS - 1;
    assert_int_equal(turn(fixture, watch).looks, 0);
    fixture->time_ms++;
    assert_int_equal(turn(fixture, watch).looks, WAITING);
    /* The soak of the first is over before the minute is. */
    fixture->time_ms += HOUR_MS - 2 * WATCH_LOOK_AGAIN_MS;
    turned = turn(fixture, watch);
    assert_true(turned.next_ms < fixture->time_ms + WATCH_LOOK_AGAIN_MS);
    fixture->time_ms = turned.next_ms;
    turned = turn(fixture, watch);
    assert_int_equal(turned.looks, 1);
    assert_int_equal(turned.due, 0); /* People are missing yet. */
    promotion_watch_close(watch);
}

static void test_watch__leaves_a_decision_to_who_made_it_for_a_moment(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion_watch *watch = promotion_watch_open(fixture->catalog);
    struct digest images[WAITING];
    struct turned turned;

    open_many(fixture, images);
    fixture->time_ms += HOUR_MS;
    (void)turn(fixture, watch);
    assert_int_equal(shop_decide(fixture, "bob", "W03", true).status, OK);
    assert_int_equal(shop_decide(fixture, "carol", "W03", true).status, OK);
    turned = turn(fixture, watch);
    assert_int_equal(turned.looks, 0);
    assert_int_equal(turned.next_ms, fixture->time_ms + WATCH_HEAD_START_MS);
    fixture->time_ms = turned.next_ms;
    turned = turn(fixture, watch);
    assert_int_equal(turned.looks, 1);
    assert_int_equal(turned.due, 1);
    assert_string_equal(turned.first + PROMOTION_ID_SIZE - 3, "W03");
    /* Tried without success: not at once again, but again. */
    assert_int_equal(turn(fixture, watch).due, 0);
    fixture->time_ms += WATCH_TRY_AGAIN_MS;
    assert_int_equal(turn(fixture, watch).due, 1);
    assert_int_equal(shop_commit(fixture, "W03").status, OK);
    fixture->time_ms += WATCH_TRY_AGAIN_MS;
    assert_int_equal(turn(fixture, watch).due, 0);
    promotion_watch_close(watch);
}

/* What was attached late makes it be planned again; a target's tag that moves ends it. */
static void test_watch__finds_what_changed_in_its_repositories(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct promotion_watch *watch = promotion_watch_open(fixture->catalog);
    struct digest images[WAITING], attached;
    struct turned turned;

    open_many(fixture, images);
    (void)turn(fixture, watch);
    assert_int_equal(shop_attach(fixture, "dev/shop/web-5", "sbom", &images[5], &attached), OK);
    assert_int_equal(shop_create(fixture, "X", "test", "dev/shop/web-5", "1.0").status, OK);
    assert_int_equal(shop_commit(fixture, "X").status, OK);
    turned = turn(fixture, watch);
    assert_int_equal(turned.looks, 1);
    assert_int_equal(turned.due, 1);
    assert_string_equal(turned.first + PROMOTION_ID_SIZE - 3, "W05");
    promotion_watch_close(watch);
}

static void count_change(void *data, const struct change *change)
{
    (void)change;
    (*(size_t *)data)++;
}

static void test_changes__are_told_or_said_to_be_lost(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint64_t cursor = 0, late;
    size_t n = 0;
    int i;

    assert_false(catalog_changes(fixture->catalog, &cursor, count_change, &n));
    assert_int_equal(n, 0);
    assert_true(catalog_changes(fixture->catalog, &cursor, count_change, &n));
    assert_int_equal(n, 0);
    late = cursor;
    shop_user(fixture, "frank", "prod/**", ACTION_APPROVE);
    assert_true(catalog_changes(fixture->catalog, &cursor, count_change, &n));
    assert_true(n > 0);
    n = 0;
    for (i = 0; i < (int)CHANGES_KEPT + 1; i++) {
        shop_user(fixture, "frank", "prod/**", ACTION_APPROVE);
    }
    assert_false(catalog_changes(fixture->catalog, &late, count_change, &n));
    assert_int_equal(n, 0);
    assert_true(catalog_changes(fixture->catalog, &late, count_change, &n));
}

#define SHOP_TEST(name) cmocka_unit_test_setup_teardown(name, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(test_watch__looks_only_at_what_a_change_concerns),
        SHOP_TEST(test_watch__wakes_up_when_a_gate_said_so),
        SHOP_TEST(test_watch__leaves_a_decision_to_who_made_it_for_a_moment),
        SHOP_TEST(test_watch__finds_what_changed_in_its_repositories),
        SHOP_TEST(test_changes__are_told_or_said_to_be_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
