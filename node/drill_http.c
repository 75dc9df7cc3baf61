#include "node/drill.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "node/cli_client.h"

#include <curl/curl.h>
#include <stdio.h>

uint64_t drill_now_us(const struct drill_setup *setup)
{
    return (clock_monotonic_ns() - setup->start_ns) / 1000;
}

static size_t collect_cb(const char *data, size_t size, size_t n, void *text)
{
    buffer_append(text, bytes_of(data, size * n));
    return buffer_status(text) == OK ? size * n : 0;
}

void drill_http_open(struct drill_http *http, const struct drill_setup *setup)
{
    CURL *curl = curl_easy_init();

    CHECK(curl != NULL);
    *http = (struct drill_http){.setup = setup, .curl = curl};
    buffer_init(&http->body, CLI_REPLY_MAX);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect_cb);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &http->body);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "caisson-drill/" CAISSON_VERSION);
    if (setup->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, setup->ca_file);
    }
    if (setup->user != NULL) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, setup->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, setup->password);
    }
}

void drill_http_close(struct drill_http *http)
{
    curl_easy_cleanup(http->curl);
    buffer_release(&http->body);
}

static struct curl_slist *headers_of(const struct drill_call *call)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char line[256];

    if (call->content_type != NULL) {
        snprintf(line, sizeof line, "Content-Type: %s", call->content_type);
        headers = curl_slist_append(headers, line);
    }
    if (call->if_match != NULL) {
        snprintf(line, sizeof line, "If-Match: \"%s\"", call->if_match);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

static void set_body(CURL *curl, const struct drill_call *call)
{
    bool has_body = strcmp(call->method, "PUT") == 0 || strcmp(call->method, "POST") == 0;

    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (has_body) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)call->body.size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                         call->body.size > 0 ? (const char *)call->body.data : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

/* The code of an error in the OCI form, for the record. */
static void keep_error(struct drill_http *http, long status)
{
    json_t *body = NULL;
    const char *code = NULL;

    if (json_parse(buffer_view(&http->body), CLI_REPLY_MAX, &body, NULL) == OK) {
        code = json_member_string(json_array_get(json_object_get(body, "errors"), 0), "code");
    }
    snprintf(http->error, sizeof http->error, "%ld %s", status, code == NULL ? "" : code);
    json_decref(body);
}

long drill_http_call(struct drill_http *http, const struct drill_call *call)
{
    struct curl_slist *headers = headers_of(call);
    long status = 0, connect_ms = (long)(call->timeout_ms < 1000 ? call->timeout_ms : 1000);
    char url[1024];
    CURLcode code;

    PRE(call->node < http->setup->n_nodes && call->path[0] == '/');
    snprintf(url, sizeof url, "%s%s", http->setup->nodes[call->node].url, call->path);
    buffer_clear(&http->body);
    http->error[0] = '\0';
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    set_body(http->curl, call);
    code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        snprintf(http->error, sizeof http->error, "%s",
                 code == CURLE_OPERATION_TIMEDOUT ? "no answer in time"
                 : code == CURLE_COULDNT_CONNECT  ? "connection refused"
                                                  : curl_easy_strerror(code));
        return 0;
    }
    if (status >= 400) {
        keep_error(http, status);
    }
    return status;
}

json_t *drill_http_json(struct drill_http *http, unsigned node, const char *path,
                        uint64_t timeout_ms)
{
    const struct drill_call call = {
        .method = "GET", .node = node, .path = path, .timeout_ms = timeout_ms};
    json_t *body = NULL;

    if (drill_http_call(http, &call) != 200 ||
        json_parse(buffer_view(&http->body), CLI_REPLY_MAX, &body, NULL) != OK) {
        return NULL;
    }
    return body;
}
