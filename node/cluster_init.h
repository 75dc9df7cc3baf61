#ifndef NODE_CLUSTER_INIT_H
#define NODE_CLUSTER_INIT_H

#include "node/cluster_files.h"

/* The first node of a new cluster: a CA, this node's certificate, an admin, a join token. Blocking;
 * no other node is asked. What goes into the replicated state is left in bootstrap.msgpack. */

#define JOIN_TOKEN_MAX    160
#define JOIN_SECRET_MAX   33
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

/* A join token says which cluster, how to know it (the digest of its CA) and that one is invited:
 * caisson-join-1.<cluster id>.<sha256 of the CA's DER>.<secret>, all in hex. */
struct join_token {
    char cluster[33];
    uint8_t ca_sha256[32];
    char secret[JOIN_SECRET_MAX];
};

void join_token_format(const struct join_token *token, char text[JOIN_TOKEN_MAX]);
enum error join_token_parse(const char *text, struct join_token *out, struct reason *why) MUST_USE;
/* What the replicated state keeps of it. */
void join_token_hash(const char *secret, uint8_t hash[32]);

#endif
