#include "base/tls.h"
#include "tests/lib/certificates.h"
#include "tests/lib/test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define CLUSTER "0123456789abcdef0123456789abcdef"
#define OTHER   "ffffffffffffffffffffffffffffffff"

/* One side of a connection that exists in memory only. */
struct side {
    struct tls_session *session;
    struct buffer out, plain;
    bool established, ended;
    enum error error;
    struct reason why;
};

static void side_open(struct side *side, struct tls_context *context, bool is_server)
{
    memset(side, 0, sizeof *side);
    buffer_init(&side->out, 1u << 20);
    buffer_init(&side->plain, 1u << 20);
    side->session = tls_session_open(context, is_server);
}

static void side_close(struct side *side)
{
    tls_session_close(side->session);
    buffer_release(&side->out);
    buffer_release(&side->plain);
}

static void side_step(struct side *side, struct buffer *in)
{
    if (side->error == OK) {
        side->error = tls_session_step(side->session, buffer_view(in), &side->out, &side->plain,
                                       &side->established, &side->ended, &side->why);
    }
    buffer_clear(in);
    assert_int_equal(ERR_peek_error(), 0);
}

struct pair {
    struct side client, server;
};

static void pair_run(struct pair *pair)
{
    struct buffer none;

    buffer_init(&none, 1);
    side_step(&pair->client, &none);
    for (int i = 0; i < 8; i++) {
        side_step(&pair->server, &pair->client.out);
        side_step(&pair->client, &pair->server.out);
    }
}

static void pair_open(struct pair *pair, struct tls_context *client, struct tls_context *server)
{
    side_open(&pair->client, client, false);
    side_open(&pair->server, server, true);
    pair_run(pair);
}

static void pair_close(struct pair *pair)
{
    side_close(&pair->client);
    side_close(&pair->server);
}

static void assert_says(const struct side *side, const char *words)
{
    assert_int_not_equal(side->error, OK);
    if (strstr(side->why.text, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", side->why.text, words);
    }
}

struct fixture {
    struct test_ca ca, other_ca;
    struct test_identity one, two;
    struct tls_context *server;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    test_ca_make(&fixture.ca, CLUSTER);
    test_ca_make(&fixture.other_ca, CLUSTER);
    test_identity_make(&fixture.one, &fixture.ca, CLUSTER, 1);
    test_identity_make(&fixture.two, &fixture.ca, CLUSTER, 0xabcdef0123456789u);
    fixture.server = test_context(TLS_PEER, &fixture.one, &fixture.ca, CLUSTER);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    tls_context_release(fixture->server);
    test_identity_release(&fixture->one);
    test_identity_release(&fixture->two);
    test_ca_release(&fixture->ca);
    test_ca_release(&fixture->other_ca);
    return 0;
}

static void test_tls__nodes_of_a_cluster_know_each_other(void **state)
{
    struct fixture *fixture = *state;
    struct tls_context *client = test_context(TLS_PEER, &fixture->two, &fixture->ca, CLUSTER);
    struct pair pair;

    pair_open(&pair, client, fixture->server);
    assert_true(pair.client.established && pair.server.established);
    assert_true(tls_session_peer_node(pair.server.session) == 0xabcdef0123456789u);
    assert_true(tls_session_peer_node(pair.client.session) == 1);
    assert_int_equal(
        tls_session_encrypt(pair.client.session, BYTES_LITERAL("hello"), &pair.client.out, NULL),
        OK);
    tls_session_finish(pair.client.session, &pair.client.out);
    side_step(&pair.server, &pair.client.out);
    assert_string_equal(buffer_string(&pair.server.plain), "hello");
    assert_true(pair.server.ended);
    assert_int_equal(pair.server.error, OK);
    pair_close(&pair);
    tls_context_release(client);
}

static void test_tls__a_node_of_another_ca_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity foreign;
    struct tls_context *client;
    struct pair pair;

    test_identity_make(&foreign, &fixture->other_ca, CLUSTER, 2);
    /* It trusts our CA, so it is the server that must refuse. */
    client = test_context(TLS_PEER, &foreign, &fixture->ca, CLUSTER);
    pair_open(&pair, client, fixture->server);
    assert_false(pair.server.established);
    assert_says(&pair.server, "another CA");
    assert_says(&pair.client, "refused our certificate");
    pair_close(&pair);
    tls_context_release(client);
    /* It trusts its own: it refuses us. */
    client = test_context(TLS_PEER, &foreign, &fixture->other_ca, CLUSTER);
    pair_open(&pair, client, fixture->server);
    assert_false(pair.client.established || pair.server.established);
    assert_says(&pair.client, "another CA");
    pair_close(&pair);
    tls_context_release(client);
    test_identity_release(&foreign);
}

