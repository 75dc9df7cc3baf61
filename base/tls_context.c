/* Contexts: keys, who is trusted, and the verify step for peers. Everything that can be wrong with
 * an operator's files is found here, before the first connection, with a sentence that names it. */
#include "base/tls_openssl.h"

#include "base/assert.h"
#include "base/memory.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define CIPHERS_CLIENTS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_TLS13   "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CHAIN_MAX       8

static bool role_has_certificate(enum tls_role role)
{
    return role != TLS_PEER_PIN;
}

/* --- the verify step for peers --------------------------------------------------------------- */

/* Trust the CA certificate in the other side's chain whose digest is the pinned one, and no other.
 */
static bool trust_pinned(X509_STORE_CTX *store, const struct tls_context *context,
                         STACK_OF(X509) * trusted)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);

    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *certificate = sk_X509_value(chain, i);
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;

        if (X509_digest(certificate, EVP_sha256(), digest, &size) == 1 && size == 32 &&
            CRYPTO_memcmp(digest, context->ca_sha256, size) == 0 && X509_check_ca(certificate)) {
            return sk_X509_push(trusted, certificate) > 0;
        }
    }
    return false;
}

/* The certificate is good for TLS; now: is it a node of our cluster? */
static bool check_names(struct tls_session *session, X509 *leaf)
{
    const char *wanted = session->context->cluster;
    char cluster[TLS_CLUSTER_MAX + 1];

    if (tls_certificate_names(leaf, cluster, &session->node, &session->refusal) != OK) {
        return false;
    }
    if (wanted[0] != '\0' && strcmp(cluster, wanted) != 0) {
        session->node = 0;
        (void)fail(&session->refusal, ERROR_FOREIGN,
                   "the certificate is of cluster %s, this is cluster %s", cluster, wanted);
        return false;
    }
    return true;
}

static const char *chain_words(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the certificate is expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the certificate is not valid yet (is a clock wrong?)";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "the certificate is self-signed, not of the cluster's CA";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return "the certificate is of another CA, not of the cluster's";
    case X509_V_ERR_INVALID_PURPOSE:
        return "the certificate is not meant for this use";
    default:
        return X509_verify_cert_error_string(code);
    }
}

int tls_verify(X509_STORE_CTX *store, void *data)
{
    struct tls_context *context = data;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *session = SSL_get_app_data(ssl);
    STACK_OF(X509) *pinned = NULL;
    int verified = 0;

    CHECK(session != NULL && session->context == context);
    if (context->role == TLS_PEER_PIN) {
        pinned = sk_X509_new_null();
        CHECK(pinned != NULL);
        if (!trust_pinned(store, context, pinned)) {
            (void)fail(&session->refusal, ERROR_FOREIGN,
                       "the CA of the other side is not the one that the token names");
            X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
            sk_X509_free(pinned);
            return 0;
        }
        X509_STORE_CTX_set0_trusted_stack(store, pinned);
    }
    if (X509_verify_cert(store) != 1) {
        (void)fail(&session->refusal, ERROR_FOREIGN, "%s",
                   chain_words(X509_STORE_CTX_get_error(store)));
    } else if (!check_names(session, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    } else {
        verified = 1;
    }
    sk_X509_free(pinned);
    return verified;
}

/* --- opening --------------------------------------------------------------------------------- */

/* Clients that offer a list without http/1.1 go on without ALPN; HTTP/1.1 is all they get. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *data)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)data;
    if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The leaf, and after it whatever chain stands in the same PEM text. */
static enum error use_chain(SSL_CTX *ssl, struct bytes pem, struct reason *why)
{
    X509 *leaf = tls_read_certificate(pem, "certificate", why);
    BIO *bio;
    int used;

    if (leaf == NULL) {
        return ERROR_INVALID;
    }
    used = SSL_CTX_use_certificate(ssl, leaf);
    X509_free(leaf);
    if (used != 1) {
        return tls_fail(why, ERROR_INVALID, "certificate");
    }
    bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    CHECK(bio != NULL);
    for (int i = 0; i < CHAIN_MAX; i++) {
        X509 *next = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);

        if (next == NULL) {
            break;
        }
        if (i > 0 && SSL_CTX_add1_chain_cert(ssl, next) != 1) {
            used = 0;
        }
        X509_free(next);
    }
    BIO_free(bio);
    if (used != 1) {
        return tls_fail(why, ERROR_INVALID, "certificate chain");
    }
    ERR_clear_error();
    return OK;
}

static enum error use_identity(SSL_CTX *ssl, const struct tls_options *options, struct reason *why)
{
    EVP_PKEY *key;
    int used;
    enum error error = use_chain(ssl, options->certificate, why);

