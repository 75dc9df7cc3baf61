#ifndef NODE_CLUSTER_INIT_H
#define NODE_CLUSTER_INIT_H

#include "node/cluster_files.h"
#include "node/join_token.h"

/* The first node of a new cluster: a CA, this node's certificate, an admin, a join token. Blocking;
 * no other node is asked. What goes into the replicated state is left in bootstrap.msgpack. */

#define PASSWORD_MADE_MAX 33

struct cluster_init {
    struct cluster_files files; /* directory and the identity's name and addresses are given. */
    const char *admin_password; /* NULL: one is made. */
    uint64_t token_ttl_ms;      /* 0: it does not expire. */
    char password[PASSWORD_MADE_MAX]; /* Out: the one that was made, else "". */
    char token[JOIN_TOKEN_MAX];       /* Out. */
};

/* files is open and locked afterwards (cluster_files_release either way). ERROR_EXISTS: a member
 * lives there already; ERROR_FOREIGN. */
enum error cluster_init(struct cluster_init *init, struct reason *why) MUST_USE;

#endif
