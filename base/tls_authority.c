/* The cluster's own CA: it signs node certificates and nothing else. A request gives its public
 * key; every name in the certificate is the signer's. */
#include "base/tls_openssl.h"

#include "base/assert.h"
#include "base/random.h"

#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define SECONDS_PER_DAY   (24L * 60 * 60)
#define CA_DAYS           3653L
#define NODE_DAYS         1827L
#define BACKDATED_SECONDS 3600L /* Nodes' clocks differ. */
#define SERIAL_SIZE       16

struct extension {
    int nid;
    const char *value;
};

/* --- PEM ------------------------------------------------------------------------------------- */

static void append_bio(struct buffer *out, BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);

    CHECK(size > 0);
    buffer_append(out, bytes_of(data, (size_t)size));
    BIO_free(bio);
}

static enum error pem_status(const struct buffer *out, struct reason *why)
{
    if (buffer_status(out) != OK) {
        return fail(why, ERROR_TOO_LARGE, "the PEM text does not fit its buffer");
    }
    return OK;
}

static enum error write_certificate(X509 *certificate, struct buffer *out, struct reason *why)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int written = PEM_write_bio_X509(bio, certificate);

    CHECK(written == 1);
    append_bio(out, bio);
    return pem_status(out, why);
}

static enum error write_key(EVP_PKEY *key, struct buffer *out, struct reason *why)
{
    BIO *bio = BIO_new(BIO_s_mem()); /* OpenSSL wipes it when it is freed. */
    int written = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);

    CHECK(written == 1);
    append_bio(out, bio);
    return pem_status(out, why);
}

/* --- certificates ---------------------------------------------------------------------------- */

static void set_serial(X509 *certificate)
{
    uint8_t serial[SERIAL_SIZE];
    BIGNUM *number;
    ASN1_INTEGER *set;

    random_bytes(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* Positive, and never short. */
    number = BN_bin2bn(serial, sizeof serial, NULL);
    CHECK(number != NULL);
    set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    CHECK(set != NULL);
    BN_free(number);
}

static void set_name(X509_NAME *name, const char *common_name)
{
    int added = X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                                           (const unsigned char *)"Caisson", -1, -1, 0) &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                           (const unsigned char *)common_name, -1, -1, 0);

    CHECK(added);
}

static void set_validity(X509 *certificate, long days)
{
    bool set = X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATED_SECONDS) != NULL &&
               X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL) != NULL;

    CHECK(set);
}

static void add_extensions(X509 *certificate, X509 *issuer, const struct extension *extensions,
                           size_t n)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, &context, extensions[i].nid, extensions[i].value);
        int added;

        CHECK(extension != NULL);
        added = X509_add_ext(certificate, extension, -1);
        CHECK(added == 1);
        X509_EXTENSION_free(extension);
    }
}

static X509 *new_certificate(const char *common_name, EVP_PKEY *key, long days)
{
    X509 *certificate = X509_new();
    int set;

    CHECK(certificate != NULL);
    set = X509_set_version(certificate, X509_VERSION_3) && X509_set_pubkey(certificate, key);
    CHECK(set);
    set_serial(certificate);
    set_name(X509_get_subject_name(certificate), common_name);
    set_validity(certificate, days);
    return certificate;
}

static void sign(X509 *certificate, EVP_PKEY *key)
{
    int size = X509_sign(certificate, key, EVP_sha256());

    CHECK(size > 0);
}

enum error tls_make_ca(const char *cluster, struct buffer *certificate, struct buffer *key,
                       struct reason *why)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };
    char name[64];
    EVP_PKEY *pair;
    X509 *ca;
    enum error error;

    if (!tls_cluster_is_valid(cluster)) {
        return fail(why, ERROR_INVALID, "\"%.40s\" is no cluster id", cluster);
    }
    pair = EVP_EC_gen("P-256");
    CHECK(pair != NULL);
    snprintf(name, sizeof name, "CA of %s", cluster);
    ca = new_certificate(name, pair, CA_DAYS);
    set_name(X509_get_issuer_name(ca), name);
    add_extensions(ca, ca, extensions, sizeof extensions / sizeof extensions[0]);
    sign(ca, pair);
    error = write_certificate(ca, certificate, why);
    if (error == OK) {
        error = write_key(pair, key, why);
    }
    X509_free(ca);
    EVP_PKEY_free(pair);
    ERR_clear_error();
    return error;
}

enum error tls_make_request(struct buffer *key, struct buffer *request, struct reason *why)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509_REQ *made = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    enum error error;
    int written;

    CHECK(pair != NULL && made != NULL && bio != NULL);
    written = X509_REQ_set_version(made, X509_REQ_VERSION_1) && X509_REQ_set_pubkey(made, pair) &&
              X509_REQ_sign(made, pair, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, made);
    CHECK(written);
    append_bio(request, bio);
    error = pem_status(request, why);
    if (error == OK) {
        error = write_key(pair, key, why);
    }
    X509_REQ_free(made);
    EVP_PKEY_free(pair);
    ERR_clear_error();
    return error;
}

