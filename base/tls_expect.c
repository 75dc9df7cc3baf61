/* The check of a peer's name for TLS that another library runs (libcurl): after the chain was
 * verified against the cluster's CA, the leaf must name the one node that was asked for. */
#include "base/assert.h"
#include "base/tls.h"

#include <inttypes.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static bool certificate_names(X509 *certificate, const char *uri)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t size = strlen(uri);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_URI &&
            (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier) == size &&
            memcmp(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), uri, size) == 0) {
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int expect_cb(X509_STORE_CTX *store, void *argument)
{
    const struct tls_expected *expected = argument;
    X509 *leaf;
    char uri[96];

    if (X509_verify_cert(store) != 1) {
        return 0;
    }
    leaf = X509_STORE_CTX_get0_cert(store);
    snprintf(uri, sizeof uri, "caisson://%.32s/node/%016" PRIx64, expected->cluster,
             expected->node);
    if (leaf == NULL || !certificate_names(leaf, uri)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
        return 0;
    }
    return 1;
}

void tls_expect_node(void *native_context, const struct tls_expected *expected)
{
    PRE(native_context != NULL);
    PRE(strlen(expected->cluster) == 32);
    SSL_CTX_set_verify(native_context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(native_context, expect_cb, (void *)(uintptr_t)expected);
}
