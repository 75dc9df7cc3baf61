/* Who leads, and who answers: one thread for each node, since one that is paused keeps its watcher
 * waiting. */
#include "node/drill.h"

#include "base/assert.h"
#include "base/json.h"

#include <uv.h>

#define WATCH_PACE_MS    50
#define WATCH_TIMEOUT_MS 800

static void add_event(struct drill_watch *watch, enum drill_event_kind kind, unsigned node,
                      uint64_t term)
{
    if (watch->n_events < DRILL_EVENTS_MAX) {
        watch->events[watch->n_events++] =
            (struct drill_event){kind, node, term, drill_now_us(watch->setup)};
    }
}

/* The number of the leader that a node names; n_nodes: none that we know. */
static unsigned leader_of(const struct drill_setup *setup, const json_t *view)
{
    const char *id = json_member_string(view, "leader");
    unsigned i;

    for (i = 0; i < setup->n_nodes; i++) {
        if (id != NULL && strcmp(setup->nodes[i].id, id) == 0) {
            break;
        }
    }
    return i;
}

static void note(struct drill_watcher *watcher, const json_t *view)
{
    struct drill_watch *watch = watcher->watch;

    uv_mutex_lock(&watch->lock);
    if ((view != NULL) != watcher->is_there) {
        watcher->is_there = view != NULL;
        add_event(watch, view != NULL ? DRILL_NODE_BACK : DRILL_NODE_GONE, watcher->node, 0);
    }
    if (view != NULL) {
        uint64_t term = (uint64_t)json_member_int(view, "term", 0);
        unsigned leader = leader_of(watch->setup, view);

        if (term > watch->term && leader < watch->setup->n_nodes) {
            watch->term = term;
            watch->leader = leader;
            add_event(watch, DRILL_LEADER, leader, term);
        }
    }
    uv_mutex_unlock(&watch->lock);
}

static void watch_thread(void *data)
{
    struct drill_watcher *watcher = data;
    struct drill_http http;

    drill_http_open(&http, watcher->watch->setup);
    while (!atomic_load(&watcher->watch->is_stopping)) {
        json_t *view = drill_http_json(&http, watcher->node, "/api/v1/cluster", WATCH_TIMEOUT_MS);

        note(watcher, view);
        json_decref(view);
        uv_sleep(WATCH_PACE_MS);
    }
    drill_http_close(&http);
}

void drill_watch_start(struct drill_watch *watch, const struct drill_setup *setup)
{
    int rv;

    watch->setup = setup;
    watch->n_events = 0;
    watch->term = 0;
    watch->leader = 0;
    atomic_init(&watch->is_stopping, false);
    rv = uv_mutex_init(&watch->lock);
    CHECK(rv == 0);
    for (unsigned i = 0; i < setup->n_nodes; i++) {
        watch->watchers[i] = (struct drill_watcher){watch, i, true};
        rv = uv_thread_create(&watch->threads[i], watch_thread, &watch->watchers[i]);
        CHECK(rv == 0);
    }
}

void drill_watch_stop(struct drill_watch *watch)
{
    atomic_store(&watch->is_stopping, true);
    for (size_t i = 0; i < watch->setup->n_nodes; i++) {
        int rv = uv_thread_join(&watch->threads[i]);

        CHECK(rv == 0);
    }
    uv_mutex_destroy(&watch->lock);
}

bool drill_watch_leader(struct drill_watch *watch, unsigned *node)
{
    bool is_known;

    uv_mutex_lock(&watch->lock);
    is_known = watch->term > 0;
    *node = watch->leader;
    uv_mutex_unlock(&watch->lock);
    return is_known;
}
