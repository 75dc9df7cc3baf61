#ifndef NODE_DESCRIPTORS_H
#define NODE_DESCRIPTORS_H

#include <stddef.h>

/* Open files and sockets are bounded by the system, and the log stops the node when it cannot open
 * its next file: clients must not be able to use them up. So the limit is raised as far as the
 * system allows, part of it is kept for the node's own files, and the rest bounds connections. */

struct connection_limits {
    size_t clients, peers; /* Of one worker's ports. */
    size_t uploads;        /* Of the node: each open one has a file. */
};

/* Raises this process's limit. */
void descriptors_raise(void);
/* For each of n_workers. limit: what the process may open. */
struct connection_limits connection_limits_of(size_t limit, unsigned n_workers);
/* By the limit in force. */
struct connection_limits connection_limits_now(unsigned n_workers);

#endif
