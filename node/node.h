#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The running node: opens everything in order, starts the control thread's loop and the workers,
 * and takes them down in the opposite order at SIGTERM or SIGINT. */

struct config;

/* Run until told to stop. Returns the process's exit code: 0 after a clean stop, 1 when it could
 * not start (said on stderr), EXIT_FAIL_STOP never (that path does not return). */
int node_run(const struct config *config);

/* What route handlers may ask of the node they run in; constant while workers run. */
struct node;

uint64_t node_id(const struct node *node);
const char *node_name(const struct node *node);
/* "0123..ef", 32 hex digits. */
const char *node_cluster(const struct node *node);
bool node_is_open(const struct node *node);
/* Clients are served over TLS. */
bool node_is_tls(const struct node *node);
/* May a manifest refer to content that its repository lacks (a sparse index)? */
bool node_allows_sparse(const struct node *node);
/* True once a stop was asked for: /readyz says so, so that a balancer looks elsewhere. */
bool node_is_stopping(const struct node *node);
uint64_t node_started_ms(const struct node *node);

#endif