static void test_tls__a_node_of_another_cluster_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity foreign;
    struct tls_context *client;
    struct pair pair;

    test_identity_make(&foreign, &fixture->ca, OTHER, 2);
    client = test_context(TLS_PEER, &foreign, &fixture->ca, CLUSTER);
    pair_open(&pair, client, fixture->server);
    assert_false(pair.server.established);
    assert_says(&pair.server, "cluster " OTHER);
    pair_close(&pair);
    tls_context_release(client);
    test_identity_release(&foreign);
}

static void test_tls__a_client_without_certificate_is_refused_or_greeted(void **state)
{
    struct fixture *fixture = *state;
    struct tls_context *pin = test_context(TLS_PEER_PIN, NULL, &fixture->ca, NULL);
    struct tls_context *greet = test_context(TLS_PEER_GREET, &fixture->one, &fixture->ca, CLUSTER);
    struct tls_context *member = test_context(TLS_PEER, &fixture->two, &fixture->ca, CLUSTER);
    struct pair pair;

    pair_open(&pair, pin, fixture->server);
    assert_false(pair.server.established);
    assert_says(&pair.server, "showed no certificate");
    pair_close(&pair);
    pair_open(&pair, pin, greet);
    assert_true(pair.client.established && pair.server.established);
    assert_true(tls_session_peer_node(pair.client.session) == 1);
    assert_true(tls_session_peer_node(pair.server.session) == 0);
    pair_close(&pair);
    pair_open(&pair, member, greet);
    assert_true(tls_session_peer_node(pair.server.session) == 0xabcdef0123456789u);
    pair_close(&pair);
    tls_context_release(member);
    tls_context_release(greet);
    tls_context_release(pin);
}

static void test_tls__a_pinned_ca_is_the_only_one(void **state)
{
    struct fixture *fixture = *state;
    struct tls_context *pin = test_context(TLS_PEER_PIN, NULL, &fixture->other_ca, NULL);
    struct tls_context *greet = test_context(TLS_PEER_GREET, &fixture->one, &fixture->ca, CLUSTER);
    struct test_identity impostor;
    struct tls_context *fake;
    struct pair pair;

    pair_open(&pair, pin, greet);
    assert_false(pair.client.established);
    assert_says(&pair.client, "not the one that the token names");
    pair_close(&pair);
    /* Shows the pinned CA's certificate in its chain, but its own is not signed by it. */
    test_identity_make(&impostor, &fixture->ca, CLUSTER, 7);
    fake = test_context(TLS_PEER_GREET, &impostor, &fixture->other_ca, CLUSTER);
    pair_open(&pair, pin, fake);
    assert_false(pair.client.established);
    assert_says(&pair.client, "another CA");
    pair_close(&pair);
    tls_context_release(fake);
    test_identity_release(&impostor);
    tls_context_release(greet);
    tls_context_release(pin);
}

/* Change the certificate of identity and sign it again with the CA's key, or (self) its own. */
static void forge(struct test_identity *identity, const struct test_ca *ca, void change(X509 *),
                  bool self)
{
    BIO *in = BIO_new_mem_buf(identity->certificate.data, (int)identity->certificate.size);
    const struct buffer *signer = self ? &identity->key : &ca->key;
    BIO *key_in = BIO_new_mem_buf(signer->data, (int)signer->size);
    BIO *out = BIO_new(BIO_s_mem());
    X509 *certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_in, NULL, NULL, NULL);
    char *data;
    long size;

    change(certificate);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(out, certificate), 1);
    size = BIO_get_mem_data(out, &data);
    buffer_clear(&identity->certificate);
    buffer_append(&identity->certificate, bytes_of(data, (size_t)size));
    EVP_PKEY_free(key);
    X509_free(certificate);
    BIO_free(out);
    BIO_free(key_in);
    BIO_free(in);
}

static void make_expired(X509 *certificate)
{
    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600);
}

static void make_self_signed(X509 *certificate)
{
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_EXTENSION_free(X509_delete_ext(
        certificate, X509_get_ext_by_NID(certificate, NID_authority_key_identifier, -1)));
}

