#ifndef NODE_DRILL_CANARY_H
#define NODE_DRILL_CANARY_H

#include "node/drill.h"

/* Private to the canary of a drill: its clients, each with a thread and a connection of its own. */

#define PATH_SIZE         512
#define MANIFEST_MAX      (1024u * 1024)
#define CANARY_PUSHED_MAX 256
#define CANARY_LEFT_MAX   4096
#define CANARY_MANIFEST   "application/vnd.oci.image.manifest.v1+json"
#define CANARY_EMPTY_DIGEST                                                                        \
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
/* The empty descriptor of the OCI image specification ("Guidance for an Empty Descriptor"). */
#define CANARY_EMPTY                                                                               \
    "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" CANARY_EMPTY_DIGEST       \
    "\",\"size\":2}"

struct canary_pushed {
    struct digest digest;
    uint64_t value;
    unsigned key;
    bool is_acknowledged;
};

struct canary_seen {
    struct digest digest;
    uint64_t value;
};

struct canary_client {
    struct drill_canary *canary;
    unsigned number, node;
    struct drill_http http;
    uv_thread_t thread;
    uint32_t sequence;
    uint64_t newest[DRILL_KEYS]; /* Its last acknowledged value of each tag. */
    struct canary_pushed pushed[CANARY_PUSHED_MAX + 1];
    size_t n_pushed;
    struct digest left[CANARY_LEFT_MAX]; /* Could not be deleted yet. */
    size_t n_left;
};

struct drill_canary {
    const struct drill_setup *setup;
    struct drill_history *history;
    atomic_bool is_stopping;
    struct canary_client clients[DRILL_WRITERS + DRILL_NODES_MAX];
    size_t n_clients;
};

/* A read of a canary tag, recorded; true: it is there, and *seen says what it is. */
bool canary_read(struct canary_client *client, unsigned node, unsigned key, bool is_final,
                 struct canary_seen *seen);

#endif
