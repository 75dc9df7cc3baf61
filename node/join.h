#ifndef NODE_JOIN_H
#define NODE_JOIN_H

#include "node/cluster_files.h"
#include "node/http.h"
#include "node/join_token.h"

/* How a node comes into a cluster: it makes a key, connects to a member without a certificate but
 * knowing the cluster's CA by the digest in its token, and sends
 *   POST /internal/v1/join {"secret", "csr", "name", "raft_address", "data_address",
 *                           "client_address", "level"}
 *   201 {"cluster", "member", "certificate", "ca"}
 * The member becomes a learner, and a voter once it has caught up. A member of the same name is
 * replaced: that is how a wiped node comes back, under a new member id. */

struct join_options {
    const char *token;
    const char (*peers)[80]; /* Data addresses of members, tried in turn. */
    size_t n_peers;
    uint64_t timeout_ms; /* For the whole, over all peers and rounds. */
};

/* Client side, blocking: files holds directory and the identity's name and addresses; afterwards it
 * is open and locked (cluster_files_release either way). ERROR_UNAVAILABLE: nobody answered;
 * ERROR_DENIED: the token is wrong, used up or expired. */
enum error join_cluster(struct cluster_files *files, const struct join_options *options,
                        struct reason *why) MUST_USE;

/* Server side, for the internal listener; ends with a row of zeros. */
extern const struct route routes_join[];

#endif
