#ifndef TESTS_LIB_HTTP_SERVER_H
#define TESTS_LIB_HTTP_SERVER_H

/* A listener of the HTTP server on 127.0.0.1 in a thread of its own, and a blocking client that
 * sends raw bytes, for tests of node/. */

#include "node/access.h"
#include "node/http.h"
#include "node/worker.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server {
    struct worker worker;
    struct http_listener *listener;
    struct task stop;
    uv_thread_t thread;
    uint16_t port;
    const struct route *tables[2];
};

static inline void http_server_closed_cb(void *data)
{
    struct http_server *server = data;

    mailbox_close(&server->worker.mailbox);
}

static inline void http_server_stop_cb(struct task *task)
{
    struct http_server *server =
        (struct http_server *)(void *)((char *)task - offsetof(struct http_server, stop));

    http_listener_close(server->listener, 0, http_server_closed_cb, server);
}

static inline void http_server_thread(void *data)
{
    struct http_server *server = data;

    (void)uv_run(&server->worker.loop, UV_RUN_DEFAULT);
}

/* worker.catalog and the like may be set in *server before. */
static inline void http_server_start(struct http_server *server, const struct route *routes,
                                     const struct http_listener_options *limits, bool open_access)
{
    struct http_listener_options options = limits == NULL ? (struct http_listener_options){0}
                                                          : *limits;
    struct reason why;
    char address[64];

    assert_int_equal(uv_loop_init(&server->worker.loop), 0);
    mailbox_init(&server->worker.mailbox, &server->worker.loop);
    server->worker.access = access_cache_open(open_access);
    options.worker = &server->worker;
    options.address = "127.0.0.1:0";
    server->tables[0] = routes;
    options.routes = server->tables;
    assert_int_equal(http_listener_open(&options, &server->listener, &why), OK);
    http_listener_address(server->listener, address);
    server->port = (uint16_t)atoi(strrchr(address, ':') + 1);
    server->stop.run = http_server_stop_cb;
    assert_int_equal(uv_thread_create(&server->thread, http_server_thread, server), 0);
}

static inline void http_server_stop(struct http_server *server)
{
    mailbox_post(&server->worker.mailbox, &server->stop);
    assert_int_equal(uv_thread_join(&server->thread), 0);
    assert_int_equal(uv_loop_close(&server->worker.loop), 0);
    access_cache_close(server->worker.access);
}

static inline int http_client_open(const struct http_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends until the other side takes no more. */
static inline void http_client_send(int fd, struct bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t n = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);

        if (n <= 0) {
            return;
        }
        bytes.data += n;
        bytes.size -= (size_t)n;
    }
}

/* Reads to the end of the connection, or until out ends in until (NULL: to the end). False: it took
 * too long. */
static inline bool http_client_read(int fd, struct buffer *out, const char *until)
{
    uint8_t piece[65536];

    for (;;) {
        ssize_t n;

        if (until != NULL && bytes_ends_with(buffer_view(out), bytes_of_string(until))) {
            return true;
        }
        n = recv(fd, piece, sizeof piece, 0);
        if (n == 0) {
            return true;
        }
        if (n < 0) {
            return false;
        }
        buffer_append(out, bytes_of(piece, (size_t)n));
    }
}

/* One connection: send all, read to the end. */
static inline void http_client_talk(const struct http_server *server, struct bytes request,
                                    struct buffer *out)
{
    int fd = http_client_open(server);

    buffer_clear(out);
    http_client_send(fd, request);
    assert_true(http_client_read(fd, out, NULL));
    close(fd);
}

#endif
