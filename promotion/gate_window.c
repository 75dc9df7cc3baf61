#include "base/clock.h"
#include "base/memory.h"
#include "promotion/gate_kind.h"

#include <stdio.h>

/* "window": when promotions may enter. Spans of time, by the week ({"days": ["mon", "tue"], "from":
 * "09:00", "to": "17:00"}) or once ({"since": .., "until": ..}, RFC 3339 in UTC); open while at
 * least one of "allow" has it (without a list: always) and none of "deny". A span whose end is not
 * after its start goes on into the next day.
 *
 * Weekly times are local by a fixed "offset" from UTC, since apply must not ask for the rules of a
 * time zone, which differ from node to node and change. Where summer time is kept, the offset is
 * changed with it. */

#define SPANS_MAX    16
#define MINUTE_MS    UINT64_C(60000)
#define DAY_MINUTES  1440u
#define WEEK_MINUTES (7 * DAY_MINUTES)
/* Looking for the next opening: each step is to the next edge of a span. */
#define EDGES_MAX 1000

struct window_span {
    uint64_t since_ms, until_ms; /* Once; 0: weekly. */
    unsigned days;               /* Bits from Monday. */
    unsigned from, minutes;      /* Of the day. */
};

struct window_settings {
    struct window_span allow[SPANS_MAX], deny[SPANS_MAX];
    size_t n_allow, n_deny;
    uint64_t offset_minutes; /* East of UTC, modulo a week. */
};

/* --- the document ----------------------------------------------------------------------------- */

/* "09:30"; "24:00" is the end of the day. */
static bool parse_minutes(const char *text, unsigned *out)
{
    unsigned hours, minutes;

    if (text == NULL || strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
        strspn(text + 3, "0123456789") != 2) {
        return false;
    }
    hours = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    minutes = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
    *out = hours * 60 + minutes;
    return minutes < 60 && *out <= DAY_MINUTES;
}

static enum error parse_offset(const struct gate_document *document, uint64_t *out,
                               struct reason *why)
{
    const char *text = NULL;
    unsigned minutes = 0;
    enum error error = document_string(document->object, document->place, "offset", &text, why);

    if (error != OK || text == NULL) {
        return error;
    }
    if ((text[0] != '+' && text[0] != '-') || !parse_minutes(text + 1, &minutes) ||
        minutes > 14 * 60) {
        return fail(why, ERROR_INVALID,
                    "%s: offset must be hours and minutes east of UTC, such as \"+01:00\"; names "
                    "of time zones are not understood",
                    document->place);
    }
    *out = text[0] == '+' ? minutes : WEEK_MINUTES - minutes;
    return OK;
}

static enum error parse_days(const json_t *object, const char *place, unsigned *out,
                             struct reason *why)
{
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    const json_t *days = json_object_get(object, "days");
    enum error error;
    size_t i, k;

    if (days == NULL) {
        *out = 127;
        return OK;
    }
    error = document_names(days, place, "days", why);
    for (i = 0; error == OK && i < json_array_size(days); i++) {
        for (k = 0; k < 7 && strcmp(json_string_value(json_array_get(days, i)), names[k]) != 0;) {
            k++;
        }
        if (k == 7) {
            return fail(why, ERROR_INVALID, "%s: days are mon, tue, wed, thu, fri, sat, sun",
                        place);
        }
        *out |= 1u << k;
    }
    return error;
}

static enum error parse_weekly(const json_t *object, const char *place, struct window_span *out,
                               struct reason *why)
{
    static const char *const allowed[] = {"days", "from", "to", NULL};
    const char *from = "00:00", *to = "24:00";
    unsigned end = 0;
    enum error error = document_check_members(object, place, allowed, NULL, why);

    if (error == OK) {
        error = parse_days(object, place, &out->days, why);
    }
    if (error == OK) {
        error = document_string(object, place, "from", &from, why);
    }
    if (error == OK) {
        error = document_string(object, place, "to", &to, why);
    }
    if (error != OK) {
        return error;
    }
    if (!parse_minutes(from, &out->from) || !parse_minutes(to, &end) || out->from == DAY_MINUTES ||
        out->from == end) {
        return fail(why, ERROR_INVALID,
                    "%s: from and to must be two different times of the day, such as \"09:00\" "
                    "and \"17:30\"",
                    place);
    }
    out->minutes = end > out->from ? end - out->from : end + DAY_MINUTES - out->from;
    return OK;
}

static enum error parse_once(const json_t *object, const char *place, struct window_span *out,
                             struct reason *why)
{
    static const char *const allowed[] = {"since", "until", NULL};
    const char *since = "", *until = "";
    enum error error = document_check_members(object, place, allowed, NULL, why);

    if (error == OK) {
        error = document_string(object, place, "since", &since, why);
    }
    if (error == OK) {
        error = document_string(object, place, "until", &until, why);
    }
    if (error != OK) {
        return error;
    }
    if (clock_parse(bytes_of_string(since), &out->since_ms) != OK ||
        clock_parse(bytes_of_string(until), &out->until_ms) != OK ||
        out->until_ms <= out->since_ms) {
        return fail(why, ERROR_INVALID,
                    "%s: since and until must be two times in UTC, the earlier first, such as "
                    "\"2026-12-24T18:00:00Z\"",
                    place);
    }
    return OK;
}

static enum error parse_spans(const struct gate_document *document, const char *key,
                              struct window_span *spans, size_t *n, struct reason *why)
{
    const json_t *list = json_object_get(document->object, key), *object;
    char place[320];
    enum error error = OK;

