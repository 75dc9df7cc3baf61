/* Literal addresses and listeners. A listener is bound before libuv hears of it, so that a failure
 * leaves no handle behind. */
#include "base/stream.h"

#include "base/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_MAX 46

enum error address_parse(const char *text, struct sockaddr_storage *out, struct reason *why)
{
    const char *colon = strrchr(text, ':');
    bool is_v6 = text[0] == '[';
    char host[HOST_MAX];
    uint64_t port = 0;
    size_t size;
    int rv;

    memset(out, 0, sizeof *out);
    if (colon == NULL || bytes_to_uint(bytes_of_string(colon + 1), &port) != OK || port > 65535) {
        return fail(why, ERROR_INVALID, "\"%.60s\" is no address: host:port is wanted", text);
    }
    size = (size_t)(colon - text);
    if (is_v6) {
        if (size < 2 || text[size - 1] != ']') {
            return fail(why, ERROR_INVALID, "\"%.60s\" is no address: a ] is missing", text);
        }
        text++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host) {
        return fail(why, ERROR_INVALID, "\"%.60s\" is no address: host:port is wanted", text);
    }
    memcpy(host, text, size);
    host[size] = '\0';
    rv = is_v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out)
               : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out);
    if (rv != 0) {
        return fail(why, ERROR_INVALID,
                    "\"%s\" is no IP address (names are not looked up; IPv6 goes in brackets)",
                    host);
    }
    return OK;
}

static int bind_socket(int fd, const struct sockaddr_storage *address, bool shared)
{
    socklen_t size = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                    : sizeof(struct sockaddr_in);
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, (const struct sockaddr *)address, size) != 0) {
        return errno;
    }
    return 0;
}

static enum error open_socket(const char *address, struct sockaddr_storage *parsed, int *fd,
                              struct reason *why)
{
    enum error error = address_parse(address, parsed, why);

    if (error != OK) {
        return error;
    }
    *fd = socket(parsed->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return fail_errno(why, errno, "cannot make a socket to listen on %s", address);
    }
    return OK;
}

static enum error cannot_listen(const char *address, int rv, struct reason *why)
{
    if (rv == EADDRINUSE) {
        return fail(why, ERROR_BUSY,
                    "cannot listen on %s: another process does already; stop it, or configure "
                    "another port",
                    address);
    }
    return fail_errno(why, rv, "cannot listen on %s", address);
}

enum error stream_address_is_free(const char *address, struct reason *why)
{
    struct sockaddr_storage parsed;
    int fd;
    enum error error = open_socket(address, &parsed, &fd, why);
    int rv;

    if (error != OK) {
        return error;
    }
    rv = bind_socket(fd, &parsed, false);
    close(fd);
    return rv == 0 ? OK : cannot_listen(address, rv, why);
}

enum error stream_listen(uv_tcp_t *listener, uv_loop_t *loop, const char *address, bool shared,
                         int backlog, uv_connection_cb on_connection, struct reason *why)
{
    struct sockaddr_storage parsed;
    int fd;
    enum error error = open_socket(address, &parsed, &fd, why);
    int rv;

    PRE(backlog > 0);
    if (error != OK) {
        return error;
    }
    rv = bind_socket(fd, &parsed, shared);
    if (rv == 0 && listen(fd, backlog) != 0) {
        rv = errno;
    }
    if (rv != 0) {
        close(fd);
        return cannot_listen(address, rv, why);
    }
    rv = uv_tcp_init(loop, listener);
    CHECK(rv == 0);
    rv = uv_tcp_open(listener, fd);
    CHECK(rv == 0);
    rv = uv_listen((uv_stream_t *)listener, backlog, on_connection);
    CHECK(rv == 0);
    return OK;
}