static void make_server_only(X509 *certificate)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth");

    X509_EXTENSION_free(
        X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1)));
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static void make_nameless(X509 *certificate)
{
    X509_EXTENSION_free(
        X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1)));
}

static void test_tls__forged_certificates_are_refused_with_a_reason(void **state)
{
    static const struct {
        void (*change)(X509 *);
        bool self;
        const char *words;
    } cases[] = {
        {make_expired, false, "expired"},
        {make_self_signed, true, "self-signed"},
        {make_server_only, false, "not meant for this use"},
        {make_nameless, false, "not that of a node"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_identity forged;
        struct tls_context *client;
        struct pair pair;

        test_identity_make(&forged, &fixture->ca, CLUSTER, 2);
        forge(&forged, &fixture->ca, cases[i].change, cases[i].self);
        client = test_context(TLS_PEER, &forged, &fixture->ca, CLUSTER);
        pair_open(&pair, client, fixture->server);
        assert_false(pair.server.established);
        assert_says(&pair.server, cases[i].words);
        assert_true(tls_session_peer_node(pair.server.session) == 0);
        pair_close(&pair);
        tls_context_release(client);
        test_identity_release(&forged);
    }
}

static void test_tls__plain_bytes_get_a_clear_reason(void **state)
{
    struct fixture *fixture = *state;
    struct buffer in;
    struct side server;

    buffer_init(&in, 1024);
    side_open(&server, fixture->server, true);
    buffer_append_string(&in, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    side_step(&server, &in);
    assert_says(&server, "does not speak TLS");
    side_close(&server);
    side_open(&server, fixture->server, true);
    for (int i = 0; i < 200; i++) {
        buffer_append_byte(&in, (uint8_t)(i * 37 + 1));
    }
    side_step(&server, &in);
    assert_int_not_equal(server.error, OK);
    side_close(&server);
    buffer_release(&in);
}

/* A client with OpenSSL's own defaults, as curl or skopeo would be. */
static void run_client(SSL *client, struct side *server)
{
    struct buffer in;

    buffer_init(&in, 1u << 20);
    for (int i = 0; i < 8; i++) {
        char *data;
        long size;

        (void)SSL_do_handshake(client);
        size = BIO_get_mem_data(SSL_get_wbio(client), &data);
        buffer_append(&in, bytes_of(data, (size_t)size));
        (void)BIO_reset(SSL_get_wbio(client));
        ERR_clear_error();
        side_step(server, &in);
        BIO_write(SSL_get_rbio(client), server->out.data, (int)server->out.size);
        buffer_clear(&server->out);
    }
    buffer_release(&in);
}

static void test_tls__clients_choose_http11_and_old_tls_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct tls_context *context = test_context(TLS_CLIENTS, &fixture->one, NULL, NULL);

    for (int version = TLS1_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *defaults = SSL_CTX_new(TLS_client_method());
        const unsigned char *protocol = NULL;
        struct side server;
        unsigned size = 0;
        SSL *client;

        SSL_CTX_set_security_level(defaults, 0);
        assert_int_equal(SSL_CTX_set_min_proto_version(defaults, version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(defaults, version), 1);
        client = SSL_new(defaults);
        SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(client);
        SSL_set_alpn_protos(client, (const unsigned char *)"\x02h2\x08http/1.1", 12);
        side_open(&server, context, true);
        run_client(client, &server);
        if (version < TLS1_2_VERSION) {
            assert_says(&server, "no TLS version");
        } else {
            assert_true(server.established);
            SSL_get0_alpn_selected(client, &protocol, &size);
            assert_int_equal(size, 8);
            assert_memory_equal(protocol, "http/1.1", 8);
        }
        side_close(&server);
        SSL_free(client);
        SSL_CTX_free(defaults);
    }
    tls_context_release(context);
}

static void test_tls_context_open__says_what_is_wrong(void **state)
{
    struct fixture *fixture = *state;
    struct tls_options options = {.role = TLS_PEER, .cluster = CLUSTER};
    struct tls_context *context;
    struct reason why;

    assert_int_equal(tls_context_open(&options, &context, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "certificate: the PEM text is empty"));
    options.certificate = buffer_view(&fixture->one.certificate);
    options.key = buffer_view(&fixture->two.key);
    options.ca = buffer_view(&fixture->ca.certificate);
    assert_int_equal(tls_context_open(&options, &context, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "not that of the certificate"));
    options.key = buffer_view(&fixture->one.certificate);
    assert_int_equal(tls_context_open(&options, &context, &why), ERROR_INVALID);
    assert_non_null(strstr(why.text, "no PEM private key"));
    options.cluster = "a,b";
    assert_int_equal(tls_context_open(&options, &context, &why), ERROR_INVALID);
    assert_null(context);
}

static void test_tls_check_identity__sees_what_does_not_belong_together(void **state)
{
    struct fixture *fixture = *state;
    struct bytes certificate = buffer_view(&fixture->one.certificate);
    struct bytes key = buffer_view(&fixture->one.key), ca = buffer_view(&fixture->ca.certificate);
    struct buffer damaged;
    struct reason why;

    assert_int_equal(tls_check_identity(certificate, key, ca, &why), OK);
    assert_int_equal(tls_check_identity(certificate, buffer_view(&fixture->two.key), ca, &why),
                     ERROR_INVALID);
    assert_non_null(strstr(why.text, "not that of the certificate"));
    assert_int_equal(
        tls_check_identity(certificate, key, buffer_view(&fixture->other_ca.certificate), &why),
        ERROR_INVALID);
    assert_non_null(strstr(why.text, "as the CA signed it"));
    assert_int_equal(tls_check_identity(certificate, key, BYTES_NONE, &why), ERROR_INVALID);
    /* One letter of its base64, wherever it is: none is decoration. */
    for (size_t i = 40; i + 40 < certificate.size; i += 7) {
        buffer_init(&damaged, 16384);
        buffer_append(&damaged, certificate);
        if (damaged.data[i] != '\n' && damaged.data[i] != '=') {
            damaged.data[i] = damaged.data[i] == 'A' ? 'B' : 'A';
            assert_int_equal(tls_check_identity(buffer_view(&damaged), key, ca, &why),
                             ERROR_INVALID);
        }
        buffer_release(&damaged);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_tls_sign_request__takes_the_key_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct test_identity made;
    struct buffer out, key, request;
    char cluster[33];
    uint64_t node = 0;
    struct reason why;

    test_identity_make(&made, &fixture->ca, CLUSTER, 77);
    assert_int_equal(tls_certificate_node(buffer_view(&made.certificate), cluster, &node, &why),
                     OK);
    assert_string_equal(cluster, CLUSTER);
    assert_true(node == 77);
    assert_int_equal(
        tls_certificate_node(buffer_view(&fixture->ca.certificate), cluster, &node, &why),
        ERROR_INVALID);
    buffer_init(&out, 16384);
    buffer_init(&key, 16384);
    buffer_init(&request, 16384);
    assert_int_equal(tls_make_request(&key, &request, &why), OK);
    /* A request whose signature was broken. */
    request.data[request.size / 2] = request.data[request.size / 2] == 'A' ? 'B' : 'A';
    assert_int_equal(tls_sign_request(buffer_view(&fixture->ca.certificate),
                                      buffer_view(&fixture->ca.key), buffer_view(&request), CLUSTER,
                                      5, &out, &why),
                     ERROR_INVALID);
    assert_int_equal(tls_sign_request(buffer_view(&fixture->ca.certificate),
                                      buffer_view(&fixture->other_ca.key), buffer_view(&request),
                                      CLUSTER, 5, &out, &why),
                     ERROR_INVALID);
    assert_int_equal(out.size, 0);
    assert_int_equal(ERR_peek_error(), 0);
    buffer_release(&out);
    buffer_release(&key);
    buffer_release(&request);
    test_identity_release(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls__nodes_of_a_cluster_know_each_other),
        cmocka_unit_test(test_tls__a_node_of_another_ca_is_refused),
        cmocka_unit_test(test_tls__a_node_of_another_cluster_is_refused),
        cmocka_unit_test(test_tls__a_client_without_certificate_is_refused_or_greeted),
        cmocka_unit_test(test_tls__a_pinned_ca_is_the_only_one),
        cmocka_unit_test(test_tls__forged_certificates_are_refused_with_a_reason),
        cmocka_unit_test(test_tls__plain_bytes_get_a_clear_reason),
        cmocka_unit_test(test_tls__clients_choose_http11_and_old_tls_is_refused),
        cmocka_unit_test(test_tls_context_open__says_what_is_wrong),
        cmocka_unit_test(test_tls_check_identity__sees_what_does_not_belong_together),
        cmocka_unit_test(test_tls_sign_request__takes_the_key_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
