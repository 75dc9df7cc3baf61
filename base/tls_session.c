/* Sessions: OpenSSL between two memory buffers, so that it never sees a socket. A session fails for
 * what the other side does, and then only wants to be closed. */
#include "base/tls_openssl.h"

#include "base/assert.h"
#include "base/memory.h"

#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

#define READ_SIZE 16384

struct tls_session *tls_session_open(struct tls_context *context, bool is_server)
{
    struct tls_session *session = memory_zero(sizeof *session);

    ERGO(is_server, context->role != TLS_PEER_PIN);
    ERGO(!is_server, context->role != TLS_CLIENTS);
    tls_context_hold(context);
    session->context = context;
    CHECK(pthread_mutex_lock(&context->lock) == 0);
    session->ssl = SSL_new(context->ssl);
    CHECK(pthread_mutex_unlock(&context->lock) == 0);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    CHECK(session->ssl != NULL && session->in != NULL && session->out != NULL);
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_app_data(session->ssl, session);
    if (is_server) {
        SSL_set_accept_state(session->ssl);
    } else {
        SSL_set_connect_state(session->ssl);
    }
    return session;
}

void tls_session_close(struct tls_session *session)
{
    if (session == NULL) {
        return;
    }
    SSL_free(session->ssl);
    ERR_clear_error();
    tls_context_release(session->context);
    free(session);
}

/* Move what OpenSSL wants to send to out. */
static enum error drain(struct tls_session *session, struct buffer *out, struct reason *why)
{
    char *data = NULL;
    long size = BIO_get_mem_data(session->out, &data);

    if (size > 0) {
        buffer_append(out, bytes_of(data, (size_t)size));
        (void)BIO_reset(session->out);
    }
    if (buffer_status(out) != OK) {
        return fail(why, ERROR_TOO_LARGE, "TLS: more to send than the buffer may hold");
    }
    return OK;
}

/* OpenSSL's answer to a call that could not go on: OK when it only waits for more bytes. */
static enum error outcome(struct tls_session *session, int result, const char *what,
                          struct reason *why)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return OK;
    case SSL_ERROR_ZERO_RETURN:
        session->ended = true;
        return OK;
    default:
        if (session->refusal.text[0] != '\0') {
            ERR_clear_error();
            return fail(why, ERROR_DENIED, "%s: %s", what, session->refusal.text);
        }
        return tls_fail(why, ERROR_PEER, what);
    }
}

static enum error handshake(struct tls_session *session, struct reason *why)
{
    int result = SSL_do_handshake(session->ssl);

    if (result == 1) {
        session->established = true;
        return OK;
    }
    return outcome(session, result, "TLS handshake", why);
}

static enum error decrypt(struct tls_session *session, struct buffer *plain, struct reason *why)
{
    uint8_t data[READ_SIZE];
    enum error error;
    int n;

    do {
        n = SSL_read(session->ssl, data, sizeof data);
        if (n > 0) {
            buffer_append(plain, bytes_of(data, (size_t)n));
        }
    } while (n > 0);
    error = outcome(session, n, "TLS", why);
    memory_wipe(data, sizeof data);
    if (error == OK && buffer_status(plain) != OK) {
        error = fail(why, ERROR_TOO_LARGE, "TLS: more came than the buffer may hold");
    }
    return error;
}

enum error tls_session_step(struct tls_session *session, struct bytes in, struct buffer *out,
                            struct buffer *plain, bool *established, bool *ended,
                            struct reason *why)
{
    enum error error = OK;
    enum error drained;

    PRE(in.size <= INT_MAX);
    ERR_clear_error();
    if (in.size > 0) {
        int taken = BIO_write(session->in, in.data, (int)in.size);

        CHECK(taken == (int)in.size);
    }
    if (!session->established) {
        error = handshake(session, why);
    }
    if (error == OK && session->established) {
        error = decrypt(session, plain, why);
    }
    ERR_clear_error();
    /* Also after a failure: the alert tells the other side why. */
    drained = drain(session, out, error == OK ? why : NULL);
    *established = session->established;
    *ended = session->ended;
    return error != OK ? error : drained;
}

enum error tls_session_encrypt(struct tls_session *session, struct bytes plain, struct buffer *out,
                               struct reason *why)
{
    PRE(session->established);
    PRE(plain.size <= INT_MAX);
    ERR_clear_error();
    if (plain.size > 0) {
        int n = SSL_write(session->ssl, plain.data, (int)plain.size);

        if (n != (int)plain.size) {
            return tls_fail(why, ERROR_PEER, "TLS");
        }
    }
    return drain(session, out, why);
}

void tls_session_finish(struct tls_session *session, struct buffer *out)
{
    ERR_clear_error();
    if (session->established) {
        (void)SSL_shutdown(session->ssl);
    }
    ERR_clear_error();
    (void)!drain(session, out, NULL);
}

uint64_t tls_session_peer_node(const struct tls_session *session)
{
    return session->established ? session->node : 0;
}
