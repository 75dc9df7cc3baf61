/* The page. Its time line is drawn here, as SVG: bands for what was done to the nodes, a lane that
 * says who led, bars for writes and reads, and errors. All text comes from a document that somebody
 * else may have written, so all of it is escaped. */
#include "base/json.h"
#include "node/drill_report.h"

#include <inttypes.h>
#include <stdio.h>

#define WIDTH      1080.0
#define LEFT       84.0
#define PLOT       (WIDTH - LEFT - 12.0)
#define COLOURS    6
#define WRITES_TOP 96
#define READS_TOP  196
#define ERRORS_TOP 296
#define LANE       80
#define HEIGHT     404

static const char *const style =
    ":root{--ink:#16202b;--soft:#5b6b7c;--line:#dfe5ec;--paper:#fff;--ground:#f3f6f9;"
    "--good:#177245;--bad:#b3261e;--write:#2a6fbb;--read:#4aa3a2}"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:1160px;margin:0 auto;padding:36px 24px 56px}"
    "header{display:flex;justify-content:space-between;align-items:flex-start;gap:24px}"
    "h1{font-size:28px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:17px;margin:34px 0 10px}"
    "p{margin:4px 0}.soft{color:var(--soft)}.mono{font-family:ui-monospace,'DejaVu Sans Mono',"
    "monospace;font-size:13px}"
    ".verdict{border-radius:10px;padding:12px 22px;color:#fff;font-size:20px;font-weight:600;"
    "white-space:nowrap}.good{background:var(--good)}.bad{background:var(--bad)}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:14px;"
    "margin-top:26px}.card{background:var(--paper);border:1px solid var(--line);border-radius:12px;"
    "padding:16px 18px}.card b{display:block;font-size:27px;font-weight:650;letter-spacing:-.02em}"
    ".card.no b{color:var(--bad)}.panel{background:var(--paper);border:1px solid var(--line);"
    "border-radius:12px;padding:16px 18px;overflow-x:auto}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:7px 14px 7px 0;"
    "border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:500;font-size:13px}"
    "tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;"
    "font-variant-numeric:tabular-nums}svg{display:block;width:100%;height:auto;min-width:720px}"
    "svg text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:var(--soft)}"
    "@media print{body{background:#fff}}";

static const char *const colours[COLOURS] = {"#2f5d8a", "#b6702a", "#5b8a3a",
                                             "#84528c", "#2d8580", "#a34b5e"};

/* --- text ------------------------------------------------------------------------------------- */

static void escape(struct buffer *out, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        switch (*text) {
        case '&':
            buffer_append_string(out, "&amp;");
            break;
        case '<':
            buffer_append_string(out, "&lt;");
            break;
        case '>':
            buffer_append_string(out, "&gt;");
            break;
        case '"':
            buffer_append_string(out, "&quot;");
            break;
        default:
            buffer_append_byte(out, (uint8_t)*text);
        }
    }
}

/* A time of a document that may hold anything: from nothing to thirty years. */
static int64_t time_of(const json_t *object, const char *key)
{
    int64_t ms = json_member_int(object, key, 0), most = (int64_t)1000000000000;

    return ms < 0 ? 0 : ms > most ? most : ms;
}

static void member(struct buffer *out, const json_t *object, const char *key)
{
    const char *text = json_member_string(object, key);

    escape(out, text == NULL ? "-" : text);
}

/* "840 ms", "1.24 s". */
static void duration(struct buffer *out, int64_t ms)
{
    if (ms < 1000) {
        buffer_print(out, "%" PRId64 " ms", ms);
    } else {
        buffer_print(out, "%" PRId64 ".%02" PRId64 " s", ms / 1000, ms / 10 % 100);
    }
}

/* --- head and figures ------------------------------------------------------------------------- */

