#include "node/drill_report.h"

#include "base/clock.h"
#include "node/drill_measure.h"

#include <inttypes.h>
#include <stdio.h>

#define REPORT_EVENTS_MAX 150
#define ERROR_CLASSES_MAX 24

static json_t *ms_of(uint64_t us)
{
    return json_integer((json_int_t)((us + 500) / 1000));
}

/* A limit; null when there is none. */
static json_t *limit_of(uint64_t limit)
{
    return limit == UINT64_MAX ? json_null() : json_integer((json_int_t)limit);
}

static json_t *steps_json(const struct drill_setup *setup, const struct drill_result *result)
{
    json_t *steps = json_array();

    for (size_t i = 0; i < result->n_steps; i++) {
        const struct drill_step *step = &result->steps[i];
        const struct drill_history *history = &result->history;
        json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "kind", drill_fault_name(step->fault),
                                   "node", setup->nodes[step->node].name, "leader_before",
                                   setup->nodes[step->leader_before].name, "leader_after",
                                   setup->nodes[step->leader_after].name);

        json_object_set_new(object, "from_ms", ms_of(step->from_us));
        json_object_set_new(object, "healed_ms", ms_of(step->healed_us));
        json_object_set_new(object, "to_ms", ms_of(step->to_us));
        json_object_set_new(object, "write_gap_ms",
                            ms_of(drill_write_gap_us(history, step->from_us, step->to_us)));
        json_object_set_new(object, "read_gap_ms",
                            ms_of(drill_read_gap_us(history, step->from_us, step->to_us)));
        json_object_set_new(
            object, "errors",
            json_integer((json_int_t)drill_errors_between(history, step->from_us, step->to_us)));
        json_array_append_new(steps, object);
    }
    return steps;
}

static json_t *kinds_json(const struct drill_result *result)
{
    json_t *kinds = json_array();

    for (size_t i = 0; i < result->n_steps; i++) {
        size_t k = 0;

        while (k < i && result->steps[k].fault != result->steps[i].fault) {
            k++;
        }
        if (k == i) {
            json_array_append_new(kinds, json_string(drill_fault_name(result->steps[i].fault)));
        }
    }
    return kinds;
}

static json_t *nodes_json(const struct drill_setup *setup)
{
    json_t *nodes = json_array();

    for (size_t i = 0; i < setup->n_nodes; i++) {
        json_array_append_new(nodes, json_string(setup->nodes[i].name));
    }
    return nodes;
}

static json_t *events_json(const struct drill_setup *setup, const struct drill_watch *watch)
{
    static const char *const names[] = {"leader", "gone", "back"};
    json_t *events = json_array();

    for (size_t i = 0; i < watch->n_events && i < REPORT_EVENTS_MAX; i++) {
        const struct drill_event *event = &watch->events[i];
        json_t *object = json_pack("{s:s, s:s, s:o}", "what", names[event->kind], "node",
                                   setup->nodes[event->node].name, "at_ms", ms_of(event->at_us));

        if (event->kind == DRILL_LEADER) {
            json_object_set_new(object, "term", json_integer((json_int_t)event->term));
        }
        json_array_append_new(events, object);
    }
    return events;
}

/* How often each error was seen, by its text. */
static json_t *errors_json(const struct drill_history *history)
{
    json_t *classes = json_object();

    for (size_t i = 0; i < history->n; i++) {
        const struct drill_operation *operation = &history->operations[i];
        const char *text = operation->error[0] != '\0' ? operation->error : "bad answer";
        json_t *count = json_object_get(classes, text);

        if (operation->outcome != DRILL_FAILED) {
            continue;
        }
        if (count != NULL) {
            json_integer_set(count, json_integer_value(count) + 1);
        } else if (json_object_size(classes) < ERROR_CLASSES_MAX) {
            json_object_set_new(classes, text, json_integer(1));
        }
    }
    return classes;
}

static json_t *numbers_json(const uint64_t *numbers, uint64_t divisor)
{
    json_t *array = json_array();

    for (size_t i = 0; i < DRILL_BUCKETS; i++) {
        json_array_append_new(array, json_integer((json_int_t)(numbers[i] / divisor)));
    }
    return array;
}

static json_t *timeline_json(const struct drill_result *result)
{
    struct drill_timeline timeline;

    drill_timeline(&result->history, result->to_us, &timeline);
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "bucket_us", (json_int_t)timeline.bucket_us,
                     "writes", numbers_json(timeline.writes, 1), "reads",
                     numbers_json(timeline.reads, 1), "errors", numbers_json(timeline.errors, 1),
                     "slowest_ms", numbers_json(timeline.slowest_us, 1000));
}

