#include "node/http_private.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/oci_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Answers. What the handler sets goes between the status line and the headers that every answer
 * has; an answer that comes after the client is gone, or after another one, is dropped. */

#define VALUE_MAX    16384
#define TOGETHER_MAX 16384 /* Head and body in one write. */
#define JSON_MAX     (STREAM_QUEUE_MAX / 2)

static bool is_v2(const struct exchange *exchange)
{
    struct bytes path = exchange->message.path;

    return bytes_equal_string(path, "/v2") || bytes_starts_with(path, BYTES_LITERAL("/v2/"));
}

static bool is_over(const struct exchange *exchange)
{
    return exchange->connection == NULL || exchange->is_started;
}

static bool is_clean(const char *value)
{
    for (; *value != '\0'; value++) {
        if ((unsigned char)*value < 0x20 || *value == 0x7f) {
            return false;
        }
    }
    return true;
}

void exchange_set_header(struct exchange *exchange, const char *name, const char *format, ...)
{
    char shorts[256], *value = shorts;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(shorts, sizeof shorts, format, args);
    va_end(args);
    if (n >= (int)sizeof shorts && n < VALUE_MAX) {
        value = memory_alloc((size_t)n + 1);
        va_start(args, format);
        vsnprintf(value, (size_t)n + 1, format, args);
        va_end(args);
    }
    if (n >= 0 && n < VALUE_MAX && is_clean(value)) {
        buffer_print(&exchange->headers, "%s: %s\r\n", name, value);
    } else {
        LOG_WARN("http: request %s: header %s left out, it is too long or holds control bytes",
                 exchange->request_id, name);
    }
    if (value != shorts) {
        free(value);
    }
}

/* --- the head ----------------------------------------------------------------------------------
 */

static void append_date(struct buffer *out)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm utc;
    char text[40];

    CHECK(gmtime_r(&now, &utc) != NULL);
    CHECK(strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0);
    buffer_print(out, "Date: %s\r\n", text);
}

static bool has_no_body(unsigned status)
{
    return status == 204 || status == 304;
}

static bool sends_body(const struct exchange *exchange)
{
    return exchange->message.method != HTTP_HEAD_ && !has_no_body(exchange->status);
}

/* Would dropping the rest of the request's body take longer than a new connection? */
static bool body_is_in_the_way(const struct exchange *exchange)
{
    const struct http_message *message = &exchange->message;

    return !message->is_complete &&
           (message->expects_continue || (!message->is_chunked && message->left > DRAIN_MAX));
}

