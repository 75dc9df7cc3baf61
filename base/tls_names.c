/* What certificates say: reading PEM texts, the SAN URI of a node, and OpenSSL's errors as
 * sentences. Everything here may come from a stranger and fails with ERROR_INVALID. */
#include "base/tls_openssl.h"

#include "base/assert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define URI_SCHEME     "caisson://"
#define URI_NODE       "/node/"
#define NODE_HEX_SIZE  16
#define PEM_SIZE_MAX   (256u * 1024)
#define REASON_NO_TLS  "the other side does not speak TLS here"
#define REASON_REFUSED "the other side refused our certificate"

/* The reasons that people meet; for the rest OpenSSL's own words do. */
static const char *reason_words(unsigned long code)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
        return ERR_reason_error_string(code);
    }
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_RECORD_LENGTH_MISMATCH:
        return REASON_NO_TLS;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "the other side showed no certificate";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "the two sides share no TLS version";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "the two sides share no cipher, or a certificate is missing";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return REASON_REFUSED ": it is of another CA";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return REASON_REFUSED ": it demands one and we showed none";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return REASON_REFUSED ": it is expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return REASON_REFUSED;
    default:
        return ERR_reason_error_string(code);
    }
}

enum error tls_fail(struct reason *why, enum error error, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *words = code != 0 ? reason_words(code) : NULL;

    ERR_clear_error();
    return fail(why, error, "%s: %s", what, words != NULL ? words : "no details");
}

bool tls_cluster_is_valid(const char *cluster)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-";
    size_t size = strlen(cluster);

    return size > 0 && size <= TLS_CLUSTER_MAX && strspn(cluster, allowed) == size;
}

/* 16 lower-case hex digits, not all zero. */
static bool parse_node(struct bytes hex, uint64_t *node)
{
    uint64_t value = 0;

    if (hex.size != NODE_HEX_SIZE) {
        return false;
    }
    for (size_t i = 0; i < hex.size; i++) {
        uint8_t c = hex.data[i];

        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *node = value;
    return value != 0;
}

/* caisson://<cluster>/node/<16 hex digits>, and nothing else. */
static bool parse_uri(struct bytes uri, char cluster[TLS_CLUSTER_MAX + 1], uint64_t *node)
{
    struct bytes rest = bytes_slice(uri, sizeof URI_SCHEME - 1, uri.size);
    ptrdiff_t slash = bytes_find(rest, '/');

    if (slash < 1 || slash > TLS_CLUSTER_MAX) {
        return false;
    }
    memcpy(cluster, rest.data, (size_t)slash);
    cluster[slash] = '\0';
    rest = bytes_slice(rest, (size_t)slash, rest.size);
    if (!tls_cluster_is_valid(cluster) || !bytes_starts_with(rest, BYTES_LITERAL(URI_NODE))) {
        return false;
    }
    return parse_node(bytes_slice(rest, sizeof URI_NODE - 1, rest.size), node);
}

enum error tls_certificate_names(X509 *certificate, char cluster[TLS_CLUSTER_MAX + 1],
                                 uint64_t *node, struct reason *why)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    unsigned found = 0;
    bool valid = true;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct bytes uri;

        if (name->type != GEN_URI) {
            continue;
        }
        uri = bytes_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                       (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier));
        if (bytes_starts_with(uri, BYTES_LITERAL(URI_SCHEME))) {
            found++;
            valid = valid && parse_uri(uri, cluster, node);
        }
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    if (found != 1 || !valid) {
        return fail(why, ERROR_INVALID,
                    "the certificate is not that of a node: it needs one SAN URI of the form "
                    "caisson://<cluster>/node/<16 hex digits>");
    }
    return OK;
}

int tls_no_passphrase(char *buffer, int size, int writing, void *data)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)data;
    return -1;
}

static BIO *pem_reader(struct bytes pem, const char *what, struct reason *why)
{
    if (pem.size == 0 || pem.size > PEM_SIZE_MAX) {
        (void)fail(why, ERROR_INVALID, "%s: %s", what,
                   pem.size == 0 ? "the PEM text is empty" : "the PEM text is over 256 KiB");
        return NULL;
    }
    return BIO_new_mem_buf(pem.data, (int)pem.size);
}

X509 *tls_read_certificate(struct bytes pem, const char *what, struct reason *why)
{
    BIO *bio = pem_reader(pem, what, why);
    X509 *certificate;

    if (bio == NULL) {
        return NULL;
    }
    certificate = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);
    BIO_free(bio);
    if (certificate == NULL) {
        (void)fail(why, ERROR_INVALID, "%s: there is no PEM certificate in it", what);
    }
    ERR_clear_error();
    return certificate;
}

EVP_PKEY *tls_read_key(struct bytes pem, const char *what, struct reason *why)
{
    BIO *bio = pem_reader(pem, what, why);
    EVP_PKEY *key;

    if (bio == NULL) {
        return NULL;
    }
    key = PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL);
    BIO_free(bio);
    if (key == NULL) {
        (void)fail(why, ERROR_INVALID,
                   "%s: there is no PEM private key in it, or it has a pass phrase", what);
    }
    ERR_clear_error();
    return key;
}

enum error tls_certificate_sha256(struct bytes certificate, uint8_t out[32], struct reason *why)
{
    X509 *read = tls_read_certificate(certificate, "certificate", why);
    unsigned size = 0;
    int done;

    if (read == NULL) {
        return ERROR_INVALID;
    }
    done = X509_digest(read, EVP_sha256(), out, &size);
    X509_free(read);
    CHECK(done == 1 && size == 32);
    return OK;
}

enum error tls_certificate_node(struct bytes certificate, char cluster[33], uint64_t *node,
                                struct reason *why)
{
    X509 *read = tls_read_certificate(certificate, "certificate", why);
    enum error error;

    if (read == NULL) {
        return ERROR_INVALID;
    }
    error = tls_certificate_names(read, cluster, node, why);
    X509_free(read);
    return error;
}
