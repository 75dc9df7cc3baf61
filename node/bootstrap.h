#ifndef NODE_BOOTSTRAP_H
#define NODE_BOOTSTRAP_H

#include "base/error.h"
#include "raft/consensus.h"
#include "store/catalog.h"

/* The first start of a cluster's first node: makes it the log's one voter and proposes the commands
 * that `caisson cluster init` left in bootstrap.msgpack (the cluster's CA, the admin, a join
 * token), until they were applied; then the file goes. A crash in between does it again: command
 * ids make that harmless. */

struct bootstrap;
struct cluster_files;

/* Between consensus_open() and consensus_start(). *out is NULL when there is nothing to do. */
enum error bootstrap_open(const struct cluster_files *files, struct consensus *consensus,
                          struct bootstrap **out, struct reason *why) MUST_USE;
/* After consensus_start(); bootstrap may be NULL, here and below. */
void bootstrap_start(struct bootstrap *bootstrap);
/* After the log was stopped. */
void bootstrap_release(struct bootstrap *bootstrap);

#endif
