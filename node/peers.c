/* Outgoing requests on libcurl's multi interface and a uv loop. The life of a request (start, go
 * on, cancel) is driven from the kick timer, so that nothing of libcurl is entered from inside its
 * own callbacks and no event runs inside the call that causes it.
 *
 * A connection belongs to one member: the URL's host names the member, and libcurl is told
 * (CONNECT_TO) where that is; a member that came back under another id at the same address never
 * gets the old one's connection. TLS sessions are not resumed, so each handshake checks names. */
#include "node/peers.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/tls.h"
#include "node/peers_internal.h"
#include "store/catalog.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A connection costs a TLS handshake on both sides, more than most requests: as many are kept as
 * there may be requests at a time under load. The idle ones age out. */
#define PEERS_CONNECTIONS_KEPT 256L

/* --- sockets and timers ---------------------------------------------------------------------- */

struct peer_socket {
    uv_poll_t poll;
    struct peers *peers;
    curl_socket_t fd;
};

static void peers_handle_closed(struct peers *peers)
{
    CHECK(peers->open_handles > 0);
    if (--peers->open_handles == 0) {
        void (*cb)(void *data) = peers->closed_cb;
        void *data = peers->closed_data;

        peers_free(peers);
        cb(data);
    }
}

static void socket_close_cb(uv_handle_t *handle)
{
    struct peer_socket *socket = container_of((uv_poll_t *)handle, struct peer_socket, poll);
    struct peers *peers = socket->peers;

    free(socket);
    peers_handle_closed(peers);
}

static void socket_poll_cb(uv_poll_t *poll, int status, int events)
{
    struct peer_socket *socket = container_of(poll, struct peer_socket, poll);
    struct peers *peers = socket->peers;
    int flags = 0, running;

    if (status < 0) {
        flags = CURL_CSELECT_ERR;
    }
    flags |= (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
             (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(peers->multi, socket->fd, flags, &running);
    peers_collect(peers);
}

static int multi_socket_cb(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct peers *peers = data;
    struct peer_socket *socket = socket_data;
    int events;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            curl_multi_assign(peers->multi, fd, NULL);
            uv_close((uv_handle_t *)&socket->poll, socket_close_cb);
        }
        return 0;
    }
    if (socket == NULL) {
        socket = memory_zero(sizeof *socket);
        socket->peers = peers;
        socket->fd = fd;
        if (uv_poll_init_socket(peers->loop, &socket->poll, fd) != 0) {
            free(socket);
            return -1;
        }
        peers->open_handles++;
        curl_multi_assign(peers->multi, fd, socket);
    }
    events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&socket->poll, events, socket_poll_cb) == 0 ? 0 : -1;
}

