#ifndef NODE_PEERS_INTERNAL_H
#define NODE_PEERS_INTERNAL_H

#include "base/tls.h"
#include "node/peers.h"

#include <curl/curl.h>

/* Shared by peers.c (loop, members), peer_request.c (one request) and peer_probe.c (is it alive).
 */

#define PEER_ADDRESS_MAX 80
#define PEER_DOWN_MS     3000

/* Whom a connection must lead to; kept as long as peers, since libcurl's contexts borrow it. */
struct peer_expected {
    struct peer_expected *next;
    struct tls_expected expected;
};

struct peer_down {
    uint64_t member, until_ms;
};

struct peers {
    uv_loop_t *loop;
    struct catalog *catalog;
    uint64_t self;
    char cluster[33];
    char *certificate, *key, *ca;
    CURLM *multi;
    uv_timer_t curl_timer, kick_timer, tick_timer;
    struct list requests; /* Started and not done. */
    struct list kicks;    /* Have something to do outside of libcurl's callbacks. */
    struct peer_expected *expected;
    struct peer_down down[PEERS_MAX];
    struct peer_request *probe; /* NULL: none is under way. */
    bool is_closing;
    unsigned open_handles;
    void (*closed_cb)(void *data);
    void *closed_data;
};

void peers_free(struct peers *peers);
/* Look for finished requests and report them. */
void peers_collect(struct peers *peers);
/* Take the request out of libcurl and report it. */
void peers_finish(struct peer_request *request, CURLcode code);
void peers_mark(struct peers *peers, uint64_t member, bool is_down);
enum error peers_address(struct peers *peers, uint64_t member, char address[PEER_ADDRESS_MAX],
                         struct reason *why) MUST_USE;
/* Ask the member, on a new connection, whether it lives, unless a question is under way. */
void peers_probe(struct peers *peers, uint64_t member);
/* Nothing moved, and the member answered no question, for PEER_SILENT_MS. */
bool peer_request_is_silent(const struct peer_request *request, uint64_t now);
/* The request fails with ERROR_TIMEOUT, from the loop. */
void peer_request_give_up(struct peer_request *request);

#endif
