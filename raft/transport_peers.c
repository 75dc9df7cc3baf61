/* The peers of a transport: who they are, where they are reached, and when a lost link is tried
 * again. A removed member stays known as forgotten, since its certificate is still good. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "raft/transport_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_MS_MAX 1000

struct peer *transport_find(const struct transport *transport, uint64_t id)
{
    LIST_FOR_EACH (item, &transport->peers) {
        struct peer *peer = container_of(item, struct peer, item);

        if (peer->id == id && !peer->forgotten) {
            return peer;
        }
    }
    return NULL;
}

bool transport_is_forgotten(const struct transport *transport, uint64_t id)
{
    for (unsigned i = 0; i < TRANSPORT_FORGOTTEN_MAX; i++) {
        if (transport->forgotten[i] == id) {
            return true;
        }
    }
    return false;
}

/* Not at once, and not all together. */
void peer_retry_later(struct peer *peer)
{
    peer->retry_ms = clock_monotonic_ms() + peer->backoff_ms / 2 +
                     random_u64() % (peer->backoff_ms / 2 + 1);
    peer->backoff_ms = peer->backoff_ms * 2 < BACKOFF_MS_MAX ? peer->backoff_ms * 2
                                                             : BACKOFF_MS_MAX;
}

void peer_note_error(struct peer *peer, const char *text)
{
    if (strcmp(peer->error, text) != 0) {
        LOG_WARN("link to node %016" PRIx64 " at %s is down: %s", peer->id, peer->address, text);
    }
    snprintf(peer->error, sizeof peer->error, "%s", text);
}

void peer_connect(struct transport *transport, struct peer *peer)
{
    struct reason why;

    CHECK(peer->link == NULL);
    peer->link = link_connect(transport->options.loop, peer->address, peer->id,
                              transport->options.tls, &transport->self, &transport_link_events,
                              transport, &why);
    if (peer->link == NULL) {
        peer_note_error(peer, why.text);
        peer_retry_later(peer);
        return;
    }
    transport->n_links++;
}

struct peer *transport_reach(struct transport *transport, uint64_t id, const char *address)
{
    struct peer *peer = transport_find(transport, id);

    if (peer != NULL || transport->closing || id == 0 || id == transport->self.id ||
        address == NULL || strlen(address) > HELLO_ADDRESS_MAX ||
        transport_is_forgotten(transport, id) || transport->n_peers == TRANSPORT_PEERS_MAX) {
        return peer;
    }
    peer = memory_zero(sizeof *peer);
    peer->id = id;
    peer->backoff_ms = TRANSPORT_BACKOFF_MS_MIN;
    snprintf(peer->address, sizeof peer->address, "%s", address);
    list_append(&transport->peers, &peer->item);
    transport->n_peers++;
    peer_connect(transport, peer);
    return peer;
}

/* A removal may be taken back, when its entry was never committed. */
static void remember(struct transport *transport, uint64_t id)
{
    for (unsigned i = 0; i < TRANSPORT_FORGOTTEN_MAX; i++) {
        if (transport->forgotten[i] == id) {
            transport->forgotten[i] = 0;
        }
    }
}

void transport_connect(struct transport *transport, uint64_t id, const char *address)
{
    struct peer *peer;

    remember(transport, id);
    peer = transport_reach(transport, id, address);
    if (peer == NULL || strcmp(peer->address, address) == 0 ||
        strlen(address) > HELLO_ADDRESS_MAX) {
        return;
    }
    snprintf(peer->address, sizeof peer->address, "%s", address);
    peer->backoff_ms = TRANSPORT_BACKOFF_MS_MIN;
    peer->retry_ms = 0;
    if (peer->link != NULL) {
        link_close(peer->link, ERROR_CANCELED, "the peer moved to another address");
    }
}

void peer_free(struct transport *transport, struct peer *peer)
{
    CHECK(peer->link == NULL && peer->sending == NULL);
    list_remove(&peer->item);
    transport->n_peers--;
    free(peer);
}

void transport_forget(struct transport *transport, uint64_t id)
{
    struct peer *peer = transport_find(transport, id);

    if (!transport_is_forgotten(transport, id)) {
        transport->forgotten[transport->n_forgotten++ % TRANSPORT_FORGOTTEN_MAX] = id;
    }
    LIST_FOR_EACH (item, &transport->incoming) {
        struct link *link = container_of(item, struct link, item);

        if (link->id == id) {
            link_close(link, ERROR_DENIED, "the node was removed from the cluster");
        }
    }
    if (peer == NULL) {
        return;
    }
    peer->forgotten = true;
    if (peer->link != NULL) {
        link_close(peer->link, ERROR_DENIED, "the node was removed from the cluster");
    } else {
        snapshot_send_abort(peer, ERROR_CANCELED);
        peer_free(transport, peer);
    }
}
