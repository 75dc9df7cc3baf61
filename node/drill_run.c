#include "node/drill_run.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define READY_MS      90000
#define READY_POLL_MS 50
#define LEADER_MS     15000

struct run {
    const struct drill_setup *setup;
    const struct drill_hands *hands;
    struct drill_result *result;
    void (*tell)(const char *sentence);
    struct drill_http http;
};

static void tell(const struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void tell(const struct run *run, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    run->tell(text);
}

/* ERROR_CANCELED when somebody wants us to stop. */
static enum error pass(uint64_t ms, struct reason *why)
{
    const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    return sigtimedwait(&wanted, NULL, &time) > 0 ? fail(why, ERROR_CANCELED, "interrupted") : OK;
}

/* --- is everybody well ------------------------------------------------------------------------ */

static bool is_ready(struct drill_http *http, unsigned node, char *what, size_t size)
{
    const struct drill_call call = {
        .method = "GET", .node = node, .path = "/readyz", .timeout_ms = 1000};
    json_t *view, *member;
    bool is_good = true;
    size_t i;

    if (drill_http_call(http, &call) != 200) {
        snprintf(what, size, "%s: %s", http->setup->nodes[node].name, http->error);
        return false;
    }
    view = drill_http_json(http, node, "/api/v1/cluster", 1000);
    json_array_foreach(json_object_get(view, "members"), i, member)
    {
        const char *role = json_member_string(member, "role");

        if (role == NULL || strcmp(role, "learner") == 0 ||
            !json_is_true(json_object_get(member, "reachable"))) {
            snprintf(what, size, "%s is no voter in reach",
                     json_member_string(member, "name") == NULL
                         ? "a node"
                         : json_member_string(member, "name"));
            is_good = false;
        }
    }
    is_good = is_good && view != NULL;
    json_decref(view);
    return is_good;
}

enum error drill_wait_ready(const struct drill_setup *setup, uint64_t timeout_ms,
                            struct reason *why)
{
    uint64_t end = clock_monotonic_ms() + timeout_ms;
    struct drill_http http;
    char what[200] = "";
    unsigned node = 0;
    enum error error = OK;

    drill_http_open(&http, setup);
    while (error == OK && node < setup->n_nodes) {
        if (is_ready(&http, node, what, sizeof what)) {
            node++;
        } else if (clock_monotonic_ms() >= end) {
            error = fail(why, ERROR_TIMEOUT, "the cluster is not well after %llu s: %s",
                         (unsigned long long)timeout_ms / 1000, what);
        } else {
            error = pass(READY_POLL_MS, why);
            node = 0;
        }
    }
    drill_http_close(&http);
    return error;
}

/* --- faults ----------------------------------------------------------------------------------- */

static enum error find_leader(struct run *run, unsigned *leader, struct reason *why)
{
    uint64_t end = clock_monotonic_ms() + LEADER_MS;
    enum error error = OK;

    while (error == OK && !drill_watch_leader(&run->result->watch, leader)) {
        error = clock_monotonic_ms() < end ? pass(READY_POLL_MS, why)
                                           : fail(why, ERROR_UNAVAILABLE, "no node says who leads");
    }
    return error;
}

static enum error wait_for_leader(struct run *run, unsigned other_than, struct reason *why)
{
    uint64_t end = clock_monotonic_ms() + LEADER_MS;
    unsigned leader = other_than;
    enum error error = OK;

    while (error == OK && drill_watch_leader(&run->result->watch, &leader) &&
           leader == other_than) {
        error = clock_monotonic_ms() < end ? pass(READY_POLL_MS, why)
                                           : fail(why, ERROR_TIMEOUT, "leadership did not leave %s",
                                                  run->setup->nodes[other_than].name);
    }
    return error;
}

/* to NULL: anybody. Refusals of a moment (a handover under way) are asked again. */
static enum error hand_over(struct run *run, unsigned leader, const char *to, struct reason *why)
{
    char body[128] = "";
    struct drill_call call = {.method = "POST",
                              .node = leader,
                              .path = "/api/v1/cluster/leader",
                              .content_type = "application/json",
                              .timeout_ms = 5000};
    enum error error = OK;
    unsigned tries = 20;
    long status = 0;

    if (to != NULL) {
        snprintf(body, sizeof body, "{\"member\":\"%s\"}", to);
    }
    call.body = bytes_of_string(body);
    while (error == OK && (status = drill_http_call(&run->http, &call)) == 503 && tries-- > 0) {
        error = pass(200, why);
    }
    if (error == OK && status != 202) {
        error = fail(why, status == 401 || status == 403 ? ERROR_DENIED : ERROR_UNAVAILABLE,
                     "leadership cannot be handed over (an administrator may): %s",
                     run->http.error);
    }
    return error == OK ? wait_for_leader(run, leader, why) : error;
}

static enum error restart_all(struct run *run, unsigned leader, struct reason *why)
{
    const struct drill_setup *setup = run->setup;
    enum error error = OK;

    for (unsigned i = 1; error == OK && i <= setup->n_nodes; i++) {
        unsigned node = (leader + i) % (unsigned)setup->n_nodes; /* The leader comes last. */

        tell(run, "restart %s", setup->nodes[node].name);
        error = drill_hands_do(run->hands, drill_fault_begin(DRILL_ROLLING_RESTART), node, why);
        if (error == OK) {
            error = drill_wait_ready(setup, READY_MS, why);
        }
    }
    return error;
}

/* Break it, wait, and mend it whatever happened meanwhile. */
static enum error break_and_mend(struct run *run, enum drill_fault fault, unsigned node,
                                 struct reason *why)
{
    struct reason later = {""};
    enum error error, mended;

    tell(run, "%s %s", drill_fault_begin(fault), run->setup->nodes[node].name);
    error = drill_hands_do(run->hands, drill_fault_begin(fault), node, why);
    if (error == OK) {
        error = pass(run->setup->hold_ms, why);
    }
    tell(run, "%s %s", drill_fault_end(fault), run->setup->nodes[node].name);
    mended = drill_hands_do(run->hands, drill_fault_end(fault), node, &later);
    if (error == OK && mended != OK) {
        *why = later;
        error = mended;
    }
    return error;
}

/* A disk that can be filled may be that of one node only: it leads when its disk fills. */
static enum error choose_node(struct run *run, enum drill_fault fault, unsigned leader,
                              unsigned *node, struct reason *why)
{
    *node = leader;
    if (fault != DRILL_FULL_DISK || run->hands->hook != NULL || run->hands->disk - 1 == leader) {
        return OK;
    }
    *node = run->hands->disk - 1;
    return hand_over(run, leader, run->setup->nodes[*node].name, why);
}

static enum error make_fault(struct run *run, enum drill_fault fault, struct drill_step *step,
                             struct reason *why)
{
    switch (fault) {
    case DRILL_HANDOVER:
        tell(run, "leadership leaves %s", run->setup->nodes[step->node].name);
        return hand_over(run, step->node, NULL, why);
    case DRILL_ROLLING_RESTART:
        return restart_all(run, step->node, why);
    default:
        return break_and_mend(run, fault, step->node, why);
    }
}

static enum error run_step(struct run *run, enum drill_fault fault, struct reason *why)
{
    struct drill_result *result = run->result;
    struct drill_step *step = &result->steps[result->n_steps];
    unsigned leader;
    enum error error = find_leader(run, &leader, why);

    *step = (struct drill_step){.fault = fault};
    if (error == OK) {
        error = choose_node(run, fault, leader, &step->node, why);
    }
    if (error != OK) {
        return error;
    }
    (void)drill_watch_leader(&result->watch, &step->leader_before);
    step->from_us = drill_now_us(run->setup);
    error = make_fault(run, fault, step, why);
    if (error == OK) {
        error = drill_wait_ready(run->setup, READY_MS, why);
    }
    step->healed_us = drill_now_us(run->setup);
    if (error == OK) {
        error = pass(run->setup->calm_ms, why);
    }
    step->to_us = drill_now_us(run->setup);
    (void)drill_watch_leader(&result->watch, &step->leader_after);
    result->n_steps++;
    if (error != OK) {
        reason_prefix(why, "%s", drill_fault_name(fault));
    }
    return error;
}

enum error drill_run(const struct drill_setup *setup, const struct drill_hands *hands,
                     const enum drill_fault *faults, size_t n_faults,
                     void (*tell_cb)(const char *sentence), struct drill_result *result,
                     struct reason *why)
{
    struct run run = {.setup = setup, .hands = hands, .result = result, .tell = tell_cb};
    struct drill_canary *canary = NULL;
    enum error error;

    PRE(n_faults <= DRILL_STEPS_MAX);
    result->n_steps = 0;
    drill_history_init(&result->history);
    drill_http_open(&run.http, setup);
    drill_watch_start(&result->watch, setup);
    error = drill_wait_ready(setup, READY_MS / 3, why);
    if (error == OK) {
        error = drill_canary_start(setup, &result->history, &canary, why);
    }
    result->from_us = drill_now_us(setup);
    if (error == OK) {
        error = pass(setup->calm_ms, why);
    }
    for (size_t i = 0; error == OK && i < n_faults; i++) {
        error = run_step(&run, faults[i], why);
    }
    result->to_us = drill_now_us(setup);
    if (canary != NULL) {
        tell(&run, "read everything a last time");
        drill_canary_finish(canary, &result->lost_content);
        result->not_deleted = drill_canary_clean(canary);
        drill_check(&result->history, &result->check);
    }
    drill_watch_stop(&result->watch);
    drill_http_close(&run.http);
    return error;
}

void drill_result_release(struct drill_result *result)
{
    drill_history_release(&result->history);
}
