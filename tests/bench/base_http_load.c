/* An HTTP load generator that is cheap enough not to be what is measured: one thread, keep-alive
 * connections with one request outstanding on each, latency from the first byte sent to the last
 * byte received. scripts/bench runs it.
 *
 *   bench_base_http_load PORT CONNECTIONS SECONDS METHOD PATH [BODY-FILE|- [HEADER]...]
 *
 * A '%' in PATH becomes a number that no other request of the run has; so do 20 zeros in the body,
 * where every body has to be another. SECONDS may be a number of requests instead: 1000x. One line
 * of JSON comes out; an answer that is not 2xx counts as failed. "busy" is the part of the time
 * that this program kept a core busy: near 1, it is what was measured. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define HEAD_MAX        16384
#define REQUEST_MAX     (8u * 1024 * 1024)
#define SAMPLES_MAX     4000000
#define BODY_MARK       "00000000000000000000"

struct load;

struct connection {
    struct load *load;
    int fd;
    struct buffer out;
    size_t sent;
    uint64_t begun_ns;
    char head[HEAD_MAX];
    size_t head_size;
    bool has_head;
    uint64_t body_left;
    unsigned status;
};

struct load {
    const char *method, *path;
    struct buffer headers; /* All of them, Content-Length included. */
    struct buffer body;
    uint8_t *mark; /* In the body, or NULL. */
    int epoll, port;
    struct connection *connections;
    size_t n_connections, n_open;
    uint64_t next, until_ns;
    uint64_t n_left; /* To begin; without end when the time decides. */
    uint64_t *samples, n_samples, n_failed, n_bytes;
    unsigned bad_status;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_base_http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- one request ----------------------------------------------------------------------------- */

static void send_more(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    while (connection->sent < connection->out.size) {
        ssize_t n = write(connection->fd, connection->out.data + connection->sent,
                          connection->out.size - connection->sent);

        if (n < 0 && errno != EAGAIN) {
            die("write");
        }
        if (n < 0) {
            event.events |= EPOLLOUT;
            break;
        }
        connection->sent += (size_t)n;
    }
    CHECK(epoll_ctl(connection->load->epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0);
}

static void begin(struct connection *connection)
{
    struct load *load = connection->load;
    const char *mark = strchr(load->path, '%');
    int before = mark != NULL ? (int)(mark - load->path) : (int)strlen(load->path);

    buffer_clear(&connection->out);
    buffer_print(&connection->out, "%s %.*s", load->method, before, load->path);
    load->next++;
    load->n_left--;
    if (mark != NULL) {
        buffer_print(&connection->out, "%llu%s", (unsigned long long)load->next, mark + 1);
    }
    if (load->mark != NULL) {
        char number[sizeof BODY_MARK];

        (void)snprintf(number, sizeof number, "%020llu", (unsigned long long)load->next);
        memcpy(load->mark, number, sizeof number - 1);
    }
    buffer_print(&connection->out, " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", load->port);
    buffer_append(&connection->out, buffer_view(&load->headers));
    buffer_append(&connection->out, BYTES_LITERAL("\r\n"));
    buffer_append(&connection->out, buffer_view(&load->body));
    CHECK(buffer_status(&connection->out) == OK);
    connection->sent = connection->head_size = 0;
    connection->has_head = false;
    connection->begun_ns = clock_monotonic_ns();
    send_more(connection);
}

static void finish(struct connection *connection)
{
    struct load *load = connection->load;
    uint64_t now = clock_monotonic_ns();

    if (connection->status / 100 != 2) {
        load->n_failed++;
        load->bad_status = connection->status;
    } else if (load->n_samples < SAMPLES_MAX) {
        load->samples[load->n_samples++] = now - connection->begun_ns;
    }
    if (now < load->until_ns && load->n_left > 0) {
        begin(connection);
    } else {
        close(connection->fd);
        load->n_open--;
    }
}

/* --- the answer ------------------------------------------------------------------------------ */

/* The end of the head, or NULL; the head is kept as a string. */
static const char *head_end(struct connection *connection)
{
    connection->head[connection->head_size] = '\0';
    return strstr(connection->head, "\r\n\r\n");
}

static void read_head(struct connection *connection, const char *end)
{
    const char *length = strcasestr(connection->head, "\r\nContent-Length:");
    size_t head = (size_t)(end - connection->head) + 4;

    connection->has_head = true;
    connection->status = (unsigned)strtoul(connection->head + sizeof "HTTP/1.1", NULL, 10);
    if (length == NULL || length > end) {
        die("an answer without Content-Length");
    }
    connection->body_left = strtoull(length + sizeof "\r\nContent-Length:" - 1, NULL, 10);
    if (strcmp(connection->load->method, "HEAD") == 0) {
        connection->body_left = 0;
    }
    CHECK(connection->body_left >= connection->head_size - head);
    connection->body_left -= connection->head_size - head;
}

static void take(struct connection *connection)
{
    static char scratch[1u << 18];
    bool in_body = connection->has_head;
    char *to = in_body ? scratch : connection->head + connection->head_size;
    size_t room = in_body ? sizeof scratch : HEAD_MAX - 1 - connection->head_size;
    ssize_t n = read(connection->fd, to, room);
    const char *end;

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        die("the node hung up");
    }
    connection->load->n_bytes += (uint64_t)n;
    if (in_body) {
        CHECK(connection->body_left >= (uint64_t)n);
        connection->body_left -= (uint64_t)n;
    } else {
        connection->head_size += (size_t)n;
        end = head_end(connection);
        if (end == NULL) {
            return;
        }
        read_head(connection, end);
    }
    if (connection->body_left == 0) {
        finish(connection);
    }
}

