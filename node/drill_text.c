#include "base/json.h"
#include "node/drill_report.h"

#include <inttypes.h>
#include <stdio.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_member_string(object, key);

    return text == NULL ? "-" : text;
}

static void write_steps(const json_t *report, struct buffer *out)
{
    const json_t *step;
    size_t i;

    buffer_print(out, "\n%-16s %-14s %-24s %10s %10s %8s\n", "DRILL", "NODE", "LEADER", "WRITE GAP",
                 "READ GAP", "ERRORS");
    json_array_foreach(json_object_get(report, "steps"), i, step)
    {
        char leader[140];

        snprintf(leader, sizeof leader, "%.64s -> %.64s", text_of(step, "leader_before"),
                 text_of(step, "leader_after"));
        buffer_print(out, "%-16.40s %-14.64s %-24s %7" PRId64 " ms %7" PRId64 " ms %8" PRId64 "\n",
                     text_of(step, "kind"), text_of(step, "node"), leader,
                     json_member_int(step, "write_gap_ms", 0),
                     json_member_int(step, "read_gap_ms", 0), json_member_int(step, "errors", 0));
    }
}

static void write_limit(const json_t *report, const char *key, const char *unit, struct buffer *out)
{
    const json_t *limit = json_object_get(json_object_get(report, "limits"), key);

    if (json_is_integer(limit)) {
        buffer_print(out, " (limit %" JSON_INTEGER_FORMAT "%s)", json_integer_value(limit), unit);
    }
    buffer_append_byte(out, '\n');
}

static void write_figures(const json_t *report, struct buffer *out)
{
    const json_t *operations = json_object_get(report, "operations");
    const json_t *count;
    const char *name;

    buffer_print(out, "\nLongest without a write   %" PRId64 " ms",
                 json_member_int(report, "write_gap_ms", 0));
    write_limit(report, "write_gap_ms", " ms", out);
    buffer_print(out, "Longest without a read    %" PRId64 " ms",
                 json_member_int(report, "read_gap_ms", 0));
    write_limit(report, "read_gap_ms", " ms", out);
    buffer_print(out, "Errors seen               %" PRId64, json_member_int(report, "errors", 0));
    write_limit(report, "errors", "", out);
    json_object_foreach(json_object_get(report, "error_classes"), name, count)
    {
        buffer_print(out, "  %8" JSON_INTEGER_FORMAT " x  %.64s\n", json_integer_value(count),
                     name);
    }
    buffer_print(out,
                 "Acknowledged writes lost  %" PRId64 "\nStale reads               %" PRId64 "\n",
                 json_member_int(report, "lost", 0), json_member_int(report, "stale", 0));
    buffer_print(out, "Linearizable              %s\n",
                 json_member_int(report, "not_linearizable", 1) == 0 ? "yes" : "NO");
    buffer_print(
        out, "Operations                %" PRId64 " writes, %" PRId64 " reads, %" PRId64 " lists\n",
        json_member_int(operations, "writes", 0), json_member_int(operations, "reads", 0),
        json_member_int(operations, "lists", 0));
}

void drill_report_text(const json_t *report, struct buffer *out)
{
    const json_t *why;
    size_t i;

    buffer_print(out,
                 "Failover drill %.40s\nCluster %.40s, %zu nodes, started %.40s, %" PRId64
                 ".%" PRId64 " s\n",
                 json_member_string(report, "id") != NULL ? text_of(report, "id")
                                                          : text_of(report, "run"),
                 text_of(report, "cluster"), json_array_size(json_object_get(report, "nodes")),
                 text_of(report, "started"), json_member_int(report, "duration_ms", 0) / 1000,
                 json_member_int(report, "duration_ms", 0) / 100 % 10);
    write_steps(report, out);
    write_figures(report, out);
    buffer_print(out, "\n%s\n", drill_report_passed(report) ? "PASSED" : "NOT PASSED");
    json_array_foreach(json_object_get(report, "why"), i, why)
    {
        if (json_is_string(why)) {
            buffer_print(out, "  %.200s\n", json_string_value(why));
        }
    }
    if (text_of(report, "finding")[0] != '\0' && text_of(report, "finding")[0] != '-') {
        buffer_print(out, "  first finding: %.300s\n", text_of(report, "finding"));
    }
}
