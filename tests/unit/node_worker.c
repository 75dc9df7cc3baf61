/* A worker that stops: what is under way holds its drain, whether or not somebody still listens. */
#include "node/worker.h"

#include "base/memory.h"
#include "node/access.h"
#include "node/http.h"
#include "node/peers.h"
#include "store/blob_store.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than a loop needs to notice that its client is gone, shorter than the drain may last. */
#define HOLD_MS 300

struct stopping {
    struct worker worker;
    struct access_cache *access;
    struct task task;
    uv_sem_t step;
    atomic_bool has_begun, has_ended, ended_before_drained;
};

static struct stopping *stopping_of(struct worker *worker)
{
    return (struct stopping *)(void *)((char *)worker - offsetof(struct stopping, worker));
}

struct holding {
    uv_timer_t timer;
    struct exchange *exchange;
    struct worker *worker;
};

static void holding_closed_cb(uv_handle_t *handle)
{
    free(handle);
}

static void holding_over_cb(uv_timer_t *timer)
{
    struct holding *holding = (struct holding *)(void *)timer;
    struct stopping *stopping = stopping_of(holding->worker);

    stopping->has_ended = true;
    if (holding->exchange != NULL) {
        exchange_release(holding->exchange);
    } else {
        stopping->worker.copies_pending--;
    }
    uv_close((uv_handle_t *)timer, holding_closed_cb);
}

static void hold(struct worker *worker, struct exchange *exchange)
{
    struct holding *holding = memory_zero(sizeof *holding);

    holding->worker = worker;
    holding->exchange = exchange;
    (void)uv_timer_init(&worker->loop, &holding->timer);
    (void)uv_timer_start(&holding->timer, holding_over_cb, HOLD_MS, 0);
    stopping_of(worker)->has_begun = true;
}

static void get_slow(struct exchange *exchange)
{
    exchange_hold(exchange);
    hold(exchange_worker(exchange), exchange);
}

static void copy_run(struct task *task)
{
    struct stopping *stopping =
        (struct stopping *)(void *)((char *)task - offsetof(struct stopping, task));

    stopping->worker.copies_pending++;
    hold(&stopping->worker, NULL);
}

static const struct route routes[] = {{HTTP_GET_, "/slow", ACCESS_PUBLIC, get_slow}, {0}};
static const struct route *const tables[] = {routes, NULL};

static void step_done_cb(struct worker *worker)
{
    struct stopping *stopping = stopping_of(worker);

    uv_sem_post(&stopping->step);
}

static void drain_done_cb(struct worker *worker)
{
    struct stopping *stopping = stopping_of(worker);

    stopping->ended_before_drained = stopping->has_ended;
    uv_sem_post(&stopping->step);
}

static struct stopping *stopping_open(void)
{
    struct stopping *stopping = memory_zero(sizeof *stopping);
    const struct peers_options peers = {.cluster = "00000000000000000000000000000000", .self = 1};
    struct http_listener_options clients = {.address = "127.0.0.1:0", .routes = tables};
    struct http_listener_options internal = clients;
    struct reason why = {""};

    assert_int_equal(uv_sem_init(&stopping->step, 0), 0);
    stopping->access = stopping->worker.access = access_cache_open(true);
    worker_init(&stopping->worker, 0);
    stopping->worker.drain_ms = 8000;
    assert_int_equal(worker_open(&stopping->worker, &peers, &clients, &internal, &why), OK);
    return stopping;
}

static void stopping_end(struct stopping *stopping)
{
    worker_drain(&stopping->worker, drain_done_cb);
    uv_sem_wait(&stopping->step);
    worker_close(&stopping->worker, step_done_cb);
    uv_sem_wait(&stopping->step);
    worker_join(&stopping->worker);
    access_cache_close(stopping->access);
    uv_sem_destroy(&stopping->step);
}

static void wait_begun(const struct stopping *stopping)
{
    while (!stopping->has_begun) {
        usleep(1000);
    }
}

static void test_worker__a_handler_without_a_client_holds_the_drain(void **state)
{
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    struct stopping *stopping = stopping_open();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    char text[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    http_listener_address(stopping->worker.clients, text);
    address.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
    worker_start(&stopping->worker);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, sizeof request - 1, 0), sizeof request - 1);
    wait_begun(stopping);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    stopping_end(stopping);
    assert_true(stopping->ended_before_drained);
    free(stopping);
}

static void test_worker__a_copy_after_the_answer_holds_the_drain(void **state)
{
    struct stopping *stopping = stopping_open();

    (void)state;
    worker_start(&stopping->worker);
    stopping->task.run = copy_run;
    mailbox_post(&stopping->worker.mailbox, &stopping->task);
    wait_begun(stopping);
    stopping_end(stopping);
    assert_true(stopping->ended_before_drained);
    free(stopping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker__a_handler_without_a_client_holds_the_drain),
        cmocka_unit_test(test_worker__a_copy_after_the_answer_holds_the_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