/* --- signing --------------------------------------------------------------------------------- */

/* The public key of a request that proves to hold the private one. */
static EVP_PKEY *requested_key(struct bytes request, struct reason *why)
{
    BIO *bio = BIO_new_mem_buf(request.data, (int)request.size);
    X509_REQ *read = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, tls_no_passphrase, NULL) : NULL;
    EVP_PKEY *key = read != NULL ? X509_REQ_get_pubkey(read) : NULL;

    BIO_free(bio);
    if (key == NULL) {
        (void)fail(why, ERROR_INVALID, "the request is no PEM certificate request");
    } else if (X509_REQ_verify(read, key) != 1) {
        (void)fail(why, ERROR_INVALID, "the request is not signed by the key that it names");
        EVP_PKEY_free(key);
        key = NULL;
    } else if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_bits(key) != 256) {
        (void)fail(why, ERROR_INVALID, "the request's key is not a P-256 key");
        EVP_PKEY_free(key);
        key = NULL;
    }
    X509_REQ_free(read);
    ERR_clear_error();
    return key;
}

static X509 *make_node_certificate(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *node_key,
                                   const char *cluster, uint64_t node)
{
    char common_name[64];
    char names[160];
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"}, {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"}, {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},      {NID_subject_alt_name, names},
    };
    X509 *certificate;
    int set;

    snprintf(common_name, sizeof common_name, "node %016" PRIx64, node);
    snprintf(names, sizeof names,
             "URI:caisson://%s/node/%016" PRIx64 ",DNS:localhost,IP:127.0.0.1,IP:::1", cluster,
             node);
    certificate = new_certificate(common_name, node_key, NODE_DAYS);
    set = X509_set_issuer_name(certificate, X509_get_subject_name(ca));
    CHECK(set == 1);
    add_extensions(certificate, ca, extensions, sizeof extensions / sizeof extensions[0]);
    sign(certificate, ca_key);
    return certificate;
}

static enum error sign_with(X509 *ca, EVP_PKEY *ca_key, struct bytes request, const char *cluster,
                            uint64_t node, struct buffer *certificate, struct reason *why)
{
    EVP_PKEY *node_key;
    X509 *made;
    enum error error;

    if (X509_check_private_key(ca, ca_key) != 1) {
        ERR_clear_error();
        return fail(why, ERROR_INVALID, "the CA's key is not that of its certificate");
    }
    node_key = requested_key(request, why);
    if (node_key == NULL) {
        return ERROR_INVALID;
    }
    made = make_node_certificate(ca, ca_key, node_key, cluster, node);
    error = write_certificate(made, certificate, why);
    X509_free(made);
    EVP_PKEY_free(node_key);
    return error;
}

enum error tls_sign_request(struct bytes ca_certificate, struct bytes ca_key, struct bytes request,
                            const char *cluster, uint64_t node, struct buffer *certificate,
                            struct reason *why)
{
    X509 *ca;
    EVP_PKEY *key;
    enum error error = ERROR_INVALID;

    PRE(node != 0);
    if (!tls_cluster_is_valid(cluster)) {
        return fail(why, ERROR_INVALID, "\"%.40s\" is no cluster id", cluster);
    }
    if (request.size == 0 || request.size > 16384) {
        return fail(why, ERROR_INVALID, "the request is empty or over 16 KiB");
    }
    ca = tls_read_certificate(ca_certificate, "CA certificate", why);
    if (ca == NULL) {
        return ERROR_INVALID;
    }
    key = tls_read_key(ca_key, "CA key", why);
    if (key != NULL) {
        error = sign_with(ca, key, request, cluster, node, certificate, why);
    }
    EVP_PKEY_free(key);
    X509_free(ca);
    ERR_clear_error();
    return error;
}

/* --- checking -------------------------------------------------------------------------------- */

static enum error check_identity(X509 *leaf, EVP_PKEY *key, X509 *ca, struct reason *why)
{
    if (X509_verify(leaf, X509_get0_pubkey(ca)) != 1) {
        return fail(why, ERROR_INVALID, "the certificate is not as the CA signed it");
    }
    if (X509_check_private_key(leaf, key) != 1) {
        return fail(why, ERROR_INVALID, "the private key is not that of the certificate");
    }
    return OK;
}

enum error tls_check_identity(struct bytes certificate, struct bytes key, struct bytes ca,
                              struct reason *why)
{
    X509 *leaf = tls_read_certificate(certificate, "certificate", why), *authority = NULL;
    EVP_PKEY *secret = NULL;
    enum error error = ERROR_INVALID;

    if (leaf == NULL) {
        goto done;
    }
    authority = tls_read_certificate(ca, "CA certificate", why);
    if (authority == NULL) {
        goto done;
    }
    secret = tls_read_key(key, "private key", why);
    if (secret != NULL) {
        error = check_identity(leaf, secret, authority, why);
    }
done:
    EVP_PKEY_free(secret);
    X509_free(authority);
    X509_free(leaf);
    ERR_clear_error();
    return error;
}
