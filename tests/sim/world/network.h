#ifndef TESTS_SIM_WORLD_NETWORK_H
#define TESTS_SIM_WORLD_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Connections between hosts, in place of base/stream.c: no TLS and no kernel, but the same events
 * in the same order. Bytes keep their order on a connection, as TCP's do, and wait while the way is
 * cut; a connection breaks when its other end goes. With disorder on, single frames of Raft and of
 * the application are lost, doubled or overtaken, which no TCP does and the product survives. */

#define HOSTS_MAX 6u

struct network {
    bool cut[HOSTS_MAX][HOSTS_MAX]; /* From, to. */
    uint64_t delay_us[HOSTS_MAX][HOSTS_MAX];
    uint64_t jitter_us;
    unsigned loss;     /* A packet is lost, and sent again, once in so many; 0: never. */
    unsigned disorder; /* The same for frames, which are not sent again. */
};

struct host;

void network_reset(struct network *network);
/* All ways are open. */
void network_heal(struct network *network);
/* The listener takes no more connections. */
void network_close_listener(struct host *host, const uv_tcp_t *listener);
/* The host's process is gone. kernel_lives: the others are told; else they hear nothing more. */
void network_drop(struct host *host, bool kernel_lives);

#endif
