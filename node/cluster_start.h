#ifndef NODE_CLUSTER_START_H
#define NODE_CLUSTER_START_H

#include "node/cluster_files.h"
#include "node/config.h"

/* How `caisson serve` comes by its identity. A member's directory is opened; an empty one joins by
 * the configuration's token and peers (a wiped node comes back like this, under a new member id),
 * or becomes a cluster of one where that is allowed. Blocking: joining may take minutes.
 *
 * files is open and locked afterwards; cluster_files_release() either way. ERROR_NOT_FOUND: empty,
 * and neither is allowed. ERROR_FOREIGN: another node's directory, by its name, its certificate or
 * its content. */
enum error cluster_start(const struct config *config, struct cluster_files *files,
                         struct reason *why) MUST_USE;

#endif