/* body: leaves in the same piece. */
static void send_head(struct exchange *exchange, unsigned status, const char *content_type,
                      int64_t length, struct bytes body)
{
    struct buffer head;
    bool is_bare = length < 0 && exchange->message.is_http_1_0; /* Ends with the connection. */

    exchange->is_started = true;
    exchange->status = status;
    exchange->length = length;
    exchange->must_close = exchange->must_close || !exchange->message.keep_alive ||
                           exchange->connection->listener->is_closing || is_bare ||
                           body_is_in_the_way(exchange);
    buffer_init(&head, RESPONSE_MAX + 4096 + TOGETHER_MAX);
    buffer_print(&head, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
    append_date(&head);
    buffer_append(&head, buffer_view(&exchange->headers));
    if (content_type != NULL) {
        buffer_print(&head, "Content-Type: %s\r\n", content_type);
    }
    if (length >= 0 && !has_no_body(status)) {
        buffer_print(&head, "Content-Length: %lld\r\n", (long long)length);
    } else if (length < 0 && !is_bare) {
        buffer_append_string(&head, "Transfer-Encoding: chunked\r\n");
    }
    if (is_v2(exchange)) {
        buffer_append_string(&head, "Docker-Distribution-API-Version: registry/2.0\r\n");
    }
    buffer_print(&head, "X-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n",
                 exchange->request_id);
    if (exchange->must_close) {
        buffer_append_string(&head, "Connection: close\r\n");
    } else if (exchange->message.is_http_1_0) {
        buffer_append_string(&head, "Connection: keep-alive\r\n");
    }
    buffer_append_string(&head, "\r\n");
    buffer_append(&head, body);
    CHECK(buffer_status(&head) == OK);
    connection_write(exchange->connection, buffer_view(&head));
    buffer_release(&head);
}

/* --- whole answers -----------------------------------------------------------------------------
 */

void exchange_answer(struct exchange *exchange, unsigned status, const char *content_type,
                     struct bytes body)
{
    PRE(http_status_text(status)[0] != '\0');
    PRE(!has_no_body(status) || body.size == 0);
    if (is_over(exchange)) {
        return;
    }
    if (buffer_status(&exchange->headers) != OK) {
        buffer_clear(&exchange->headers);
        exchange_fail_as(exchange, 500, "UNKNOWN", NULL, "the response's headers are too long");
        return;
    }
    exchange->status = status;
    if (body.size <= TOGETHER_MAX && sends_body(exchange)) {
        send_head(exchange, status, content_type, (int64_t)body.size, body);
        exchange->sent = body.size;
    } else {
        exchange_start(exchange, status, content_type, (int64_t)body.size);
        exchange_write(exchange, body);
    }
    exchange_end(exchange);
}

void exchange_answer_json(struct exchange *exchange, unsigned status, json_t *value_taken)
{
    struct buffer body;

    PRE(value_taken != NULL);
    buffer_init(&body, JSON_MAX);
    json_write(&body, value_taken);
    json_decref(value_taken);
    if (buffer_status(&body) == OK) {
        exchange_answer(exchange, status, "application/json", buffer_view(&body));
    } else {
        exchange_fail_as(exchange, 500, "UNKNOWN", NULL, "the answer is too large for one page");
    }
    buffer_release(&body);
}

void exchange_fail_as(struct exchange *exchange, unsigned status, const char *code,
                      json_t *detail_taken, const char *format, ...)
{
    char message[sizeof(struct reason)];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (status == 401) {
        exchange_set_header(exchange, "WWW-Authenticate", "Basic realm=\"registry\"");
    } else if (status == 503) {
        exchange_set_header(exchange, "Retry-After", "1");
    }
    exchange_answer_json(exchange, status, oci_error_body(code, message, detail_taken));
}

void exchange_fail(struct exchange *exchange, enum error error, const struct reason *why)
{
    struct oci_error answer = oci_error_of(error, is_v2(exchange));

    exchange_fail_as(exchange, answer.status, answer.code, NULL, "%s",
                     why != NULL && why->text[0] != '\0' ? why->text : error_text(error));
}

void response_refuse(struct connection *connection, unsigned status, const char *code,
                     const char *text)
{
    json_t *value = oci_error_body(code, text, NULL);
    struct buffer body, head;
    char id[17];

    random_hex(id, 8);
    buffer_init(&body, 4096);
    buffer_init(&head, 4096);
    json_write(&body, value);
    json_decref(value);
    buffer_print(&head, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
    append_date(&head);
    buffer_print(&head,
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Docker-Distribution-API-Version: registry/2.0\r\nX-Request-Id: %s\r\n"
                 "Connection: close\r\n\r\n",
                 body.size, id);
    connection_write(connection, buffer_view(&head));
    connection_write(connection, buffer_view(&body));
    buffer_release(&head);
    buffer_release(&body);
    LOG_DEBUG("http: request %s refused with %u: %s", id, status, text);
}

/* --- answers in pieces -------------------------------------------------------------------------
 */

void exchange_start(struct exchange *exchange, unsigned status, const char *content_type,
                    int64_t length)
{
    PRE(http_status_text(status)[0] != '\0' && length >= -1);
    if (!is_over(exchange)) {
        send_head(exchange, status, content_type, length, BYTES_NONE);
    }
}

void exchange_write(struct exchange *exchange, struct bytes piece)
{
    bool is_chunked = exchange->length < 0 && !exchange->message.is_http_1_0;
    char size[24];

    if (exchange->connection == NULL || exchange->is_ended || piece.size == 0) {
        return;
    }
    PRE(exchange->is_started);
    exchange->sent += piece.size;
    if (!sends_body(exchange)) {
        return;
    }
    CHECK(exchange->length < 0 || exchange->sent <= (uint64_t)exchange->length);
    if (is_chunked) {
        snprintf(size, sizeof size, "%zx\r\n", piece.size);
        connection_write(exchange->connection, bytes_of_string(size));
    }
    connection_write(exchange->connection, piece);
    if (is_chunked) {
        connection_write(exchange->connection, BYTES_LITERAL("\r\n"));
    }
}

size_t exchange_queued(const struct exchange *exchange)
{
    return exchange->connection == NULL ? 0 : stream_queued(&exchange->connection->stream);
}

void exchange_on_drained(struct exchange *exchange, void (*cb)(struct exchange *exchange))
{
    PRE(exchange->connection != NULL && exchange->drained_cb == NULL);
    exchange->drained_cb = cb;
    if (stream_queued(&exchange->connection->stream) == 0) {
        connection_kick(exchange->connection);
    }
}

void exchange_end(struct exchange *exchange)
{
    if (exchange->connection == NULL || exchange->is_ended) {
        return;
    }
    PRE(exchange->is_started);
    if (sends_body(exchange)) {
        if (exchange->length >= 0 && exchange->sent < (uint64_t)exchange->length) {
            exchange_abort(exchange); /* Less than announced: the client must see that. */
            return;
        }
        if (exchange->length < 0 && !exchange->message.is_http_1_0) {
            connection_write(exchange->connection, BYTES_LITERAL("0\r\n\r\n"));
        }
    }
    exchange->is_ended = true;
    connection_kick(exchange->connection);
}

void exchange_abort(struct exchange *exchange)
{
    if (exchange->connection == NULL) {
        return;
    }
    exchange->is_ended = true;
    response_log(exchange);
    connection_close(exchange->connection);
}

void response_log(const struct exchange *exchange)
{
    LOG_DEBUG("http: request=%s actor=%.*s method=%.*s target=%.*s status=%u bytes=%llu ms=%llu",
              exchange->request_id, (int)exchange->identity.size, exchange->identity.name,
              BYTES_ARG(exchange->message.method_text),
              BYTES_ARG(bytes_slice(exchange->message.target, 0, 1024)), exchange->status,
              (unsigned long long)exchange->sent,
              (unsigned long long)(clock_monotonic_ms() - exchange->started_ms));
}