    if (error != OK) {
        return error;
    }
    key = tls_read_key(options->key, "private key", why);
    if (key == NULL) {
        return ERROR_INVALID;
    }
    used = SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!used) {
        return fail(why, ERROR_INVALID, "the private key is not that of the certificate");
    }
    return OK;
}

/* Trust our CA and show it after our own certificate: who joins knows it by its digest only. */
static enum error use_ca(SSL_CTX *ssl, struct bytes pem, struct reason *why)
{
    X509 *ca = tls_read_certificate(pem, "CA certificate", why);
    int used;

    if (ca == NULL) {
        return ERROR_INVALID;
    }
    used = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), ca) == 1 &&
           SSL_CTX_add1_chain_cert(ssl, ca) == 1 && SSL_CTX_add_client_CA(ssl, ca) == 1;
    X509_free(ca);
    if (!used) {
        return tls_fail(why, ERROR_INVALID, "CA certificate");
    }
    return OK;
}

static int verify_mode(enum tls_role role)
{
    switch (role) {
    case TLS_PEER:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case TLS_PEER_GREET:
    case TLS_PEER_PIN:
        return SSL_VERIFY_PEER;
    case TLS_CLIENTS:
        return SSL_VERIFY_NONE;
    }
    IMPOSSIBLE("a TLS role that is none");
}

static void set_up_clients(SSL_CTX *ssl)
{
    int set = SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(ssl, CIPHERS_CLIENTS) == 1;

    CHECK(set);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
}

static void set_up_peers(SSL_CTX *ssl, struct tls_context *context)
{
    int set = SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_num_tickets(ssl, 0) == 1;

    CHECK(set);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(ssl, verify_mode(context->role), NULL);
    SSL_CTX_set_verify_depth(ssl, 2);
    SSL_CTX_set_cert_verify_callback(ssl, tls_verify, context);
}

static SSL_CTX *new_ssl_context(void)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());

    CHECK(ssl != NULL);
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ssl, CIPHERS_TLS13) != 1 ||
        SSL_CTX_set_max_early_data(ssl, 0) != 1) {
        IMPOSSIBLE("OpenSSL without TLS 1.3");
    }
    return ssl;
}

static enum error set_up(struct tls_context *context, const struct tls_options *options,
                         struct reason *why)
{
    enum error error = OK;

    if (options->role == TLS_CLIENTS) {
        set_up_clients(context->ssl);
    } else {
        set_up_peers(context->ssl, context);
    }
    if (role_has_certificate(options->role)) {
        error = use_identity(context->ssl, options, why);
    }
    if (error == OK && (options->role == TLS_PEER || options->role == TLS_PEER_GREET)) {
        error = use_ca(context->ssl, options->ca, why);
    }
    return error;
}

enum error tls_context_open(const struct tls_options *options, struct tls_context **out,
                            struct reason *why)
{
    struct tls_context *context;
    const char *cluster = options->cluster != NULL ? options->cluster : "";
    bool names_cluster = options->role == TLS_PEER || options->role == TLS_PEER_GREET;
    enum error error;

    *out = NULL;
    if ((names_cluster || cluster[0] != '\0') && !tls_cluster_is_valid(cluster)) {
        return fail(why, ERROR_INVALID, "\"%.40s\" is no cluster id", cluster);
    }
    context = memory_zero(sizeof *context);
    atomic_init(&context->references, 1);
    CHECK(pthread_mutex_init(&context->lock, NULL) == 0);
    context->role = options->role;
    memcpy(context->ca_sha256, options->ca_sha256, sizeof context->ca_sha256);
    snprintf(context->cluster, sizeof context->cluster, "%s", cluster);
    ERR_clear_error();
    context->ssl = new_ssl_context();
    error = set_up(context, options, why);
    if (error != OK) {
        tls_context_release(context);
        return error;
    }
    *out = context;
    return OK;
}

void tls_context_renew(struct tls_context *context, struct tls_context *fresh_taken)
{
    SSL_CTX *old;

    PRE(context->role == TLS_CLIENTS && fresh_taken->role == TLS_CLIENTS);
    CHECK(pthread_mutex_lock(&context->lock) == 0);
    old = context->ssl;
    context->ssl = fresh_taken->ssl;
    CHECK(pthread_mutex_unlock(&context->lock) == 0);
    fresh_taken->ssl = old;
    tls_context_release(fresh_taken);
}

void tls_context_hold(struct tls_context *context)
{
    unsigned before = atomic_fetch_add(&context->references, 1);

    PRE(before > 0);
}

void tls_context_release(struct tls_context *context)
{
    unsigned before;

    if (context == NULL) {
        return;
    }
    before = atomic_fetch_sub(&context->references, 1);
    CHECK(before > 0);
    if (before == 1) {
        SSL_CTX_free(context->ssl);
        CHECK(pthread_mutex_destroy(&context->lock) == 0);
        memory_wipe(context, sizeof *context);
        free(context);
    }
}
