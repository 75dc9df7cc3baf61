/* What is measured in a history, and the report that is made of it. */
#include "base/json.h"
#include "base/memory.h"
#include "node/drill_measure.h"
#include "node/drill_report.h"
#include "tests/lib/test.h"

#include <stdio.h>
#include <stdlib.h>

static void add(struct drill_history *history, enum drill_kind kind, enum drill_outcome outcome,
                uint64_t from_ms, uint64_t to_ms, uint64_t value)
{
    struct drill_operation operation = {.kind = kind,
                                        .outcome = outcome,
                                        .from_us = from_ms * 1000,
                                        .to_us = to_ms * 1000,
                                        .value = value};

    if (outcome == DRILL_FAILED) {
        snprintf(operation.error, sizeof operation.error, "<refused & \"gone\">");
    }
    drill_history_add(history, &operation);
}

/* Writes end at 100, 200, 1700 and 1800 ms; reads at 150 and 950. */
static void fill(struct drill_history *history)
{
    drill_history_init(history);
    add(history, DRILL_PUSH, DRILL_DONE, 90, 100, 1);
    add(history, DRILL_READ, DRILL_DONE, 140, 150, 1);
    add(history, DRILL_PUSH, DRILL_DONE, 190, 200, 2);
    add(history, DRILL_PUSH, DRILL_FAILED, 210, 900, 3);
    add(history, DRILL_SWAP, DRILL_REFUSED, 220, 910, 4);
    add(history, DRILL_READ, DRILL_DONE, 940, 950, 2);
    add(history, DRILL_PUSH, DRILL_DONE, 300, 1700, 5);
    add(history, DRILL_SWAP, DRILL_DONE, 1710, 1800, 6);
    history->operations[7].expected = 5;
}

static void test_drill_measure__gaps_are_between_acknowledgements(void **state)
{
    struct drill_history history;

    (void)state;
    fill(&history);
    assert_int_equal(drill_write_gap_us(&history, 0, 2000000), 1500000);
    assert_int_equal(drill_read_gap_us(&history, 0, 2000000), 1050000); /* From 950 to the end. */
    /* One that reaches over an end of the interval counts whole. */
    assert_int_equal(drill_write_gap_us(&history, 190000, 210000), 1500000);
    assert_int_equal(drill_write_gap_us(&history, 1750000, 1760000), 100000);
    assert_int_equal(drill_errors_between(&history, 900000, 901000), 1);
    assert_int_equal(drill_errors_between(&history, 0, 900000), 0);
    drill_history_release(&history);
}

static void test_drill_measure__counts_and_percentiles(void **state)
{
    struct drill_timeline timeline;
    struct drill_history history;
    struct drill_counts counts;
    uint64_t writes = 0;

    (void)state;
    fill(&history);
    drill_count(&history, &counts);
    assert_int_equal(counts.writes, 4);
    assert_int_equal(counts.reads, 2);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.errors, 1);
    assert_int_equal(counts.write_p50_us, 90000);
    assert_int_equal(counts.write_p99_us, 1400000);
    drill_timeline(&history, 2000000, &timeline);
    for (size_t i = 0; i < DRILL_BUCKETS; i++) {
        writes += timeline.writes[i];
    }
    assert_int_equal(writes, 4);
    assert_int_equal(timeline.slowest_us[1700000 / timeline.bucket_us], 1400000);
    drill_history_release(&history);
}

