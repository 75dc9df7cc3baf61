#ifndef NODE_DRILL_LOCAL_H
#define NODE_DRILL_LOCAL_H

#include "node/drill_hands.h"

/* A throw-away cluster: nodes of this very program in a directory of their own, laid out as
 * scripts/cluster does. With a network, each node lives in a network namespace behind one bridge,
 * so that it can be cut off; with a disk, the last node's data is on a small tmpfs, so that it can
 * be filled. Both take root. Everything is gone after drill_local_stop(). */

#define DRILL_LOCAL_NODES_MAX 9

struct drill_local {
    char directory[128], network[16];
    char password[33]; /* The admin's. */
    size_t n_nodes;
    unsigned disk; /* From 1; 0: none. */
    /* Private. */
    unsigned base_port, subnet;
    bool has_network, has_mount;
    size_t n_namespaces;
};

/* Fills names and URLs of setup->nodes. drill_local_stop() either way. ERROR_UNSUPPORTED: network
 * or disk are wanted and this is not root. */
enum error drill_local_start(struct drill_local *local, struct drill_setup *setup, size_t n_nodes,
                             bool has_network, bool has_disk, struct reason *why) MUST_USE;
/* hands: as the drill used them. */
void drill_local_stop(struct drill_local *local, const struct drill_hands *hands);

#endif
