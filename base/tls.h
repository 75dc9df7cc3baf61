#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>

/* TLS: contexts (keys, who is trusted), sessions on memory buffers, and the cluster's own CA.
 *
 * Peers: TLS 1.3 only, mutual, the cluster's CA alone; a node's certificate names it in a SAN URI,
 * "caisson://<cluster id>/node/<node id in 16 hex digits>" (docs/decisions/). Clients: TLS 1.2
 * and 1.3 with the operator's certificate. A context may be shared by sessions of all threads. */

struct tls_context;
struct tls_session;

enum tls_role {
    TLS_PEER,       /* Both sides show a node certificate of our CA; both server and client use. */
    TLS_PEER_GREET, /* Server side: a client certificate is asked for, not demanded (join). */
    TLS_PEER_PIN,   /* Client side without a certificate, CA pinned by its digest (join). */
    TLS_CLIENTS,    /* Server side for registry clients. */
};

/* PEM texts; key and certificate empty for TLS_PEER_PIN, ca empty for TLS_CLIENTS. For TLS_PEER_PIN
 * ca_sha256 is the digest of the CA certificate's DER. cluster: the id that SAN URIs must name. */
struct tls_options {
    enum tls_role role;
    struct bytes certificate, key, ca;
    uint8_t ca_sha256[32];
    const char *cluster;
};

enum error tls_context_open(const struct tls_options *options, struct tls_context **out,
                            struct reason *why) MUST_USE;
/* Sessions from now on show fresh's certificate; those that are open live on with theirs. Both of
 * role TLS_CLIENTS; fresh is taken. Any thread. */
void tls_context_renew(struct tls_context *context, struct tls_context *fresh_taken);
void tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context *context);

/* --- sessions (base/stream.c is their one user) ---------------------------------------------- */

struct tls_session *tls_session_open(struct tls_context *context, bool is_server);
void tls_session_close(struct tls_session *session);
/* Feed what came from the network, append to out what must go there and to plain what was
 * decrypted. *established turns true when the handshake is done, *ended at close_notify. */
enum error tls_session_step(struct tls_session *session, struct bytes in, struct buffer *out,
                            struct buffer *plain, bool *established, bool *ended,
                            struct reason *why) MUST_USE;
enum error tls_session_encrypt(struct tls_session *session, struct bytes plain, struct buffer *out,
                               struct reason *why) MUST_USE;
/* close_notify. */
void tls_session_finish(struct tls_session *session, struct buffer *out);
/* Node id in the peer's verified certificate; 0: none shown. */
uint64_t tls_session_peer_node(const struct tls_session *session);

/* --- the cluster's CA (cluster init, join) --------------------------------------------------- */

/* A new P-256 CA for cluster, valid ten years: PEM into both buffers. */
enum error tls_make_ca(const char *cluster, struct buffer *certificate, struct buffer *key,
                       struct reason *why) MUST_USE;
/* A new P-256 key, and a request for it that names nothing (the signer decides the names). */
enum error tls_make_request(struct buffer *key, struct buffer *request,
                            struct reason *why) MUST_USE;
/* Sign a request for node: SAN URI as above, DNS localhost, IP 127.0.0.1 and ::1, EKU client and
 * server, valid five years. Checks the request's own signature. */
enum error tls_sign_request(struct bytes ca_certificate, struct bytes ca_key, struct bytes request,
                            const char *cluster, uint64_t node, struct buffer *certificate,
                            struct reason *why) MUST_USE;
/* SHA-256 of the DER of the first certificate of a PEM text. */
enum error tls_certificate_sha256(struct bytes certificate, uint8_t out[32],
                                  struct reason *why) MUST_USE;
/* Cluster and node of a node certificate (PEM). ERROR_INVALID when it names none. */
enum error tls_certificate_node(struct bytes certificate, char cluster[33], uint64_t *node,
                                struct reason *why) MUST_USE;

/* Do the three belong together: the certificate signed by the CA, the key that of the certificate?
 * ERROR_INVALID: one of them was damaged or exchanged. Times are not looked at. */
enum error tls_check_identity(struct bytes certificate, struct bytes key, struct bytes ca,
                              struct reason *why) MUST_USE;

/* --- for TLS that libcurl runs (node/peers.c) ------------------------------------------------ */

struct tls_expected {
    char cluster[33];
    uint64_t node;
};

/* Make a native context (SSL_CTX) accept only a server whose verified certificate names this very
 * node. expected is borrowed for as long as the context makes connections. */
void tls_expect_node(void *native_context, const struct tls_expected *expected);

#endif