static json_t *operations_json(const struct drill_history *history)
{
    struct drill_counts counts;

    drill_count(history, &counts);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "writes",
                     (json_int_t)counts.writes, "reads", (json_int_t)counts.reads, "lists",
                     (json_int_t)counts.lists, "swaps_lost", (json_int_t)counts.refused, "errors",
                     (json_int_t)counts.errors, "not_recorded", (json_int_t)history->dropped,
                     "write_p50_us", (json_int_t)counts.write_p50_us, "write_p99_us",
                     (json_int_t)counts.write_p99_us, "read_p50_us", (json_int_t)counts.read_p50_us,
                     "read_p99_us", (json_int_t)counts.read_p99_us);
}

/* --- the verdict ------------------------------------------------------------------------------ */

static void judge_limit(json_t *why, const json_t *report, const char *key, uint64_t limit,
                        const char *what, const char *unit)
{
    uint64_t is = (uint64_t)json_integer_value(json_object_get(report, key));

    if (is > limit) {
        json_array_append_new(why, json_sprintf("%s %" PRIu64 "%s, and the limit is %" PRIu64 "%s",
                                                what, is, unit, limit, unit));
    }
}

static void judge(json_t *report, const struct drill_result *result,
                  const struct drill_limits *limits)
{
    const struct drill_check *check = &result->check;
    uint64_t lost = check->lost + result->lost_content;
    json_t *why = json_array();

    if (lost > 0) {
        json_array_append_new(why, json_sprintf("%" PRIu64 " acknowledged writes were lost", lost));
    }
    if (check->stale > 0) {
        json_array_append_new(why, json_sprintf("%" PRIu64 " reads were stale", check->stale));
    }
    if (check->broken > 0) {
        json_array_append_new(
            why,
            json_sprintf("the history of %" PRIu64 " tags is not linearizable", check->broken));
    }
    if (check->undecided > 0 || result->history.dropped > 0) {
        json_array_append_new(why, json_string("the history is too long to be judged: make the "
                                               "drill shorter"));
    }
    judge_limit(why, report, "write_gap_ms", limits->write_gap_ms, "no write for", " ms");
    judge_limit(why, report, "read_gap_ms", limits->read_gap_ms, "no read for", " ms");
    judge_limit(why, report, "errors", limits->errors, "errors seen:", "");
    json_object_set_new(report, "passed", json_boolean(json_array_size(why) == 0));
    json_object_set_new(report, "why", why);
    json_object_set_new(report, "finding", json_string(check->first));
    json_object_set_new(report, "lost", json_integer((json_int_t)lost));
    json_object_set_new(report, "stale", json_integer((json_int_t)check->stale));
    json_object_set_new(report, "not_linearizable", json_integer((json_int_t)check->broken));
}

json_t *drill_report_json(const struct drill_setup *setup, const struct drill_result *result,
                          const struct drill_limits *limits)
{
    uint64_t from = result->from_us, to = result->to_us;
    char started[CLOCK_TEXT_MAX];
    json_t *report, *operations = operations_json(&result->history);

    clock_format(setup->start_wall_ms, started);
    report = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "run", setup->id, "cluster",
                       setup->cluster, "caisson", CAISSON_VERSION, "repository", setup->repository,
                       "started", started, "duration_ms", ms_of(to));
    json_object_set_new(report, "nodes", nodes_json(setup));
    json_object_set_new(report, "kinds", kinds_json(result));
    json_object_set_new(report, "steps", steps_json(setup, result));
    json_object_set_new(report, "write_gap_ms",
                        ms_of(drill_write_gap_us(&result->history, from, to)));
    json_object_set_new(report, "read_gap_ms",
                        ms_of(drill_read_gap_us(&result->history, from, to)));
    json_object_set(report, "errors", json_object_get(operations, "errors"));
    json_object_set_new(report, "operations", operations);
    json_object_set_new(report, "error_classes", errors_json(&result->history));
    json_object_set_new(report, "events", events_json(setup, &result->watch));
    json_object_set_new(report, "timeline", timeline_json(result));
    json_object_set_new(report, "limits",
                        json_pack("{s:o, s:o, s:o}", "write_gap_ms", limit_of(limits->write_gap_ms),
                                  "read_gap_ms", limit_of(limits->read_gap_ms), "errors",
                                  limit_of(limits->errors)));
    judge(report, result, limits);
    return report;
}

bool drill_report_passed(const json_t *report)
{
    return json_is_true(json_object_get(report, "passed"));
}

bool drill_report_is_safe(const json_t *report)
{
    return json_integer_value(json_object_get(report, "lost")) == 0 &&
           json_integer_value(json_object_get(report, "stale")) == 0 &&
           json_integer_value(json_object_get(report, "not_linearizable")) == 0;
}