static void write_header(const json_t *report, struct buffer *out)
{
    bool passed = drill_report_passed(report);
    const json_t *why;
    size_t i;

    buffer_print(out, "<header><div><h1>Failover drill</h1><p>");
    json_array_foreach(json_object_get(report, "kinds"), i, why)
    {
        buffer_append_string(out, i > 0 ? ", " : "");
        escape(out, json_string_value(why));
    }
    buffer_print(out, " &middot; %zu nodes</p><p class=\"soft\">started ",
                 json_array_size(json_object_get(report, "nodes")));
    member(out, report, "started");
    buffer_append_string(out, ", took ");
    duration(out, time_of(report, "duration_ms"));
    buffer_append_string(out, "</p><p class=\"soft mono\">cluster ");
    member(out, report, "cluster");
    buffer_print(out, "</p></div><div class=\"verdict %s\">%s</div></header>",
                 passed ? "good" : "bad", passed ? "Passed" : "Not passed");
    json_array_foreach(json_object_get(report, "why"), i, why)
    {
        buffer_append_string(out, "<p style=\"color:var(--bad)\">");
        escape(out, json_string_value(why));
        buffer_append_string(out, "</p>");
    }
    if (json_member_string(report, "finding") != NULL &&
        json_member_string(report, "finding")[0] != '\0') {
        buffer_append_string(out, "<p class=\"soft\">First finding: ");
        member(out, report, "finding");
        buffer_append_string(out, "</p>");
    }
}

/* A figure with its limit; must_be_zero: it is red as soon as there is one. */
static void card(const json_t *report, const char *key, const char *what, bool is_time,
                 bool must_be_zero, struct buffer *out)
{
    const json_t *limit = json_object_get(json_object_get(report, "limits"), key);
    int64_t is = json_member_int(report, key, 0);
    bool is_over = must_be_zero ? is > 0 : json_is_integer(limit) && is > json_integer_value(limit);

    buffer_print(out, "<div class=\"card%s\"><b>", is_over ? " no" : "");
    if (is_time) {
        duration(out, is);
    } else {
        buffer_print(out, "%" PRId64, is);
    }
    buffer_print(out, "</b><span class=\"soft\">%s", what);
    if (!must_be_zero && json_is_integer(limit)) {
        buffer_append_string(out, "<br>limit ");
        if (is_time) {
            duration(out, json_integer_value(limit));
        } else {
            buffer_print(out, "%" JSON_INTEGER_FORMAT, json_integer_value(limit));
        }
    }
    buffer_append_string(out, "</span></div>");
}

static void write_cards(const json_t *report, struct buffer *out)
{
    buffer_append_string(out, "<div class=\"cards\">");
    card(report, "lost", "acknowledged writes lost", false, true, out);
    card(report, "stale", "stale reads", false, true, out);
    card(report, "write_gap_ms", "longest time without a write", true, false, out);
    card(report, "read_gap_ms", "longest time without a read", true, false, out);
    card(report, "errors", "errors that clients saw", false, false, out);
    buffer_append_string(out, "</div>");
}

/* --- the time line ---------------------------------------------------------------------------- */

static double x_of(const json_t *report, int64_t ms)
{
    double whole = (double)time_of(report, "duration_ms");

    whole = whole < 1 ? 1 : whole;
    return LEFT + PLOT * ((double)ms > whole ? whole : (double)ms) / whole;
}

static const char *colour_of(const json_t *report, const char *node)
{
    const json_t *name;
    size_t i;

    json_array_foreach(json_object_get(report, "nodes"), i, name)
    {
        if (node != NULL && json_is_string(name) && strcmp(json_string_value(name), node) == 0) {
            return colours[i % COLOURS];
        }
    }
    return "#999";
}

/* From the fault to the moment when all were well again, darker where it was broken. */
static void draw_faults(const json_t *report, struct buffer *out)
{
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(report, "steps"), i, step)
    {
        double from = x_of(report, time_of(step, "from_ms"));
        double to = x_of(report, time_of(step, "healed_ms"));

        buffer_print(out,
                     "<rect x=\"%.1f\" y=\"30\" width=\"%.1f\" height=\"%d\" fill=\"#e8a33d\" "
                     "fill-opacity=\".16\"/><line x1=\"%.1f\" x2=\"%.1f\" y1=\"30\" y2=\"%d\" "
                     "stroke=\"#b97a14\"/><text x=\"%.1f\" y=\"%d\" style=\"fill:#8a5a0c\">",
                     from, to - from < 1 ? 1 : to - from, HEIGHT - 62, from, from, HEIGHT - 32,
                     from, i % 2 == 0 ? 24 : 11);
        member(out, step, "kind");
        buffer_append_string(out, "</text>");
    }
}

