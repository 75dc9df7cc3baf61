#ifndef NODE_JOIN_TOKEN_H
#define NODE_JOIN_TOKEN_H

#include "base/error.h"

#include <stdint.h>

#define JOIN_TOKEN_MAX  160
#define JOIN_SECRET_MAX 33

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
