#ifndef TESTS_LIB_CERTIFICATES_H
#define TESTS_LIB_CERTIFICATES_H

#include "base/tls.h"
#include "tests/lib/test.h"

/* A cluster's CA and node certificates made with it, for tests that need TLS. */

struct test_ca {
    struct buffer certificate, key;
};

struct test_identity {
    struct buffer certificate, key;
};

static inline void test_ca_make(struct test_ca *ca, const char *cluster)
{
    buffer_init(&ca->certificate, 16384);
    buffer_init(&ca->key, 16384);
    assert_int_equal(tls_make_ca(cluster, &ca->certificate, &ca->key, NULL), OK);
}

static inline void test_ca_release(struct test_ca *ca)
{
    buffer_release(&ca->certificate);
    buffer_release(&ca->key);
}

static inline void test_identity_make(struct test_identity *identity, const struct test_ca *ca,
                                      const char *cluster, uint64_t node)
{
    struct buffer request;

    buffer_init(&request, 16384);
    buffer_init(&identity->certificate, 16384);
    buffer_init(&identity->key, 16384);
    assert_int_equal(tls_make_request(&identity->key, &request, NULL), OK);
    assert_int_equal(tls_sign_request(buffer_view(&ca->certificate), buffer_view(&ca->key),
                                      buffer_view(&request), cluster, node, &identity->certificate,
                                      NULL),
                     OK);
    buffer_release(&request);
}

static inline void test_identity_release(struct test_identity *identity)
{
    buffer_release(&identity->certificate);
    buffer_release(&identity->key);
}

/* A context of role for identity (NULL: none) that trusts ca (NULL: none). */
static inline struct tls_context *test_context(enum tls_role role,
                                               const struct test_identity *identity,
                                               const struct test_ca *ca, const char *cluster)
{
    struct tls_options options = {.role = role, .cluster = cluster};
    struct tls_context *context = NULL;
    struct reason why = {""};

    if (identity != NULL) {
        options.certificate = buffer_view(&identity->certificate);
        options.key = buffer_view(&identity->key);
    }
    if (ca != NULL) {
        options.ca = buffer_view(&ca->certificate);
    }
    if (role == TLS_PEER_PIN) {
        assert_int_equal(tls_certificate_sha256(options.ca, options.ca_sha256, NULL), OK);
    }
    if (tls_context_open(&options, &context, &why) != OK) {
        fail_msg("%s", why.text);
    }
    return context;
}

/* The context of one node, in one call. */
static inline struct tls_context *test_node_context(const struct test_ca *ca, const char *cluster,
                                                    uint64_t node)
{
    struct test_identity identity;
    struct tls_context *context;

    test_identity_make(&identity, ca, cluster, node);
    context = test_context(TLS_PEER, &identity, ca, cluster);
    test_identity_release(&identity);
    return context;
}

#endif