/* Who led: from one news of a leader to the next. */
static void draw_leaders(const json_t *report, struct buffer *out)
{
    const json_t *events = json_object_get(report, "events"), *event;
    const char *leader = NULL;
    int64_t since = 0, end = time_of(report, "duration_ms");
    size_t i, n = json_array_size(events);

    buffer_print(out, "<text x=\"0\" y=\"58\">leader</text>");
    for (i = 0; i <= n; i++) {
        event = i < n ? json_array_get(events, i) : NULL;
        if (event != NULL && (json_member_string(event, "what") == NULL ||
                              strcmp(json_member_string(event, "what"), "leader") != 0)) {
            continue;
        }
        if (leader != NULL) {
            int64_t to = event == NULL ? end : time_of(event, "at_ms");
            double x = x_of(report, since), width = x_of(report, to) - x;

            buffer_print(out,
                         "<rect x=\"%.1f\" y=\"42\" width=\"%.1f\" height=\"24\" rx=\"4\" "
                         "fill=\"%s\"/>",
                         x, width < 1 ? 1 : width, colour_of(report, leader));
            if (width > 60) {
                buffer_print(out, "<text x=\"%.1f\" y=\"58\" style=\"fill:#fff\">", x + 7);
                escape(out, leader);
                buffer_append_string(out, "</text>");
            }
        }
        since = event == NULL ? 0 : time_of(event, "at_ms");
        leader = event == NULL ? NULL : json_member_string(event, "node");
    }
}

static int64_t number_at(const json_t *numbers, size_t i)
{
    int64_t number = json_integer_value(json_array_get(numbers, i));

    return number < 0 ? 0 : number;
}

static void draw_bars(const json_t *report, const char *key, const char *colour, int top,
                      struct buffer *out)
{
    const json_t *timeline = json_object_get(report, "timeline");
    const json_t *numbers = json_object_get(timeline, key);
    double bucket_s = (double)json_member_int(timeline, "bucket_us", 1) / 1e6;
    size_t n = json_array_size(numbers), i;
    int64_t most = 1;

    for (i = 0; i < n; i++) {
        most = number_at(numbers, i) > most ? number_at(numbers, i) : most;
    }
    buffer_print(out,
                 "<text x=\"0\" y=\"%d\">%s</text><text x=\"0\" y=\"%d\">max %.0f/s</text>"
                 "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%d\" y2=\"%d\" stroke=\"#dfe5ec\"/>",
                 top + 14, key, top + 32, (double)most / (bucket_s <= 0 ? 1 : bucket_s), LEFT,
                 LEFT + PLOT, top + LANE, top + LANE);
    for (i = 0; i < n; i++) {
        double height = (double)number_at(numbers, i) * LANE / (double)most;

        if (height > 0) {
            buffer_print(out,
                         "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>",
                         LEFT + PLOT * (double)i / (double)n, top + LANE - height,
                         PLOT / (double)n * .86, height, colour);
        }
    }
}

static void draw_axis(const json_t *report, struct buffer *out)
{
    static const int64_t steps[] = {500, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 3600000};
    int64_t end = time_of(report, "duration_ms"), step = steps[0];
    size_t i;

    for (i = 0; i < sizeof steps / sizeof steps[0] && end / step > 14; i++) {
        step = steps[i];
    }
    for (int64_t ms = 0; ms <= end && ms / step < 1000; ms += step) {
        buffer_print(out,
                     "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#aab5c0\"/>"
                     "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g s</text>",
                     x_of(report, ms), x_of(report, ms), HEIGHT - 24, HEIGHT - 19, x_of(report, ms),
                     HEIGHT - 5, (double)ms / 1000);
    }
}