static void curl_timer_cb(uv_timer_t *timer)
{
    struct peers *peers = container_of(timer, struct peers, curl_timer);
    int running;

    curl_multi_socket_action(peers->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    peers_collect(peers);
}

static int multi_timer_cb(CURLM *multi, long timeout_ms, void *data)
{
    struct peers *peers = data;

    (void)multi;
    if (timeout_ms < 0) {
        uv_timer_stop(&peers->curl_timer);
    } else {
        uv_timer_start(&peers->curl_timer, curl_timer_cb, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static void peers_timer_init(struct peers *peers, uv_timer_t *timer)
{
    CHECK(uv_timer_init(peers->loop, timer) == 0);
    peers->open_handles++;
}

enum error peers_open(const struct peers_options *options, struct peers **out, struct reason *why)
{
    struct peers *peers;

    PRE(strlen(options->cluster) == 32);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return fail(why, ERROR_IO, "libcurl cannot be initialised");
    }
    peers = memory_zero(sizeof *peers);
    peers->loop = options->loop;
    peers->catalog = options->catalog;
    peers->self = options->self;
    memcpy(peers->cluster, options->cluster, sizeof peers->cluster);
    peers->certificate = bytes_to_string(options->certificate);
    peers->key = bytes_to_string(options->key);
    peers->ca = bytes_to_string(options->ca);
    list_init(&peers->requests);
    list_init(&peers->kicks);
    peers->multi = curl_multi_init();
    CHECK(peers->multi != NULL);
    curl_multi_setopt(peers->multi, CURLMOPT_SOCKETFUNCTION, multi_socket_cb);
    curl_multi_setopt(peers->multi, CURLMOPT_SOCKETDATA, peers);
    curl_multi_setopt(peers->multi, CURLMOPT_TIMERFUNCTION, multi_timer_cb);
    curl_multi_setopt(peers->multi, CURLMOPT_TIMERDATA, peers);
    curl_multi_setopt(peers->multi, CURLMOPT_MAXCONNECTS, PEERS_CONNECTIONS_KEPT);
    peers_timer_init(peers, &peers->curl_timer);
    peers_timer_init(peers, &peers->kick_timer);
    peers_timer_init(peers, &peers->tick_timer);
    *out = peers;
    return OK;
}

void peers_free(struct peers *peers)
{
    struct peer_expected *expected = peers->expected;

    while (expected != NULL) {
        struct peer_expected *next = expected->next;

        free(expected);
        expected = next;
    }
    memory_wipe(peers->key, strlen(peers->key));
    free(peers->certificate);
    free(peers->key);
    free(peers->ca);
    free(peers);
    curl_global_cleanup();
}

static void peers_timer_close_cb(uv_handle_t *handle)
{
    peers_handle_closed(handle->data);
}

void peers_cancel(struct peers *peers)
{
    LIST_FOR_EACH (item, &peers->requests) {
        peer_cancel(container_of(item, struct peer_request, link));
    }
}

void peers_close(struct peers *peers, void (*closed_cb)(void *data), void *data)
{
    uv_timer_t *timers[] = {&peers->curl_timer, &peers->kick_timer, &peers->tick_timer};

    peers->closed_cb = closed_cb;
    peers->closed_data = data;
    peers->is_closing = true;
    /* An owner may try once more elsewhere: that ends here as well. */
    while (!list_is_empty(&peers->requests)) {
        struct peer_request *request =
            container_of(peers->requests.next, struct peer_request, link);

        request->canceled = true;
        peers_finish(request, CURLE_ABORTED_BY_CALLBACK);
    }
    curl_multi_cleanup(peers->multi);
    peers->multi = NULL;
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        timers[i]->data = peers;
        uv_close((uv_handle_t *)timers[i], peers_timer_close_cb);
    }
}

/* --- members --------------------------------------------------------------------------------- */

uint64_t peers_self(const struct peers *peers)
{
    return peers->self;
}

bool peers_is_down(const struct peers *peers, uint64_t member)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (peers->down[i].member == member) {
            return clock_monotonic_ms() < peers->down[i].until_ms;
        }
    }
    return false;
}

void peers_mark(struct peers *peers, uint64_t member, bool is_down)
{
    struct peer_down *slot = &peers->down[0];

    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (peers->down[i].member == member) {
            slot = &peers->down[i];
            break;
        }
        if (peers->down[i].until_ms < slot->until_ms) {
            slot = &peers->down[i];
        }
    }
    if (is_down || slot->member == member) {
        slot->member = member;
        slot->until_ms = is_down ? clock_monotonic_ms() + PEER_DOWN_MS : 0;
    }
}

struct member_list {
    uint64_t *ids;
    size_t n;
};

static bool member_visit(void *data, const struct member_record *member)
{
    struct member_list *list = data;

    list->ids[list->n++] = member->id;
    return list->n < PEERS_MAX;
}

size_t peers_members(struct peers *peers, uint64_t ids[PEERS_MAX])
{
    struct member_list list = {ids, 0};
    struct catalog_txn txn;

    catalog_read(peers->catalog, &txn);
    catalog_members(&txn, member_visit, &list);
    catalog_done(&txn);
    return list.n;
}

enum error peers_address(struct peers *peers, uint64_t member, char address[PEER_ADDRESS_MAX],
                         struct reason *why)
{
    struct member_record record;
    struct catalog_txn txn;
    enum error rv;

    catalog_read(peers->catalog, &txn);
    rv = catalog_member(&txn, member, &record);
    if (rv == OK && record.data_address.size > 0 && record.data_address.size < PEER_ADDRESS_MAX) {
        snprintf(address, PEER_ADDRESS_MAX, BYTES_FMT, BYTES_ARG(record.data_address));
    } else {
        rv = fail(why, ERROR_UNAVAILABLE, "member %016" PRIx64 " is not in the cluster", member);
    }
    catalog_done(&txn);
    return rv;
}