/* --- the run --------------------------------------------------------------------------------- */

static void open_connection(struct load *load, struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)load->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int on = 1;

    connection->load = load;
    buffer_init(&connection->out, REQUEST_MAX);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("connect");
    }
    CHECK(fcntl(connection->fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0);
    load->n_open++;
}

static void run(struct load *load)
{
    struct epoll_event events[256];

    while (load->n_open > 0) {
        int n = epoll_wait(load->epoll, events, 256, 30000);

        if (n == 0) {
            errno = ETIMEDOUT;
            die("no answer for 30 s");
        }
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;

            if ((events[i].events & EPOLLOUT) != 0) {
                send_more(connection);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
                take(connection);
            }
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double percentile_ms(const struct load *load, double part)
{
    return load->n_samples > 0
               ? (double)load->samples[(size_t)(part * (double)(load->n_samples - 1))] / 1e6
               : 0;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(struct load *load, double seconds)
{
    double busy = cpu_seconds() / seconds;

    qsort(load->samples, load->n_samples, sizeof *load->samples, compare);
    printf("{\"connections\": %zu, \"answers\": %llu, \"failed\": %llu, \"bad_status\": %u, "
           "\"per_second\": %.1f, \"mb_per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f, \"busy\": %.2f, \"seconds\": %.3f}\n",
           load->n_connections, (unsigned long long)load->n_samples,
           (unsigned long long)load->n_failed, load->bad_status, (double)load->n_samples / seconds,
           (double)load->n_bytes / 1e6 / seconds, percentile_ms(load, 0.5),
           percentile_ms(load, 0.99), percentile_ms(load, 1), busy, seconds);
}

static void read_body(struct load *load, const char *name)
{
    FILE *file = fopen(name, "re");
    uint8_t piece[4096];
    size_t n;

    if (file == NULL) {
        die(name);
    }
    while ((n = fread(piece, 1, sizeof piece, file)) > 0) {
        buffer_append(&load->body, bytes_of(piece, n));
    }
    (void)fclose(file);
    load->mark = load->body.size == 0
                     ? NULL
                     : memmem(load->body.data, load->body.size, BODY_MARK, strlen(BODY_MARK));
}

/* How long, or how often. */
static void read_extent(struct load *load, const char *text, uint64_t begun_ns)
{
    bool is_count = strchr(text, 'x') != NULL;

    load->n_left = is_count ? strtoull(text, NULL, 10) : UINT64_MAX;
    load->until_ns = is_count ? UINT64_MAX : begun_ns + (uint64_t)(strtod(text, NULL) * 1e9);
    CHECK(load->n_left >= load->n_connections);
}

static void read_arguments(struct load *load, int argc, char **argv)
{
    load->port = (int)strtol(argv[1], NULL, 10);
    load->n_connections = strtoul(argv[2], NULL, 10);
    load->method = argv[4];
    load->path = argv[5];
    /* Numbers that an earlier run did not have either. */
    load->next = clock_wall_ms() * 1000;
    CHECK(load->n_connections > 0 && load->n_connections <= CONNECTIONS_MAX);
    buffer_init(&load->body, REQUEST_MAX / 2);
    buffer_init(&load->headers, HEAD_MAX);
    if (argc > 6 && strcmp(argv[6], "-") != 0) {
        read_body(load, argv[6]);
    }
    for (int i = 7; i < argc; i++) {
        buffer_print(&load->headers, "%s\r\n", argv[i]);
    }
    buffer_print(&load->headers, "Content-Length: %zu\r\n", load->body.size);
    CHECK(buffer_status(&load->headers) == OK && buffer_status(&load->body) == OK);
}

int main(int argc, char **argv)
{
    struct load *load = memory_zero(sizeof *load);
    uint64_t begun_ns;

    if (argc < 6) {
        fprintf(stderr, "usage: bench_base_http_load PORT CONNECTIONS SECONDS METHOD PATH "
                        "[BODY-FILE|- [HEADER]...]\n");
        return 64;
    }
    read_arguments(load, argc, argv);
    load->samples = memory_alloc(SAMPLES_MAX * sizeof *load->samples);
    load->connections = memory_zero(load->n_connections * sizeof *load->connections);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(load->epoll >= 0);
    for (size_t i = 0; i < load->n_connections; i++) {
        open_connection(load, &load->connections[i]);
    }
    begun_ns = clock_monotonic_ns();
    read_extent(load, argv[3], begun_ns);
    for (size_t i = 0; i < load->n_connections; i++) {
        begin(&load->connections[i]);
    }
    run(load);
    report(load, (double)(clock_monotonic_ns() - begun_ns) / 1e9);
    for (size_t i = 0; i < load->n_connections; i++) {
        buffer_release(&load->connections[i].out);
    }
    buffer_release(&load->headers);
    buffer_release(&load->body);
    close(load->epoll);
    free(load->connections);
    free(load->samples);
    free(load);
    return 0;
}