static void write_timeline(const json_t *report, struct buffer *out)
{
    buffer_print(out,
                 "<h2>Time line</h2><div class=\"panel\"><svg viewBox=\"0 0 %.0f %d\" "
                 "role=\"img\" aria-label=\"Writes, reads, errors and leaders over time\">",
                 WIDTH, HEIGHT);
    draw_faults(report, out);
    draw_leaders(report, out);
    draw_bars(report, "writes", "var(--write)", WRITES_TOP, out);
    draw_bars(report, "reads", "var(--read)", READS_TOP, out);
    draw_bars(report, "errors", "var(--bad)", ERRORS_TOP, out);
    draw_axis(report, out);
    buffer_append_string(out, "</svg><p class=\"soft\">Shaded: from the fault until every node was "
                              "well again. Bars count what the canary clients got; errors are "
                              "those of clients at a node that was gone, too.</p></div>");
}

/* --- tables ----------------------------------------------------------------------------------- */

static void write_steps(const json_t *report, struct buffer *out)
{
    const json_t *step;
    size_t i;

    buffer_append_string(
        out, "<h2>What was done</h2><div class=\"panel\"><table><tr><th>drill</th><th>node</th>"
             "<th>leader before</th><th>leader after</th><th class=\"n\">longest without a write"
             "</th><th class=\"n\">without a read</th><th class=\"n\">errors</th>"
             "<th class=\"n\">all well after</th></tr>");
    json_array_foreach(json_object_get(report, "steps"), i, step)
    {
        static const char *const keys[] = {"kind", "node", "leader_before", "leader_after"};

        buffer_append_string(out, "<tr>");
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            buffer_append_string(out, "<td>");
            member(out, step, keys[k]);
            buffer_append_string(out, "</td>");
        }
        buffer_append_string(out, "<td class=\"n\">");
        duration(out, time_of(step, "write_gap_ms"));
        buffer_append_string(out, "</td><td class=\"n\">");
        duration(out, time_of(step, "read_gap_ms"));
        buffer_print(out, "</td><td class=\"n\">%" PRId64 "</td><td class=\"n\">",
                     json_member_int(step, "errors", 0));
        duration(out, time_of(step, "healed_ms") - time_of(step, "from_ms"));
        buffer_append_string(out, "</td></tr>");
    }
    buffer_append_string(out, "</table></div>");
}

static void write_proof(const json_t *report, struct buffer *out)
{
    const json_t *operations = json_object_get(report, "operations"), *count;
    const char *name;

    buffer_print(
        out,
        "<h2>What was checked</h2><div class=\"panel\"><p>%" PRId64 " acknowledged writes, %" PRId64
        " reads and %" PRId64 " lists by clients at every node. Each read was compared with every "
        "write that was acknowledged before it began, and for each tag an order of all operations "
        "was searched that explains what all clients saw (linearizability): %s.</p>"
        "<p>Half of the writes took %.1f ms or less, 99 of 100 took %.1f ms or less; of the reads "
        "%.1f ms and %.1f ms.</p>",
        json_member_int(operations, "writes", 0), json_member_int(operations, "reads", 0),
        json_member_int(operations, "lists", 0),
        json_member_int(report, "not_linearizable", 1) == 0 ? "found" : "<b>there is none</b>",
        (double)json_member_int(operations, "write_p50_us", 0) / 1000,
        (double)json_member_int(operations, "write_p99_us", 0) / 1000,
        (double)json_member_int(operations, "read_p50_us", 0) / 1000,
        (double)json_member_int(operations, "read_p99_us", 0) / 1000);
    json_object_foreach(json_object_get(report, "error_classes"), name, count)
    {
        buffer_print(out, "<p class=\"soft\">%" JSON_INTEGER_FORMAT " x ",
                     json_integer_value(count));
        escape(out, name);
        buffer_append_string(out, "</p>");
    }
    buffer_append_string(out, "</div>");
}

void drill_report_html(const json_t *report, struct buffer *out)
{
    buffer_print(out,
                 "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
                 "name=\"viewport\" content=\"width=device-width\"><title>Failover drill</title>"
                 "<style>%s</style></head><body><main>",
                 style);
    write_header(report, out);
    write_cards(report, out);
    write_timeline(report, out);
    write_steps(report, out);
    write_proof(report, out);
    buffer_append_string(out, "<p class=\"soft mono\" style=\"margin-top:26px\">drill ");
    member(out, report, json_member_string(report, "id") != NULL ? "id" : "run");
    buffer_append_string(out, " &middot; caisson ");
    member(out, report, "caisson");
    buffer_append_string(out, "</p></main></body></html>\n");
}