static json_t *make_report(const struct drill_limits *limits, uint64_t last_read)
{
    struct drill_setup *setup = memory_zero(sizeof *setup);
    struct drill_result *result = memory_zero(sizeof *result);
    json_t *report;

    setup->n_nodes = 2;
    setup->repository = "caisson/drill";
    snprintf(setup->nodes[0].name, sizeof setup->nodes[0].name, "<b>one</b>");
    snprintf(setup->nodes[1].name, sizeof setup->nodes[1].name, "two");
    fill(&result->history);
    add(&result->history, DRILL_READ, DRILL_DONE, 1900, 1910, last_read);
    result->history.operations[8].is_final = true;
    result->to_us = 2000000;
    result->n_steps = 1;
    result->steps[0] = (struct drill_step){.fault = DRILL_PAUSE,
                                           .from_us = 150000,
                                           .healed_us = 1800000,
                                           .to_us = 2000000,
                                           .leader_after = 1};
    result->watch.events[0] = (struct drill_event){DRILL_LEADER, 0, 1, 0};
    result->watch.n_events = 1;
    drill_check(&result->history, &result->check);
    report = drill_report_json(setup, result, limits);
    drill_result_release(result);
    free(result);
    free(setup);
    return report;
}

static void test_drill_report__the_verdict_keeps_the_limits(void **state)
{
    const struct drill_limits wide = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    const struct drill_limits narrow = {1499, UINT64_MAX, 0};
    json_t *report = make_report(&wide, 6);

    (void)state;
    assert_true(drill_report_passed(report));
    assert_true(drill_report_is_safe(report));
    assert_int_equal(json_member_int(report, "write_gap_ms", 0), 1500);
    json_decref(report);
    report = make_report(&narrow, 6);
    assert_false(drill_report_passed(report));
    assert_true(drill_report_is_safe(report));
    assert_int_equal(json_array_size(json_object_get(report, "why")), 2);
    json_decref(report);
    report = make_report(&wide, 5); /* The last acknowledged write is not there. */
    assert_false(drill_report_passed(report));
    assert_false(drill_report_is_safe(report));
    assert_int_equal(json_member_int(report, "lost", 0), 1);
    json_decref(report);
}

static void test_drill_report__pages_escape_what_others_wrote(void **state)
{
    const struct drill_limits limits = {3000, 1000, 5};
    json_t *report = make_report(&limits, 6);
    struct buffer text;

    (void)state;
    buffer_init(&text, (size_t)1 << 20);
    drill_report_html(report, &text);
    assert_int_equal(buffer_status(&text), OK);
    assert_null(strstr(buffer_string(&text), "<b>one"));
    assert_non_null(strstr(buffer_string(&text), "&lt;b&gt;one"));
    assert_non_null(strstr(buffer_string(&text), "&lt;refused &amp; &quot;gone&quot;&gt;"));
    assert_null(strstr(buffer_string(&text), "<script"));
    buffer_clear(&text);
    drill_report_text(report, &text);
    assert_non_null(strstr(buffer_string(&text), "Longest without a write   1500 ms (limit 3000"));
    buffer_release(&text);
    json_decref(report);
}

/* A report that comes from elsewhere may hold anything. */
static void test_drill_report__strange_documents_do_no_harm(void **state)
{
    static const char *const documents[] = {
        "{}", "[]", "{\"steps\":[1,{}],\"events\":[null,{\"what\":\"leader\"}],\"nodes\":[3]}",
        "{\"timeline\":{\"bucket_us\":0,\"writes\":[-5,9223372036854775807,\"x\"]},"
        "\"duration_ms\":-1,\"limits\":7}",
        "{\"duration_ms\":9223372036854775807,\"steps\":[{\"from_ms\":-9223372036854775808,"
        "\"healed_ms\":5}],\"error_classes\":{\"a\":\"b\"}}"};

    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct buffer text;
        json_t *report;

        buffer_init(&text, (size_t)1 << 22);
        assert_int_equal(json_parse(bytes_of_string(documents[i]), 4096, &report, NULL), OK);
        drill_report_html(report, &text);
        drill_report_text(report, &text);
        assert_int_equal(buffer_status(&text), OK);
        buffer_release(&text);
        json_decref(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drill_measure__gaps_are_between_acknowledgements),
        cmocka_unit_test(test_drill_measure__counts_and_percentiles),
        cmocka_unit_test(test_drill_report__the_verdict_keeps_the_limits),
        cmocka_unit_test(test_drill_report__pages_escape_what_others_wrote),
        cmocka_unit_test(test_drill_report__strange_documents_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
