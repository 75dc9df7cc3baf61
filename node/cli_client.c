#include "node/cli_client.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/memory.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

const struct cli_option *cli_client_options(struct cli_client *client)
{
    const struct cli_option options[8] = {
        {"--server", CLI_TEXT, &client->server},
        {"--user", CLI_TEXT, &client->user},
        {"--password-file", CLI_TEXT, &client->password_file},
        {"--ca-file", CLI_TEXT, &client->ca_file},
        {"--output", CLI_TEXT, &client->output},
        {"-o", CLI_TEXT, &client->output},
        {0},
    };

    memcpy(client->options, options, sizeof options);
    return client->options;
}

static const char *environment(const char *option, const char *variable)
{
    const char *value = getenv(variable);

    return option != NULL ? option : value != NULL && value[0] != '\0' ? value : NULL;
}

int cli_client_ready(struct cli_client *client)
{
    client->server = environment(client->server, "CAISSON_URL");
    client->user = environment(client->user, "CAISSON_USER");
    client->ca_file = environment(client->ca_file, "CAISSON_CA_FILE");
    if (client->server == NULL) {
        client->server = "http://127.0.0.1:5000";
    }
    if (strncmp(client->server, "http://", 7) != 0 && strncmp(client->server, "https://", 8) != 0) {
        return cli_fail(CLI_USAGE, "the server is a URL such as http://127.0.0.1:5000, not '%s'",
                        client->server);
    }
    if (client->output != NULL && strcmp(client->output, "json") != 0 &&
        strcmp(client->output, "table") != 0) {
        return cli_fail(CLI_USAGE, "the output is json or table, not '%s'", client->output);
    }
    return CLI_OK;
}

bool cli_client_wants_json(const struct cli_client *client)
{
    return client->output != NULL && strcmp(client->output, "json") == 0;
}

static size_t collect_cb(char *data, size_t size, size_t n, void *reply_text)
{
    struct buffer *text = reply_text;

    buffer_append(text, bytes_of(data, size * n));
    return buffer_status(text) == OK ? size * n : 0;
}

char *cli_client_password(const struct cli_client *client)
{
    const char *value = getenv("CAISSON_PASSWORD");

    if (client->password_file != NULL) {
        return cli_read_secret(client->password_file);
    }
    return memory_string(value == NULL ? "" : value);
}

static struct curl_slist *request_headers(const struct cli_call *call)
{
    struct curl_slist *headers = NULL;
    char line[256];

    if (call->body != NULL) {
        headers = curl_slist_append(headers, "Content-Type: application/json");
    }
    if (call->idempotency_key != NULL) {
        snprintf(line, sizeof line, "Idempotency-Key: %s", call->idempotency_key);
        headers = curl_slist_append(headers, line);
    }
    return curl_slist_append(headers, "Accept: application/json");
}

static void set_options(CURL *curl, const struct cli_client *client, const struct cli_call *call,
                        const char *url, const char *password, struct buffer *text)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect_cb);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, text);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 60000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "caisson/" CAISSON_VERSION);
    /* Registries are reached directly; a proxy that is meant for the internet loses requests. */
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    if (client->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
    }
    if (client->user != NULL) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, client->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, password);
    }
}

static void set_body(CURL *curl, const json_t *body, struct buffer *bytes)
{
    if (body != NULL) {
        json_write(bytes, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)bytes->size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buffer_string(bytes));
    }
}

static int transport_failed(const struct cli_client *client, const struct cli_call *call,
                            CURLcode code, const char *text)
{
    bool nobody = code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT;

    if (call->is_repeated) {
        return nobody ? CLI_NO_QUORUM : CLI_FAILED;
    }
    return cli_fail(nobody ? CLI_NO_QUORUM : CLI_FAILED, "%s does not answer: %s", client->server,
                    text[0] != '\0' ? text : curl_easy_strerror(code));
}

int cli_request(const struct cli_client *client, const struct cli_call *call,
                struct cli_reply *reply)
{
    char error_text_buffer[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers;
    struct buffer url, body, text;
    char *password;
    CURLcode code;
    CURL *curl;
    size_t size;

    PRE(client->server != NULL && call->path[0] == '/');
    *reply = (struct cli_reply){0};
    password = cli_client_password(client);
    if (password == NULL) {
        json_decref(call->body);
        return CLI_USAGE;
    }
    buffer_init(&url, 8192);
    buffer_init(&body, CLI_REPLY_MAX);
    buffer_init(&text, CLI_REPLY_MAX);
    size = strlen(client->server);
    size -= client->server[size - 1] == '/';
    buffer_print(&url, "%.*s%s", (int)size, client->server, call->path);
    headers = request_headers(call);
    curl = curl_easy_init();
    CHECK(curl != NULL);
    set_options(curl, client, call, buffer_string(&url), password, &text);
    set_body(curl, call->body, &body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text_buffer);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    memory_wipe(password, strlen(password));
    free(password);
    if (json_parse(buffer_view(&text), CLI_REPLY_MAX, &reply->body, NULL) != OK) {
        reply->body = NULL;
    }
    reply->text = memory_string(buffer_string(&text));
    buffer_release(&text);
    buffer_release(&body);
    buffer_release(&url);
    json_decref(call->body);
    return code == CURLE_OK ? CLI_OK : transport_failed(client, call, code, error_text_buffer);
}

static int exit_of_status(long status)
{
    switch (status) {
    case 403:
    case 412:
    case 423:
        return CLI_BLOCKED;
    case 409:
        return CLI_CONFLICT;
    case 503:
        return CLI_NO_QUORUM;
    default:
        return CLI_FAILED;
    }
}

int cli_reply_check(const struct cli_reply *reply)
{
    json_t *errors = json_object_get(reply->body, "errors");
    json_t *error;
    size_t i;

    if (reply->status >= 200 && reply->status < 300) {
        return CLI_OK;
    }
    if (json_array_size(errors) == 0) {
        return cli_fail((enum cli_exit)exit_of_status(reply->status), "the server answered %ld%s",
                        reply->status,
                        reply->status == 401 ? ": log in with --user and --password-file" : "");
    }
    json_array_foreach(errors, i, error)
    {
        const char *code = json_member_string(error, "code");
        const char *message = json_member_string(error, "message");
        cli_fail(CLI_FAILED, "%s (%s, %ld)", message == NULL ? "no reason given" : message,
                 code == NULL ? "UNKNOWN" : code, reply->status);
    }
    return exit_of_status(reply->status);
}

void cli_reply_print(const struct cli_reply *reply)
{
    if (reply->body != NULL) {
        json_dumpf(reply->body, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        printf("\n");
    } else if (reply->text != NULL) {
        printf("%s\n", reply->text);
    }
}

void cli_reply_release(struct cli_reply *reply)
{
    json_decref(reply->body);
    free(reply->text);
    *reply = (struct cli_reply){0};
}

int cli_show(struct cli_client *client, const struct cli_call *call,
             int (*print)(const json_t *body))
{
    struct cli_reply reply = {0};
    int code = cli_client_ready(client);

    if (code == CLI_OK) {
        code = cli_request(client, call, &reply);
    }
    if (code == CLI_OK) {
        code = cli_reply_check(&reply);
    }
    if (code == CLI_OK && cli_client_wants_json(client)) {
        cli_reply_print(&reply);
    } else if (code == CLI_OK) {
        code = print(reply.body);
    }
    cli_reply_release(&reply);
    return code;
}
