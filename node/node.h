#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "node/config.h"

/* The running program. Opens the data directory (node/cluster_start.h), runs until SIGTERM or
 * SIGINT, and gives the exit code of the process. */
int node_run(const struct config *config);

#endif
