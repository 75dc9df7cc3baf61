#ifndef NODE_CLI_CLIENT_H
#define NODE_CLI_CLIENT_H

#include "node/cli.h"

#include <jansson.h>

/* How a command talks to a registry: one request, its JSON answer, errors as a sentence. Blocking,
 * on libcurl. */

#define CLI_REPLY_MAX (16u * 1024 * 1024)

/* Where and as whom. Options fill it, then the environment what is still empty. */
struct cli_client {
    const char *server;        /* --server, CAISSON_URL; default http://127.0.0.1:5000. */
    const char *user;          /* --user, CAISSON_USER. */
    const char *password_file; /* --password-file; CAISSON_PASSWORD holds the password itself. */
    const char *ca_file;       /* --ca-file, CAISSON_CA_FILE: who signs the server. */
    const char *output;        /* -o, --output: "json" or "table" (the default). */
    /* Private. */
    struct cli_option options[8];
};

/* Options that every client command takes; put it into the tables of cli_options(). */
const struct cli_option *cli_client_options(struct cli_client *client);
/* After cli_options(): the environment, and a check. CLI_OK, or CLI_USAGE after a sentence. */
int cli_client_ready(struct cli_client *client) MUST_USE;
bool cli_client_wants_json(const struct cli_client *client);

/* The password: from the file, else from CAISSON_PASSWORD, else empty. The caller wipes and free()s
 * it; NULL after a sentence on stderr. */
char *cli_client_password(const struct cli_client *client);

struct cli_call {
    const char *method;          /* "GET". */
    const char *path;            /* "/api/v1/...", encoded. */
    json_t *body;                /* Taken; NULL: none. */
    const char *idempotency_key; /* NULL: no such header. */
    bool is_repeated;            /* That nobody answers was said before: not again. */
};

struct cli_reply {
    long status;
    json_t *body; /* NULL when the answer was not JSON. */
    char *text;   /* The answer as it came, NUL-terminated. */
};

/* One request. CLI_OK when the server answered, whatever it said; otherwise a sentence is printed
 * and CLI_NO_QUORUM (nobody there) or CLI_FAILED comes back. cli_reply_release() either way. */
int cli_request(const struct cli_client *client, const struct cli_call *call,
                struct cli_reply *reply) MUST_USE;
/* CLI_OK for a 2xx; otherwise prints the errors of the answer (OCI form) and gives the exit code:
 * 403, 412 and 423 CLI_BLOCKED, 409 CLI_CONFLICT, 503 CLI_NO_QUORUM, else CLI_FAILED. */
int cli_reply_check(const struct cli_reply *reply) MUST_USE;
/* The body, indented, on stdout. */
void cli_reply_print(const struct cli_reply *reply);
void cli_reply_release(struct cli_reply *reply);
/* All of it, for a command that only shows: cli_client_ready(), the request, its check, then the
 * body as it is (-o json) or by print, which gives the exit code. */
int cli_show(struct cli_client *client, const struct cli_call *call,
             int (*print)(const json_t *body)) MUST_USE;

#endif