    if (list == NULL) {
        return OK;
    }
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > SPANS_MAX) {
        return fail(why, ERROR_INVALID, "%s: %s must be a list of 1 to %d spans of time",
                    document->place, key, SPANS_MAX);
    }
    for (; *n < json_array_size(list) && error == OK; (*n)++) {
        object = json_array_get(list, *n);
        snprintf(place, sizeof place, "%s, %s %zu", document->place, key, *n + 1);
        error = json_object_get(object, "since") != NULL || json_object_get(object, "until") != NULL
                    ? parse_once(object, place, &spans[*n], why)
                    : parse_weekly(object, place, &spans[*n], why);
    }
    return error;
}

static enum error parse(const struct gate_document *document, struct gate *gate, struct reason *why)
{
    struct window_settings *settings = gate->settings = memory_zero(sizeof *settings);
    enum error error = parse_offset(document, &settings->offset_minutes, why);

    if (error == OK) {
        error = parse_spans(document, "allow", settings->allow, &settings->n_allow, why);
    }
    if (error == OK) {
        error = parse_spans(document, "deny", settings->deny, &settings->n_deny, why);
    }
    if (error == OK && settings->n_allow == 0 && settings->n_deny == 0) {
        return fail(why, ERROR_INVALID, "%s is always open: give allow or deny", document->place);
    }
    return error;
}

/* --- deciding --------------------------------------------------------------------------------- */

/* Minute of the local week, from Monday 00:00. The first of January 1970 was a Thursday. */
static unsigned minute_of_week(const struct window_settings *settings, uint64_t time_ms)
{
    return (unsigned)((time_ms / MINUTE_MS + 3 * DAY_MINUTES + settings->offset_minutes) %
                      WEEK_MINUTES);
}

static bool span_has(const struct window_span *span, unsigned minute, uint64_t time_ms)
{
    unsigned day;

    if (span->until_ms != 0) {
        return time_ms >= span->since_ms && time_ms < span->until_ms;
    }
    for (day = 0; day < 7; day++) {
        unsigned start = day * DAY_MINUTES + span->from;

        if ((span->days & (1u << day)) != 0 &&
            (minute + WEEK_MINUTES - start) % WEEK_MINUTES < span->minutes) {
            return true;
        }
    }
    return false;
}

static bool is_in_any(const struct window_span *spans, size_t n, unsigned minute, uint64_t time_ms)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (span_has(&spans[i], minute, time_ms)) {
            return true;
        }
    }
    return false;
}

static bool is_open(const struct window_settings *settings, uint64_t time_ms)
{
    unsigned minute = minute_of_week(settings, time_ms);

    return (settings->n_allow == 0 ||
            is_in_any(settings->allow, settings->n_allow, minute, time_ms)) &&
           !is_in_any(settings->deny, settings->n_deny, minute, time_ms);
}

static uint64_t earlier(uint64_t edge, uint64_t candidate, uint64_t time_ms)
{
    return candidate > time_ms && candidate < edge ? candidate : edge;
}

/* The first start or end of a span after time_ms; UINT64_MAX: none. */
static uint64_t next_edge_of(const struct window_settings *settings,
                             const struct window_span *spans, size_t n, uint64_t time_ms)
{
    uint64_t edge = UINT64_MAX, minute_ms = time_ms - time_ms % MINUTE_MS;
    unsigned minute = minute_of_week(settings, time_ms), day, to;
    size_t i;

    for (i = 0; i < n; i++) {
        if (spans[i].until_ms != 0) {
            edge = earlier(edge, spans[i].since_ms, time_ms);
            edge = earlier(edge, spans[i].until_ms, time_ms);
            continue;
        }
        for (day = 0; day < 7; day++) {
            unsigned start = day * DAY_MINUTES + spans[i].from;

            to = (start + WEEK_MINUTES - minute) % WEEK_MINUTES;
            edge = earlier(edge, minute_ms + to * MINUTE_MS, time_ms);
            to = (start + spans[i].minutes + WEEK_MINUTES - minute) % WEEK_MINUTES;
            edge = earlier(edge, minute_ms + to * MINUTE_MS, time_ms);
        }
    }
    return edge;
}

/* When it next opens or closes; 0: never, or not within EDGES_MAX edges. */
static uint64_t next_change(const struct window_settings *settings, uint64_t time_ms)
{
    bool was_open = is_open(settings, time_ms);
    unsigned steps;

    for (steps = 0; steps < EDGES_MAX; steps++) {
        uint64_t allow = next_edge_of(settings, settings->allow, settings->n_allow, time_ms);
        uint64_t deny = next_edge_of(settings, settings->deny, settings->n_deny, time_ms);

        time_ms = allow < deny ? allow : deny;
        if (time_ms == UINT64_MAX) {
            return 0;
        }
        if (is_open(settings, time_ms) != was_open) {
            return time_ms;
        }
    }
    return 0;
}

static void decide(const struct gate_question *question, struct gate_outcome *out)
{
    const struct window_settings *settings = question->gate->settings;
    uint64_t change = next_change(settings, question->now_ms);
    char when[CLOCK_TEXT_MAX] = "";

    if (change != 0) {
        clock_format(change, when);
    }
    if (is_open(settings, question->now_ms)) {
        snprintf(out->text, sizeof out->text, "the window is open%s%s",
                 change != 0 ? "; it closes " : "", when);
        return;
    }
    gate_refuse(out, change != 0 ? GATE_PENDING : GATE_FAIL, "WINDOW_CLOSED");
    out->ready_ms = change;
    snprintf(out->text, sizeof out->text, "the window is closed%s%s",
             change != 0 ? "; it opens " : " and does not open again", when);
    snprintf(out->next, sizeof out->next, "%s",
             change != 0 ? "wait until it opens; nothing else to do"
                         : "change the windows of the pipeline");
}

static const char *const members[] = {"allow", "deny", "offset", NULL};

const struct gate_kind gate_kind_window = {
    .name = "window", .members = members, .parse = parse, .decide = decide};
