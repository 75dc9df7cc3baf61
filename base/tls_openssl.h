#ifndef BASE_TLS_OPENSSL_H
#define BASE_TLS_OPENSSL_H

#include "base/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>

/* What base/tls_*.c share; no other file includes it. */

#define TLS_CLUSTER_MAX 32

struct tls_context {
    atomic_uint references;
    enum tls_role role;
    pthread_mutex_t lock; /* Of ssl, which tls_context_renew() changes. */
    SSL_CTX *ssl;
    uint8_t ca_sha256[32];
    char cluster[TLS_CLUSTER_MAX + 1]; /* "": any (only while pinning the CA). */
};

struct tls_session {
    struct tls_context *context;
    SSL *ssl;
    BIO *in, *out; /* Owned by ssl. */
    uint64_t node;
    bool established, ended;
    struct reason refusal; /* Why verification said no, in our words; "" if it did not. */
};

/* Fill why from OpenSSL's error queue, which is empty afterwards: "what: reason". */
enum error tls_fail(struct reason *why, enum error error, const char *what);
/* 1 to 32 letters, digits and dashes: what may stand in a SAN URI. */
bool tls_cluster_is_valid(const char *cluster);
/* Cluster and node from the one caisson: URI of a certificate. ERROR_INVALID. */
enum error tls_certificate_names(X509 *certificate, char cluster[TLS_CLUSTER_MAX + 1],
                                 uint64_t *node, struct reason *why) MUST_USE;
/* pem_password_cb: OpenSSL would ask on the terminal otherwise. */
int tls_no_passphrase(char *buffer, int size, int writing, void *data);
/* First certificate of a PEM text; X509_free() it. NULL and why when there is none. */
X509 *tls_read_certificate(struct bytes pem, const char *what, struct reason *why);
/* Private key of a PEM text; EVP_PKEY_free() it. Never asks for a pass phrase. */
EVP_PKEY *tls_read_key(struct bytes pem, const char *what, struct reason *why);
/* The verify step for peers (SSL_CTX_set_cert_verify_callback). */
int tls_verify(X509_STORE_CTX *store, void *context);

#endif
